//! The network in pieces, so that a candidate only re-runs what lies behind it.
//!
//! The flat program is emitted as methods of the root class. `ckaprune_segment_0 … n` lead from the input through the
//! cuts in front of and behind the blocks to the representation; run one after another they give every block's input
//! once. Leaving a block out then means to go on behind it with its input. A block inside a branch has no cuts of its
//! own: the piece around it is emitted a second time without it.

use crate::analysis::Analysis;
use crate::archive::Archive;
use crate::archive::network::source_file;
use crate::blocks::{self, Block, Cut};
use crate::interface::InterfaceError;
use crate::program::ast::{Function, Item, Member};
use crate::program::{
    Emitter, ModuleId, Network, Operand, Program, Skip, Span, ValueId, print, tensor_list_method,
};
use crate::representation::representation;

/// Prefix of every method added to a root class.
const PREFIX: &str = "ckaprune_";

/// How one block is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Detour {
    pub path: String,
    /// The boundary whose tensor it begins with.
    pub from: usize,
    /// A method to run first: the piece around a block that has no cuts of its own.
    pub variant: Option<String>,
    /// The first segment to run behind it.
    pub resume: usize,
}

/// The pieces of a network, and the way around each removable block.
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// Names of the segment methods; segment `i` leads from boundary `i` to boundary `i + 1`, the last one to the
    /// representation.
    pub segments: Vec<String>,
    pub detours: Vec<Detour>,
    /// From the representation to the class scores, where nothing else is needed for them.
    pub head: Option<String>,
    methods: Vec<Function>,
}

/// Why a network cannot be run piecewise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRepresentation {
    #[error("the network has no last linear or convolutional layer whose input could be compared")]
    NoLayer,
    #[error(
        "how the network computes its class scores cannot be followed, so there is nothing to compare"
    )]
    NotFollowed,
    #[error(transparent)]
    Interface(#[from] InterfaceError),
}

impl Pieces {
    /// Plans the pieces for all removable blocks.
    ///
    /// # Errors
    /// If there is no representation to compare.
    pub fn of(analysis: &Analysis) -> Result<Self, NoRepresentation> {
        let Analysis {
            network, blocks, ..
        } = analysis;
        let interface = analysis.interface.as_ref().map_err(Clone::clone)?;
        let scores = interface
            .scores
            .value
            .ok_or(NoRepresentation::NotFollowed)?;
        // Other outputs would keep values alive across every cut.
        let program = &analysis.program.towards(scores);
        let representation = representation(program).ok_or(NoRepresentation::NoLayer)?;
        let emitter = Emitter::new(network, program);
        let end = program
            .statements
            .iter()
            .position(|s| s.outputs.contains(&representation))
            .map_or(0, |i| i + 1);
        let cuts: Vec<Cut> = blocks::cuts(program)
            .into_iter()
            .filter(|c| c.position < end)
            .collect();
        let removable: Vec<&Block> = blocks
            .iter()
            .filter(|b| b.is_removable() && b.statements.end <= end && makes(program, b.output))
            .collect();
        let boundaries = boundaries(&cuts, &removable, program.input);
        let mut methods = Vec::new();
        let mut add = |name: String, span: &Span| {
            methods.push(emitter.method(&name, span));
            name
        };

        let segments = (0..boundaries.len())
            .map(|i| {
                let (output, to) = match boundaries.get(i + 1) {
                    Some(next) => (next.value, next.position),
                    None => (representation, end),
                };
                let statements = boundaries[i].position..to;
                let span = Span {
                    input: boundaries[i].value,
                    output,
                    statements,
                    without: Vec::new(),
                };
                add(format!("{PREFIX}segment_{i}"), &span)
            })
            .collect();
        let detours = (0..)
            .zip(&removable)
            .map(|(i, block)| {
                let from = boundaries
                    .iter()
                    .rposition(|c| c.position <= block.statements.start)
                    .unwrap_or(0);
                let resume = boundaries
                    .iter()
                    .position(|c| c.position >= block.statements.end);
                let until = resume.map(|r| boundaries[r]);
                let between_cuts = boundaries[from].value == block.input
                    && until.map_or(representation, |c| c.value) == block.output;
                let variant = (!between_cuts).then(|| {
                    let span = Span {
                        input: boundaries[from].value,
                        output: until.map_or(representation, |c| c.value),
                        statements: boundaries[from].position..until.map_or(end, |c| c.position),
                        without: vec![skip(block)],
                    };
                    add(format!("{PREFIX}without_{i}"), &span)
                });
                Detour {
                    path: block.path.clone(),
                    from,
                    variant,
                    resume: resume.unwrap_or(boundaries.len()),
                }
            })
            .collect();
        let is_cut = blocks::cuts(program)
            .iter()
            .any(|c| c.value == representation);
        let head = match program.output.operand {
            Operand::Value(output) if is_cut && program.is_tensor(output) => {
                let statements = end..program.statements.len();
                let span = Span {
                    input: representation,
                    output,
                    statements,
                    without: Vec::new(),
                };
                Some(add(format!("{PREFIX}head"), &span))
            }
            _ => None,
        };
        Ok(Pieces {
            segments,
            detours,
            head,
            methods,
        })
    }

    /// The archive with the methods of the pieces.
    #[must_use]
    pub fn instrument(&self, archive: &Archive, network: &Network) -> Archive {
        with_root_methods(archive, network, &self.methods)
    }
}

/// Whether the value is computed: a block on the way to another output is not.
fn makes(program: &Program, value: ValueId) -> bool {
    program
        .statements
        .iter()
        .any(|s| s.outputs.contains(&value))
}

fn skip(block: &Block) -> Skip {
    Skip {
        statements: block.statements.clone(),
        input: block.input,
        output: block.output,
    }
}

/// The cuts that bound segments: the input, and every cut at which a block begins or ends.
fn boundaries(cuts: &[Cut], removable: &[&Block], input: ValueId) -> Vec<Cut> {
    let bounds_a_block = |cut: &Cut| {
        removable.iter().any(|b| {
            (cut.position == b.statements.start && cut.value == b.input)
                || (cut.position == b.statements.end && cut.value == b.output)
        })
    };
    let start = Cut {
        position: 0,
        value: input,
    };
    let inner = cuts.iter().filter(|c| c.position > 0 && bounds_a_block(c));
    std::iter::once(start).chain(inner.copied()).collect()
}

/// Name of the method [`with_state_method`] adds.
pub const STATE_METHOD: &str = "ckaprune_state";

/// The archive with a method that gives these tensor attributes, so that they can be read and trained from outside.
#[must_use]
pub fn with_state_method(
    archive: &Archive,
    network: &Network,
    tensors: &[(ModuleId, String)],
) -> Archive {
    let method = tensor_list_method(network, STATE_METHOD, tensors);
    with_root_methods(archive, network, &[method])
}

fn with_root_methods(archive: &Archive, network: &Network, methods: &[Function]) -> Archive {
    let mut instrumented = archive.clone();
    let root = &network.modules.root().class;
    let Some((module, name)) = root.rsplit_once('.') else {
        return instrumented;
    };
    let Some(mut file) = network.sources.file(module).cloned() else {
        return instrumented;
    };
    for item in &mut file.items {
        if let Item::Class(class) = item
            && class.name == name
        {
            class
                .members
                .extend(methods.iter().cloned().map(Member::Method));
        }
    }
    instrumented.set_source(&source_file(module), print(&file));
    instrumented
}
