//! Training through libtorch, on the archive's own parameters.

mod course;
mod loss;
mod mix;
mod optimizer;
mod precision;
mod schedule;
mod state;
mod teacher;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tch::{Device, Tensor};

use crate::archive::Archive;
use crate::data::{Loader, Part};
use crate::eval::unlabelled;
use crate::interface::Interface;
use crate::progress::Progress;
use crate::segments::with_tensor_list;
use crate::torch::{self, Module};
use course::Course;
use optimizer::Optimizer;
use precision::Precision;

pub use mix::Mixing;
pub use optimizer::Method;
pub use schedule::{Schedule, Shape};
pub use state::{State, trainable};
pub use teacher::{Distillation, Teacher};

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
    /// Images mixed in pairs, and their labels with them.
    pub mixing: Mixing,
    /// Norm that the gradient of all parameters together may have at most.
    pub clip_norm: Option<f64>,
    /// Stop after so many epochs without a better validation accuracy.
    pub patience: Option<usize>,
    /// Multiply in bfloat16 on a GPU that has it, which is quicker, and rounds more.
    pub mixed_precision: bool,
    /// Of libtorch's own random numbers (dropout), and of mixtures.
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
            mixing: Mixing::default(),
            clip_norm: None,
            patience: None,
            mixed_precision: true,
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
    /// Trained on in the time of the epochs alone, without validation; `None` if there was none.
    pub images_per_second: Option<f64>,
}

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
        precision: Precision::choose(training.mixed_precision, device, interface.element),
        steps: 0,
        images: 0,
        channels_last: device == Device::Cpu,
        last: None,
    };
    let mut kept = Kept {
        epoch: 0,
        accuracy: None,
        tensors: Vec::new(),
    };
    let (mut losses, mut validation) = (Vec::new(), Vec::new());
    let mut busy = Duration::ZERO;
    for epoch in 1..=training.epochs {
        let what = format!("fine-tuning, epoch {epoch} of {}", training.epochs);
        let number = (first_epoch + epoch - 1) as u64;
        let bar = progress.bar(what, lessons.train.len());
        let begun = Instant::now();
        // Its loss is read at the end, so that the time counts the work and not its queueing.
        let loss = course.epoch(&mut lessons, number, |images| bar.advance(images))?;
        busy += begun.elapsed();
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
        let validated = accuracy.map_or(String::new(), |a| {
            format!(", validation accuracy {:.2} %", 100. * a)
        });
        progress.step(format_args!(
            "epoch {epoch} of {}: training loss {loss:.4}{validated}",
            training.epochs
        ));
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
        images_per_second: (course.images > 0)
            .then(|| course.images as f64 / busy.as_secs_f64().max(f64::MIN_POSITIVE)),
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
