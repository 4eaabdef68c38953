//! A pruning run on disk: its settings, every iteration's archive and figures. A run can be continued from it.
//!
//! `run.json` is written after the archive it speaks of, and both appear whole or not at all; so whenever a run
//! stops, the folder holds the state between two steps: scoring, removal with repair, fine-tuning. Within a training,
//! a checkpoint says how far that came.

mod lock;
mod names;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::archive::Archive;
use crate::prune::{Begun, Iteration, Phase, State, Targets};
use crate::report::plan::Plan;
use crate::report::{SCHEMA, json};
use crate::run::export::{NewFolder, Staged, TEMPORARY, advise, ending, write_all, write_whole};
use crate::run::settings::Settings;
use crate::run::torch::Model;
use crate::score::criteria::Score;
use crate::score::{Savings, Tally, check_tallies};
use crate::train::finetune::Tuning;
use lock::lock;
use names::{BEGUN, ITERATION, PLAN_FILE, RUN_FILE};

pub use names::{REPORT_FILES, keeps, kept_in};

/// What `run.json` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct RunFile {
    schema: u32,
    /// All that decides the outcome; a run is only continued with the same.
    settings: Settings,
    /// Where the run stops; it may be continued with others.
    #[serde(default)]
    targets: Targets,
    /// Done, and its network kept as iteration 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pretraining: Option<Tuning>,
    /// Seconds of a forward pass of one image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_latency: Option<f64>,
    iterations: Vec<Iteration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rolled_back: Vec<Iteration>,
    /// Statistics of the scoring that was under way when the user stopped the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scoring: Vec<Tally>,
    /// What removals of the next iteration save.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    savings: Option<Savings>,
    /// Scores of the next iteration, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scores: Vec<Score>,
    /// The next iteration, its blocks removed and the rest repaired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<Iteration>,
}

/// The folder of one run.
#[derive(Debug)]
pub struct RunDir {
    folder: PathBuf,
    /// What the folder says.
    run: RunFile,
    /// To be filled with the removals.
    plan: Plan,
    /// How the names of its networks end.
    ending: &'static str,
    /// Held as long as this run is at work in the folder.
    _lock: Option<File>,
    /// Removes the folder once it is dropped.
    _temporary: Option<tempfile::TempDir>,
}

/// Whether there is a run in this folder to go on with.
#[must_use]
pub fn holds_run(folder: &Path) -> bool {
    folder.join(RUN_FILE).is_file()
}

/// What a run is to be.
#[derive(Clone, Debug)]
pub struct Asked {
    pub settings: Settings,
    pub targets: Targets,
    pub plan: Plan,
    /// Its network is a program of `torch.export`.
    pub is_exported: bool,
}

fn opened(file: &Path) -> Result<Archive> {
    Archive::open(file).with_context(|| file.display().to_string())
}

/// The network in a file that the run made of the original.
fn made_of(original: &Model, file: &Path) -> Result<Model> {
    let model = original.changed_into(opened(file)?);
    model.with_context(|| file.display().to_string())
}

impl RunDir {
    /// Opens the folder of a run.
    ///
    /// # Errors
    /// If the folder holds a run and `resume` is not asked for, or holds none, or one with other settings, or if another
    /// process is at work in it.
    pub fn open(folder: &Path, resume: bool, asked: Asked) -> Result<Self> {
        let mut dir = RunDir::at(folder, asked);
        let file = dir.file();
        let shown = folder.display();
        match (resume, file.is_file()) {
            (false, true) => bail!(
                "{shown}: holds a run already; continue it with --resume, or name another --run-dir"
            ),
            (true, false) => bail!(
                "{shown}: there is no run to resume (no run.json); begin one without --resume"
            ),
            (false, false) => {
                let new = NewFolder::make(folder).map_err(|error| {
                    anyhow!(
                        "{shown}: this folder cannot be made ({error}); name another with --run-dir"
                    )
                })?;
                dir._lock = lock(folder)?;
                // Whoever removed a run.json has not always removed what belonged to it, and a process may have been killed
                // before it had written one.
                for phase in Phase::ALL {
                    dir.forget(phase.file());
                }
                dir.sweep();
                // First of all files, so that whatever is cut short here can be gone on with.
                write_whole(&file, json(&dir.run)?.as_bytes(), true)?;
                dir.write(&[])?;
                new.keep();
            }
            (true, true) => {
                dir._lock = lock(folder)?;
                dir.take_up(&file)?;
                dir.sweep();
            }
        }
        Ok(dir)
    }

