//! A network that gives the Gram matrices of its blocks' outputs.

use anyhow::{Result, bail};
use tch::Tensor;

use super::{Layer, LayerKind, Skipped};
use crate::blocks::analysis::Analysis;
use crate::blocks::representation::Representation;
use crate::data::Batch;
use crate::program::ast::Function;
use crate::program::dtype::Dtype;
use crate::program::{Dim, Program, Tap, ValueId, methods_of};
use crate::run::segments::with_taps;
use crate::run::torch::Model;
use crate::run::torch::{Module, explain};

/// Name of the method that gives the Gram matrices.
const GRAMS: &str = "ckaprune_grams";
/// The methods that make one.
const GRAM: &str = "ckaprune_gram";
const GRAM_OF_CHANNELS: &str = "ckaprune_gram_of_channels";

/// The layers of a network that can be compared, and what looks at them.
#[derive(Clone, Debug)]
pub struct Comparable {
    pub layers: Vec<Layer>,
    pub skipped: Vec<Skipped>,
    taps: Vec<Tap>,
}

impl Comparable {
    /// All blocks, removable or not, and behind them the representation where it is known: the input of each of the last
    /// layers.
    #[must_use]
    pub fn of(analysis: &Analysis) -> Self {
        let program = &analysis.program;
        let mut found = Comparable {
            layers: Vec::new(),
            skipped: Vec::new(),
            taps: Vec::new(),
        };
        for block in &analysis.blocks {
            let layer = Layer {
                kind: LayerKind::Block,
                path: block.path.clone(),
                stage: Some(block.stage + 1),
                output_shape: block.output_shape.clone(),
            };
            // Behind the block, whatever it wrote over its output itself, and before anything else does.
            let tap = Tap {
                value: block.output,
                position: block.statements.end,
                method: GRAM.into(),
            };
            found.add(program, layer, tap);
        }
        let path = "representation";
        match Representation::of(analysis) {
            Ok(compared) => {
                for (number, (value, position)) in (1..).zip(compared.places_of_parts()) {
                    let layer = Layer {
                        kind: LayerKind::Representation,
                        path: match compared.parts.len() > 1 {
                            true => format!("{path}.{number}"),
                            false => path.into(),
                        },
                        stage: None,
                        output_shape: program.sample_shape(value),
                    };
                    let tap = Tap {
                        value,
                        position,
                        method: GRAM_OF_CHANNELS.into(),
                    };
                    found.add(program, layer, tap);
                }
            }
            Err(error) => found.skipped.push(Skipped {
                path: path.into(),
                reason: error.to_string(),
            }),
        }
        found
    }

    fn add(&mut self, program: &Program, layer: Layer, tap: Tap) {
        match obstacle(program, tap.value, tap.position) {
            Some(reason) => self.skipped.push(Skipped {
                path: layer.path,
                reason: reason.into(),
            }),
            None => {
                self.layers.push(layer);
                self.taps.push(tap);
            }
        }
    }

    /// Loads the network.
    ///
    /// # Errors
    /// If libtorch refuses it.
    pub fn load(self, model: &Model) -> Result<Probe> {
        let (analysis, interface) = (model.analysis(), model.interface()?);
        let root = &analysis.network.modules.root().class;
        let methods = methods(root, interface.element)?;
        let tapped = with_taps(model.archive(), analysis, GRAMS, &self.taps, methods);
        Ok(Probe {
            module: model.load_instrumented(&tapped)?,
            epsilon: match interface.element {
                Dtype::Float64 => f64::EPSILON,
                _ => f64::from(f32::EPSILON),
            },
        })
    }
}

/// Why a value cannot be compared.
fn obstacle(program: &Program, value: ValueId, place: usize) -> Option<&'static str> {
    let mut before = program.statements.iter().take(place);
    let is_made = value == program.input || before.any(|s| s.outputs.contains(&value));
    match program.shape(value).and_then(|shape| shape.first()) {
        _ if !is_made => Some("the code that gives its output could not be followed"),
        None => Some("the shape of its output could not be told"),
        Some(first) if *first != Dim::BATCH => Some("its output has not one entry an image"),
        Some(_) => None,
    }
}

/// A network that is ready to be looked at.
#[derive(Debug)]
pub struct Probe {
    module: Module,
    /// Relative spacing of the numbers that Gram matrices are computed with.
    pub epsilon: f64,
}

impl Probe {
    /// Gram matrices of all layers: b × n × n. One is all zeros where no feature varies over the images.
    ///
    /// # Errors
    /// If the network raises one, or a layer gives no row for each image.
    pub fn grams(&self, batch: &Batch) -> Result<Tensor> {
        let images = self.module.images(&batch.images)?;
        let grams = tch::no_grad(|| self.module.list(GRAMS, &images))?;
        let n = batch.indices.len() as i64;
        if let Some(odd) = grams.iter().find(|g| g.size() != [n, n]) {
            bail!("of {n} images a block gives {} rows", odd.size()[0]);
        }
        Tensor::f_stack(&grams, 0).map_err(explain)
    }
}

/// Relative spacing of the numbers that a network of this type computes with.
fn epsilon(element: Dtype) -> f64 {
    match element {
        Dtype::Float64 => f64::EPSILON,
        Dtype::Float16 => 2f64.powi(-10),
        Dtype::BFloat16 => 2f64.powi(-7),
        _ => f64::from(f32::EPSILON),
    }
}

/// The methods that taps call. They run inside the network, at the moment an output is there: only its n × n Gram matrix
/// is kept, and what is written over the output later does not matter.
///
/// The mean of the images is taken off every feature, since the products of what all images share would drown the others
/// in rounding; U-centring would take it off the Gram matrix otherwise. The first image is taken off before: for a
/// feature that is the same in all images nothing at all is left then. A feature varies if more is left of it than the
/// spacing of its numbers; where none does, the matrix is made zero. Of a feature map in front of the classifier the
/// mean over its pixels is compared, as scores are.
fn methods(root: &str, element: Dtype) -> Result<Vec<Function>> {
    // Their numbers in TorchScript source: double and single precision.
    let kind = match element {
        Dtype::Float64 => 7,
        _ => 6,
    };
    let epsilon = epsilon(element);
    let text = format!(
        "\
class Methods(Module):
  def {GRAM}(self: {root},
    x: Tensor) -> Tensor:
    rows = torch.to(torch.reshape(x, [torch.size(x, 0), -1]), {kind})
    before = torch.linalg_vector_norm(rows, 2, [0])
    centred = torch.sub(rows, torch.slice(rows, 0, 0, 1))
    centred = torch.sub_(centred, torch.mean(centred, [0], True))
    after = torch.linalg_vector_norm(centred, 2, [0])
    varies = torch.any(torch.gt(after, torch.mul(before, {epsilon:?})))
    return torch.mul(torch.mm(centred, torch.t(centred)), varies)
  def {GRAM_OF_CHANNELS}(self: {root},
    x: Tensor) -> Tensor:
    wide = torch.to(x, {kind})
    features = torch.reshape(wide, [torch.size(x, 0), torch.size(x, 1), -1])
    return self.{GRAM}(torch.mean(features, [2]))
"
    );
    Ok(methods_of(&text)?)
}
