//! How a network does on images that are attacked, corrupted, or of another kind than it was trained for.
//!
//! Every batch is read once; the network sees it as it is, and then under each condition. So all accuracies are of the
//! same images, and can be compared.

pub mod attacks;
mod ood;
mod result;
mod table;

use std::num::NonZeroUsize;

use anyhow::{Context, Result, bail};
use ndarray::Array4;
use rayon::prelude::*;
use tch::{Kind, Reduction, Tensor};

use crate::data::{Batch, Images, Loader, Part};
use crate::report::progress::{Bar, Progress};
use crate::run::torch::{self, Module, Predictor, explain};
use crate::train::eval::{check_scores, unlabelled};

pub use crate::data::corruptions::{Corruption, Epsilon, Severity};
pub use attacks::Attack;
use attacks::{Pixels, Targets};
pub use ood::{Foreign, Ood, auroc, same_classes};
pub use result::{Condition, Hits, Predicted, Predictions, Robustness, Row};

/// What to measure.
#[derive(Clone, Debug, Default)]
pub struct Protocol {
    pub attacks: Vec<Attack>,
    pub corruptions: Vec<Corruption>,
    /// Of every corruption.
    pub severities: Vec<Severity>,
    pub ood: Option<Foreign>,
    /// Of all that is drawn at random.
    pub seed: u64,
}

impl Protocol {
    /// Attacks, then corruptions by severity.
    #[must_use]
    pub fn conditions(&self) -> Vec<Condition> {
        let attacks = self.attacks.iter().copied().map(Condition::Attack);
        let corruptions = self.corruptions.iter().flat_map(|&name| {
            let severities = self.severities.iter();
            severities.map(move |&severity| Condition::Corruption { name, severity })
        });
        attacks.chain(corruptions).collect()
    }
}

/// Measures `module` on all these images under every condition of the protocol.
///
/// # Errors
/// If the images have no labels, the network does not give one row of class scores an image, or it is to be attacked and
/// gives no gradient.
pub fn measure(
    module: &Module,
    images: &Images,
    protocol: &Protocol,
    progress: Progress,
) -> Result<(Robustness, Predictions)> {
    let Images { part, loader } = images;
    if !images.is_labelled() {
        bail!(unlabelled(
            part,
            "so there is no accuracy to measure; name a data set with labels"
        ));
    }
    let shape = images.shape()?;
    let perturbation = Perturbation::new(module, loader.normalisation(shape[0])?, protocol.seed)?;
    let conditions = protocol.conditions();
    let mut clean = Record::default();
    let mut records = vec![Record::default(); conditions.len()];
    let (mut indices, mut labels) = (Vec::new(), Vec::new());
    let bar = progress.bar("robustness", part.len() * (1 + conditions.len()));
    let predictor = module.predictor_for(images)?;
    let images = images.suiting(batch_size(&predictor, protocol));
    for batch in images.batches(0)? {
        let batch = batch?;
        let given = batch.labels.as_deref().unwrap_or_default();
        let on_device = torch::numbers(given, module.device())?;
        let context = BatchContext {
            predictor: &predictor,
            part,
            labels: Some((given, &on_device)),
            bar: &bar,
        };
        clean.record(&context, &module.images(&batch.images)?)?;
        for (condition, record) in conditions.iter().zip(&mut records) {
            let mut under = || {
                let (images, without_gradient) =
                    perturbation.images(condition, &batch, &on_device)?;
                record.without_gradient += without_gradient;
                record.record(&context, &images)
            };
            under().with_context(|| format!("under {}", condition.text()))?;
        }
        indices.extend_from_slice(&batch.indices);
        labels.extend_from_slice(given);
    }
    drop(bar);
    let foreign = |foreign| {
        let loader = images.loader.with_shape(shape);
        measure_foreign(&predictor, foreign, &loader, &clean.confidences, progress)
    };
    let ood = protocol.ood.as_ref().map(foreign).transpose()?;
    let row = |(condition, record): (&Condition, &Record)| Row {
        condition: *condition,
        hits: record.hits(),
        without_gradient: matches!(condition, Condition::Attack(_))
            .then_some(record.without_gradient),
    };
    let rows: Vec<Row> = conditions.iter().zip(&records).map(row).collect();
    let robustness = Robustness {
        seed: protocol.seed,
        clean: clean.hits(),
        mean_corruption_accuracy: Robustness::mean_accuracy(&rows, None),
        rows,
        ood,
    };
    let predicted = |(condition, record): (Condition, Record)| Predicted {
        condition,
        predicted: record.predicted,
    };
    let predictions = Predictions {
        indices,
        labels,
        clean: clean.predicted,
        rows: conditions.into_iter().zip(records).map(predicted).collect(),
    };
    Ok((robustness, predictions))
}

