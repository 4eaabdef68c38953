//! How alike the blocks of a network are, each to each, or those of two networks.
//!
//! Every block's output on every calibration image is compared with every other's by linear CKA in its minibatch form
//! (Nguyen, Raghu, Kornblith, *Do Wide and Deep Networks Learn the Same Things?*, arXiv 2010.15327, equations 2 to 4):
//! the unbiased HSIC₁ of each pair is averaged over minibatches, and
//! `CKA(K, L) = mean HSIC₁(K, L) / √(mean HSIC₁(K, K) · mean HSIC₁(L, L))`.
//! It has the same expectation whatever the size of the minibatches, and takes memory for one of them, however many images
//! there are. One pass over the images does all pairs. Unrelated outputs scatter around 0, so values may be negative.

mod estimator;
mod probe;

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use ndarray::Array2;
use serde::Serialize;

use crate::blocks::analysis::Analysis;
use crate::data::Images;
use crate::program::dtype::Dtype;
use crate::report::progress::Progress;
use crate::run::memory::Memory;
use crate::run::torch::Model;
use probe::{Comparable, Probe};

pub use estimator::{Centred, FEWEST_IMAGES, Flaw, Sums};

/// Images in a minibatch where nobody says otherwise.
pub const USUAL_BATCH: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// A network whose blocks are compared.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its file, which errors name.
    pub path: &'a Path,
    pub model: &'a Model,
}

/// What is compared, on which images.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// Whose blocks are the rows.
    pub rows: Subject<'a>,
    /// Whose blocks are the columns; `None`: the same ones.
    pub columns: Option<Subject<'a>>,
    /// Calibration images; their batches are the minibatches, and are to be drawn at random.
    pub images: &'a Images,
}

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Bytes to take beyond the networks themselves.
    pub memory: u64,
    pub progress: Progress,
}

/// A row or a column of a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    pub kind: LayerKind,
    pub path: String,
    /// Counted from 1; of a block.
    pub stage: Option<usize>,
    /// Of one sample, without the batch dimension.
    pub output_shape: Option<Vec<i64>>,
}

/// What a row or a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerKind {
    Block,
    /// The input of the classifier, as scores compare it: of feature maps the mean over their pixels.
    Representation,
}

/// What has no row or column, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub path: String,
    pub reason: String,
}

/// The similarities of all pairs.
#[derive(Clone, Debug)]
pub struct Map {
    pub rows: Vec<Layer>,
    pub columns: Vec<Layer>,
    pub skipped_rows: Vec<Skipped>,
    pub skipped_columns: Vec<Skipped>,
    /// Rows × columns; at most 1.
    pub cka: Array2<f64>,
    /// Images that were compared.
    pub samples: usize,
    /// Images in a minibatch.
    pub batch_size: usize,
}

impl Mapping {
    /// Compares all pairs; `None` if `stop` said so between two minibatches.
    ///
    /// # Errors
    /// If there are too few images or too little memory, if a network has nothing to compare, or if a block's output is
    /// constant or not finite: the message names the network's file and the block.
    pub fn run(&self, job: &Job, stop: &dyn Fn() -> bool) -> Result<Option<Map>> {
        let images = job.images;
        let batch = images.loader.batch_size().get().min(images.len());
        if images.len() < FEWEST_IMAGES {
            bail!(
                "{} images are too few: unbiased similarities need at least {FEWEST_IMAGES}; name more with --samples",
                images.len()
            );
        }
        if batch < FEWEST_IMAGES {
            bail!(
                "--batch-size {batch}: unbiased similarities need minibatches of at least {FEWEST_IMAGES} images"
            );
        }
        let row_layers = comparable(&job.rows)?;
        let column_layers = job.columns.as_ref().map(comparable).transpose()?;
        self.check_memory(job, &row_layers, column_layers.as_ref(), batch)?;
        let layers = |found: &Comparable| (found.layers.clone(), found.skipped.clone());
        let (rows, skipped_rows) = layers(&row_layers);
        let (columns, skipped_columns) = layers(column_layers.as_ref().unwrap_or(&row_layers));
        let row_probe = self.load(row_layers, &job.rows)?;
        let column_probe = match (column_layers, &job.columns) {
            (Some(layers), Some(subject)) => Some((self.load(layers, subject)?, subject)),
            _ => None,
        };
        let mut sums = Sums::new(rows.len(), columns.len());
        let mut samples = 0;
        let bar = self.progress.bar("comparing blocks", images.len());
        for minibatch in images.batches(0)? {
            if stop() {
                return Ok(None);
            }
            let minibatch = minibatch?;
            let count = minibatch.indices.len();
            // Only the last one may be so short.
            if count < FEWEST_IMAGES {
                break;
            }
            let centred = |probe: &Probe, subject: &Subject| {
                let grams = probe.grams(&minibatch);
                let centred = grams.and_then(|grams| Centred::of(&grams, probe.epsilon));
                centred.with_context(|| subject.path.display().to_string())
            };
            let of_rows = centred(&row_probe, &job.rows)?;
            let of_columns = match &column_probe {
                Some((probe, subject)) => Some(centred(probe, subject)?),
                None => None,
            };
            sums.add(&of_rows, of_columns.as_ref())?;
            samples += count;
            bar.advance(count);
        }
        if let Some((row, flaw)) = sums.flawed_row() {
            return Err(flawed(flaw, &rows[row], job.rows.path));
        }
        if let (Some((column, flaw)), Some(subject)) = (sums.flawed_column(), &job.columns) {
            return Err(flawed(flaw, &columns[column], subject.path));
        }
        Ok(Some(Map {
            cka: sums.cka(),
            rows,
            columns,
            skipped_rows,
            skipped_columns,
            samples,
            batch_size: batch,
        }))
    }

