//! The network as one flat list of single-assignment statements.
//!
//! [`Network`] is what an archive says: module tree, source code, constant tensors. [`Program::new`] follows the root
//! module's `forward` through every call, **per module instance**, resolves the control flow that attributes and
//! shapes decide, and gives a [`Program`]. A program knows nothing of files: a reader of another format may stand
//! beside [`crate::archive`] and build the same types.

#![forbid(unsafe_code)]

pub mod ast;
mod batch;
mod builder;
pub mod cost;
pub mod dtype;
mod emit;
mod families;
mod gradient;
mod inline;
pub mod interface;
mod learned;
mod modules;
mod objects;
mod opaque;
mod ops;
pub mod output;
mod parse;
mod print;
mod reach;
pub mod receptive;
pub mod resolution;
pub(crate) mod rewrite;
mod shape_ends;
mod sites;
mod sizes;
mod slice;
mod source;
mod switches;
mod tap;
mod uses;
mod value;

use std::collections::HashMap;
use std::ops::Range;

pub use builder::CodePlace;
pub use emit::{Code, Emitter, Skip, Span, tensor_list_method};
pub use inline::ProgramError;
pub use learned::{Learned, OpenValue, dim_of_batches};
pub use modules::{Attribute, Module, ModuleId, ModuleTree, TensorInfo};
pub use parse::{ParseError, methods_of, parse};
pub use print::{print, print_statements};
pub use reach::reachable;
pub use shape_ends::ShapeEnd;
pub use sites::Mention;
pub use source::{CodeLine, Sources, is_of_archive, is_registered_class};
pub use switches::{has_literal_switch, switch_of, training_switch};
pub use tap::Tap;
pub use uses::{FoundUse, Target, Usage, Use, Uses};
pub use value::{
    Dim, Item, Known, ObjectId, Operand, Shape, Val, ValueId, axis, element_count, show_shape,
};

pub(crate) use ops::statement_macs;

use ast::{CallId, Stmt};
use builder::short_name;

/// What an archive says of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    pub modules: ModuleTree,
    pub sources: Sources,
    /// The tensors code refers to as `CONSTANTS.cN`.
    pub constants: Vec<TensorInfo>,
    /// The numbers in those constants that are one: traced code computes sizes with them.
    pub constant_items: HashMap<usize, Item>,
}

impl Network {
    /// The learned tensor that an operand names: a parameter, or a constant that freezing made of one.
    #[must_use]
    pub fn weight(&self, operand: &Operand) -> Option<&TensorInfo> {
        match operand {
            Operand::Attribute { module, name } => match self.modules.attribute(*module, name)? {
                Attribute::Tensor(info) => Some(info).filter(|i| i.parameter),
                _ => None,
            },
            Operand::Constant(index) if self.is_frozen() => {
                self.constants.get(*index).filter(|info| info.is_weight())
            }
            Operand::Typed { value, .. } => self.weight(value),
            _ => None,
        }
    }

    /// The tensor of the archive that an operand names.
    #[must_use]
    pub fn tensor(&self, operand: &Operand) -> Option<&TensorInfo> {
        match operand {
            Operand::Attribute { module, name } => match self.modules.attribute(*module, name)? {
                Attribute::Tensor(info) => Some(info),
                _ => None,
            },
            Operand::Constant(index) => self.constants.get(*index),
            Operand::Typed { value, .. } => self.tensor(value),
            _ => None,
        }
    }

    /// Number of learned elements of the whole network: its parameters, or what freezing made of them.
    #[must_use]
    pub fn parameter_count(&self) -> i64 {
        if !self.is_frozen() {
            return self.modules.parameter_count(ModuleTree::ROOT);
        }
        let weights = self.constants.iter().filter(|info| info.is_weight());
        weights.map(TensorInfo::len).sum()
    }

    /// Whether the network has no parameters: freezing made constants of them.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let mut tensors = self.modules.tensors(ModuleTree::ROOT);
        !tensors.any(|(_, _, info)| info.parameter)
    }
}