/// Images that are best given at once. An attack runs all cores on each operator, and so the network as it is written.
fn batch_size(predictor: &Predictor, protocol: &Protocol) -> NonZeroUsize {
    match protocol.attacks.is_empty() {
        true => predictor.batch(),
        false => predictor.module().batch_together(),
    }
}

/// Where images are attacked and corrupted.
struct Perturbation<'a> {
    module: &'a Module,
    /// Mean and standard deviation of every channel.
    normalisation: Vec<(f32, f32)>,
    pixels: Pixels,
    workers: rayon::ThreadPool,
    seed: u64,
}

impl<'a> Perturbation<'a> {
    fn new(module: &'a Module, normalisation: Vec<(f32, f32)>, seed: u64) -> Result<Self> {
        Ok(Perturbation {
            module,
            pixels: Pixels::new(&normalisation, module.device())?,
            normalisation,
            workers: rayon::ThreadPoolBuilder::new()
                .num_threads(torch::threads())
                .build()
                .context("no threads to corrupt images with")?,
            seed,
        })
    }

    /// The images of a batch under a condition, as the network takes them, and at how many of them an attack finds no
    /// gradient.
    fn images(
        &self,
        condition: &Condition,
        batch: &Batch,
        labels: &Tensor,
    ) -> Result<(Tensor, usize)> {
        match condition {
            Condition::Attack(attack) => {
                let targets = Targets {
                    // Anew, since some networks write over their input.
                    images: &self.module.images(&batch.images)?,
                    labels,
                    numbers: &batch.indices,
                    seed: self.seed,
                };
                let attacked = attack.run(self.module, &targets, &self.pixels)?;
                Ok((attacked.images, attacked.without_gradient))
            }
            Condition::Corruption { name, severity } => {
                let (_, channels, height, width) = batch.images.dim();
                let shape = [channels, height, width];
                let (seed, normalisation) = (self.seed, &self.normalisation);
                let change = |pixels: &mut [f32], number: usize| {
                    name.apply(*severity, pixels, shape, seed, number);
                };
                let corrupt = || corrupted(batch, normalisation, change);
                let images = self.workers.install(corrupt);
                Ok((self.module.images(&images)?, 0))
            }
        }
    }
}

/// Looks at images that the network was not trained for, in the shape of those it was.
fn measure_foreign(
    predictor: &Predictor,
    foreign: &Foreign,
    loader: &Loader,
    clean_confidences: &[f64],
    progress: Progress,
) -> Result<Ood> {
    let (part, module) = (&foreign.part, predictor.module());
    let mut record = Record::default();
    let bar = progress.bar("out of distribution", part.len());
    for batch in loader.batches(part, 0)? {
        let batch = batch?;
        let images = module.images(&batch.images)?;
        let given = batch.labels.as_deref().filter(|_| foreign.labels_match);
        let on_device = given
            .map(|given| torch::numbers(given, module.device()))
            .transpose()?;
        let context = BatchContext {
            predictor,
            part,
            labels: given.zip(on_device.as_ref()),
            bar: &bar,
        };
        record
            .record(&context, &images)
            .with_context(|| format!("on {}", part.path().display()))?;
    }
    let labelled = foreign.labels_match && part.labels().is_some();
    let hits = record.hits();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    Ok(Ood {
        data: part.path().display().to_string(),
        part: foreign.name.to_owned(),
        images: hits.images,
        accuracy: labelled.then_some(hits.accuracy),
        correct: labelled.then_some(hits.correct),
        confidence: mean(&record.confidences),
        clean_confidence: mean(clean_confidences),
        auroc: auroc(clean_confidences, &record.confidences)
            .context("there are no images to tell apart")?,
    })
}

