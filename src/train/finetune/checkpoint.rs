//! Training kept half way, on disk: one file, which is there whole or not at all.
//!
//! Everything random is drawn from the seed and the numbers of epoch and batch, so weights, what the optimiser
//! remembers and the place in the epochs are all that training needs to go on with the same bits.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::judge::Verdict;
use crate::run::export::write_whole;
use crate::run::settings::Settings;
use crate::run::torch::{self, explain};

/// Of what a file of this kind says.
const SCHEMA: u32 = 1;
/// Where in the file's metadata [`Head`] stands.
const HEAD: &str = "ckaprune";

/// Where training is kept while it goes on, and what it is only continued with.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    file: PathBuf,
    settings: Settings,
}

/// How far training came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainingState {
    /// Epochs that are over.
    pub epochs: usize,
    /// Batches that are over of the epoch after them.
    pub batches: usize,
    /// Images in those batches.
    pub images: usize,
    /// Sum of their losses, as the bits of an f64: it may be no number.
    pub loss_bits: u64,
    /// Steps over all epochs.
    pub steps: usize,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// What the judge said of the weights it began with.
    pub before: Option<Verdict>,
    /// And after each epoch.
    pub verdicts: Vec<Verdict>,
    /// The epoch whose weights are the best so far, counted from 1; 0 while those it began with are.
    pub kept: usize,
    /// What the judge said of those.
    pub best: Option<Verdict>,
    /// In which order images lie in memory.
    pub channels_last: bool,
    /// Steps that each parameter has taken.
    pub taken: Vec<i32>,
    /// There is nothing left to do.
    pub is_over: bool,
}

impl TrainingState {
    /// Mean loss of the images shown of this epoch.
    pub fn loss(&self) -> f64 {
        f64::from_bits(self.loss_bits) / self.images.max(1) as f64
    }

    /// All images were shown.
    pub fn end_epoch(&mut self, loss: f64, verdict: Option<Verdict>) {
        self.epochs += 1;
        self.losses.push(loss);
        self.verdicts.extend(verdict);
        (self.batches, self.images, self.loss_bits) = (0, 0, 0);
    }

    /// Whether the best weights are those that the network has now.
    pub fn keeps_current(&self) -> bool {
        self.kept == self.epochs && self.batches == 0
    }
}

/// Tensors of a training. Each group is in the order of the network's own.
pub(super) struct Tensors<'a> {
    /// Parameters and buffers; once training is over, those it ends with.
    pub network: &'a [Tensor],
    /// The best so far, where they are others.
    pub kept: &'a [Tensor],
    /// What the optimiser remembers.
    pub moments: &'a [&'a Tensor],
}

/// What the file says beside its tensors.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    schema: u32,
    settings: Cow<'a, Settings>,
    standing: Cow<'a, TrainingState>,
}

/// A training as it was kept.
pub(super) struct Saved {
    pub standing: TrainingState,
    bytes: Vec<u8>,
    file: PathBuf,
}

impl Checkpoint {
    /// In this file. It is only gone on from with equal settings.
    #[must_use]
    pub fn new(file: PathBuf, settings: Settings) -> Self {
        Checkpoint { file, settings }
    }

    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Refuses to go on from a file that is not there, or that was kept with other settings.
    ///
    /// # Errors
    /// One message that names the file, and what differs.
    pub fn require(&self) -> Result<()> {
        let shown = self.file.display();
        let Some((head, _)) = self.read()? else {
            bail!("{shown}: no such file, so there is nothing to go on from; leave --resume out");
        };
        match head.settings.difference(&self.settings) {
            Some((key, then, now)) => bail!(
                "{shown}: this training was begun with `{key}` {then}, not {now}; resume it with the options it was \
                 begun with"
            ),
            None => Ok(()),
        }
    }

    /// What is kept of this very training. A file of another one is about to be replaced.
    pub(super) fn load(&self) -> Result<Option<Saved>> {
        let Some((head, bytes)) = self.read()? else {
            return Ok(None);
        };
        let is_same = head.settings.difference(&self.settings).is_none();
        Ok(is_same.then(|| Saved {
            standing: head.standing.into_owned(),
            bytes,
            file: self.file.clone(),
        }))
    }