/// A value of the flat program.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub known: Known,
    /// The value whose memory this one may share; itself if none.
    pub root: ValueId,
    /// The value whose elements it has, unchanged and in the same shape, in memory of its own or not.
    pub same_as: Option<ValueId>,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `torch.conv2d(..)`, or a function of the archive that could not be followed.
    Call(String),
    /// A method that could not be followed.
    Method { module: ModuleId, name: String },
    /// `args[0][args[1]]`
    Index,
    /// `args[0].name`
    Field(String),
    /// `a, b, = args[0]`
    Unpack,
    /// `v = args[0]`
    Alias,
    /// `module.name = args[0]`
    SetAttribute { module: ModuleId, name: String },
    /// Control flow that could not be resolved, its variables renamed to this program's.
    Opaque(Vec<Stmt>),
}

/// An argument of a statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    pub name: Option<String>,
    pub value: Operand,
}

/// One step of the flat program.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    pub op: Op,
    pub args: Vec<Argument>,
    pub outputs: Vec<ValueId>,
    /// The innermost module call it comes from.
    pub call: Option<CallIndex>,
    /// It writes memory or draws random numbers: it stays even if nobody reads its results.
    pub impure: bool,
    /// Multiply-accumulates, for one sample, of code that was not followed because data decide its way, but that
    /// costs the same whichever way it goes.
    pub macs: Option<i64>,
    /// It stands under `torch.no_grad()`: no gradient passes it ([`Program::learns`]).
    pub no_grad: bool,
    /// The line of code that it was made of last.
    pub line: Option<CodeLine>,
}

impl Statement {
    /// The operator's name without its namespace: `conv2d`.
    #[must_use]
    pub fn operator(&self) -> Option<&str> {
        match &self.op {
            Op::Call(function) => Some(short_name(function)),
            _ => None,
        }
    }

    /// The values this statement reads.
    pub fn reads(&self) -> impl Iterator<Item = ValueId> {
        self.args.iter().flat_map(|a| a.value.values())
    }

    /// The argument at position `i`, or the one named `name`.
    #[must_use]
    pub fn arg(&self, i: usize, name: &str) -> Option<&Operand> {
        let positional = self.args.get(i).filter(|a| a.name.is_none());
        positional
            .or_else(|| self.args.iter().find(|a| a.name.as_deref() == Some(name)))
            .map(|a| &a.value)
    }

    /// The argument there as a vertical and a horizontal number, one standing for both; `usual` where there is none.
    #[must_use]
    pub fn pair(&self, i: usize, name: &str, usual: i64) -> Option<[i64; 2]> {
        match self.arg(i, name) {
            None => Some([usual; 2]),
            Some(list) => match list.ints()?[..] {
                [both] => Some([both; 2]),
                [vertical, horizontal] => Some([vertical, horizontal]),
                _ => None,
            },
        }
    }
}

/// A call's number in [`Program::calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallIndex(pub usize);

/// A call of a module's method that was followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub module: ModuleId,
    pub method: String,
    /// Where the call is written; `None` for the root's `forward`.
    pub site: Option<CallSite>,
    pub caller: Option<CallIndex>,
    pub args: Vec<Val>,
    pub result: Val,
    /// What the code of the method bound to its variables; a variable that is bound twice is there twice.
    pub variables: Vec<(String, ValueId)>,
    /// What the call expressions in the code of the method gave; one that ran twice is there twice.
    pub expressions: Vec<(CallId, ValueId)>,
    /// The statements it gave.
    pub range: Range<usize>,
}

/// Code that stayed as it is, so that nothing is known of what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFollowed {
    /// The module whose code it is.
    pub module: ModuleId,
    pub reason: String,
    pub line: Option<CodeLine>,
    /// It asks for the shape of a tensor that is not known, so the cause lies before it.
    pub for_want_of_shape: bool,
    /// Data decide here whether the method returns at once or goes on.
    pub returns_early: bool,
}

impl NotFollowed {
    /// The reason; of an early return with its line, which people look for in their own code.
    #[must_use]
    pub fn told(&self, network: &Network) -> String {
        match self.line.filter(|_| self.returns_early) {
            Some(line) => format!("{} ({})", self.reason, network.sources.show_line(line)),
            None => self.reason.clone(),
        }
    }
}

/// A call expression in the source code, seen from one module instance.
#[derive(Clone, Debug, PartialEq)]
pub struct CallSite {
    pub place: CodePlace,
    pub id: CallId,
}

