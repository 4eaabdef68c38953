//! Any block: what every other criterion has to be compared with.

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Criterion, ScoringContext, Value, Values};
use crate::score::{Ended, Tally};

/// Uniform, by the seed and the number of the iteration: a run that is resumed draws what it would have drawn.
pub struct Random;

impl Criterion for Random {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let mut rng = ChaCha8Rng::seed_from_u64(context.seed);
        rng.set_stream(context.iteration as u64);
        let blocks = context.blocks()?.into_iter();
        let drawn = blocks.map(|b| (b.path.clone(), Value::Random(rng.random()), 0));
        Ok(Ended::Done(drawn.collect()))
    }
}