    /// A folder beside `output` that is gone after the run.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn temporary(output: &Path, asked: Asked) -> Result<Self> {
        let beside = output.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = tempfile::Builder::new()
            .prefix(".ckaprune-run-")
            .tempdir_in(beside.unwrap_or(Path::new(".")))
            .with_context(|| {
                let shown = output.display();
                format!("{shown}: no folder can be made beside it; name one with --run-dir")
            })?;
        let mut dir = RunDir::at(folder.path(), asked);
        dir._temporary = Some(folder);
        Ok(dir)
    }

    fn at(folder: &Path, asked: Asked) -> Self {
        RunDir {
            folder: folder.to_owned(),
            run: RunFile {
                schema: SCHEMA,
                settings: asked.settings,
                targets: asked.targets,
                ..RunFile::default()
            },
            plan: asked.plan,
            ending: ending(asked.is_exported),
            _lock: None,
            _temporary: None,
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join(RUN_FILE)
    }

    fn archive_of(&self, iteration: usize) -> PathBuf {
        let ending = self.ending;
        self.folder
            .join(format!("{ITERATION}{iteration:03}.{ending}"))
    }

    /// Name of the file of the network that is not fine-tuned yet.
    fn begun_file(&self) -> String {
        format!("{BEGUN}{}", self.ending)
    }

    /// Goes on with what the folder holds.
    fn take_up(&mut self, file: &Path) -> Result<()> {
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
        if let Some((key, then, now)) = run.settings.difference(&self.run.settings) {
            bail!(
                "{shown}: the run was begun with `{key}` {then}, not {now}; resume it with the options it was begun with"
            );
        }
        check_tallies(&run.scoring).with_context(|| shown.to_string())?;
        let targets = self.run.targets;
        let same_choice = run.targets.choose_like(&targets);
        self.run = RunFile { targets, ..run };
        if !same_choice && let Some(begun) = self.run.begun.take() {
            // With these targets other blocks may go, of the same scores.
            self.run.scores = begun.candidates;
        }
        Ok(())
    }

    /// Removes what is of no use any more, and what a killed process left half written.
    fn sweep(&self) {
        if self.run.begun.is_none() {
            self.forget(&self.begun_file());
            self.forget(Phase::Iteration.file());
        }
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            if name.starts_with(TEMPORARY) {
                self.forget(&name);
            }
        }
    }

    /// Removes a file of this folder, or a folder of a command's files. One that stays is in nobody's way.
    fn forget(&self, name: &str) {
        let path = self.folder.join(name);
        let _ = match path.is_dir() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
    }

    /// What an earlier start of this run made of the original before the first removal.
    ///
    /// # Errors
    /// If its archive is gone.
    pub fn pretrained(&self) -> Result<Option<(Tuning, Archive)>> {
        match &self.run.pretraining {
            None => Ok(None),
            Some(pretraining) => {
                let archive = opened(&self.archive_of(0))?;
                Ok(Some((pretraining.clone(), archive)))
            }
        }
    }

    /// Keeps the original as it is before the first removal.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn keep_pretrained(&mut self, pretraining: &Tuning, archive: &Archive) -> Result<()> {
        self.run.pretraining = Some(pretraining.clone());
        self.write(&[(self.archive_of(0), archive)])
            .map_err(|error| self.resumable(error))?;
        self.forget(Phase::Pretraining.file());
        Ok(())
    }

    /// Where the run stands: before the first iteration, or where it stopped.
    ///
    /// # Errors
    /// If an archive is gone.
    pub fn state(&self, original: &Model) -> Result<State> {
        let model = match self.run.iterations.len() {
            0 => original.clone(),
            n => self.model(n, original)?,
        };
        Ok(State {
            model,
            iterations: self.run.iterations.clone(),
            rolled_back: self.run.rolled_back.clone(),
            scoring: self.run.scoring.clone(),
            savings: self.run.savings.clone(),
            scores: self.run.scores.clone(),
            begun: match &self.run.begun {
                None => None,
                Some(iteration) => Some(Begun {
                    model: made_of(original, &self.folder.join(self.begun_file()))?,
                    iteration: iteration.clone(),
                }),
            },
            original_latency: self.run.original_latency,
        })
    }

    /// The network after an iteration.
    ///
    /// # Errors
    /// If the file is gone or was changed into something else.
    pub fn model(&self, iteration: usize, original: &Model) -> Result<Model> {
        made_of(original, &self.archive_of(iteration))
    }

    /// Keeps the state after a step.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&mut self, state: &State) -> Result<()> {
        let kept = state.iterations.len();
        // An interrupted scoring and a removal rolled back have changed nothing of the network.
        let is_new = kept > self.run.iterations.len();
        self.run.iterations.clone_from(&state.iterations);
        self.run.rolled_back.clone_from(&state.rolled_back);
        self.run.scoring.clone_from(&state.scoring);
        self.run.savings.clone_from(&state.savings);
        self.run.scores.clone_from(&state.scores);
        self.run.begun = state.begun.as_ref().map(|b| b.iteration.clone());
        self.run.original_latency = state.original_latency;
        let kept = is_new.then(|| (self.archive_of(kept), state.model.archive()));
        let begun = state.begun.as_ref();
        let begun = begun.map(|b| (self.folder.join(self.begun_file()), b.model.archive()));
        let archives: Vec<_> = kept.into_iter().chain(begun).collect();
        self.write(&archives)
            .map_err(|error| self.resumable(error))?;
        if self.run.begun.is_none() {
            self.forget(&self.begun_file());
            self.forget(Phase::Iteration.file());
        }
        Ok(())
    }

    /// Writes what the folder says, and before it the archives that it speaks of for the first time.
    fn write(&self, archives: &[(PathBuf, &Archive)]) -> Result<()> {
        let steps = self.run.iterations.iter().map(|i| i.removed.clone());
        let plan = self.plan.with_steps(steps.collect());
        let stage = || {
            let archives = archives.iter();
            let mut files: Vec<Staged> = archives
                .map(|(path, archive)| Staged::archive(path, archive))
                .collect::<Result<_>>()?;
            let plan_file = self.folder.join(PLAN_FILE);
            files.push(Staged::bytes(&plan_file, json(&plan)?.as_bytes())?);
            files.push(Staged::bytes(&self.file(), json(&self.run)?.as_bytes())?);
            Ok(files)
        };
        write_all(stage, true)
    }

    /// An error of writing, with the way to go on: the folder still holds what it held before.
    fn resumable(&self, error: anyhow::Error) -> anyhow::Error {
        match &self._temporary {
            Some(_) => error,
            None => advise(error, || resumption(&self.folder, "--resume")),
        }
    }
}

/// How to go on with what `place` keeps, when there is room for its files again.
#[must_use]
pub fn resumption(place: &Path, flags: &str) -> String {
    let shown = place.display();
    format!("then add `{flags}` to the same command to go on from {shown}")
}

/// What is said of work that was stopped, how to go on with what `place` keeps of it.
#[must_use]
pub fn stopped(place: &Path, is_resumed: bool) -> String {
    let shown = place.display();
    match is_resumed {
        true => format!("stopped; run the same command again to go on from {shown}"),
        false => format!("stopped; add `--resume` to the same command to go on from {shown}"),
    }
}
