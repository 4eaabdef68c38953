//! Follows the root's `forward` through every call and writes down what it does as a flat program.
//!
//! Attributes and shapes are known before the network runs, so most control flow resolves: `if training`, shape checks
//! that raise, `if self.use_residual`. What does not resolve stays: a statement becomes [`Op::Opaque`], and a call
//! whose body cannot be flattened at all becomes [`Op::Method`] or a plain call.

mod attributes;
mod branches;
mod calls;
mod containers;
mod contexts;
mod expressions;
mod primitives;
mod statements;
mod unfollowed;

use std::collections::{HashMap, HashSet};

use super::builder::{Builder, CodePlace};
use super::value::{Dim, Known, ObjectId, Operand, Val};
use super::{Argument, Call, Learned, ModuleId, ModuleTree, Network, Program};

use branches::{UNDECIDED, Way};

/// How deep calls may nest: deeper ones are recursive, which TorchScript does not allow.
const MAX_DEPTH: usize = 64;
/// Statements and expressions may nest this deep, over all calls: residual networks stay below 25, and a thread's
/// stack of 2 MiB holds 200 levels without compiler optimisation.
const MAX_NESTING: usize = 160;
/// Statements executed at most, loops unrolled: the largest published networks need below 100,000.
const MAX_STEPS: usize = 500_000;
/// Work done at most over all rounds. Each part of a value that is handed on counts as one, a statement as several. The
/// largest published networks need a tenth.
const MAX_WORK: usize = 1 << 23;
const STATEMENT: usize = 4;
/// Statements of the flat program, and bindings of names in it, at most: what searches it compares many of them with
/// many others. ResNet-1202 has 4,200 and 19,000.
const MAX_STATEMENTS: usize = 1 << 14;
const MAX_BINDINGS: usize = 1 << 17;

/// Why a network has no flat program for an input shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The network itself would raise an error.
    #[error("{}{message}", place(.module))]
    Refused { module: String, message: String },
    /// The code is beyond what the analysis follows.
    #[error("{}{reason}", place(.module))]
    NotFollowed { module: String, reason: String },
}

fn place(module: &str) -> String {
    if module.is_empty() {
        String::new()
    } else {
        format!("in {module}: ")
    }
}

/// Why following stops.
enum Stop {
    /// The call being followed has to stay a call.
    Opaque(String),
    /// A branch of the call being followed cannot be decided, but all ways through the call may agree nevertheless.
    Undecided,
    Error(ProgramError),
}

type Step<T> = Result<T, Stop>;

fn opaque<T>(reason: impl Into<String>) -> Step<T> {
    Err(Stop::Opaque(reason.into()))
}

/// What a network is followed for.
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    /// The shape of one image.
    pub shape: &'a [i64],
    /// The number of images.
    pub batch: Dim,
    /// Operators that refuse their arguments give tensors of unknown shape.
    pub regardless: bool,
}

/// Follows the network for these images.
pub(super) fn inline(
    network: &Network,
    images: Images,
    learned: &Learned,
) -> Result<Program, ProgramError> {
    let paths: Vec<&str> = network
        .modules
        .iter()
        .map(|(_, m)| m.path.as_str())
        .collect();
    let mut keep_in_place = HashSet::new();
    let mut work = 0;
    // Each round keeps at least one more write in place, so this ends; the bound only spares hostile code.
    for _ in 0..MAX_DEPTH {
        let mut inliner = Inliner {
            network,
            builder: Builder::new(&keep_in_place, learned, &paths),
            overrides: HashMap::new(),
            attributes_set: 0,
            way: None,
            kept: HashMap::new(),
            speculating: 0,
            speculated: 0,
            flattened: HashSet::new(),
            depth: 0,
            nesting: 0,
            steps: 0,
            work,
            bindings: 0,
            made_objects: Vec::new(),
            undecided_by: UNDECIDED,
            regardless: images.regardless,
        };
        let input = inliner.input(images);
        let Operand::Value(input_id) = input.operand else {
            break;
        };
        let output =
            match inliner.call_method(ModuleTree::ROOT, "forward", vec![(None, input)], None) {
                Ok(output) => output,
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Undecided) => break,
                Err(Stop::Opaque(reason)) => {
                    return Err(ProgramError::NotFollowed {
                        module: String::new(),
                        reason,
                    });
                }
            };
        let output = inliner.builder.current(&output);
        work = inliner.work;
        let conflicts = inliner.builder.conflicts(&output);
        if conflicts.is_empty() {
            return Ok(inliner.builder.finish(input_id, output));
        }
        keep_in_place.extend(conflicts);
    }
    Err(ProgramError::NotFollowed {
        module: String::new(),
        reason: "too many in-place writes through views".into(),
    })
}

