//! The network in pieces, so that a candidate only re-runs what lies behind it.
//!
//! The flat program is emitted as methods of the root class. `ckaprune_segment_0 … n` lead from the input through the
//! cuts in front of and behind the blocks to the representation; run one after another they give every block's input
//! once. Leaving a block out then means to go on behind it with its input. A block inside a branch has no cuts of its
//! own: the piece around it is emitted a second time without it.

use crate::archive::Archive;
use crate::archive::network::source_file;
use crate::blocks::analysis::Analysis;
use crate::blocks::representation::{Compared, NoRepresentation};
use crate::blocks::{self, Block, Cut};
use crate::program::ast::{Function, Item, Member};
use crate::program::{
    Emitter, Network, Operand, Program, Skip, Span, Tap, ValueId, print, tensor_list_method,
};
use crate::run::inference::{self, Kernel, Layer};

/// Prefix of every method added to a root class.
const PREFIX: &str = "ckaprune_";

/// In which form the pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Statement by statement as the network is: the same bits.
    AsWritten,
    /// Quicker, and the same up to rounding: [`crate::run::inference`], with convolutions by this kernel where it can run them.
    Inference(Kernel),
}

/// A method of the root class from one tensor to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    pub name: String,
    /// What it is given besides its input: the tensors of these [`Pieces::layers`].
    pub layers: Vec<usize>,
}

/// How one block is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Detour {
    pub path: String,
    /// The boundary whose tensor it begins with.
    pub from: usize,
    /// A method to run first: the piece around a block that has no cuts of its own.
    pub variant: Option<Method>,
    /// The first segment to run behind it.
    pub resume: usize,
}

/// The pieces of a network, and the way around each removable block.
#[derive(Clone, Debug, PartialEq)]
pub struct Pieces {
    /// Segment `i` leads from boundary `i` to boundary `i + 1`, the last one to the representation.
    pub segments: Vec<Method>,
    pub detours: Vec<Detour>,
    /// From the input to the representation in one go, as the network is written.
    pub whole: Method,
    /// From the representation to the class scores, as the network is written, where nothing else is needed for them.
    pub head: Option<Method>,
    /// What the methods need made before they run.
    pub layers: Vec<Layer>,
    functions: Vec<Function>,
}

impl Pieces {
    /// Plans the pieces for all removable blocks.
    ///
    /// # Errors
    /// If there is no representation to compare.
    pub fn of(analysis: &Analysis, form: Form) -> Result<Self, NoRepresentation> {
        let Analysis {
            network, blocks, ..
        } = analysis;
        let compared = Compared::of(analysis)?;
        let Compared {
            program,
            value: representation,
            end,
            ..
        } = &compared;
        let (representation, end) = (*representation, *end);
        let cuts = blocks::cuts(program);
        let removable: Vec<&Block> = blocks
            .iter()
            .filter(|b| b.is_removable() && compared.shows(b))
            .collect();
        let inner = cuts.iter().filter(|c| c.position < end);
        let boundaries = boundaries(inner, &removable, program.input);
        // Where the piece behind boundary `i` ends, and what it gives.
        let target = |i: usize| match boundaries.get(i) {
            Some(next) => (next.value, next.position),
            None => (representation, end),
        };
        let mut writer = Writer {
            network,
            program,
            layers: Vec::new(),
            functions: compared.methods(network),
        };

        let segments = (0..boundaries.len())
            .map(|i| {
                let (output, to) = target(i + 1);
                let span = Span {
                    input: boundaries[i].value,
                    output,
                    statements: boundaries[i].position..to,
                    without: Vec::new(),
                };
                writer.write(format!("segment_{i}"), &span, form)
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
                    .position(|c| c.position >= block.statements.end)
                    .unwrap_or(boundaries.len());
                let (output, to) = target(resume);
                let between_cuts = boundaries[from].value == block.input && output == block.output;
                let variant = (!between_cuts).then(|| {
                    let span = Span {
                        input: boundaries[from].value,
                        output,
                        statements: boundaries[from].position..to,
                        without: vec![skip(block)],
                    };
                    writer.write(format!("without_{i}"), &span, form)
                });
                Detour {
                    path: block.path.clone(),
                    from,
                    variant,
                    resume,
                }
            })
            .collect();
        let span = Span {
            input: program.input,
            output: representation,
            statements: 0..end,
            without: Vec::new(),
        };
        let whole = writer.write("whole".into(), &span, Form::AsWritten);
        let is_cut = !compared.is_joined() && cuts.iter().any(|c| c.value == representation);
        let head = match program.output.operand {
            Operand::Value(output) if is_cut && program.is_tensor(output) => {
                let span = Span {
                    input: representation,
                    output,
                    statements: end..program.statements.len(),
                    without: Vec::new(),
                };
                Some(writer.write("head".into(), &span, Form::AsWritten))
            }
            _ => None,
        };
        Ok(Pieces {
            segments,
            detours,
            whole,
            head,
            layers: writer.layers,
            functions: writer.functions,
        })
    }

