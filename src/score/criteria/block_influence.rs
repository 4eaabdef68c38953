//! 1 − cosine of a block's input and output, as ShortGPT tells redundant layers of language models (Men et al.,
//! arXiv 2403.03853, equation 1).
//!
//! There the vectors are the hidden states of tokens; here they are the channels at each place of an image (of a layer of
//! tokens, the token's). The mean is over all places of all calibration images.

use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use tch::{Kind, TchError, Tensor};

use super::{Criterion, ScoringContext, Value, Values};
use crate::blocks::Block;
use crate::program::{Program, ValueId};
use crate::run::segments::with_values;
use crate::run::torch::explain;
use crate::score::{Ended, Tally};

/// One pass over the images measures all candidates.
pub struct BlockInfluence;

/// Name of the method that gives input and output of all candidates.
const ENDS: &str = "ckaprune_ends";

impl Criterion for BlockInfluence {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let job = context.job;
        let analysis = job.model.analysis();
        let program = &analysis.program;
        let blocks = context.blocks()?;
        for block in &blocks {
            let path = &block.path;
            for end in [block.input, block.output] {
                if is_overwritten(program, end) {
                    bail!(
                        "block {path}: its input or output is overwritten in place, so they cannot be compared; use \
                         another --criterion"
                    );
                }
            }
        }
        let ends: Vec<ValueId> = blocks.iter().flat_map(|b| [b.input, b.output]).collect();
        let listed = with_values(job.model.archive(), analysis, &[(ENDS.into(), ends)], &[]);
        let module = job.model.load_instrumented(&listed)?;
        // All inputs and outputs of a batch are there at once.
        const IMAGES: NonZeroUsize = NonZeroUsize::new(32).unwrap();
        let images = job.images.suiting(IMAGES);
        let calibration = images.in_batches_of(images.loader.batch_size().min(IMAGES));
        let bar = context
            .scoring
            .progress
            .bar("comparing inputs with outputs", calibration.len());
        let mut sums = vec![(0., 0usize); blocks.len()];
        let mut images = 0;
        for batch in calibration.batches(0)? {
            if (context.stop)() {
                return Ok(Ended::Stopped(Vec::new()));
            }
            let batch = batch?;
            let input = module.images(&batch.images)?;
            let ends = tch::no_grad(|| module.list(ENDS, &input))?;
            for ((sums, block), pair) in sums.iter_mut().zip(&blocks).zip(ends.chunks_exact(2)) {
                let channels = block.channels(program);
                let (sum, count) = cosines(&pair[0], &pair[1], channels).map_err(explain)?;
                *sums = (sums.0 + sum, sums.1 + count);
            }
            images += batch.indices.len();
            bar.advance(batch.indices.len());
        }
        let value = |(block, (sum, count)): (&&Block, (f64, usize))| {
            let influence = 1. - sum / count.max(1) as f64;
            let path = block.path.clone();
            match influence.is_finite() {
                true => Ok((path, Value::BlockInfluence(influence), images)),
                false => bail!(
                    "block {path}: its influence is {influence}; what it takes or gives on these images is no number"
                ),
            }
        };
        let values = blocks.iter().zip(sums).map(value);
        Ok(Ended::Done(values.collect::<Result<_>>()?))
    }
}

/// Whether a statement that stays writes into the memory of a value.
fn is_overwritten(program: &Program, value: ValueId) -> bool {
    let root = program.value(value).root;
    let mut writers = program.statements.iter().filter(|s| s.impure);
    writers.any(|s| s.reads().any(|v| program.value(v).root == root))
}

/// Sum of the cosines of all vectors, and their number. Two vectors of zeros are the same, one alone is as far as can be
/// without a direction.
fn cosines(x: &Tensor, y: &Tensor, channels: i64) -> Result<(f64, usize), TchError> {
    let wide = |t: &Tensor| t.f_to_kind(Kind::Double);
    let (x, y) = (wide(x)?, wide(y)?);
    let over = |t: Tensor| t.f_sum_dim_intlist(&[channels][..], false, Kind::Double);
    let (xx, yy, xy) = (
        over(x.f_mul(&x)?)?,
        over(y.f_mul(&y)?)?,
        over(x.f_mul(&y)?)?,
    );
    let norms = xx.f_mul(&yy)?.f_sqrt()?;
    let has_direction = norms.f_gt(0.)?;
    let both_zero = xx.f_add(&yy)?.f_eq(0.)?.f_to_kind(Kind::Double)?;
    let cosine = xy.f_div(&norms)?.f_where_self(&has_direction, &both_zero)?;
    let sum = cosine.f_sum(Kind::Double)?.f_double_value(&[])?;
    Ok((sum, cosine.numel()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_the_channels_of_a_place() {
        // One image, two channels, two places: (1, 0) and (0, 0) become (2, 2) and (0, 0).
        let x = Tensor::from_slice(&[1f32, 0., 0., 0.]).reshape([1, 2, 1, 2]);
        let y = Tensor::from_slice(&[2f32, 0., 2., 0.]).reshape([1, 2, 1, 2]);
        let (sum, count) = cosines(&x, &y, 1).unwrap();
        assert!((sum - (0.5f64.sqrt() + 1.)).abs() < 1e-9, "{sum}");
        assert_eq!(count, 2);
    }
}
