//! The folder of a run: what it is opened for, and how to go on from it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::json;

use super::RACES;
use crate::analysis::Analysis;
use crate::archive::Archive;
use crate::cli::Prune;
use crate::commands::scoring_settings;
use crate::export::advise;
use crate::plan::Plan;
use crate::prune::{Pick, Run, State};
use crate::run_dir::{self, Asked, RunDir, resumption, stopped};
use crate::settings::{Settings, fingerprint};

/// Refuses a result that would take the place of a file that the run keeps for itself.
pub(super) fn check_apart(folder: &Path, file: Option<&PathBuf>) -> Result<()> {
    match file.filter(|file| run_dir::keeps(folder, file)) {
        Some(file) => bail!(
            "{}: the run keeps a file of its own there; name another file for its result",
            file.display()
        ),
        None => Ok(()),
    }
}

/// The folder of the run: the one that was named, or a temporary one where an earlier iteration may be exported.
pub(super) fn open_run_dir(
    options: &Prune,
    run: &Run,
    archive: &Archive,
    analysis: &Analysis,
    output: &Path,
) -> Result<Option<RunDir>> {
    let asked = || -> Result<Asked> {
        Ok(Asked {
            settings: settings(options, archive, analysis)?,
            targets: run.targets,
            plan: Plan::new(&analysis.input_shape, analysis.request.search),
        })
    };
    match &options.run_dir {
        Some(folder) => RunDir::open(folder, options.resume, asked()?).map(Some),
        None if options.pick == Pick::Last => Ok(None),
        None => RunDir::temporary(output, asked()?).map(Some),
    }
}

/// All that decides which blocks go and what the weights become.
fn settings(options: &Prune, archive: &Archive, analysis: &Analysis) -> Result<Settings> {
    let Prune {
        model,
        data,
        search,
        selection,
        training,
        ..
    } = options;
    let more = [
        ("model", json!(fingerprint(archive)?)),
        ("batch-size", json!(data.batch_size)),
        ("race", json!(options.scoring.races(RACES))),
        ("criterion", json!(options.scoring.criterion)),
        ("criterion-seed", json!(options.scoring.criterion_seed)),
        ("reference", json!(options.reference)),
        ("distill", json!(options.distill)),
        ("repair", json!(options.repair)),
        ("blocks-per-iteration", json!(options.blocks_per_iteration)),
        ("max-drop", json!(options.max_drop)),
        ("retries", json!(options.retries)),
        ("pretrain", json!(options.pretrain)),
        ("pretrain-lr", json!(options.pretrain_lr)),
    ];
    let scoring = scoring_settings(model, data, *search, selection, analysis)?;
    Ok(scoring
        .and(more.into_iter().collect())
        .and(training.settings()))
}

/// Refuses to go on with a run that went further than is asked for.
pub(super) fn check_progress(options: &Prune, begin: &State) -> Result<()> {
    let done = begin.iterations.len();
    match (options.iterations, &options.run_dir) {
        (Some(n), Some(folder)) if done > n as usize => bail!(
            "{}: the run has done {done} iterations already; resume it with --iterations {done} or more",
            folder.display()
        ),
        _ => Ok(()),
    }
}

/// Says after an error of writing how to go on with the run, if it is kept.
pub(super) fn to_go_on(options: &Prune, error: anyhow::Error, flags: &str) -> anyhow::Error {
    match &options.run_dir {
        Some(folder) => advise(error, || resumption(folder, flags)),
        None => error,
    }
}

/// What a stopped run leaves, and how it goes on.
pub(super) fn how_to_go_on(options: &Prune) -> String {
    match &options.run_dir {
        Some(folder) => stopped(folder, options.resume),
        None => "stopped; nothing is kept, because no --run-dir was named".into(),
    }
}
