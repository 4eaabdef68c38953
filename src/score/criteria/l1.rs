//! Magnitude of the weights (as Li et al., arXiv 1608.08710, rank filters): a block of small weights is thought to do
//! little.

use anyhow::{Result, bail};
use tch::{Kind, TchError, Tensor};

use super::{Criterion, ScoringContext, Value, Values};
use crate::blocks::Block;
use crate::program::{Network, Operand, Program};
use crate::run::segments::with_tensor_list;
use crate::run::torch::explain;
use crate::score::{Ended, Tally};

/// The mean of |w| over all weights of more than one dimension: of convolutions and matrices, not of biases and
/// normalisation. A mean, as a sum would tell large blocks from small ones and nothing else.
pub struct L1;

impl Criterion for L1 {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let job = context.job;
        let analysis = job.model.analysis();
        let network = &analysis.network;
        let blocks = context.blocks()?.into_iter();
        let found: Vec<(&String, Vec<Operand>)> = blocks
            .map(|block| (&block.path, weights(network, &analysis.program, block)))
            .collect();
        let all: Vec<Operand> = found.iter().flat_map(|(_, w)| w.clone()).collect();
        let listed = with_tensor_list(job.model.archive(), network, &all);
        let module = job.model.load_instrumented(&listed)?;
        let mut tensors = module.tensors()?.into_iter();
        let mut values = Vec::new();
        for (path, weights) in found {
            let of_block: Vec<Tensor> = tensors.by_ref().take(weights.len()).collect();
            let mean = mean_magnitude(&of_block).map_err(explain)?;
            if !mean.is_finite() {
                bail!(
                    "block {path}: the mean of its weights is {mean}; the archive holds weights that are no numbers"
                );
            }
            values.push((path.clone(), Value::L1(mean), 0));
        }
        Ok(Ended::Done(values))
    }
}

/// The weights of a block: of its modules, or of a span of code those that its statements use, each once.
fn weights(network: &Network, program: &Program, block: &Block) -> Vec<Operand> {
    if let Some(call) = block.call {
        let all = network.modules.tensors(program.calls[call.0].module);
        let weights = all.filter(|(_, _, info)| info.parameter && info.shape.len() > 1);
        return weights
            .map(|(module, name, _)| Operand::Attribute {
                module,
                name: name.to_owned(),
            })
            .collect();
    }
    let mut weights: Vec<Operand> = Vec::new();
    let statements = program.statements[block.statements.clone()].iter();
    for operand in statements.flat_map(|s| &s.args).map(|a| &a.value) {
        let is_weight = network.weight(operand).is_some_and(|w| w.shape.len() > 1);
        if is_weight && !weights.contains(operand) {
            weights.push(operand.clone());
        }
    }
    weights
}

fn mean_magnitude(weights: &[Tensor]) -> Result<f64, TchError> {
    let (mut sum, mut count) = (0., 0);
    for weight in weights {
        sum += weight.f_abs()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        count += weight.numel();
    }
    Ok(sum / count.max(1) as f64)
}
