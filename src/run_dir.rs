//! A pruning run on disk: its settings, every iteration's archive and figures. A run can be continued from it.
//!
//! `run.json` is written after the archive it speaks of, and both appear whole or not at all; so whenever a run
//! stops, the folder holds the state between two iterations.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::export::{save_archive, write_whole};
use crate::prune::{Iteration, State};
use crate::report::{SCHEMA, json};
use crate::score::{Tally, check_tallies};
use crate::settings::Settings;

/// What `run.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct RunFile {
    schema: u32,
    /// All that decides the outcome; a run is only continued with the same.
    settings: Settings,
    iterations: Vec<Iteration>,
    /// Statistics of the scoring that was under way when the user stopped the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scoring: Vec<Tally>,
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunDir {
    folder: PathBuf,
    settings: Settings,
}

impl RunDir {
    /// Opens the folder of a run and the state to begin with: `original`, or where the run stopped.
    ///
    /// # Errors
    /// If the folder holds a run and `resume` is not asked for, or holds none, or one with other settings.
    pub fn open(
        folder: &Path,
        resume: bool,
        settings: Settings,
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
                let state = State::new(original);
                run.write(&state)?;
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
        if let Some((key, then, now)) = run.settings.difference(&self.settings) {
            bail!(
                "{shown}: the run was begun with `{key}` {then}, not {now}; resume it with the options it was begun with"
            );
        }
        check_tallies(&run.scoring).with_context(|| shown.to_string())?;
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
            scoring: run.scoring,
        })
    }

    /// Keeps the state after an iteration.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, state: &State) -> Result<()> {
        // An interrupted scoring has changed nothing of the network.
        if state.scoring.is_empty() {
            let path = self.archive_of(state.iterations.len());
            save_archive(&state.archive, &path, true)?;
        }
        self.write(state)
    }

    fn write(&self, state: &State) -> Result<()> {
        let run = RunFile {
            schema: SCHEMA,
            settings: self.settings.clone(),
            iterations: state.iterations.clone(),
            scoring: state.scoring.clone(),
        };
        write_whole(&self.file(), json(&run)?.as_bytes(), true)
    }
}
