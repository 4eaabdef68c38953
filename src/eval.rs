//! Accuracy, loss and speed of a network on labelled images.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tch::{Kind, Tensor};

use crate::data::{DataError, Loader, Part};
use crate::progress::Progress;
use crate::torch::{self, Module, explain};

/// What one pass over labelled images measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Fraction of images whose highest score is their label's.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Images measured.
    pub images: usize,
    /// Images whose highest score is their label's.
    pub correct: i64,
    /// Forward passes only; reading the images is not counted.
    pub images_per_second: f64,
}

/// Measures `module` on all images of `part`.
///
/// # Errors
/// If the images have no labels, or the network does not give one row of class scores an image.
pub fn evaluate(
    module: &Module,
    part: &Part,
    loader: &Loader,
    progress: Progress,
    what: &str,
) -> Result<Metrics> {
    if part.labels().is_none() {
        bail!(unlabelled(
            part,
            "so there is no accuracy to measure; name a data set with labels"
        ));
    }
    let bar = progress.bar(what, part.len());
    let (mut correct, mut loss, mut images) = (0, 0., 0);
    let mut busy = Duration::ZERO;
    for (number, batch) in loader.batches(part, 0)?.enumerate() {
        let batch = batch?;
        let input = module.images(&batch.images)?;
        for _ in 0..if number == 0 { WARM_UP } else { 0 } {
            time_forward(module, &input)?;
        }
        let labels = torch::numbers(batch.labels.as_deref().unwrap_or_default(), module.device())?;
        let begun = Instant::now();
        let scores = tch::no_grad(|| module.forward(&input))?;
        let given = batch.labels.as_deref().unwrap_or_default();
        check_scores(&scores, batch.indices.len(), given, part)?;
        let best = scores.f_argmax(1, false).map_err(explain)?;
        let hits = best
            .f_eq_tensor(&labels)
            .and_then(|t| t.f_sum(Kind::Int64))
            .map_err(explain)?;
        // Reading the number waits for the device, so the time counts the work and not its queueing.
        correct += hits.f_int64_value(&[]).map_err(explain)?;
        busy += begun.elapsed();
        loss += cross_entropy_sum(&scores, &labels)?;
        images += batch.indices.len();
        bar.advance(batch.indices.len());
    }
    let count = images.max(1) as f64;
    Ok(Metrics {
        accuracy: correct as f64 / count,
        loss: loss / count,
        images,
        correct,
        images_per_second: count / busy.as_secs_f64().max(f64::MIN_POSITIVE),
    })
}

/// Passes that are not timed: libtorch optimises a network while it runs for the first times.
const WARM_UP: usize = 3;
/// Timed passes of each network.
const ROUNDS: usize = 15;

/// Images per second of several networks on one batch: the median of rounds in which each takes its turn.
///
/// # Errors
/// If a network cannot run.
pub fn throughput<const N: usize>(modules: &[Module; N], images: &Tensor) -> Result<[f64; N]> {
    let mut seconds = [const { Vec::new() }; N];
    for round in 0..WARM_UP + ROUNDS {
        for (module, seconds) in modules.iter().zip(&mut seconds) {
            let took = time_forward(module, images)?;
            if round >= WARM_UP {
                seconds.push(took.as_secs_f64());
            }
        }
    }
    let count = images.size().first().copied().unwrap_or_default() as f64;
    Ok(seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        count / seconds[seconds.len() / 2].max(f64::MIN_POSITIVE)
    }))
}

fn time_forward(module: &Module, images: &Tensor) -> Result<Duration> {
    let begun = Instant::now();
    let scores = tch::no_grad(|| module.forward(images))?;
    // Reading a number waits for the device.
    scores
        .f_sum(Kind::Float)
        .and_then(|t| t.f_double_value(&[]))
        .map_err(explain)?;
    Ok(begun.elapsed())
}

/// The images lack what only labels can give.
pub(crate) fn unlabelled(part: &Part, consequence: &str) -> DataError {
    let path = part.path().display();
    DataError::Setting(format!("{path}: the images have no labels, {consequence}"))
}

/// Refuses an output that is not one row of class scores an image, or has no class for some label.
pub(crate) fn check_scores(
    scores: &Tensor,
    images: usize,
    labels: &[i64],
    part: &Part,
) -> Result<()> {
    let shape = scores.size();
    let [rows, classes] = shape.as_slice() else {
        bail!(
            "the network gives a tensor of shape {shape:?} where one row of class scores an image is expected"
        );
    };
    if *rows != images as i64 {
        bail!("the network gives {rows} rows of scores for {images} images");
    }
    match labels.iter().max() {
        Some(highest) if highest >= classes => bail!(
            "the network knows {classes} classes (0 to {}), but {} has a label {highest}; name the data set that the \
             network was trained for",
            classes - 1,
            part.path().display()
        ),
        _ => Ok(()),
    }
}

fn cross_entropy_sum(scores: &Tensor, labels: &Tensor) -> Result<f64> {
    let no_weights: Option<&Tensor> = None;
    scores
        .f_to_kind(Kind::Float)
        .and_then(|s| s.f_cross_entropy_loss(labels, no_weights, tch::Reduction::Sum, -100, 0.))
        .and_then(|t| t.f_double_value(&[]))
        .map_err(explain)
        .context("the loss cannot be computed")
}
