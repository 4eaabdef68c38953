//! Training through libtorch, on the archive's own parameters.

mod caveats;
mod checkpoint;
mod epochs;
mod features;
mod judge;
mod layout;
mod loss;
mod mix;
mod optimizer;
mod precision;
mod schedule;
mod teacher;
mod trainee;
mod tuning;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::blocks::analysis::Analysis;
use crate::data::Images;
use crate::report::progress::Progress;
use crate::run::torch::Model;
use crate::run::torch::state_dict::learning;
use crate::train::eval::unlabelled;
use epochs::Epochs;
use features::Student;
use optimizer::Optimizer;
use precision::Precision;
use trainee::Trainee;

pub use caveats::caveats;
pub use checkpoint::Checkpoint;
pub use judge::Judge;
pub use layout::may_lie_channels_last;
pub use mix::Mixing;
pub use optimizer::Method;
pub use schedule::{Schedule, Shape};
pub use teacher::{Distillation, Teacher, Teaching};
pub use tuning::Tuning;

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
pub struct Lessons<'a, 't> {
    /// Shuffled, and augmented if so asked.
    pub train: &'a Images,
    /// The weights of the epoch that does best by it are kept, and those it began with where none does better. `None`: the
    /// last epoch's.
    pub judge: Option<Judge<'a>>,
    pub teacher: Option<&'a mut Teacher<'t>>,
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
    pub progress: Progress,
}

impl Session<'_> {
    /// A sitting that nothing ends, and that leaves nothing but its result.
    #[must_use]
    pub fn at(first_epoch: usize, progress: Progress) -> Self {
        Session {
            first_epoch,
            checkpoint: None,
            stop: &never,
            every: Duration::from_secs(600),
            progress,
        }
    }
}

fn never() -> bool {
    false
}

/// What training did.
#[derive(Debug)]
pub struct Trained {
    /// With its new parameters and statistics.
    pub model: Model,
    pub tuning: Tuning,
    /// Trained on in the time of this sitting's epochs alone, without judging; `None` if there was none.
    pub images_per_second: Option<f64>,
}

/// Trains a network.
///
/// # Errors
/// [`Stopped`](crate::run::interrupt::Stopped) if the session says so; what was done is in its checkpoint then. If there is
/// nothing to learn from, the network has no parameters, or the loss is not a number from the first epoch on.
pub fn finetune(
    model: Model,
    lessons: Lessons,
    training: &Training,
    session: Session,
) -> Result<Trained> {
    if !lessons.train.is_labelled() && lessons.teacher.is_none() {
        bail!(unlabelled(
            &lessons.train.part,
            "so the network cannot be fine-tuned on them; name a data set with labels"
        ));
    }
    model.interface()?.check_trainable()?;
    let mut model = model.trainable(session.progress)?.unwrap_or(model);
    let teacher = lessons.teacher.as_ref();
    let student = teacher.and_then(|teacher| teacher.maps());
    let student = student.map(|maps| Student::of(maps, &model)).transpose()?;
    if let Some(student) = &student {
        model.load_with_methods(vec![student.method(model.analysis())])?;
    }
    let Analysis {
        network, program, ..
    } = model.analysis();
    let learns = learning(network)?;
    let channels_last = may_lie_channels_last(network, program, model.device());
    let precision = Precision::choose(
        training.mixed_precision,
        model.device(),
        model.interface()?.element,
    );
    let (module, tensors) = model.in_memory()?;
    module.set_training(true)?;
    let optimizer = Optimizer::new(
        training.method,
        training.weight_decay,
        tensors.iter().zip(learns),
    )?;
    let trainee = Trainee {
        training,
        optimizer,
        module,
        precision,
        channels_last,
        student,
        images: 0,
        last: None,
    };
    let mut epochs = Epochs::new(trainee, tensors, lessons, session)?;
    epochs.take_up()?;
    epochs.run()?;
    let taught = epochs.taught();
    model.set_weights(&taught.weights)?;
    model.keep_weights()?;
    model.in_memory()?.0.set_training(false)?;
    Ok(Trained {
        model,
        tuning: taught.tuning,
        images_per_second: taught.images_per_second,
    })
}
