//! One file a command: from options to results.

mod inspect;
mod manual;
mod remove;

#[cfg(feature = "torch")]
mod classes;
#[cfg(feature = "torch")]
mod compare;
#[cfg(feature = "torch")]
mod eval;
#[cfg(feature = "torch")]
mod figures;
#[cfg(feature = "torch")]
mod finetune;
#[cfg(feature = "torch")]
mod fitting;
#[cfg(feature = "torch")]
mod images;
#[cfg(feature = "torch")]
mod map;
#[cfg(feature = "torch")]
mod measure;
#[cfg(feature = "torch")]
mod measure_page;
#[cfg(feature = "torch")]
mod pixels;
#[cfg(feature = "torch")]
mod prune;
#[cfg(feature = "torch")]
mod report_files;
#[cfg(feature = "torch")]
mod robustness;
#[cfg(feature = "torch")]
mod score;
#[cfg(feature = "torch")]
mod statistics;
#[cfg(feature = "torch")]
mod training;
#[cfg(feature = "torch")]
mod unusable;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::analysis::{Analysis, Request};
use crate::archive::Archive;
#[cfg(feature = "torch")]
use crate::blocks::Block;
use crate::blocks::{Search, guess_input_shape};
use crate::cli::{Cli, Command, Model, Output, Talk};
#[cfg(feature = "torch")]
use crate::data::DataError;
#[cfg(feature = "torch")]
use crate::export::WriteError;
use crate::export::{Staged, check_output, default_output, write_all};
#[cfg(feature = "torch")]
use crate::interface::Interface;
use crate::options::Size;
use crate::progress::Progress;
#[cfg(feature = "torch")]
use crate::prune::Rules;
use crate::report;
#[cfg(feature = "torch")]
use crate::settings::Settings;
use crate::verdict::why_nothing_is_removable;
use crate::weights::to_safetensors;

/// How a command ended that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It ran, but fell short of a target.
    Missed,
    /// The user stopped it with a signal; what it had done is kept where there is a place for it.
    Interrupted,
}

/// Runs a command.
///
/// # Errors
/// Bad usage or bad input, as one message.
pub fn run(cli: &Cli) -> Result<Outcome> {
    if let Some(talk) = cli.command.talk() {
        let progress = Progress { quiet: talk.quiet };
        for idle in &cli.idle {
            progress.note(format_args!("note: {idle}"));
        }
    }
    match &cli.command {
        Command::Inspect(options) => inspect::run(options),
        Command::Remove(options) => remove::run(options),
        Command::Completions(options) => manual::completions(options),
        Command::Man(options) => manual::manual(options),
        #[cfg(feature = "torch")]
        Command::Score(options) => score::run(options),
        #[cfg(feature = "torch")]
        Command::Prune(options) => prune::run(options, &cli.invocation),
        #[cfg(feature = "torch")]
        Command::Finetune(options) => finetune::run(options),
        #[cfg(feature = "torch")]
        Command::Eval(options) => eval::run(options, &cli.invocation),
        #[cfg(feature = "torch")]
        Command::Compare(options) => compare::run(options, &cli.invocation),
    }
}

fn open_model(path: &Path) -> Result<Archive> {
    open_archive(path, "--model")
}

/// The archive that an option names.
fn open_archive(path: &Path, option: &str) -> Result<Archive> {
    let shown = path.display();
    if !path.exists() {
        bail!("{shown}: no such file; {option} names a TorchScript archive");
    }
    if path.is_dir() {
        bail!("{shown}: this is a folder; {option} names a TorchScript archive");
    }
    Archive::open(path).with_context(|| shown.to_string())
}

/// The file to write: the one that was named, or one beside the model; checked before hours of work.
fn free_output(options: &Output, model: &Path, word: &str) -> Result<PathBuf> {
    let named = options.output.clone();
    let output = named.unwrap_or_else(|| default_output(model, word));
    check_output(&output, options.force)?;
    if let Some(weights) = &options.export_weights {
        if weights == &output {
            bail!(
                "{}: --output and --export-weights name the same file",
                output.display()
            );
        }
        check_output(weights, options.force)?;
    }
    Ok(output)
}

/// Writes a network, and its weights where they were asked for.
fn save(archive: &Archive, output: &Path, options: &Output) -> Result<()> {
    let stage = || {
        let mut files = vec![Staged::loaded_archive(output, archive)?];
        if let Some(file) = &options.export_weights {
            let weights = to_safetensors(archive).with_context(|| output.display().to_string())?;
            files.push(Staged::bytes(file, &weights)?);
        }
        Ok(files)
    };
    write_all(stage, options.force)
}