    fn read(&self) -> Result<Option<(Head<'static>, Vec<u8>)>> {
        let shown = self.file.display();
        let bytes = match fs::read(&self.file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(anyhow!("{shown}: cannot be read ({error})")),
        };
        let head = head_of(&bytes).with_context(|| {
            format!("{shown}: this is no checkpoint of ckaprune; remove it to begin the training it stands for anew")
        })?;
        Ok(Some((head, bytes)))
    }

    /// Keeps a training. The file is the old one or the new one at every moment.
    pub(super) fn save(&self, standing: &TrainingState, tensors: &Tensors) -> Result<()> {
        let network = tensors.network.iter().map(|t| (NETWORK, t));
        let kept = tensors.kept.iter().map(|t| (KEPT, t));
        let moments = tensors.moments.iter().map(|t| (MOMENTS, *t));
        let mut named = Vec::new();
        let mut last = ("", 0);
        for (group, tensor) in network.chain(kept).chain(moments) {
            last = (group, if last.0 == group { last.1 + 1 } else { 0 });
            named.push((name(group, last.1), torch::to_bytes(tensor)?));
        }
        // Elements of all types, as plain bytes: the network says what they are.
        let views = named.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::U8, vec![bytes.len()], bytes)?;
            Ok((name.as_str(), view))
        });
        let views: Result<Vec<_>, safetensors::SafeTensorError> = views.collect();
        let head = serde_json::to_string(&Head {
            schema: SCHEMA,
            settings: Cow::Borrowed(&self.settings),
            standing: Cow::Borrowed(standing),
        })?;
        let metadata = HashMap::from([(HEAD.to_owned(), head)]);
        let bytes = safetensors::serialize(views?, Some(metadata))?;
        write_whole(&self.file, &bytes, true)
    }

    /// Removes the file, if there is one.
    ///
    /// # Errors
    /// If it stays.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(anyhow!(
                "{}: cannot be removed ({error})",
                self.file.display()
            )),
            _ => Ok(()),
        }
    }
}

fn head_of(bytes: &[u8]) -> Result<Head<'static>> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)?;
    let head = metadata.metadata().as_ref().and_then(|m| m.get(HEAD));
    let head: Head = serde_json::from_str(head.context("it says nothing of a training")?)?;
    if head.schema != SCHEMA {
        bail!("it was written by another version (schema {})", head.schema);
    }
    Ok(head)
}

const NETWORK: &str = "network";
const KEPT: &str = "kept";
const MOMENTS: &str = "moments";

fn name(group: &str, number: usize) -> String {
    format!("{group}.{number}")
}

impl Saved {
    /// Puts the network's tensors in the place of these.
    pub fn network(&self, into: &[Tensor]) -> Result<()> {
        self.fill(NETWORK, into.iter())
    }

    /// Puts what the optimiser remembers in the place of these.
    pub fn moments<'a>(&self, into: impl Iterator<Item = &'a Tensor>) -> Result<()> {
        self.fill(MOMENTS, into)
    }

    /// The best weights so far, in memory like that of these; the network's own where those are the best.
    pub fn kept(&self, like: &[Tensor]) -> Result<Vec<Tensor>> {
        let copies: Vec<Tensor> = like.iter().map(torch::copy).collect::<Result<_>>()?;
        if self.standing.kept > 0 && !self.standing.keeps_current() {
            self.fill(KEPT, copies.iter())?;
        }
        Ok(copies)
    }

    fn fill<'a>(&self, group: &str, into: impl Iterator<Item = &'a Tensor>) -> Result<()> {
        let file = || format!("{}: cannot be gone on from", self.file.display());
        let tensors = SafeTensors::deserialize(&self.bytes).with_context(file)?;
        for (number, into) in into.enumerate() {
            let found = tensors.tensor(&name(group, number)).with_context(file)?;
            put(found.data(), into).with_context(file)?;
        }
        Ok(())
    }
}