/// What it takes to context at a batch.
struct BatchContext<'a> {
    predictor: &'a Predictor<'a>,
    part: &'a Part,
    /// As numbers, and on the module's device.
    labels: Option<(&'a [i64], &'a Tensor)>,
    bar: &'a Bar,
}

/// What the network made of image after image.
#[derive(Clone, Debug, Default)]
struct Record {
    predicted: Vec<i64>,
    /// Largest softmax probabilities.
    confidences: Vec<f64>,
    correct: usize,
    /// Summed cross-entropy in nats.
    loss: f64,
    /// Images at which an attack finds no gradient.
    without_gradient: usize,
}

impl Record {
    /// Runs the network on a batch.
    fn record(&mut self, context: &BatchContext, images: &Tensor) -> Result<()> {
        let scores = context.predictor.scores(images)?;
        let count = images.size().first().copied().unwrap_or_default() as usize;
        let (given, labels) = context.labels.unzip();
        let given = given.unwrap_or_default();
        check_scores(&scores, count, given, context.part)?;
        let best = scores.f_argmax(1, false).map_err(explain)?;
        let predicted = Vec::<i64>::try_from(best).map_err(explain)?;
        let confidences = scores
            .f_softmax(1, Kind::Double)
            .and_then(|p| p.f_amax([1], false))
            .and_then(Vec::<f64>::try_from)
            .map_err(explain)?;
        if confidences.iter().any(|c| !c.is_finite()) {
            bail!("the network gives class scores that are no numbers");
        }
        if let Some(labels) = labels {
            let loss = tch::no_grad(|| loss_sum(&scores, labels))?;
            self.loss += loss.f_double_value(&[]).map_err(explain)?;
        }
        let hits = predicted.iter().zip(given).filter(|(p, g)| p == g);
        self.correct += hits.count();
        self.predicted.extend(predicted);
        self.confidences.extend(confidences);
        context.bar.advance(count);
        Ok(())
    }

    fn hits(&self) -> Hits {
        let images = self.predicted.len();
        let count = images.max(1) as f64;
        Hits {
            accuracy: self.correct as f64 / count,
            correct: self.correct,
            images,
            loss: self.loss / count,
        }
    }
}

/// Cross-entropy in nats, summed over the batch, so that an image's gradient does not depend on how many others there
/// are.
fn loss_sum(scores: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let no_weights: Option<&Tensor> = None;
    // Half precision has too few digits for sums; double stays.
    let kind = match scores.f_kind().map_err(explain)? {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    };
    scores
        .f_to_kind(kind)
        .and_then(|s| s.f_cross_entropy_loss(labels, no_weights, Reduction::Sum, -100, 0.))
        .map_err(explain)
        .context("the loss cannot be computed")
}

/// The images of a batch after `change` to each, which sees pixels in 0..1 and the image's number in the data.
fn corrupted(
    batch: &Batch,
    normalisation: &[(f32, f32)],
    change: impl Fn(&mut [f32], usize) + Sync,
) -> Array4<f32> {
    let mut images = batch.images.clone();
    let (_, channels, height, width) = images.dim();
    let (plane, size) = (height * width, channels * height * width);
    let Some(values) = images.as_slice_mut().filter(|_| size > 0) else {
        return images;
    };
    let numbered = values.par_chunks_exact_mut(size).zip(&batch.indices);
    numbered.for_each(|(image, &number)| {
        for (plane, (mean, std)) in image.chunks_exact_mut(plane).zip(normalisation) {
            for value in plane {
                *value = (*value * std + mean).clamp(0., 1.);
            }
        }
        change(image, number);
        for (plane, (mean, std)) in image.chunks_exact_mut(plane).zip(normalisation) {
            for value in plane {
                *value = (*value - mean) / std;
            }
        }
    });
    images
}
