//! A trainer of the user's own, called where a network would be fine-tuned.
//!
//! It is given a file and leaves another with the same structure: the same blocks, shapes and MACs, and numbers for
//! weights.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::recovery::Tune;
use crate::archive::Archive;
use crate::blocks::patch::to_evaluation_mode;
use crate::report::BlockReport;
use crate::report::progress::Progress;
use crate::run::command::{Failed, UserCommand, quoted, scratch};
use crate::run::export::{ending, save_archive};
use crate::run::torch::Model;
use crate::train::finetune::{Trained, Tuning};

/// A command line with places for the files and the number of epochs.
#[derive(Clone, Debug)]
pub struct Trainer(UserCommand);

impl Trainer {
    /// The command `text`, which may take as long as `timeout` each time.
    ///
    /// # Errors
    /// If the command line has no place for a file that it needs.
    pub fn of(text: &str, timeout: Option<Duration>) -> Result<Self> {
        let command = UserCommand::new(text, "trainer", "--tune-with", timeout);
        command.require(
            &["{model}", "{output}"],
            "it has to read the network from {model} and write it to {output}",
        )?;
        Ok(Trainer(command))
    }

    /// As it was given.
    #[must_use]
    pub fn command(&self) -> &str {
        self.0.text()
    }

    /// Has a network trained. Its files lie in `folder`, which keeps what the trainer says, or in the system's place for
    /// such files.
    ///
    /// # Errors
    /// If the trainer fails, takes too long, or leaves another network than it was given; and
    /// [`Stopped`](crate::run::interrupt::Stopped).
    pub(super) fn tuned(
        &self,
        model: &Model,
        tune: &Tune,
        folder: Option<&Path>,
        progress: Progress,
    ) -> Result<Trained> {
        let place = scratch(folder)?;
        let ending = ending(model.archive().is_exported());
        let [given, left] =
            ["model", "tuned"].map(|name| place.path().join(format!("{name}.{ending}")));
        save_archive(model.archive(), &given, false)?;
        let epochs = tune.training.epochs;
        let places = [
            ("{model}", quoted(&given)?),
            ("{output}", quoted(&left)?),
            ("{epochs}", epochs.to_string()),
        ];
        let said = self.0.run(&places, folder, progress)?;
        if !left.is_file() {
            bail!(Failed(format!(
                "the trainer ended well but left no file at {{output}}{}",
                said.last_lines()
            )));
        }
        let archive = Archive::open(&left).map_err(anyhow::Error::from);
        let model = archive.and_then(|archive| taken(model, archive));
        let model = model.map_err(|error| Failed(format!("what the trainer left: {error:#}")))?;
        let tuning = Tuning {
            kept_epoch: epochs,
            ..Tuning::default()
        };
        Ok(Trained {
            model,
            tuning,
            images_per_second: None,
        })
    }
}

/// The network in the archive that a trainer left, if it is that which it was given, with other weights.
fn taken(given: &Model, mut archive: Archive) -> Result<Model> {
    if archive.is_exported() != given.archive().is_exported() {
        bail!("it is of another kind of file than it was given");
    }
    archive = archive.like(given.archive())?;
    let network = archive.network()?;
    to_evaluation_mode(&mut archive, &network);
    let mut model = given.changed_into(archive)?;
    let [before, after] = [given, &model].map(Model::analysis);
    let blocks = |analysis| {
        let all: Vec<BlockReport> = BlockReport::all(analysis);
        let all = all.into_iter();
        all.map(|b| (b.path, b.output_shape, b.params))
            .collect::<Vec<_>>()
    };
    let counts = [before, after].map(|a| (a.params(), a.macs().count));
    if blocks(before) != blocks(after) || counts[0] != counts[1] {
        bail!(
            "it has other blocks, parameters or MACs than it was given; a trainer changes weights alone"
        );
    }
    for weight in model.weights()? {
        let finite = weight.f_isfinite().and_then(|t| t.f_all());
        let finite = finite.and_then(|t| t.f_int64_value(&[])).unwrap_or(0);
        if finite == 0 {
            bail!("some of its weights are no numbers");
        }
    }
    model.unload();
    Ok(model)
}