/// The last part of a path.
#[cfg(feature = "torch")]
fn file_name(path: &str) -> &str {
    let name = Path::new(path).file_name();
    name.and_then(|n| n.to_str()).unwrap_or(path)
}

#[cfg(feature = "torch")]
impl Talk {
    fn progress(self) -> Progress {
        Progress { quiet: self.quiet }
    }
}

/// Writes a result to stdout, for programs or for people.
fn show(talk: Talk, report: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
    report::print(&if talk.json {
        report::json(report)?
    } else {
        text()
    })
}

/// All that decides the similarities but the model and how they are compared.
#[cfg(feature = "torch")]
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
        ("input-size", json!(analysis.input_shape)),
        ("output-key", text(&model.output_key)),
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

/// The device to run on, after setting the number of threads.
#[cfg(feature = "torch")]
fn open_device(machine: &crate::cli::Machine) -> Result<tch::Device> {
    if let Some(threads) = machine.threads {
        crate::torch::set_threads(threads.get());
    }
    machine.device.open()
}

/// Analyses a model for an input size that may be named in part or not at all.
fn analyse(
    model: &Model,
    archive: &Archive,
    size: Option<Size>,
    search: Search,
) -> Result<Analysis> {
    let named = || model.model.display().to_string();
    let shape = match size {
        None => None,
        Some(size) => {
            let channels = match size.channels {
                Some(channels) => channels as i64,
                None => guessed_channels(archive).with_context(named)?,
            };
            Some(vec![channels, size.height as i64, size.width as i64])
        }
    };
    let request = Request {
        input_shape: shape,
        output: model.output_key.clone(),
        search,
        ..Request::default()
    };
    Analysis::of(archive, &request).with_context(named)
}

/// Refuses a network that has nothing to prune.
fn require_blocks(path: &Path, analysis: &Analysis) -> Result<()> {
    if analysis.blocks.is_empty() {
        bail!(
            "{}: the network has no residual block: {}",
            path.display(),
            why_nothing_is_removable(analysis)
        );
    }
    Ok(())
}

/// The blocks that may be removed; at least one.
#[cfg(feature = "torch")]
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
#[cfg(feature = "torch")]
fn interface<'a>(path: &Path, analysis: &'a Analysis) -> Result<&'a Interface> {
    let interface = analysis.interface.as_ref().map_err(Clone::clone);
    interface.with_context(|| path.display().to_string())
}

/// The network in evaluation mode, in which it is measured and written, whatever mode it was saved in.
#[cfg(feature = "torch")]
fn in_evaluation_mode(
    path: &Path,
    mut archive: Archive,
    progress: crate::progress::Progress,
) -> Result<Archive> {
    let network = archive.network();
    let network = network.with_context(|| path.display().to_string())?;
    if crate::patch::to_evaluation_mode(&mut archive, &network) > 0 {
        progress.note(format_args!(
            "note: {}: saved in training mode; it is measured and written in evaluation mode",
            path.display()
        ));
    }
    Ok(archive)
}

/// Says once what the class scores of a network are, where they are not the usual thing.
#[cfg(feature = "torch")]
fn note_scale(path: &Path, scale: crate::interface::Scale, progress: crate::progress::Progress) {
    if let Some(note) = scale.note() {
        progress.note(format_args!("note: {}: {note}", path.display()));
    }
}

/// Says once what training this network comes to.
#[cfg(feature = "torch")]
fn note_caveats(analysis: &Analysis, progress: crate::progress::Progress) {
    for caveat in crate::finetune::caveats(analysis) {
        progress.note(format_args!("note: {caveat}"));
    }
}

/// Puts the model's name before an error, unless it is about another file, which it names itself.
#[cfg(feature = "torch")]
fn blame(model: &Path) -> impl Fn(anyhow::Error) -> anyhow::Error {
    move |error| match error.is::<DataError>() || error.is::<WriteError>() {
        true => error,
        false => error.context(model.display().to_string()),
    }
}

/// Three unless the network itself tells otherwise.
fn guessed_channels(archive: &Archive) -> Result<i64> {
    let guess = guess_input_shape(&archive.network()?);
    Ok(guess.and_then(|shape| shape.first().copied()).unwrap_or(3))
}
