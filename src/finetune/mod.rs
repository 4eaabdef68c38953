//! Training through libtorch, on the archive's own parameters.

mod loss;
mod optimizer;
mod schedule;
mod state;

use anyhow::{Result, bail};
use tch::{Device, Kind, TchError, Tensor};

use crate::archive::Archive;
use crate::data::{Batch, Loader, Part, ahead};
use crate::eval::{check_scores, evaluate, unlabelled};
use crate::interface::Interface;
use crate::progress::Progress;
use crate::segments::with_tensor_list;
use crate::torch::{self, Module, explain};
use optimizer::Optimizer;

pub use loss::{Distillation, Teacher};
pub use optimizer::Method;
pub use schedule::{Schedule, Shape};
pub use state::{State, trainable};

/// Hyper-parameters. The defaults are those of the authors' released code.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    pub epochs: usize,
    pub method: Method,
    /// At its highest; the schedule says when.
    pub learning_rate: f64,
    pub schedule: Schedule,
    /// Of weights of more than one dimension: normalisation and biases are spared.
    pub weight_decay: f64,
    /// Part of each label that is spread over all classes.
    pub label_smoothing: f64,
    /// Norm that the gradient of all parameters together may have at most.
    pub clip_norm: Option<f64>,
    /// Stop after so many epochs without a better validation accuracy.
    pub patience: Option<usize>,
    /// Of libtorch's own random numbers (dropout).
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            epochs: 1,
            method: Method::Sgd { momentum: 0.9 },
            learning_rate: 0.01,
            schedule: Schedule {
                shape: Shape::Constant,
                warm_up: 0.,
            },
            weight_decay: 0.,
            label_smoothing: 0.,
            clip_norm: None,
            patience: None,
            seed: 0,
        }
    }
}

/// What to learn from.
pub struct Lessons<'a> {
    pub train: &'a Part,
    /// Shuffled, and augmented if so asked.
    pub loader: &'a Loader,
    /// Images that are not learned from, in order: the weights of the epoch that does best on them are kept.
    pub validation: Option<(&'a Part, &'a Loader)>,
    pub teacher: Option<&'a mut Teacher>,
}

/// What training did.
#[derive(Clone, Debug)]
pub struct Trained {
    pub archive: Archive,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Accuracy on the validation images after each epoch, if there are any.
    pub validation: Vec<f64>,
    /// The epoch, counted from 1, whose weights these are; 0 for those it began with.
    pub kept: usize,
}

/// Steps after which the loss is looked at: reading it waits for the device.
const LOOK: usize = 32;

/// Trains the archive and returns it with its new parameters and statistics.
///
/// `first_epoch` numbers the epochs over a whole run, so that each has its own order and augmentation.
///
/// # Errors
/// If there is nothing to learn from, the archive has no parameters, or the loss is not a number from the first epoch on.
pub fn finetune(
    archive: &Archive,
    interface: &Interface,
    mut lessons: Lessons,
    training: &Training,
    first_epoch: usize,
    device: Device,
    progress: Progress,
) -> Result<Trained> {
    if lessons.train.labels().is_none() && lessons.teacher.is_none() {
        bail!(unlabelled(
            lessons.train,
            "so the network cannot be fine-tuned on them; name a data set with labels"
        ));
    }
    interface.check_trainable()?;
    let (mut trainable, network) = trainable(archive, progress)?;
    let state = State::of(&network)?;
    let mut module = Module::load(
        &with_tensor_list(&trainable, &network, &state.operands()),
        device,
        interface,
    )?;
    module.set_training(true)?;
    // Counted by epoch, so that a resumed run draws what an uninterrupted one draws.
    torch::set_seed(training.seed.wrapping_add(first_epoch as u64));
    let tensors = module.tensors()?;
    let optimizer = Optimizer::new(
        training.method,
        training.weight_decay,
        tensors.iter().zip(state.is_parameter.iter().copied()),
        device,
    )?;
    let mut course = Course {
        training,
        optimizer,
        module,
        steps: 0,
        channels_last: device == Device::Cpu,
        last: None,
    };
    let mut kept = Kept {
        epoch: 0,
        accuracy: None,
        tensors: Vec::new(),
    };
    let (mut losses, mut validation) = (Vec::new(), Vec::new());
    for epoch in 1..=training.epochs {
        let what = format!("fine-tuning, epoch {epoch} of {}", training.epochs);
        let number = (first_epoch + epoch - 1) as u64;
        let bar = progress.bar(what, lessons.train.len());
        let loss = course.epoch(&mut lessons, number, |images| bar.advance(images))?;
        drop(bar);
        if !loss.is_finite() || !course.answers_in_numbers()? {
            if kept.epoch == 0 {
                bail!("the loss is {loss} in epoch {epoch}: training diverged; try a lower --lr");
            }
            progress.warn(format_args!(
                "the loss is {loss} in epoch {epoch}: training diverged, and stops with the weights of epoch {}; try a \
                 lower --lr",
                kept.epoch
            ));
            break;
        }
        losses.push(loss);
        let accuracy = course.validate(&lessons, progress)?;
        validation.extend(accuracy);
        if kept.accuracy.is_none_or(|best| accuracy > Some(best)) {
            kept = Kept {
                epoch,
                accuracy,
                tensors: copies(&tensors)?,
            };
        }
        if training
            .patience
            .is_some_and(|patience| accuracy.is_some() && epoch - kept.epoch >= patience)
        {
            progress.note(format_args!(
                "no better validation accuracy in {} epochs: training stops after epoch {epoch}",
                epoch - kept.epoch
            ));
            break;
        }
    }
    let result = if kept.epoch == 0 {
        &tensors
    } else {
        &kept.tensors
    };
    state.write_back(&network, result, &mut trainable)?;
    Ok(Trained {
        archive: trainable,
        losses,
        validation,
        kept: kept.epoch,
    })
}