enum Flow {
    Next,
    Break,
    Continue,
    Return(Val),
}

/// The variables of one function call.
struct Frame {
    variables: HashMap<String, Val>,
    place: CodePlace,
    /// The call may stay one statement if it cannot be flattened for certain.
    may_stay_a_call: bool,
    /// [`Inliner::attributes_set`] when the call began.
    attributes_set: usize,
    /// The variables that the function returns.
    returned: Vec<String>,
}

impl Frame {
    fn new(place: CodePlace) -> Self {
        Frame {
            variables: HashMap::new(),
            place,
            may_stay_a_call: false,
            attributes_set: 0,
            returned: Vec::new(),
        }
    }

    /// A frame for following a branch that is taken back again.
    fn speculative(&self) -> Self {
        Frame {
            variables: self.variables.clone(),
            ..Frame::new(self.place.clone())
        }
    }
}

struct Inliner<'a> {
    network: &'a Network,
    builder: Builder<'a>,
    /// Attributes assigned while running.
    overrides: HashMap<(ModuleId, String), Val>,
    /// How often attributes were assigned.
    attributes_set: usize,
    /// The way through a call that is being tried.
    way: Option<Way>,
    /// Dictionaries of modules that were read by code which is followed only to be taken back.
    kept: HashMap<(ModuleId, String), ObjectId>,
    /// How deep the code being followed is nested in code that is followed only to be taken back.
    speculating: usize,
    /// Statements that were followed only to be taken back.
    speculated: usize,
    /// Functions with undecided branches, the ways through which do not agree.
    flattened: HashSet<(Option<ModuleId>, String)>,
    depth: usize,
    nesting: usize,
    steps: usize,
    /// Counted against [`MAX_WORK`], former rounds included.
    work: usize,
    /// Entries in [`Call::variables`] and [`Call::expressions`] that were made.
    bindings: usize,
    /// The objects of classes of the archive that code has made.
    made_objects: Vec<contexts::MadeObject>,
    /// Why the branch met last could not be decided.
    undecided_by: &'static str,
    /// As [`Images::regardless`].
    regardless: bool,
}

type NamedVals = Vec<(Option<String>, Val)>;

impl<'a> Inliner<'a> {
    fn input(&mut self, images: Images) -> Val {
        let dims = std::iter::once(images.batch)
            .chain(images.shape.iter().map(|n| Dim::fixed(*n)))
            .collect();
        let known = Known::tensor(Some(dims));
        let id = self.builder.value(known.clone(), None);
        Val::new(Operand::Value(id), known)
    }

    fn set_variable(&mut self, frame: &mut Frame, name: &str, value: Val) {
        if let Some(call) = self.method_call(frame)
            && let Operand::Value(id) = value.operand
        {
            call.variables.push((name.to_owned(), id));
            self.bindings += 1;
        }
        frame.variables.insert(name.to_owned(), value);
    }

    /// The call whose method this frame runs; `None` in a free function.
    fn method_call(&mut self, frame: &Frame) -> Option<&mut Call> {
        frame.place.module?;
        let current = self.builder.current_call?;
        self.builder.calls.get_mut(current.0)
    }

    fn module_path(&self) -> String {
        let call = self
            .builder
            .current_call
            .map(|c| self.builder.calls[c.0].module);
        call.map_or_else(String::new, |id| self.network.modules.get(id).path.clone())
    }

    fn not_followed<T>(&self, reason: impl Into<String>) -> Step<T> {
        Err(Stop::Error(ProgramError::NotFollowed {
            module: self.module_path(),
            reason: reason.into(),
        }))
    }

    /// Runs `inner` one level of statements or expressions deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        if self.nesting == MAX_NESTING {
            return self.not_followed("statements and expressions nest too deep");
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    /// Counts the work of handing a value on.
    fn count_work(&mut self, parts: usize) -> Step<()> {
        self.work = self.work.saturating_add(parts);
        if self.work > MAX_WORK {
            return self.not_followed("the program takes more work than the analysis grants it");
        }
        if self.builder.statements.len() > MAX_STATEMENTS || self.bindings > MAX_BINDINGS {
            return self.not_followed(
                "the program has more steps than any network the analysis is made for",
            );
        }
        Ok(())
    }

    fn refuse<T>(&self, message: impl Into<String>) -> Step<T> {
        Err(Stop::Error(ProgramError::Refused {
            module: self.module_path(),
            message: message.into(),
        }))
    }
}

fn arguments(args: NamedVals) -> Vec<Argument> {
    args.into_iter()
        .map(|(name, v)| Argument {
            name,
            value: v.operand,
        })
        .collect()
}

fn tensor_of(shape: &[i64]) -> Known {
    Known::tensor(Some(shape.iter().map(|n| Dim::fixed(*n)).collect()))
}
