//! The folder of a run: what it is opened for, and how to go on from it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::json;

use super::RACES;
use crate::cli::Prune;
use crate::cli::torch_commands::scoring_settings;
use crate::prune::run_dir::{self, Asked, RunDir, resumption, stopped};
use crate::prune::{State, Targets};
use crate::report::plan::Plan;
use crate::run::export::advise;
use crate::run::pick::Pick;
use crate::run::settings::{Settings, fingerprint};
use crate::run::torch::Model;

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

/// Refuses a folder for a new run in which files lie that it would write over.
pub(super) fn check_free(options: &Prune, folder: &Path) -> Result<()> {
    if options.resume || options.output.force || options.dry_run || run_dir::holds_run(folder) {
        return Ok(());
    }
    let mut in_the_way = run_dir::kept_in(folder);
    let report = options.report.report.as_deref();
    for name in run_dir::REPORT_FILES {
        let file = folder.join(name);
        let is_written =
            report.is_none_or(|page| page.with_extension("") == file.with_extension(""));
        if is_written && file.exists() {
            in_the_way.push(name.to_owned());
        }
    }
    if !in_the_way.is_empty() {
        bail!(
            "{}: files lie in this folder that the run would write over ({}); name another --run-dir, or --force to \
             replace them",
            folder.display(),
            in_the_way.join(", ")
        );
    }
    Ok(())
}

/// The folder of the run: the one that was named, or a temporary one where an earlier iteration may be exported.
pub(super) fn open_run_dir(
    options: &Prune,
    model: &Model,
    targets: Targets,
    output: &Path,
) -> Result<Option<RunDir>> {
    let analysis = model.analysis();
    let asked = || -> Result<Asked> {
        Ok(Asked {
            settings: settings(options, model)?,
            targets,
            plan: Plan::new(
                analysis.image_shape(),
                &model.archive().focus().cloned().unwrap_or_default(),
                analysis.request.search,
            ),
            is_exported: model.archive().is_exported(),
        })
    };
    match &options.run_dir {
        Some(folder) => RunDir::open(folder, options.resume, asked()?).map(Some),
        None if options.pick == Pick::Last => Ok(None),
        None => RunDir::temporary(output, asked()?).map(Some),
    }
}

/// All that decides which blocks go and what the weights become.
fn settings(options: &Prune, network: &Model) -> Result<Settings> {
    let Prune {
        model,
        data,
        search,
        selection,
        training,
        ..
    } = options;
    // Images are set aside for training.
    let trains = options.asks_to_train();
    let more = [
        ("model", json!(fingerprint(network.archive())?)),
        ("batch-size", json!(data.batch_size)),
        ("as-written", json!(network.is_as_written())),
        ("race", json!(options.scoring.races(RACES))),
        ("criterion", json!(options.scoring.criterion)),
        ("per", json!(options.scoring.per)),
        ("criterion-seed", json!(options.scoring.criterion_seed)),
        ("reference", json!(options.reference)),
        ("schedule-removals", json!(options.schedule_removals)),
        ("distill", json!(options.distill)),
        ("trains", json!(trains)),
        ("repair", json!(options.repair)),
        ("blocks-per-iteration", json!(options.blocks_per_iteration)),
        ("max-drop", json!(options.max_drop)),
        ("retries", json!(options.retries)),
        ("tune-with", json!(options.tune_with)),
        ("measure-with", json!(options.measure.measure_with)),
        ("metric", json!(options.measure.metric)),
        ("metric-goal", json!(options.measure.metric_goal)),
        ("pretrain", json!(options.pretrain)),
        ("pretrain-lr", json!(options.pretrain_lr)),
    ];
    // Which iteration is exported may change from start to start, but not which images are trained on.
    let picks = sets_images_aside(options).then(|| ("pick", json!(options.pick.to_string())));
    let scoring = scoring_settings(model, data, *search, selection, network.analysis())?;
    Ok(scoring
        .and(more.into_iter().chain(picks).collect())
        .and(training.settings()))
}

/// Whether images are set aside for `--pick` alone.
fn sets_images_aside(options: &Prune) -> bool {
    options.decides_by_accuracy()
        && options.max_drop.is_none()
        && options.training.val_split.is_none()
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