/// The best weights so far: of the highest validation accuracy, or the last ones.
struct Kept {
    /// 0: none yet.
    epoch: usize,
    accuracy: Option<f64>,
    tensors: Vec<Tensor>,
}

fn copies(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    tensors.iter().map(torch::copy).collect()
}

fn weighted(loss: &Tensor, images: usize) -> Result<Tensor, TchError> {
    loss.f_detach()?
        .f_to_kind(Kind::Double)?
        .f_mul_scalar(images as f64)
}

fn mixed(taught: &Tensor, labelled: &Tensor, weight: f64) -> Result<Tensor, TchError> {
    taught
        .f_mul_scalar(weight)?
        .f_add(&labelled.f_mul_scalar(1. - weight)?)
}

fn value(tensor: &Tensor) -> Result<f64> {
    tensor.f_double_value(&[]).map_err(explain)
}

/// A network under training.
struct Course<'a> {
    training: &'a Training,
    optimizer: Optimizer,
    module: Module,
    /// Done so far, over all epochs.
    steps: usize,
    channels_last: bool,
    /// Images of the last step.
    last: Option<Tensor>,
}

impl Course<'_> {
    /// Shows all images once. The mean loss; not a number, or infinite, where it became so.
    fn epoch(
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
                let loss = self.step(&batch, train, teacher.as_deref_mut(), done)?;
                self.steps += 1;
                sum = weighted(&loss, batch.indices.len())
                    .and_then(|w| sum.f_add(&w))
                    .map_err(explain)?;
                images += batch.indices.len();
                seen(batch.indices.len());
                if step % LOOK == LOOK - 1 && !value(&sum)?.is_finite() {
                    break;
                }
            }
            Ok(value(&sum)? / images.max(1) as f64)
        })
    }

    /// The loss of a batch, and a step against it. `done`: epochs so far.
    fn step(
        &mut self,
        batch: &Batch,
        part: &Part,
        teacher: Option<&mut Teacher>,
        done: f64,
    ) -> Result<Tensor> {
        let images = self.module.images(&batch.images)?;
        let scores = self.forward(&images)?;
        let given = batch.labels.as_deref().unwrap_or_default();
        check_scores(&scores, batch.indices.len(), given, part)?;
        let labelled = match &batch.labels {
            Some(labels) => {
                let labels = torch::labels(labels, self.module.device())?;
                Some(loss::cross_entropy(
                    &scores,
                    &labels,
                    self.training.label_smoothing,
                )?)
            }
            None => None,
        };
        let loss = match (labelled, teacher) {
            (Some(loss), None) => loss,
            (Some(loss), Some(teacher)) => {
                let weight = teacher.distillation.weight;
                let taught = teacher.divergence(batch, &images, &scores)?;
                mixed(&taught, &loss, weight).map_err(explain)?
            }
            (None, Some(teacher)) => teacher.divergence(batch, &images, &scores)?,
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
            match self.module.forward(&torch::channels_last(images)?) {
                Ok(scores) => return Ok(scores),
                // Views may not be possible so; then they are not from the first step on.
                Err(_) if self.steps == 0 => self.channels_last = false,
                Err(error) => return Err(error),
            }
        }
        self.module.forward(images)
    }

    /// Whether the scores of the last batch are finite: its step may have ruined weights whose loss nobody has seen.
    fn answers_in_numbers(&mut self) -> Result<bool> {
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

    fn validate(&mut self, lessons: &Lessons, progress: Progress) -> Result<Option<f64>> {
        let Some((part, loader)) = lessons.validation else {
            return Ok(None);
        };
        self.module.set_training(false)?;
        let metrics = evaluate(&self.module, part, loader, progress, "validating")?;
        self.module.set_training(true)?;
        Ok(Some(metrics.accuracy))
    }
}
