//! One file a command: from options to results.

mod inspect;
mod remove;

#[cfg(feature = "torch")]
mod eval;
#[cfg(feature = "torch")]
mod finetune;
#[cfg(feature = "torch")]
mod images;
#[cfg(feature = "torch")]
mod prune;
#[cfg(feature = "torch")]
mod score;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::analysis::Analysis;
use crate::archive::Archive;
use crate::blocks::guess_input_shape;
use crate::cli::Command;
use crate::options::Size;

/// How a command ended that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It ran, but fell short of a target.
    Missed,
}

/// Runs a command.
///
/// # Errors
/// Bad usage or bad input, as one message.
pub fn run(command: &Command) -> Result<Outcome> {
    match command {
        Command::Inspect(options) => inspect::run(options),
        Command::Remove(options) => remove::run(options),
        #[cfg(feature = "torch")]
        Command::Score(options) => score::run(options),
        #[cfg(feature = "torch")]
        Command::Prune(options) => prune::run(options),
        #[cfg(feature = "torch")]
        Command::Finetune(options) => finetune::run(options),
        #[cfg(feature = "torch")]
        Command::Eval(options) => eval::run(options),
    }
}

fn open_model(path: &Path) -> Result<Archive> {
    let shown = path.display();
    if !path.exists() {
        bail!("{shown}: no such file; --model names a TorchScript archive");
    }
    if path.is_dir() {
        bail!("{shown}: this is a folder; --model names a TorchScript archive");
    }
    Archive::open(path).with_context(|| shown.to_string())
}

/// Analyses a model for an input size that may be named in part or not at all.
fn analyse(path: &Path, archive: &Archive, size: Option<Size>) -> Result<Analysis> {
    let named = || path.display().to_string();
    let shape = match size {
        None => None,
        Some(size) => {
            let channels = match size.channels {
                Some(channels) => channels as i64,
                None => guessed_channels(archive).with_context(named)?,
            };
            Some([channels, size.height as i64, size.width as i64])
        }
    };
    Analysis::of(archive, shape.as_ref().map(<[i64; 3]>::as_slice)).with_context(named)
}

/// Three unless the network itself tells otherwise.
fn guessed_channels(archive: &Archive) -> Result<i64> {
    let guess = guess_input_shape(&archive.network()?);
    Ok(guess.and_then(|shape| shape.first().copied()).unwrap_or(3))
}
