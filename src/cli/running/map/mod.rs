//! `ckaprune score --map`: how alike all blocks are, each to each.

mod files;
mod report;
mod terminal;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::fitting::Fitting;
use super::images::{Preparation, Ready, noise};
use super::{
    Outcome, blame, interface, open_archive, open_device, open_model, require_blocks, show,
};
use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, Request};
use crate::cli::{self, Score};
use crate::data::Images;
use crate::run::interrupt::{self, Interrupt};
use crate::run::memory::Work;
use crate::run::model::Model;
use crate::run::run_shapes::learned;
use crate::score::similarity::{Ended, Job, Mapping, Subject, USUAL_BATCH};
use files::Files;
use report::MapReport;

pub(super) fn run(options: &Score, model: &cli::Model) -> Result<Outcome> {
    let progress = options.talk.progress();
    let path = &model.model;
    let archive = open_model(path)?;
    let other = match &options.map.against {
        Some(path) => Some((path, open_archive(path, "--against")?)),
        None => None,
    };
    let files = Files::of(path, &options.statistics)?;
    let device = open_device(&options.machine)?;
    let preparation = Preparation {
        model,
        data: &options.data,
        search: options.search.into(),
        beyond: None,
        device,
        progress,
    };
    let Ready {
        model: network,
        splits,
        synthetic,
        ..
    } = preparation.of(archive)?;
    let (analysis, images) = (network.analysis(), splits.calibration);
    check(path, analysis)?;
    let other = match other {
        Some((path, archive)) => {
            let analysis = analyse_other(options, model, &archive, &analysis.input_shape)
                .with_context(|| path.display().to_string())?;
            check(path, &analysis)?;
            Some((path, Model::new(archive, analysis, device)))
        }
        None => None,
    };
    let heeded = Interrupt::heed();
    if synthetic {
        progress.warn(format_args!(
            "NO DATA. Comparing blocks on {}: the map says little about real images.\n\
             \x20        Name a data set with --data.",
            noise(analysis, &images)
        ));
    }
    let batch = options.data.batch_size.map(|n| n as usize);
    let batch = batch.and_then(|n| n.try_into().ok()).unwrap_or(USUAL_BATCH);
    let at_a_time = batch.get().min(images.len());
    let fitting = Fitting::new(analysis, Work::Forward, device);
    fitting.check_budget(options.scoring.memory, progress);
    fitting.check(at_a_time, progress).map_err(blame(path))?;
    let mapping = Mapping {
        memory: options.scoring.memory(device),
        progress,
    };
    // The draw takes turns among classes: minibatches of consecutive images would have too few pairs of one class.
    let loader = images.loader.with_batch_size(batch);
    let images = Images::new(images.part, loader.shuffled(options.data.seed));
    let job = Job {
        rows: Subject {
            path,
            model: &network,
        },
        columns: other.as_ref().map(|(path, model)| Subject { path, model }),
        images: &images,
    };
    let begun = Instant::now();
    let ended = mapping.run(&job, &interrupt::is_asked)?;
    drop(heeded);
    let Ended::Compared(map) = ended else {
        progress.warn("stopped; nothing is written");
        return Ok(Outcome::Interrupted);
    };
    let report = MapReport {
        model: path.display().to_string(),
        against: job.columns.map(|other| other.path.display().to_string()),
        input_shape: analysis.input_shape.clone(),
        synthetic,
        seconds: begun.elapsed().as_secs_f64(),
        written: files.names(),
        map,
    };
    files.write(&report, progress)?;
    report.note_skipped(progress);
    show(options.talk, &report.document(), || report.text())?;
    Ok(Outcome::Done)
}

/// Refuses a network that has no blocks, or whose blocks cannot be compared.
fn check(path: &Path, analysis: &Analysis) -> Result<()> {
    let interface = interface(path, analysis)?;
    interface
        .check_prunable()
        .map_err(|e| blame(path)(e.into()))?;
    require_blocks(path, analysis)
}

/// The other network, for images of the same shape.
fn analyse_other(
    options: &Score,
    model: &cli::Model,
    archive: &Archive,
    shape: &[i64],
) -> Result<Analysis> {
    let analyse = |output| {
        let request = Request {
            input_shape: Some(shape.to_vec()),
            output,
            search: options.search.into(),
            ..Request::default()
        };
        Analysis::of(archive, &request)
    };
    // The key is that of the first network's output, and need not be one of this.
    let found = analyse(model.output_key.clone()).or_else(|_| analyse(None));
    Ok(learned(archive, found?))
}
