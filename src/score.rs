//! Blocks × calibration images → one similarity each.
//!
//! Per batch the network runs once, piece by piece, and keeps every block's input. A candidate then starts behind its
//! block with that input. Representations are compared by linear CKA (arXiv 2405.17081, section 3.2).

use std::collections::HashMap;

use anyhow::{Context, Result, anyhow, bail};
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::analysis::Analysis;
use crate::archive::Archive;
use crate::cka::{CkaError, Reference, Side};
use crate::data::{Loader, Part};
use crate::progress::Progress;
use crate::segments::{Detour, Pieces};
use crate::torch::{self, Module};

/// How similar the network stays without one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub path: String,
    /// Linear CKA with the reference: 1 means that the representation does not change (up to rotation and scale).
    pub cka: f64,
    /// 1 for the block to remove first.
    pub rank: usize,
}

/// The scores of all candidates, best candidate for removal first, and the network's own representation.
#[derive(Clone, Debug)]
pub struct Scores {
    pub scores: Vec<Score>,
    /// Calibration images × features.
    pub representation: Array2<f32>,
}

impl Scores {
    /// The score of a block.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Score> {
        self.scores.iter().find(|s| s.path == path)
    }
}

/// What to compare candidates with.
#[derive(Clone, Copy, Debug)]
pub enum Against<'a> {
    /// The representation of the network that is scored.
    Current,
    /// An earlier representation of the same images.
    Earlier(&'a Array2<f32>),
}

/// Scores the blocks for which `wanted` holds.
///
/// # Errors
/// If the pieces do not reproduce the network, if there is nothing to score, or if a representation is constant: the
/// message names the block.
pub fn score(
    archive: &Archive,
    analysis: &Analysis,
    wanted: impl Fn(&str) -> bool,
    calibration: (&Part, &Loader),
    device: tch::Device,
    against: Against,
    progress: Progress,
) -> Result<Scores> {
    let pieces = Pieces::of(analysis)?;
    let detours: Vec<&Detour> = pieces.detours.iter().filter(|d| wanted(&d.path)).collect();
    if detours.is_empty() {
        bail!("there is no removable block to score");
    }
    let module = load(&pieces, archive, analysis, device)?;
    let (part, loader) = calibration;
    let mut own = Rows::default();
    let mut without: HashMap<&str, Rows> = HashMap::new();
    let bar = progress.bar(
        format!("scoring {} blocks", detours.len()),
        part.len() * detours.len(),
    );
    for (number, batch) in loader.batches(part, 0)?.enumerate() {
        let batch = batch?;
        let input = module.images(&batch.images)?;
        let boundaries = tch::no_grad(|| run_segments(&module, &pieces, &input))?;
        let (representation, inputs) = boundaries
            .split_last()
            .context("a network without segments")?;
        if number == 0 {
            tch::no_grad(|| check_pieces(&module, &pieces, &input, representation))?;
        }
        own.append(representation)?;
        for detour in &detours {
            let representation = tch::no_grad(|| run_detour(&module, &pieces, detour, inputs))?;
            without
                .entry(&detour.path)
                .or_default()
                .append(&representation)?;
            bar.advance(batch.indices.len());
        }
    }
    drop(bar);
    let representation = own.finish()?;
    let compared = match against {
        Against::Current => &representation,
        Against::Earlier(earlier) => earlier,
    };
    let reference = Reference::new(compared.view()).map_err(|e| explain_cka(&e, None))?;
    let mut scores = Vec::with_capacity(detours.len());
    for detour in &detours {
        let candidate = without
            .remove(detour.path.as_str())
            .unwrap_or_default()
            .finish()?;
        let cka = similarity(&reference, candidate.view(), &detour.path)?;
        scores.push(Score {
            path: detour.path.clone(),
            cka,
            rank: 0,
        });
    }
    // Stable: of equal scores the earlier block comes first.
    scores.sort_by(|a, b| b.cka.total_cmp(&a.cka));
    for (i, score) in scores.iter_mut().enumerate() {
        score.rank = i + 1;
    }
    Ok(Scores {
        scores,
        representation,
    })
}

