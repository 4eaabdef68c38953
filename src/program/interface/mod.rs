//! How a network is run: its input, and where its answer is in its output.

pub mod arguments;
mod batch;
mod channels;
mod forward;
mod guess;
mod input;
mod scale;
mod training_mode;

use std::collections::HashSet;

use crate::program::dtype::Dtype;
use crate::program::output::{self, Answer, OutputError, OutputKeys};
use crate::program::{
    ModuleTree, Network, Op, Program, Statement, TensorInfo, ValueId, is_conversion,
};

pub use batch::{FixedBatch, Followed};
pub use channels::image_channels;
pub use forward::refusal;
pub use guess::guess_input_shape;
pub use input::{Input, Layout, divides_by_255};
pub use scale::Scale;
pub use training_mode::{TrainingMode, draws};

/// What has to be known of a network to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Order and scale of its images.
    pub input: Input,
    /// Element type that it computes in, and that its input has to have unless that is of bytes.
    pub element: Dtype,
    pub answer: Answer,
    /// What the class scores are, if it is asked for such.
    pub scale: Scale,
    /// Some of its layers compute with quantised weights.
    pub quantised: bool,
    /// Some of its code runs under `torch.autocast()`.
    pub autocast: bool,
    /// It takes batches of one size alone.
    pub batch: Option<FixedBatch>,
}

impl Default for Interface {
    /// The interface of a network in single precision that gives class scores and nothing else.
    fn default() -> Self {
        Interface {
            input: Input::default(),
            element: Dtype::Float32,
            answer: Answer::default(),
            scale: Scale::default(),
            quantised: false,
            autocast: false,
            batch: None,
        }
    }
}

/// Why a network cannot be run for its answer, or not for what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterfaceError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(
        "the network holds tensors of type {0:?}; it can be run with real numbers of 16 bits or more, so convert them \
         before it is exported"
    )]
    Element(Dtype),
    #[error(
        "the network is quantised: its layers and sums run in quantised arithmetic (quantized.conv2d, quantized.add), \
         where blocks can be neither left out nor trained; prune it in floating point, then quantise the result"
    )]
    Quantised,
    #[error(
        "the network computes in {0:?}, in which training loses small updates; export it in single precision with \
         model.float()"
    )]
    TooCoarse(Dtype),
    #[error(
        "the network runs under torch.autocast, which picks element types while it runs, so parts of it cannot be \
         compared with the whole; export it without that `with` statement"
    )]
    Autocast,
    #[error(
        "the network gives no class scores, a row for each image, but several tensors or maps; --output-key names the output \
         that holds class scores, if one does"
    )]
    NotScores,
    #[error("{}", PACKED)]
    Packed,
    #[error(
        "{0}, so that it runs in batches of just that size: trace with a size that moves, such as flatten(1) or \
         reshape(x.size(0), ..), without int(), or export with dynamic_shapes=({{0: Dim('batch')}},)"
    )]
    FixedBatch(FixedBatch),
    #[error("exported in training mode: {0} in the code; call `model.eval()` before exporting")]
    TracedInTraining(TrainingMode),
}

/// The message on a network that [`is_packed`].
pub const PACKED: &str = "it was compiled for inference (optimize_for_inference, optimize_for_mobile): its layers are packed, \
     where none can be left out or trained; export the network before that step";

/// Whether layers are packed into forms that a compiler for inference made for one kind of processor.
#[must_use]
pub fn is_packed(program: &Program) -> bool {
    let mut operators = program.statements.iter().filter_map(Statement::operator);
    operators.any(|name| {
        let name = name.to_ascii_lowercase();
        name.contains("mkldnn") || name.contains("prepack")
    })
}

impl Interface {
    /// The interface of this network.
    ///
    /// # Errors
    /// If the outputs that are named are not there, or it holds tensors that are not real numbers.
    pub fn of(
        network: &Network,
        program: &Program,
        keys: Option<&OutputKeys>,
    ) -> Result<Self, InterfaceError> {
        let odd = |t: &&TensorInfo| !is_usable(t.dtype);
        if let Some(tensor) = tensors(network).find(odd) {
            return Err(InterfaceError::Element(tensor.dtype));
        }
        if is_packed(program) {
            return Err(InterfaceError::Packed);
        }
        if let Some(mode) = TrainingMode::traced(network, program) {
            return Err(InterfaceError::TracedInTraining(mode));
        }
        let answer = output::choose(network, program, keys)?;
        let scores = answer.scores().and_then(|scores| scores.value);
        Ok(Interface {
            input: Input::default(),
            scale: Scale::of(network, program, scores),
            quantised: is_quantised(network, program),
            autocast: program.autocast,
            batch: None,
            element: element(network, program),
            answer,
        })
    }

    /// The interface of a network that is given images in this form, and whose answer nobody asks for.
    #[must_use]
    pub fn for_input(network: &Network, program: &Program, input: Input) -> Self {
        Interface {
            input,
            element: element(network, program),
            ..Interface::default()
        }
    }

