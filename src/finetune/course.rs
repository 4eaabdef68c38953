//! One network's way through its epochs.

use anyhow::{Result, bail};
use tch::{Kind, TchError, Tensor};

use super::loss::{blend, cross_entropy};
use super::mix::Mix;
use super::optimizer::Optimizer;
use super::precision::Precision;
use super::teacher::Teacher;
use super::{Lessons, Training};
use crate::data::{Batch, Part, ahead};
use crate::eval::{check_scores, evaluate};
use crate::progress::Progress;
use crate::torch::{self, Module, explain};

/// Steps after which the loss is looked at: reading it waits for the device.
const LOOK: usize = 32;

/// A network under training.
pub struct Course<'a> {
    pub training: &'a Training,
    pub optimizer: Optimizer,
    pub module: Module,
    pub precision: Precision,
    /// Done so far, over all epochs.
    pub steps: usize,
    /// Trained on so far, each as often as it was.
    pub images: usize,
    pub channels_last: bool,
    /// Images of the last step.
    pub last: Option<Tensor>,
}

impl Course<'_> {
    /// Shows all images once. The mean loss; not a number, or infinite, where it became so.
    pub fn epoch(
        &mut self,
        lessons: &mut Lessons,
        number: u64,
        mut seen: impl FnMut(usize),
    ) -> Result<f64> {
        let Lessons {
            train,
            loader,
            teacher,
            ..
        } = lessons;
        let batches = loader.batches(train, number)?;
        let in_epoch = batches.len().max(1) as f64;
        let mut sum = Tensor::zeros([], (Kind::Double, self.module.device()));
        let mut images = 0;
        ahead(batches, |batches| {
            for (step, batch) in batches.enumerate() {
                let batch = batch?;
                // Batch norm has no variance of a single image.
                if batch.indices.len() < 2 {
                    continue;
                }
                let done = self.steps as f64 / in_epoch;
                let mix = self.mix(&batch, number, step as u64)?;
                let loss = self.step(&batch, mix, train, teacher.as_deref_mut(), done)?;
                self.steps += 1;
                sum = weighted(&loss, batch.indices.len())
                    .and_then(|w| sum.f_add(&w))
                    .map_err(explain)?;
                images += batch.indices.len();
                self.images += batch.indices.len();
                seen(batch.indices.len());
                if step % LOOK == LOOK - 1 && !value(&sum)?.is_finite() {
                    break;
                }
            }
            Ok(value(&sum)? / images.max(1) as f64)
        })
    }

    fn mix(&self, batch: &Batch, epoch: u64, number: u64) -> Result<Option<Mix>> {
        let (count, _, height, width) = batch.images.dim();
        let numbers = [self.training.seed, epoch, number];
        self.training.mixing.draw(numbers, count, [height, width])
    }

    /// The loss of a batch, and a step against it. `done`: epochs so far.
    fn step(
        &mut self,
        batch: &Batch,
        mix: Option<Mix>,
        part: &Part,
        teacher: Option<&mut Teacher>,
        done: f64,
    ) -> Result<Tensor> {
        let images = self.module.images(&batch.images)?;
        let images = match &mix {
            Some(mix) => mix.images(&images)?,
            None => images,
        };
        let scores = self.forward(&images)?;
        let given = batch.labels.as_deref().unwrap_or_default();
        check_scores(&scores, batch.indices.len(), given, part)?;
        let entropy = |labels: &[i64]| {
            let labels = torch::numbers(labels, self.module.device())?;
            cross_entropy(&scores, &labels, self.training.label_smoothing)
        };
        let labelled = match (&batch.labels, &mix) {
            (Some(labels), Some(mix)) => Some(mix.loss(labels, entropy)?),
            (Some(labels), None) => Some(entropy(labels)?),
            (None, _) => None,
        };
        // What the teacher says of a mixture is of no use for another one.
        let numbers = mix.is_none().then_some(batch.indices.as_slice());
        let precision = self.precision;
        let taught = teacher.map(|teacher| {
            let weight = teacher.distillation.weight;
            let taught = teacher.divergence(numbers, &images, &scores, precision);
            taught.map(|taught| (taught, weight))
        });
        let loss = match (labelled, taught.transpose()?) {
            (Some(loss), None) => loss,
            (Some(loss), Some((taught, weight))) => blend(&taught, &loss, weight)?,
            (None, Some((taught, _))) => taught,
            (None, None) => bail!("a batch without anything to learn from"),
        };
        let factor = self
            .training
            .schedule
            .factor(done, self.training.epochs as f64);
        let rate = self.training.learning_rate * factor;
        self.optimizer.step(&loss, rate, self.training.clip_norm)?;
        self.last = Some(images);
        Ok(loss)
    }

    /// Channels last where the network allows it: a CPU's convolutions are quicker so.
    fn forward(&mut self, images: &Tensor) -> Result<Tensor> {
        if self.channels_last {
            match self
                .precision
                .forward(&self.module, &torch::channels_last(images)?)
            {
                Ok(scores) => return Ok(scores),
                // Views may not be possible so; then they are not from the first step on.
                Err(_) if self.steps == 0 => self.channels_last = false,
                Err(error) => return Err(error),
            }
        }
        self.precision.forward(&self.module, images)
    }

    /// Whether the scores of the last batch are finite: its step may have ruined weights whose loss nobody has seen.
    pub fn answers_in_numbers(&mut self) -> Result<bool> {
        let Some(images) = &self.last else {
            return Ok(true);
        };
        self.module.set_training(false)?;
        let scores = tch::no_grad(|| self.module.forward(images))?;
        self.module.set_training(true)?;
        let finite = scores
            .f_isfinite()
            .and_then(|t| t.f_all())
            .and_then(|t| t.f_int64_value(&[]));
        Ok(finite.map_err(explain)? != 0)
    }

    pub fn validate(&mut self, lessons: &Lessons, progress: Progress) -> Result<Option<f64>> {
        let Some((part, loader)) = lessons.validation else {
            return Ok(None);
        };
        self.module.set_training(false)?;
        let metrics = evaluate(&self.module, part, loader, progress, "validating")?;
        self.module.set_training(true)?;
        Ok(Some(metrics.accuracy))
    }
}

fn weighted(loss: &Tensor, images: usize) -> Result<Tensor, TchError> {
    loss.f_detach()?
        .f_to_kind(Kind::Double)?
        .f_mul_scalar(images as f64)
}

fn value(tensor: &Tensor) -> Result<f64> {
    tensor.f_double_value(&[]).map_err(explain)
}