/// The network's own representation of the calibration images (images × features).
///
/// # Errors
/// Those of [`score`].
pub fn representation(
    archive: &Archive,
    analysis: &Analysis,
    (part, loader): (&Part, &Loader),
    device: tch::Device,
    progress: Progress,
) -> Result<Array2<f32>> {
    let pieces = Pieces::of(analysis)?;
    let module = load(&pieces, archive, analysis, device)?;
    let mut rows = Rows::default();
    let bar = progress.bar("representing the original", part.len());
    for batch in loader.batches(part, 0)? {
        let batch = batch?;
        let input = module.images(&batch.images)?;
        let boundaries = tch::no_grad(|| run_segments(&module, &pieces, &input))?;
        rows.append(boundaries.last().context("a network without segments")?)?;
        bar.advance(batch.indices.len());
    }
    rows.finish()
}

/// The network with its pieces as methods.
fn load(
    pieces: &Pieces,
    archive: &Archive,
    analysis: &Analysis,
    device: tch::Device,
) -> Result<Module> {
    let instrumented = pieces.instrument(archive, &analysis.network);
    Module::load(
        &instrumented,
        device,
        analysis.interface.as_ref().map_err(Clone::clone)?,
    )
}

fn similarity(reference: &Reference, candidate: ArrayView2<f32>, path: &str) -> Result<f64> {
    reference
        .cka(candidate)
        .map_err(|e| explain_cka(&e, Some(path)))
}

fn explain_cka(error: &CkaError, path: Option<&str>) -> anyhow::Error {
    match (error, path) {
        (
            CkaError::Constant {
                side: Side::Candidate,
            },
            Some(path),
        ) => anyhow!(
            "without block {path} the network's representation is the same for every image, so it has no similarity; \
             keep that block with --keep {path}"
        ),
        (CkaError::Constant { .. }, _) => anyhow!(
            "the network's representation is the same for every image, so nothing can be compared with it; are the \
             calibration images, --mean and --std right?"
        ),
        (error, Some(path)) => anyhow!("block {path}: {error}"),
        (error, None) => anyhow!("{error}"),
    }
}

/// The tensors at all boundaries, the input first, the representation last.
fn run_segments(module: &Module, pieces: &Pieces, input: &Tensor) -> Result<Vec<Tensor>> {
    let mut tensors = vec![input.shallow_clone()];
    for segment in &pieces.segments {
        let next = module.method(segment, &tensors[tensors.len() - 1])?;
        tensors.push(next);
    }
    Ok(tensors)
}

fn run_detour(
    module: &Module,
    pieces: &Pieces,
    detour: &Detour,
    boundaries: &[Tensor],
) -> Result<Tensor> {
    let mut tensor = boundaries
        .get(detour.from)
        .context("a detour from nowhere")?
        .shallow_clone();
    if let Some(variant) = &detour.variant {
        tensor = module.method(variant, &tensor)?;
    }
    for segment in pieces.segments.iter().skip(detour.resume) {
        tensor = module.method(segment, &tensor)?;
    }
    Ok(tensor)
}

/// The pieces, run one after another, have to be the network.
fn check_pieces(
    module: &Module,
    pieces: &Pieces,
    input: &Tensor,
    representation: &Tensor,
) -> Result<()> {
    let whole = torch::to_array(&module.forward(input)?)?;
    let Some(head) = &pieces.head else {
        return Ok(());
    };
    let piecewise = torch::to_array(&module.method(head, representation)?)?;
    let scale = whole.iter().fold(0f32, |m, x| m.max(x.abs()));
    // On a CPU both are equal bit for bit; other devices may choose other kernels for other schedules.
    let tolerance = module.rounding() * scale;
    let fits = piecewise.shape() == whole.shape()
        && piecewise
            .iter()
            .zip(&whole)
            .all(|(a, b)| a == b || (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan()));
    if !fits {
        bail!(
            "run in pieces the network gives other scores than as a whole; this is a bug: please report it"
        );
    }
    Ok(())
}

/// The rows of a representation, batch after batch.
#[derive(Default)]
struct Rows {
    data: Vec<f32>,
    rows: usize,
}

impl Rows {
    /// Appends n × p features; feature maps (n × c × h × w) are averaged over their pixels.
    fn append(&mut self, representation: &Tensor) -> Result<()> {
        let mut array = torch::to_array(representation)?;
        while array.ndim() > 2 {
            let last = Axis(array.ndim() - 1);
            array = array
                .mean_axis(last)
                .context("a representation without features")?;
        }
        self.rows += array.shape().first().copied().unwrap_or_default();
        self.data.extend(array.iter());
        Ok(())
    }

    fn finish(self) -> Result<Array2<f32>> {
        let features = self.data.len() / self.rows.max(1);
        Ok(Array2::from_shape_vec((self.rows, features), self.data)?)
    }
}
