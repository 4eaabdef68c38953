//! One network's way through its epochs.

use anyhow::{Context, Result};
use rand::RngExt;
use tch::{Kind, TchError, Tensor};

use super::checkpoint::TrainingState;
use super::features::{self, Seen, Student};
use super::judge::{Judge, Verdict};
use super::loss::{blend, cross_entropy};
use super::mix::Mix;
use super::optimizer::Optimizer;
use super::precision::Precision;
use super::teacher::Teacher;
use super::{Lessons, Training};
use crate::data::{Batch, ahead, random_stream};
use crate::report::progress::Progress;
use crate::run::torch::{self, Module, explain};
use crate::train::eval::check_scores;

/// Steps after which the loss is looked at: reading it waits for the device.
const LOOK: usize = 32;

/// A network under training.
pub struct Trainee<'a> {
    pub training: &'a Training,
    pub optimizer: Optimizer,
    pub module: &'a mut Module,
    pub precision: Precision,
    /// Images may lie channels last.
    pub channels_last: bool,
    /// If maps are imitated.
    pub student: Option<Student>,
    /// Trained on in this sitting, each as often as it was.
    pub images: usize,
    /// Images of the last step.
    pub last: Option<Tensor>,
}

/// One way through the images.
pub struct Epoch<'a> {
    /// Each has its own order and augmentation.
    pub number: u64,
    /// Whether there is something else to be done first, asked between two batches.
    pub pause: &'a dyn Fn() -> bool,
    /// Told how many images were shown.
    pub seen: &'a dyn Fn(usize),
}

/// What a network says to a batch.
struct Said<'a> {
    /// As the network was shown them.
    images: Tensor,
    seen: Seen,
    batch: &'a Batch,
    mix: Option<Mix>,
}

/// How a way through the images ended.
pub enum Shown {
    /// There is none left; or the sum of their losses has become infinite, or no number.
    All,
    /// There is something else to be done first.
    Some,
}

