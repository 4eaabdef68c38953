//! `ckaprune score --map`: how alike each two blocks are.

mod files;
mod report;
mod terminal;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::images::{Preparation, Prepared, noise};
use super::memory_fit::MemoryFit;
use super::{Outcome, blame, execution, interface, open_archive, open_model, require_blocks, show};
use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, Request};
use crate::cli::{self, Score};
use crate::data::Images;
use crate::report::progress::Progress;
use crate::run::interrupt::{self, Interrupt};
use crate::run::memory::Work;
use crate::run::torch::Model;
use crate::run::torch::run_shapes::learned;
use crate::score::similarity::{Job, Map, Mapping, Subject, USUAL_BATCH};
use files::Files;
use report::MapReport;

pub(super) fn run(options: &Score, model: &cli::Model) -> Result<Outcome> {
    let progress = options.messages.progress();
    let path = &model.model;
    let archive = open_model(model)?;
    let other = match &options.map.against {
        Some(path) => {
            let other = open_archive(path, "--against")?.like(&archive);
            Some((path, other.with_context(|| path.display().to_string())?))
        }
        None => None,
    };
    let files = Files::of(path, &options.statistics)?;
    let execution = execution(&options.machine)?;
    let prepared = Preparation::for_scoring(options, model, execution).of(archive)?;
    let analysis = prepared.model.analysis();
    check(path, analysis)?;
    let other = match other {
        Some((path, archive)) => {
            let other = analyse_other(options, model, &archive, analysis.image_shape())
                .with_context(|| path.display().to_string())?;
            check(path, &other)?;
            Some((path, Model::new(archive, other, execution)))
        }
        None => None,
    };
    let heeded = Interrupt::heed();
    warn_of_noise(&prepared, progress);
    let rows = Subject {
        path,
        model: &prepared.model,
    };
    let columns = other.as_ref().map(|(path, model)| Subject { path, model });
    let begun = Instant::now();
    let map = compare(options, rows, columns, &prepared.splits.calibration)?;
    drop(heeded);
    let Some(map) = map else {
        progress.warn("stopped; nothing is written");
        return Ok(Outcome::Interrupted);
    };
    let report = MapReport {
        model: path.display().to_string(),
        against: columns.map(|other| other.path.display().to_string()),
        input_shape: analysis.input_shape.clone(),
        synthetic: prepared.synthetic,
        seconds: begun.elapsed().as_secs_f64(),
        written: files.names(),
        map,
    };
    files.write(&report, progress)?;
    report.note_skipped(progress);
    show(options.messages, &report.document(), || report.text())?;
    Ok(Outcome::Done)
}

fn warn_of_noise(prepared: &Prepared, progress: Progress) {
    if prepared.synthetic {
        progress.warn(format_args!(
            "NO DATA. Comparing blocks on {}: the map says little about real images.\n\
             \x20        Name a data set with --data.",
            noise(prepared.model.analysis(), &prepared.splits.calibration)
        ));
    }
}

/// Compares the blocks of `rows` with those of `columns`, or with one another if there is no other network. Refuses
/// images that do not fit the memory.
fn compare(
    options: &Score,
    rows: Subject,
    columns: Option<Subject>,
    calibration: &Images,
) -> Result<Option<Map>> {
    let progress = options.messages.progress();
    let device = rows.model.device();
    let batch = options.data.batch_size.map(|n| n as usize);
    let batch = batch.and_then(|n| n.try_into().ok()).unwrap_or(USUAL_BATCH);
    let at_a_time = batch.get().min(calibration.len());
    let fit = MemoryFit::new(rows.model.analysis(), Work::Forward, device);
    fit.check_budget(options.scoring.memory, progress);
    fit.check(at_a_time, progress).map_err(blame(rows.path))?;
    // The draw takes turns among classes: minibatches of consecutive images would have too few pairs of one class.
    let loader = calibration.loader.with_batch_size(batch);
    let loader = loader.shuffled(options.data.seed);
    let job = Job {
        rows,
        columns,
        images: &Images::new(calibration.part.clone(), loader),
    };
    let mapping = Mapping {
        memory: options.scoring.memory(device),
        progress,
    };
    mapping.run(&job, &interrupt::is_asked)
}

/// Refuses a network that has no blocks, or whose blocks cannot be compared.
fn check(path: &Path, analysis: &Analysis) -> Result<()> {
    let interface = interface(path, analysis)?;
    interface
        .check_prunable()
        .map_err(|e| blame(path)(e.into()))?;
    require_blocks(path, analysis)
}

/// Analyses the other network for images of the same shape.
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
    // The key names an output of the first network. This one may have none of that name.
    let found = analyse(model.output_key.clone()).or_else(|_| analyse(None));
    Ok(learned(archive, found?))
}
