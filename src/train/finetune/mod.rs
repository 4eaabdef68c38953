//! Training through libtorch, on the archive's own parameters.

mod caveats;
mod checkpoint;
mod course;
mod epochs;
mod layout;
mod loss;
mod mix;
mod optimizer;
mod precision;
mod schedule;
mod state;
mod teacher;

use std::time::Duration;

use anyhow::{Result, bail};
use tch::Device;

use crate::archive::Archive;
use crate::blocks::patch::{unmoved_statistics, with_usual_momentum};
use crate::data::{Loader, Part};
use crate::program::Program;
use crate::program::interface::Interface;
use crate::report::progress::Progress;
use crate::run::segments::with_tensor_list;
use crate::run::torch::Module;
use crate::train::eval::unlabelled;
use course::Course;
use epochs::Epochs;
use optimizer::Optimizer;
use precision::Precision;

pub use caveats::caveats;
pub use checkpoint::Checkpoint;
pub use layout::may_lie_channels_last;
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

/// One sitting of training: what was before it, and what may end it early.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    /// Numbers the epochs over a whole run, so that each has its own order and augmentation.
    pub first_epoch: usize,
    /// Where it is kept how far training came, and what it goes on from if an earlier sitting left that there.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Whether to stop, asked between two batches.
    pub stop: &'a dyn Fn() -> bool,
    /// Training is kept after every epoch, and within an epoch so often.
    pub every: Duration,
}

impl Session<'_> {
    /// A sitting that nothing ends, and that leaves nothing but its result.
    #[must_use]
    pub fn at(first_epoch: usize) -> Self {
        Session {
            first_epoch,
            checkpoint: None,
            stop: &never,
            every: Duration::from_secs(600),
        }
    }
}

fn never() -> bool {
    false
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
    /// Trained on in the time of this sitting's epochs alone, without validation; `None` if there was none.
    pub images_per_second: Option<f64>,
}

/// Trains the archive and returns it with its new parameters and statistics.
///
/// # Errors
/// [`Stopped`](crate::run::interrupt::Stopped) if the session says so; what was done is in its checkpoint then. If there is
/// nothing to learn from, the archive has no parameters, or the loss is not a number from the first epoch on.
pub fn finetune(
    archive: &Archive,
    interface: &Interface,
    lessons: Lessons,
    training: &Training,
    session: Session,
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
    let image = lessons.loader.output_shape(lessons.train)?;
    let image = interface.input.layout.arranged(&image.map(|n| n as i64));
    let program = Program::new(&network, &image).ok();
    let channels_last = may_lie_channels_last(&network, program.as_ref(), device);
    let mut instrumented = with_tensor_list(&trainable, &network, &state.operands());
    if program.as_ref().map_or(0, unmoved_statistics) > 0 {
        with_usual_momentum(&mut instrumented)?;
    }
    let mut module = Module::load(&instrumented, device, interface)?;
    module.set_training(true)?;
    let tensors = module.tensors()?;
    let optimizer = Optimizer::new(
        training.method,
        training.weight_decay,
        tensors.iter().zip(state.learns.iter().copied()),
    )?;
    let course = Course {
        training,
        optimizer,
        module,
        precision: Precision::choose(training.mixed_precision, device, interface.element),
        channels_last,
        images: 0,
        last: None,
    };
    let mut epochs = Epochs::new(course, tensors, session, progress);
    epochs.take_up()?;
    epochs.run(lessons)?;
    state.write_back(&network, epochs.result(), &mut trainable)?;
    Ok(epochs.trained(trainable))
}
