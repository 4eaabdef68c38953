//! The commands that run networks.

mod classes;
mod compare;
mod demo;
mod eval;
mod figures;
mod finetune;
mod from_options;
mod images;
mod map;
mod measure;
mod measure_page;
mod memory_fit;
mod predictions;
mod prune;
mod report_files;
mod score;
mod session;
mod statistics;
mod training;
mod unusable;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::archive::Archive;
use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::cli::commands::{
    Outcome, analyse, free_output, open_archive, open_model, require_blocks, save, show,
};
use crate::cli::{Model, TorchCommand};
use crate::data::DataError;
use crate::program::interface::Interface;
use crate::prune::Rules;
use crate::report::Invocation;
use crate::run::export::WriteError;
use crate::run::settings::Settings;
use crate::run::torch::Execution;

pub(super) fn run(command: &TorchCommand, invocation: &Invocation) -> Result<Outcome> {
    match command {
        TorchCommand::Score(options) => score::run(options),
        TorchCommand::Prune(options) => prune::run(options, invocation),
        TorchCommand::Finetune(options) => finetune::run(options),
        TorchCommand::Eval(options) => eval::run(options, invocation),
        TorchCommand::Compare(options) => compare::run(options, invocation),
        TorchCommand::Demo(options) => demo::run(options),
    }
}

/// The last part of a path.
fn file_name(path: &str) -> &str {
    let name = Path::new(path).file_name();
    name.and_then(|n| n.to_str()).unwrap_or(path)
}

/// All that decides the similarities but the model and how they are compared.
fn scoring_settings(
    model: &Model,
    data: &crate::cli::Data,
    search: crate::cli::Search,
    selection: &crate::cli::Selection,
    analysis: &Analysis,
) -> Result<Settings> {
    use serde_json::json;
    fn text<T: ToString>(option: &Option<T>) -> serde_json::Value {
        json!(option.as_ref().map(ToString::to_string))
    }
    let settings = [
        ("input-size", json!(analysis.image_shape())),
        ("inside", json!(model.inside)),
        ("argument", json!(model.focus().arguments)),
        ("output-key", text(&model.output_key)),
        ("representation", json!(analysis.request.samples)),
        ("samples", json!(data.samples.to_string())),
        ("seed", json!(data.seed)),
        ("granularity", json!(search.granularity)),
        ("candidates", json!(search.candidates)),
        ("keep", text(&selection.keep)),
        ("only", text(&selection.only)),
        (
            "min-blocks-per-stage",
            json!(selection.min_blocks_per_stage),
        ),
    ];
    let settings: Settings = settings.into_iter().collect();
    let labels = data.label_settings()?;
    Ok(settings.and(data.image_settings()).and(labels))
}

/// How networks are to run, after setting the number of threads.
fn execution(machine: &crate::cli::Machine) -> Result<Execution> {
    if let Some(threads) = machine.threads {
        crate::run::torch::set_threads(threads.get());
    }
    Ok(Execution {
        device: machine.device.open()?,
        as_written: machine.as_written,
    })
}

/// The blocks that may be removed; at least one.
fn require_candidates<'a>(
    path: &Path,
    analysis: &'a Analysis,
    rules: &Rules,
) -> Result<Vec<&'a Block>> {
    require_blocks(path, analysis)?;
    rules
        .check(&analysis.blocks)
        .with_context(|| path.display().to_string())?;
    let candidates = rules.candidates(analysis);
    if candidates.is_empty() {
        bail!(
            "{}: no block may be removed: {}",
            path.display(),
            rules.why_no_candidate(analysis)
        );
    }
    Ok(candidates)
}

/// How to run the network for its class scores.
fn interface<'a>(path: &Path, analysis: &'a Analysis) -> Result<&'a Interface> {
    let interface = analysis.interface.as_ref().map_err(Clone::clone);
    interface.with_context(|| path.display().to_string())
}

/// The network in evaluation mode, in which it is measured and written, whatever mode it was saved in.
fn in_evaluation_mode(
    path: &Path,
    mut archive: Archive,
    progress: crate::report::progress::Progress,
) -> Result<Archive> {
    let network = archive.network();
    let network = network.with_context(|| path.display().to_string())?;
    if crate::blocks::patch::to_evaluation_mode(&mut archive, &network) > 0 {
        progress.note(format_args!(
            "note: {}: saved in training mode; it is measured and written in evaluation mode",
            path.display()
        ));
    }
    Ok(archive)
}

/// The archive of a frozen network with its weights as parameters, which can be fitted; any other as it is.
fn thawed(
    path: &Path,
    mut archive: Archive,
    progress: crate::report::progress::Progress,
) -> Result<Archive> {
    let named = || path.display().to_string();
    let network = archive.network().with_context(named)?;
    if network.is_frozen() {
        let constants = crate::blocks::patch::thaw(&mut archive, &network).with_context(named)?;
        if constants > 0 {
            progress.note(format_args!(
                "note: {}: a frozen network: {constants} of its constants become parameters, so that they can be fitted \
                 anew (--repair none leaves constants); with batch norm folded into them training needs a lower --lr",
                path.display()
            ));
        }
    }
    Ok(archive)
}

/// Says once what the class scores of a network are, where they are not the usual thing.
fn note_scale(
    path: &Path,
    scale: crate::program::interface::Scale,
    progress: crate::report::progress::Progress,
) {
    if let Some(note) = scale.note() {
        progress.note(format_args!("note: {}: {note}", path.display()));
    }
}

/// Says once what a module inside a network is given, where the network around it has to do with that.
fn note_front(path: &Path, analysis: &Analysis, progress: crate::report::progress::Progress) {
    if let Some(given) = analysis.given() {
        progress.note(format_args!(
            "note: {}: the module is given {given}",
            path.display()
        ));
    }
}

/// Says once what training this network comes to.
fn note_caveats(analysis: &Analysis, progress: crate::report::progress::Progress) {
    for caveat in crate::train::finetune::caveats(analysis) {
        progress.note(format_args!("note: {caveat}"));
    }
}

/// Puts the model's name before an error, unless it is about another file, which it names itself.
fn blame(model: &Path) -> impl Fn(anyhow::Error) -> anyhow::Error {
    move |error| match error.is::<DataError>() || error.is::<WriteError>() {
        true => error,
        false => error.context(model.display().to_string()),
    }
}