/// Overwrites a tensor with the bytes that [`torch::to_bytes`] made of another one.
fn put(bytes: &[u8], into: &Tensor) -> Result<()> {
    let kind = into.f_kind().map_err(explain)?;
    if bytes.len() != into.numel() * kind.elt_size_in_bytes() {
        bail!("it is of another network");
    }
    let write = || {
        let from = Tensor::f_from_data_size(bytes, &into.size(), kind)?;
        into.f_detach()?.f_copy_(&from.f_to_device(into.device())?)
    };
    tch::no_grad(write).map(drop).map_err(explain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tch::{Device, Kind};

    use super::*;

    fn place() -> (tempfile::TempDir, Checkpoint) {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("epochs", json!(3))].into_iter().collect();
        let checkpoint = Checkpoint::new(folder.path().join("a.checkpoint"), settings);
        (folder, checkpoint)
    }

    fn numbers(from: i64) -> Tensor {
        Tensor::arange_start(from, from + 6, (Kind::Float, Device::Cpu)).reshape([2, 3])
    }

    #[test]
    fn what_is_kept_comes_back_bit_for_bit() {
        let (_folder, checkpoint) = place();
        let standing = TrainingState {
            epochs: 2,
            batches: 1,
            loss_bits: f64::NAN.to_bits(),
            kept: 1,
            best: Some(Verdict {
                value: 0.1 + 0.2,
                then: -0.3,
            }),
            taken: vec![7],
            ..TrainingState::default()
        };
        let count = Tensor::from_slice(&[5i64]);
        let moment = numbers(100);
        let tensors = Tensors {
            network: &[numbers(0).transpose(0, 1), count.shallow_clone()],
            kept: &[numbers(50).transpose(0, 1), count],
            moments: &[&moment],
        };
        checkpoint.save(&standing, &tensors).unwrap();
        let saved = checkpoint.load().unwrap().unwrap();
        assert_eq!(saved.standing, standing);
        // Memory in another order than the values were in.
        let network = [
            Tensor::zeros([3, 2], (Kind::Float, Device::Cpu)),
            Tensor::zeros([1], (Kind::Int64, Device::Cpu)),
        ];
        saved.network(&network).unwrap();
        assert_eq!(network[0], numbers(0).transpose(0, 1));
        assert_eq!(network[1], Tensor::from_slice(&[5i64]));
        assert_eq!(
            saved.kept(&network).unwrap()[0],
            numbers(50).transpose(0, 1)
        );
        let into = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        saved.moments([&into].into_iter()).unwrap();
        assert_eq!(into, moment);
        let other = [Tensor::zeros([7], (Kind::Float, Device::Cpu))];
        let error = format!("{:#}", saved.network(&other).unwrap_err());
        assert!(
            error.contains("a.checkpoint") && error.contains("another network"),
            "{error}"
        );
    }

    #[test]
    fn another_training_is_not_gone_on_with() {
        let (_folder, checkpoint) = place();
        assert!(checkpoint.load().unwrap().is_none());
        assert!(checkpoint.require().is_err());
        let nothing = Tensors {
            network: &[],
            kept: &[],
            moments: &[],
        };
        checkpoint
            .save(&TrainingState::default(), &nothing)
            .unwrap();
        checkpoint.require().unwrap();
        let other = [("epochs", json!(4))].into_iter().collect();
        let other = Checkpoint::new(checkpoint.file().to_owned(), other);
        assert!(other.load().unwrap().is_none());
        let said = other.require().unwrap_err().to_string();
        assert!(said.contains("`epochs` 3, not 4"), "{said}");
        other.remove().unwrap();
        other.remove().unwrap();
    }

    #[test]
    fn a_file_of_another_kind_is_refused_by_name() {
        let (_folder, checkpoint) = place();
        for bytes in [&b""[..], b"{}", &[0; 64], &[0xff; 64]] {
            fs::write(checkpoint.file(), bytes).unwrap();
            let error = format!("{:#}", checkpoint.load().err().unwrap());
            assert!(
                error.contains("a.checkpoint: this is no checkpoint"),
                "{error}"
            );
        }
    }
}
