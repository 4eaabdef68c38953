//! What each command does, from options to results: one file for each.

pub(super) mod inspect;
pub(super) mod manual;
pub(super) mod remove;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::archive::weights::to_safetensors;
use crate::archive::{Archive, Focus};
use crate::blocks::Search;
use crate::blocks::analysis::{Analysis, Request};
use crate::blocks::front::network_for_images;
use crate::blocks::verdict::why_nothing_is_removable;
use crate::cli::options::Size;
use crate::cli::{Messages, Model, Output};
use crate::program::interface::guess_input_shape;
use crate::report;
use crate::run::export::{Staged, check_output, default_output, is_named_exported, write_all};

/// How a command ended, if it was no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It ran, but fell short of a target.
    Missed,
    /// The user stopped it with a signal; what it had done is kept where there is a place for it.
    Interrupted,
}

/// The network, or the module in it, that the options name.
pub(super) fn open_model(model: &Model) -> Result<Archive> {
    open_focused(&model.model, &model.focus())
}

/// What of an archive counts, as `--model` names it.
pub(super) fn open_focused(path: &Path, focus: &Focus) -> Result<Archive> {
    let archive = open_archive(path, "--model")?.focused(focus);
    archive.with_context(|| path.display().to_string())
}

/// The archive that an option names.
pub(super) fn open_archive(path: &Path, option: &str) -> Result<Archive> {
    let shown = path.display();
    if !path.exists() {
        bail!("{shown}: no such file; {option} names a TorchScript archive or a .pt2");
    }
    if path.is_dir() {
        bail!("{shown}: this is a folder; {option} names a TorchScript archive or a .pt2");
    }
    Archive::open(path).with_context(|| shown.to_string())
}

/// The file to write: the one that was named, or one beside the model. It is checked before hours of work.
pub(super) fn free_output(
    options: &Output,
    model: &Path,
    archive: &Archive,
    word: &str,
) -> Result<PathBuf> {
    let is_exported = archive.is_exported();
    let named = options.output.clone();
    let output = named.unwrap_or_else(|| default_output(model, word, is_exported));
    if is_named_exported(&output) && !is_exported {
        bail!(
            "{}: a TorchScript archive cannot be written as a program of torch.export; name a file that ends in .pt with \
             --output",
            output.display()
        );
    }
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
pub(super) fn save(archive: &Archive, output: &Path, options: &Output) -> Result<()> {
    let stage = || {
        let mut files = vec![Staged::loaded_archive(output, archive)?];
        if let Some(file) = &options.export_weights {
            let weights =
                to_safetensors(&archive.whole()).with_context(|| output.display().to_string())?;
            files.push(Staged::bytes(file, &weights)?);
        }
        Ok(files)
    };
    write_all(stage, options.force)
}

/// Writes a result to stdout, for programs or for people.
pub(super) fn show(
    messages: Messages,
    report: &impl Serialize,
    text: impl FnOnce() -> String,
) -> Result<()> {
    report::print(&if messages.json {
        report::json(report)?
    } else {
        text()
    })
}

/// Analyses a model for an input size that may be named in part or not at all.
pub(super) fn analyse(
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
pub(super) fn require_blocks(path: &Path, analysis: &Analysis) -> Result<()> {
    if analysis.blocks.is_empty() {
        bail!(
            "{}: the network has no residual block: {}",
            path.display(),
            why_nothing_is_removable(analysis)
        );
    }
    Ok(())
}

/// The channels that the network takes, as far as its code shows it; three otherwise.
pub(super) fn guessed_channels(archive: &Archive) -> Result<i64> {
    let guess = guess_input_shape(&network_for_images(archive, None)?);
    Ok(guess.and_then(|shape| shape.first().copied()).unwrap_or(3))
}
