//! The form of a span that is quicker to run and computes the same up to rounding: for scoring only, never exported.
//!
//! - Batch normalisation with fixed statistics is folded into the convolution before it.
//! - Convolutions run by operators of ours where there is one, padding, addition and activation included.
//! - Activations and additions overwrite a tensor that nobody reads any more.
//! - `view` becomes `reshape`, so that images may lie in memory channels last.

mod absorb;
mod activation;
mod fold;
mod ours;
mod overwrite;

use crate::program::{Code, Network, Op, Operand, Program, Statement, ValueId};

pub use activation::Activation;
pub use ours::CHANNELS;

/// Name of the list in which a method finds its [`Layer`]s' tensors.
pub const WEIGHTS: &str = "weights";

/// A convolution whose tensors are made once, before the network runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub weight: Operand,
    pub bias: Option<Operand>,
    /// The normalisation to fold in.
    pub norm: Option<Norm>,
    /// The operator of ours that runs it, which always has a bias; `None` where libtorch does.
    pub kernel: Option<Kernel>,
}

/// What may run convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    Libtorch,
    /// The operators of ours, and libtorch where there is none.
    Ours,
}

/// The operators of ours: [`crate::run::torch::kernels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// 3 × 3, stride 1, by minimal filtering.
    Winograd,
    /// As a product of matrices.
    Dense,
    /// Each channel by itself.
    Depthwise,
}

/// Batch normalisation of each output channel: `(x - mean) / sqrt(variance + epsilon) * scale + shift`.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub scale: Option<Operand>,
    pub shift: Option<Operand>,
    pub mean: Operand,
    pub variance: Operand,
    pub epsilon: f64,
}

impl Layer {
    /// The tensors of the archive that this one is made of.
    pub fn sources(&self) -> impl Iterator<Item = &Operand> {
        let norm = self.norm.iter().flat_map(|norm| {
            let learned = norm.scale.iter().chain(&norm.shift);
            learned.chain([&norm.mean, &norm.variance])
        });
        std::iter::once(&self.weight).chain(&self.bias).chain(norm)
    }

    /// Whether a bias is made as well.
    #[must_use]
    pub fn has_bias(&self) -> bool {
        self.bias.is_some() || self.norm.is_some() || self.kernel.is_some()
    }
}

/// The tensors of the archive that layers are made of, each once.
pub fn sources<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> Vec<Operand> {
    let mut sources: Vec<Operand> = Vec::new();
    for source in layers.into_iter().flat_map(Layer::sources) {
        if !sources.contains(source) {
            sources.push(source.clone());
        }
    }
    sources
}

/// Brings code into its inference form. The tensors of its layers, weight and bias in turn where there is a bias, are
/// what [`WEIGHTS`] has to hold.
pub fn lower(
    network: &Network,
    program: &Program,
    code: &mut Code,
    kernels: Kernels,
) -> Vec<Layer> {
    let layers = fold::fold(network, program, code, kernels);
    absorb::absorb(program, code);
    overwrite::overwrite(program, code);
    reshape(program, code);
    layers
}

/// Channels last, a view of other sizes is not always possible; a copy always is, and nobody sees the difference
/// unless somebody writes.
fn reshape(program: &Program, code: &mut Code) {
    let written: Vec<ValueId> = code
        .statements
        .iter()
        .filter(|s| s.impure)
        .flat_map(Statement::reads)
        .map(|v| program.value(v).root)
        .collect();
    for statement in &mut code.statements {
        let is_view = statement.operator() == Some("view") && statement.args.len() == 2;
        let read = statement.reads().next();
        if is_view && read.is_some_and(|v| !written.contains(&program.value(v).root)) {
            statement.op = Op::Call("torch.reshape".into());
        }
    }
}