impl Trainee<'_> {
    /// Shows the images of an epoch, from where `standing` is, until it is to pause between two batches. The standing
    /// then says how far it came.
    pub fn epoch(
        &mut self,
        lessons: &mut Lessons,
        standing: &mut TrainingState,
        epoch: &Epoch,
    ) -> Result<Shown> {
        let Lessons { train, teacher, .. } = lessons;
        let number = epoch.number;
        let batches = train.batches(number)?;
        let count = batches.len();
        let begun = standing.batches;
        // At the end of an epoch there is no step to be taken, but the images of the last one are needed again.
        let first = if begun < count {
            begun
        } else {
            begun.saturating_sub(2)
        };
        let loss = f64::from_bits(standing.loss_bits);
        let mut sum = Tensor::from(loss).to_device(self.module.device());
        ahead(batches.starting_at(first), |batches| {
            for (place, batch) in (first..).zip(batches) {
                let batch = batch?;
                // Batch norm has no variance of a single image.
                if batch.indices.len() < 2 {
                    continue;
                }
                let mix = self.mix(&batch, number, place as u64)?;
                let images = self.images_of(&batch, mix.as_ref())?;
                self.last = Some(images.shallow_clone());
                if place < begun {
                    continue;
                }
                // A number for each step, so that training that goes on half way draws what it would have drawn.
                let mut random =
                    random_stream(*b"libtorch", self.training.seed, number, place as u64);
                torch::set_seed(random.random());
                let done = standing.steps as f64 / count.max(1) as f64;
                let seen = self.forward(&images, standing)?;
                let given = batch.labels.as_deref().unwrap_or_default();
                if self.module.gives_scores() {
                    check_scores(&seen.scores, batch.indices.len(), given, &train.part)?;
                }
                let said = Said {
                    images,
                    seen,
                    batch: &batch,
                    mix,
                };
                let loss = self.loss(&said, teacher.as_deref_mut())?;
                self.descend(&loss, done)?;
                let images = batch.indices.len();
                sum = weighted(&loss, images)
                    .and_then(|w| sum.f_add(&w))
                    .map_err(explain)?;
                standing.steps += 1;
                standing.images += images;
                self.images += images;
                (epoch.seen)(images);
                if place % LOOK == LOOK - 1 && !value(&sum)?.is_finite() {
                    break;
                }
                if (epoch.pause)() {
                    standing.batches = place + 1;
                    standing.loss_bits = value(&sum)?.to_bits();
                    return Ok(Shown::Some);
                }
            }
            standing.batches = count;
            standing.loss_bits = value(&sum)?.to_bits();
            Ok(Shown::All)
        })
    }

    fn mix(&self, batch: &Batch, epoch: u64, number: u64) -> Result<Option<Mix>> {
        let (count, _, height, width) = batch.images.dim();
        let numbers = [self.training.seed, epoch, number];
        self.training.mixing.draw(numbers, count, [height, width])
    }

    /// A batch as the network is shown it.
    fn images_of(&self, batch: &Batch, mix: Option<&Mix>) -> Result<Tensor> {
        let pixels = self.module.pixels(&batch.images)?;
        let mixed = match mix {
            Some(mix) => mix.images(&pixels)?,
            None => pixels,
        };
        self.module.arranged(mixed)
    }

    /// The loss of a batch.
    fn loss(&self, said: &Said, teacher: Option<&mut Teacher>) -> Result<Tensor> {
        let Some(teacher) = teacher else {
            let labelled = self.labelled(said)?;
            return labelled.context("a batch without anything to learn from");
        };
        // What the teacher says of a mixture is of no use for another one.
        let numbers = said.mix.is_none().then_some(said.batch.indices.as_slice());
        let answer = teacher.answer(numbers, &said.images, self.precision)?;
        let taught = match &answer.scores {
            Some(targets) => teacher.divergence(targets, &said.seen.scores)?,
            None => None,
        };
        let of_scores = match (self.labelled(said)?, taught) {
            (Some(loss), Some((taught, weight))) => Some(blend(&taught, &loss, weight)?),
            (Some(loss), None) | (None, Some((loss, _))) => Some(loss),
            (None, None) => None,
        };
        let student = self.student.as_ref();
        let of_maps = student.map(|student| student.distance(&said.seen.maps, &answer.maps));
        match (of_scores, of_maps.transpose()?) {
            (Some(scores), Some(maps)) => scores.f_add(&maps).map_err(explain),
            (loss, None) | (None, loss) => loss.context("a batch without anything to learn from"),
        }
    }

    /// The part of the loss that comes of labels.
    fn labelled(&self, said: &Said) -> Result<Option<Tensor>> {
        let Some(labels) = &said.batch.labels else {
            return Ok(None);
        };
        let entropy = |labels: &[i64]| {
            let labels = torch::numbers(labels, self.module.device())?;
            cross_entropy(&said.seen.scores, &labels, self.training.label_smoothing)
        };
        match &said.mix {
            Some(mix) => mix.loss(labels, entropy).map(Some),
            None => entropy(labels).map(Some),
        }
    }

    /// A step against the loss. `done`: epochs so far.
    fn descend(&mut self, loss: &Tensor, done: f64) -> Result<()> {
        let Training {
            schedule,
            epochs,
            learning_rate,
            clip_norm,
            ..
        } = self.training;
        let rate = learning_rate * schedule.factor(done, *epochs as f64);
        self.optimizer.step(loss, rate, *clip_norm)
    }

    /// Channels last where the network allows it: a CPU's convolutions are quicker so.
    fn forward(&self, images: &Tensor, standing: &mut TrainingState) -> Result<Seen> {
        if standing.channels_last {
            let images = self.module.laid(images, true)?;
            match self.seen(&images) {
                Ok(seen) => return Ok(seen),
                // Views may not be possible so; then they are not from the first step on.
                Err(_) if standing.steps == 0 => standing.channels_last = false,
                Err(error) => return Err(error),
            }
        }
        self.seen(&self.module.laid(images, false)?)
    }

    fn seen(&self, images: &Tensor) -> Result<Seen> {
        let (precision, module) = (self.precision, &*self.module);
        let seen = precision.run(|| match &self.student {
            Some(_) => features::look(module, images),
            None => Ok(Seen {
                scores: module.forward(images)?,
                maps: Vec::new(),
            }),
        })?;
        Ok(Seen {
            scores: precision.wide(seen.scores)?,
            ..seen
        })
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

    /// What a judge says of the weights as they are.
    pub fn judged(&mut self, judge: Judge, progress: Progress) -> Result<Verdict> {
        self.module.set_training(false)?;
        let verdict = judge.verdict(self.module, progress)?;
        self.module.set_training(true)?;
        Ok(verdict)
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