    /// The class scores in the flat program; `None` where there are none, or it does not show them.
    #[must_use]
    pub fn scores(&self) -> Option<ValueId> {
        self.answer.scores()?.value
    }

    /// Refuses a network of whose answers labels of images as wholes say nothing.
    ///
    /// # Errors
    /// If it gives no class scores.
    pub fn check_scores(&self) -> Result<(), InterfaceError> {
        match self.answer.scores() {
            Some(_) => Ok(()),
            None => Err(InterfaceError::NotScores),
        }
    }

    /// The same with images in this order and scale.
    #[must_use]
    pub fn taking(self, input: Input) -> Self {
        Interface { input, ..self }
    }

    /// The same with batches of this size alone, if there is one.
    #[must_use]
    pub fn in_batches_of(self, batch: Option<FixedBatch>) -> Self {
        Interface { batch, ..self }
    }

    /// Refuses a network whose blocks cannot be compared with each other.
    ///
    /// # Errors
    /// If it is quantised, picks its element types while it runs, or takes batches of one size alone.
    pub fn check_prunable(&self) -> Result<(), InterfaceError> {
        match (self.quantised, self.autocast) {
            (true, _) => Err(InterfaceError::Quantised),
            (_, true) => Err(InterfaceError::Autocast),
            _ => self.check_batch(),
        }
    }

    /// Refuses a network whose parts cannot be run on any number of images.
    ///
    /// # Errors
    /// If it takes batches of one size alone.
    pub fn check_batch(&self) -> Result<(), InterfaceError> {
        match &self.batch {
            Some(batch) => Err(InterfaceError::FixedBatch(batch.clone())),
            None => Ok(()),
        }
    }

    /// Refuses a network that cannot be trained as it is.
    ///
    /// # Errors
    /// If it is quantised, or its weights have too few digits.
    pub fn check_trainable(&self) -> Result<(), InterfaceError> {
        self.check_prunable()?;
        match self.element {
            Dtype::Float32 | Dtype::Float64 => Ok(()),
            coarse => Err(InterfaceError::TooCoarse(coarse)),
        }
    }
}

/// Whether libtorch's ordinary operators compute with such tensors.
fn is_usable(dtype: Dtype) -> bool {
    !matches!(
        dtype,
        Dtype::Float8E5M2
            | Dtype::Float8E5M2Fnuz
            | Dtype::Float8E4M3Fn
            | Dtype::Float8E4M3Fnuz
            | Dtype::ComplexFloat16
            | Dtype::ComplexFloat32
            | Dtype::ComplexFloat64
    )
}

/// Whether some layer is quantised: its weight, the object that packs it, or the operator.
#[must_use]
pub fn is_quantised(network: &Network, program: &Program) -> bool {
    let tensor = |t: &TensorInfo| matches!(t.dtype, Dtype::QInt8 | Dtype::QUInt8 | Dtype::QInt32);
    let operator = |s: &Statement| {
        s.operator()
            .is_some_and(|name| name.starts_with("ops.quantized."))
    };
    let mut modules = network.modules.iter();
    tensors(network).any(tensor)
        || modules.any(|(_, m)| m.class.starts_with("__torch__.torch.classes.quantized."))
        || program.statements.iter().any(operator)
}

/// The floating type of all weights; where they differ, that of the first layer which the input meets.
fn element(network: &Network, program: &Program) -> Dtype {
    let types: HashSet<Dtype> = tensors(network)
        // Tensors without dimensions adapt to the others: traced numbers are of double precision everywhere.
        .filter(|info| info.dtype.is_floating() && !info.shape.is_empty())
        .map(|info| info.dtype)
        .collect();
    match types.iter().collect::<Vec<_>>().as_slice() {
        [one] => **one,
        _ => first_layer(network, program).unwrap_or(Dtype::Float32),
    }
}

/// Element type of the first layer's weight; `None` if the network converts its input before.
fn first_layer(network: &Network, program: &Program) -> Option<Dtype> {
    let mut from_input = HashSet::from([program.input]);
    for statement in &program.statements {
        if !statement.reads().any(|v| from_input.contains(&v)) {
            continue;
        }
        if converts(statement) {
            return None;
        }
        let weight = statement.arg(1, "weight").and_then(|w| network.tensor(w));
        if let Some(info) = weight.filter(|w| w.dtype.is_floating() && w.shape.len() > 1) {
            return Some(info.dtype);
        }
        from_input.extend(&statement.outputs);
    }
    None
}

fn converts(statement: &Statement) -> bool {
    let foreign = matches!(statement.op, Op::Method { .. } | Op::Opaque(_));
    foreign || statement.operator().is_some_and(is_conversion)
}

/// All tensors that the archive holds for the network.
fn tensors(network: &Network) -> impl Iterator<Item = &TensorInfo> {
    let attributes = network.modules.tensors(ModuleTree::ROOT);
    attributes
        .map(|(_, _, info)| info)
        .chain(&network.constants)
}