/// The flat program of a network for one input shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Indexed by [`ValueId`].
    pub values: Vec<Value>,
    pub statements: Vec<Statement>,
    /// In the order in which they begin; the root's `forward` is the first.
    pub calls: Vec<Call>,
    /// In the order in which it runs.
    pub not_followed: Vec<NotFollowed>,
    pub input: ValueId,
    pub output: Val,
    /// Code runs under `torch.autocast()`, which picks element types while the network runs.
    pub autocast: bool,
    /// The values whose shapes are not known and that running the network may tell ([`Learned`]).
    pub open: Vec<OpenValue>,
}

impl Program {
    /// Follows `forward` of the root module in evaluation mode for an input of `n × shape`.
    ///
    /// # Errors
    /// If the network refuses inputs of that shape, or its `forward` cannot be followed at all.
    pub fn new(network: &Network, shape: &[i64]) -> Result<Self, ProgramError> {
        Self::with_learned(network, shape, &Learned::default())
    }

    /// The same where running the network has told some shapes.
    ///
    /// # Errors
    /// Those of [`Program::new`].
    pub fn with_learned(
        network: &Network,
        shape: &[i64],
        learned: &Learned,
    ) -> Result<Self, ProgramError> {
        let images = inline::Images {
            shape,
            batch: Dim::BATCH,
            regardless: false,
        };
        inline::inline(network, images, learned)
    }

    /// The value of this number.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The shape of a value without the batch dimension, if it is a tensor whose first dimension is the batch.
    #[must_use]
    pub fn sample_shape(&self, id: ValueId) -> Option<Vec<i64>> {
        match &self.value(id).known {
            Known::Tensor {
                shape: Some(shape), ..
            } => match shape.split_first() {
                Some((first, rest)) if *first == Dim::BATCH => {
                    rest.iter().map(|d| d.known()).collect()
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The shape of a value, if it is a tensor of known shape.
    #[must_use]
    pub fn shape(&self, id: ValueId) -> Option<&Shape> {
        match &self.value(id).known {
            Known::Tensor { shape, .. } => shape.as_ref(),
            _ => None,
        }
    }

    /// Number of elements of the largest tensor of one sample, as far as shapes are known.
    #[must_use]
    pub fn largest_tensor(&self) -> usize {
        self.largest_of((0..self.values.len() as u32).map(ValueId))
    }

    /// Likewise of those that the statements from this one on give.
    #[must_use]
    pub fn largest_tensor_from(&self, statement: usize) -> usize {
        let statements = self.statements.iter().skip(statement);
        self.largest_of(statements.flat_map(|s| s.outputs.iter().copied()))
    }

    fn largest_of(&self, values: impl Iterator<Item = ValueId>) -> usize {
        let tensors = values.filter_map(|value| self.sample_shape(value));
        let elements = tensors.filter_map(|shape| {
            shape
                .iter()
                .try_fold(1usize, |n, d| n.checked_mul(usize::try_from(*d).ok()?))
        });
        elements.max().unwrap_or(0)
    }

    /// Whether it holds observers of a quantisation to come, which may be switched on still.
    #[must_use]
    pub fn observes(&self) -> bool {
        let mut operators = self.statements.iter().filter_map(Statement::operator);
        operators.any(|operator| operator == "fused_moving_avg_obs_fake_quant")
    }

    /// Whether a value is known to be a tensor.
    #[must_use]
    pub fn is_tensor(&self, id: ValueId) -> bool {
        matches!(self.value(id).known, Known::Tensor { .. })
    }
}

/// Whether the operator gives the memory it is given another shape.
pub(crate) fn is_view(operator: &str) -> bool {
    ops::is_view(operator)
}

/// Whether the operator gives its first argument in another element type.
pub(crate) fn is_conversion(operator: &str) -> bool {
    ops::is_conversion(operator)
}

/// Whether the operator writes memory or draws random numbers.
pub(crate) fn is_impure(operator: &str) -> bool {
    ops::is_impure(operator)
}

/// Whether a rule tells the shape of what an operator gives, or that it gives no tensor, or that data say how much.
#[must_use]
pub fn has_shape_rule(operator: &str) -> bool {
    ops::has_rule(operator)
}

/// Whether the operator is an activation that may stand behind the addition of a residual block.
pub(crate) fn is_activation(operator: &str) -> bool {
    ops::is_activation(operator)
}