    /// The tensors of the archive that the layers are made of, each once.
    #[must_use]
    pub fn sources(&self) -> Vec<Operand> {
        let mut sources: Vec<Operand> = Vec::new();
        for source in self.layers.iter().flat_map(Layer::sources) {
            if !sources.contains(source) {
                sources.push(source.clone());
            }
        }
        sources
    }

    /// The archive with the methods of the pieces, and [`TENSOR_LIST`] for their [`sources`](Self::sources).
    #[must_use]
    pub fn instrument(&self, archive: &Archive, network: &Network) -> Archive {
        let list = tensor_list_method(network, TENSOR_LIST, &self.sources());
        let methods: Vec<Function> = self.functions.iter().cloned().chain([list]).collect();
        with_root_methods(archive, network, &methods)
    }

    /// How many of the first segments compute the same in both, given the same weights.
    #[must_use]
    pub fn common_prefix(&self, other: &Pieces) -> usize {
        let same = |(mine, theirs): &(&Method, &Method)| {
            let layers = |pieces: &Pieces, method: &Method| -> Vec<Layer> {
                let made = method.layers.iter().map(|i| pieces.layers[*i].clone());
                made.collect()
            };
            self.function(mine) == other.function(theirs)
                && layers(self, mine) == layers(other, theirs)
        };
        let both = self.segments.iter().zip(&other.segments);
        both.take_while(same).count()
    }

    fn function(&self, method: &Method) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == method.name)
    }
}

/// Collects methods, and the layers they share.
struct Writer<'a> {
    network: &'a Network,
    program: &'a Program,
    layers: Vec<Layer>,
    functions: Vec<Function>,
}

impl Writer<'_> {
    fn write(&mut self, name: String, span: &Span, form: Form) -> Method {
        let emitter = Emitter::new(self.network, self.program);
        let name = format!("{PREFIX}{name}");
        let mut code = emitter.code(span);
        let mut layers = Vec::new();
        if let Form::Inference(kernel) = form {
            for layer in inference::lower(self.network, self.program, &mut code, kernel) {
                let known = self.layers.iter().position(|l| *l == layer);
                layers.push(known.unwrap_or_else(|| {
                    self.layers.push(layer);
                    self.layers.len() - 1
                }));
            }
        }
        let weights = (!layers.is_empty()).then_some(inference::WEIGHTS);
        self.functions.push(emitter.method(&name, &code, weights));
        Method { name, layers }
    }
}

fn skip(block: &Block) -> Skip {
    Skip {
        statements: block.statements.clone(),
        input: block.input,
        output: block.output,
    }
}

/// The cuts that bound segments: the input, and every cut at which a block begins or ends.
fn boundaries<'a>(
    cuts: impl Iterator<Item = &'a Cut>,
    removable: &[&Block],
    input: ValueId,
) -> Vec<Cut> {
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
    let inner = cuts.filter(|c| c.position > 0 && bounds_a_block(c));
    std::iter::once(start).chain(inner.copied()).collect()
}

/// Name of the method that gives a list of the archive's own tensors.
pub const TENSOR_LIST: &str = "ckaprune_tensors";

/// The archive with [`TENSOR_LIST`] for these tensors, so that they can be read and trained from outside.
#[must_use]
pub fn with_tensor_list(archive: &Archive, network: &Network, tensors: &[Operand]) -> Archive {
    let method = tensor_list_method(network, TENSOR_LIST, tensors);
    with_root_methods(archive, network, &[method])
}

/// The archive with a method for each list of values that gives them for an input, and [`TENSOR_LIST`] for `tensors`.
#[must_use]
pub fn with_values(
    archive: &Archive,
    analysis: &Analysis,
    lists: &[(String, Vec<ValueId>)],
    tensors: &[Operand],
) -> Archive {
    let network = &analysis.network;
    let emitter = Emitter::new(network, &analysis.program);
    let lists = lists
        .iter()
        .map(|(name, values)| emitter.list_method(name, values));
    let list = tensor_list_method(network, TENSOR_LIST, tensors);
    let methods: Vec<Function> = lists.chain([list]).collect();
    with_root_methods(archive, network, &methods)
}

/// The archive with a method of this name that gives these values for an input as a tuple.
#[must_use]
pub fn with_any_values(
    archive: &Archive,
    analysis: &Analysis,
    name: &str,
    values: &[ValueId],
) -> Archive {
    let emitter = Emitter::new(&analysis.network, &analysis.program);
    let method = emitter.values_method(name, values);
    with_root_methods(archive, &analysis.network, &[method])
}

/// The archive with a method of this name that gives what each tap does for an input, in their order, and the methods
/// that the taps call.
#[must_use]
pub fn with_taps(
    archive: &Archive,
    analysis: &Analysis,
    name: &str,
    taps: &[Tap],
    called: Vec<Function>,
) -> Archive {
    let network = &analysis.network;
    let (program, given) = analysis.program.tapped(taps);
    let list = Emitter::new(network, &program).list_method(name, &given);
    let methods: Vec<Function> = called.into_iter().chain([list]).collect();
    with_root_methods(archive, network, &methods)
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
