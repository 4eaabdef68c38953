//! A pruning run on disk: its settings, every iteration's archive and figures. A run can be continued from it.
//!
//! `run.json` is written after the archive it speaks of, and both appear whole or not at all; so whenever a run
//! stops, the folder holds the state between two iterations.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::archive::Archive;
use crate::export::{save_archive, write_whole};
use crate::prune::{Iteration, State};
use crate::report::{SCHEMA, json};

/// What `run.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RunFile {
    schema: u32,
    /// All that decides the outcome; a run is only continued with the same.
    settings: Value,
    iterations: Vec<Iteration>,
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunDir {
    folder: PathBuf,
    settings: Value,
}

impl RunDir {
    /// Opens the folder of a run and the state to begin with: `original`, or where the run stopped.
    ///
    /// # Errors
    /// If the folder holds a run and `resume` is not asked for, or holds none, or one with other settings.
    pub fn open(
        folder: &Path,
        resume: bool,
        settings: Value,
        original: &Archive,
    ) -> Result<(Self, State)> {
        let run = RunDir {
            folder: folder.to_owned(),
            settings,
        };
        let file = run.file();
        let shown = folder.display();
        match (resume, file.is_file()) {
            (false, true) => bail!(
                "{shown}: holds a run already; continue it with --resume, or name another --run-dir"
            ),
            (true, false) => bail!(
                "{shown}: there is no run to resume (no run.json); begin one without --resume"
            ),
            (false, false) => {
                fs::create_dir_all(folder).map_err(|error| {
                    anyhow!(
                        "{shown}: this folder cannot be made ({error}); name another with --run-dir"
                    )
                })?;
                let state = State {
                    archive: original.clone(),
                    iterations: Vec::new(),
                };
                run.write(&state.iterations)?;
                Ok((run, state))
            }
            (true, true) => {
                let state = run.read(&file, original)?;
                Ok((run, state))
            }
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("run.json")
    }

    fn archive_of(&self, iteration: usize) -> PathBuf {
        self.folder.join(format!("iteration-{iteration:03}.pt"))
    }

    fn read(&self, file: &Path, original: &Archive) -> Result<State> {
        let shown = file.display();
        let text = fs::read_to_string(file).with_context(|| format!("{shown}: cannot be read"))?;
        let run: RunFile = serde_json::from_str(&text).map_err(|error| {
            anyhow!("{shown}: this is not the file of a run ({error}); name another --run-dir")
        })?;
        if run.schema != SCHEMA {
            bail!(
                "{shown}: written by another version of ckaprune (schema {})",
                run.schema
            );
        }
        if let Some((key, then, now)) = difference(&run.settings, &self.settings) {
            bail!(
                "{shown}: the run was begun with `{key}` {}, not {}; resume it with the options it was begun with",
                show(then),
                show(now)
            );
        }
        let archive = match run.iterations.len() {
            0 => original.clone(),
            n => {
                let path = self.archive_of(n);
                Archive::open(&path).with_context(|| path.display().to_string())?
            }
        };
        Ok(State {
            archive,
            iterations: run.iterations,
        })
    }

    /// Keeps the state after an iteration.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, state: &State) -> Result<()> {
        save_archive(
            &state.archive,
            &self.archive_of(state.iterations.len()),
            true,
        )?;
        self.write(&state.iterations)
    }

    fn write(&self, iterations: &[Iteration]) -> Result<()> {
        let run = RunFile {
            schema: SCHEMA,
            settings: self.settings.clone(),
            iterations: iterations.to_vec(),
        };
        write_whole(&self.file(), json(&run)?.as_bytes(), true)
    }
}

/// The first key in which two sets of settings differ, and its two values.
fn difference<'a>(a: &'a Value, b: &'a Value) -> Option<(&'a str, &'a Value, &'a Value)> {
    let value = |of: &'a Value, key: &str| of.get(key).unwrap_or(&Value::Null);
    [a, b]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(serde_json::Map::keys)
        .map(|key| (key.as_str(), value(a, key), value(b, key)))
        .find(|(_, then, now)| then != now)
}

fn show(setting: &Value) -> String {
    match setting {
        Value::Null => "unset".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
