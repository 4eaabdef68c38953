//! The network in pieces, so that a candidate only re-runs what lies behind it.
//!
//! The flat program is emitted as methods of the root class. `ckaprune_segment_0 … n` lead from the input through the
//! cuts in front of and behind the blocks to the representation; run one after another they give every block's input
//! once. Leaving a block out then means to go on behind it with its input. A block inside a branch has no cuts of its
//! own: the piece around it is emitted a second time without it.

use crate::archive::Archive;
use crate::archive::network::source_file;
use crate::blocks::analysis::Analysis;
use crate::blocks::representation::{NoRepresentation, Representation};
use crate::blocks::{self, Block, Cut};
use crate::program::ast::{Function, Item, Member};
use crate::program::{
    Emitter, Network, Operand, Program, Skip, Span, Tap, ValueId, print, tensor_list_method,
};
use crate::run::inference::{self, Kernels, Layer};

/// Prefix of every method added to a root class.
const PREFIX: &str = "ckaprune_";

/// In which form the pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Statement by statement as the network is: the same bits.
    AsWritten,
    /// Quicker, and the same up to rounding: [`crate::run::inference`], with convolutions by these kernels.
    Inference(Kernels),
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
    /// From the representation to the answer, as the network is written, where nothing else is needed for them.
    pub head: Option<Method>,
    /// Samples that an image gives, one after another, in the representation: 1, or places.
    pub places: usize,
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
        Ok(Self::towards(Representation::of(analysis)?, analysis, form))
    }

    /// The same where what the network answers is compared itself.
    ///
    /// # Errors
    /// If it cannot be followed.
    pub fn of_answer(analysis: &Analysis, form: Form) -> Result<Self, NoRepresentation> {
        let answer = Representation::of_answer(analysis)?;
        Ok(Self::towards(answer, analysis, form))
    }

    fn towards(compared: Representation, analysis: &Analysis, form: Form) -> Self {
        let Analysis {
            network, blocks, ..
        } = analysis;
        let program = &compared.program;
        let cuts = blocks::cuts(program);
        let removable: Vec<&Block> = blocks
            .iter()
            .filter(|b| b.is_removable() && compared.shows(b))
            .collect();
        let inner = cuts.iter().filter(|c| c.position < compared.end);
        let mut writer = Writer {
            network,
            program,
            form,
            boundaries: boundaries(inner, &removable, program.input),
            representation: Cut {
                value: compared.value,
                position: compared.end,
            },
            methods: Methods {
                layers: Vec::new(),
                functions: compared.methods.clone(),
            },
        };
        let segments = (0..writer.boundaries.len())
            .map(|i| writer.segment(i))
            .collect();
        let detours = (0..)
            .zip(&removable)
            .map(|(i, block)| writer.detour(i, block))
            .collect();
        let whole = writer.whole();
        let is_cut = !compared.is_joined() && cuts.iter().any(|c| c.value == compared.value);
        Pieces {
            segments,
            detours,
            whole,
            head: is_cut.then(|| writer.head()).flatten(),
            places: compared.places,
            layers: writer.methods.layers,
            functions: writer.methods.functions,
        }
    }

    /// The tensors of the archive that the layers are made of, each once.
    #[must_use]
    pub fn sources(&self) -> Vec<Operand> {
        inference::sources(&self.layers)
    }

    /// The archive with the methods of the pieces, and [`TENSOR_LIST`] for their [`sources`](Self::sources).
    #[must_use]
    pub fn instrument(&self, archive: &Archive, network: &Network) -> Archive {
        let list = tensors_method(network, &self.sources());
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

/// Methods as they are written, and the layers they share.
#[derive(Default)]
pub(super) struct Methods {
    pub layers: Vec<Layer>,
    pub functions: Vec<Function>,
}

impl Methods {
    /// Writes a span as a method.
    pub fn write(&mut self, emitter: Emitter, name: &str, span: &Span, form: Form) -> Method {
        let (network, program) = (emitter.network(), emitter.program());
        let name = format!("{PREFIX}{name}");
        let mut code = emitter.code(span);
        let mut layers = Vec::new();
        if let Form::Inference(kernel) = form {
            for layer in inference::lower(network, program, &mut code, kernel) {
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

/// Writes the methods of the pieces.
struct Writer<'a> {
    network: &'a Network,
    program: &'a Program,
    form: Form,
    /// In front of each segment.
    boundaries: Vec<Cut>,
    /// Behind the last segment.
    representation: Cut,
    methods: Methods,
}

impl Writer<'_> {
    /// The boundary of this number, the last of which is the representation.
    fn boundary(&self, number: usize) -> Cut {
        *self.boundaries.get(number).unwrap_or(&self.representation)
    }

    /// From one boundary to another, without some blocks in between.
    fn between(&self, from: usize, to: usize, without: Vec<Skip>) -> Span {
        let (from, to) = (self.boundary(from), self.boundary(to));
        Span {
            input: from.value,
            output: to.value,
            statements: from.position..to.position,
            without,
        }
    }

    fn segment(&mut self, number: usize) -> Method {
        let span = self.between(number, number + 1, Vec::new());
        self.write(&format!("segment_{number}"), &span, self.form)
    }

    /// The way around a block.
    fn detour(&mut self, number: usize, block: &Block) -> Detour {
        let mut boundaries = self.boundaries.iter();
        let from = boundaries.rposition(|c| c.position <= block.statements.start);
        let from = from.unwrap_or(0);
        let mut boundaries = self.boundaries.iter();
        let resume = boundaries.position(|c| c.position >= block.statements.end);
        let resume = resume.unwrap_or(self.boundaries.len());
        let is_between_cuts =
            self.boundary(from).value == block.input && self.boundary(resume).value == block.output;
        let variant = (!is_between_cuts).then(|| {
            let span = self.between(from, resume, vec![skip(block)]);
            self.write(&format!("without_{number}"), &span, self.form)
        });
        Detour {
            path: block.path.clone(),
            from,
            variant,
            resume,
        }
    }

    /// From the input to the representation, as the network is written.
    fn whole(&mut self) -> Method {
        let span = Span {
            input: self.program.input,
            output: self.representation.value,
            statements: 0..self.representation.position,
            without: Vec::new(),
        };
        self.write("whole", &span, Form::AsWritten)
    }

    /// From the representation to the answer, as the network is written, if they are a tensor of it.
    fn head(&mut self) -> Option<Method> {
        let Operand::Value(output) = self.program.output.operand else {
            return None;
        };
        if !self.program.is_tensor(output) {
            return None;
        }
        let span = Span {
            input: self.representation.value,
            output,
            statements: self.representation.position..self.program.statements.len(),
            without: Vec::new(),
        };
        Some(self.write("head", &span, Form::AsWritten))
    }

    fn write(&mut self, name: &str, span: &Span, form: Form) -> Method {
        let emitter = Emitter::new(self.network, self.program);
        self.methods.write(emitter, name, span, form)
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
    with_root_methods(archive, network, &[tensors_method(network, tensors)])
}

/// The archive with a method for each list of values that gives them for an input, and [`TENSOR_LIST`] for `tensors`.
#[must_use]
pub fn with_values(
    archive: &Archive,
    analysis: &Analysis,
    lists: &[(String, Vec<ValueId>)],
    tensors: &[Operand],
) -> Archive {
    let emitter = Emitter::new(&analysis.network, &analysis.program);
    let lists = lists.iter();
    let methods = lists.map(|(name, values)| emitter.list_method(name, values));
    let methods: Vec<Function> = methods
        .chain([tensors_method(&analysis.network, tensors)])
        .collect();
    with_root_methods(archive, &analysis.network, &methods)
}

/// The method [`TENSOR_LIST`] for these tensors.
pub(super) fn tensors_method(network: &Network, tensors: &[Operand]) -> Function {
    tensor_list_method(network, TENSOR_LIST, tensors)
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

/// The archive with more methods of its root class.
pub(super) fn with_root_methods(
    archive: &Archive,
    network: &Network,
    methods: &[Function],
) -> Archive {
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