    fn load(&self, layers: Comparable, subject: &Subject) -> Result<Probe> {
        layers
            .load(subject.model)
            .with_context(|| subject.path.display().to_string())
    }

    /// Refuses minibatches that would take more memory than there is.
    fn check_memory(
        &self,
        job: &Job,
        rows: &Comparable,
        columns: Option<&Comparable>,
        batch: usize,
    ) -> Result<()> {
        let layers = rows.layers.len() + columns.map_or(0, |columns| columns.layers.len());
        let subjects = std::iter::once(&job.rows).chain(&job.columns);
        let largest = subjects.map(|s| largest_bytes(s.model.analysis())).max();
        let needed = |images: usize| memory_of(images, largest.unwrap_or(0), layers);
        if needed(batch) <= self.memory {
            return Ok(());
        }
        let fitting = (FEWEST_IMAGES..batch)
            .rev()
            .find(|n| needed(*n) <= self.memory);
        let advice = match fitting {
            Some(images) => format!("take --batch-size {images}, or raise --memory"),
            None => "raise --memory".into(),
        };
        bail!(
            "a minibatch of {batch} images takes about {}, and {} may be taken; {advice}",
            Memory(needed(batch)),
            Memory(self.memory)
        );
    }
}

/// Bytes of a network's largest tensor for one image, as Gram matrices are made of it.
fn largest_bytes(analysis: &Analysis) -> u64 {
    let double = analysis.interface.as_ref();
    let double = double.is_ok_and(|i| i.element == Dtype::Float64);
    let size = if double { 8 } else { 4 };
    size * analysis.program.largest_tensor() as u64
}

/// Bytes that a minibatch takes: tensors of the largest size (bytes an image) that are there at once while a network runs
/// (an input, what is computed from it, a copy in another layout, and one without its mean); then the Gram matrices as
/// they are made, in f64, and what centring makes of them.
fn memory_of(images: usize, largest: u64, layers: usize) -> u64 {
    const ALIVE: u64 = 5;
    const PER_GRAM: u64 = 8 + 4 * 8;
    let (images, layers) = (images as u64, layers as u64);
    let gram = images.saturating_mul(images);
    let network = ALIVE.saturating_mul(images).saturating_mul(largest);
    network.saturating_add((PER_GRAM * layers).saturating_mul(gram))
}

fn comparable(subject: &Subject) -> Result<Comparable> {
    let named = || subject.path.display().to_string();
    let found = Comparable::of(subject.model.analysis());
    if !found.layers.iter().any(|l| l.kind == LayerKind::Block) {
        let why = found
            .skipped
            .first()
            .map(|s| format!("{}: {}", s.path, s.reason));
        let why = why.unwrap_or_else(|| "it has no block".into());
        return Err(anyhow!("no block can be compared: {why}")).with_context(named);
    }
    Ok(found)
}

fn flawed(flaw: Flaw, layer: &Layer, path: &Path) -> anyhow::Error {
    let what = match layer.kind {
        LayerKind::Block => format!("the output of block {}", layer.path),
        LayerKind::Representation => "the network's representation".into(),
    };
    let error = match flaw {
        Flaw::Constant => anyhow!(
            "{what} is the same for every image, so nothing can be compared with it; are the calibration images, --mean \
             and --std right?"
        ),
        Flaw::Unresolved => anyhow!(
            "{what} has no similarity beyond chance even to itself: use more --samples or a larger --batch-size"
        ),
        Flaw::NotFinite => anyhow!(
            "{what} holds values that are not finite; are the weights, --mean and --std right?"
        ),
    };
    error.context(path.display().to_string())
}
