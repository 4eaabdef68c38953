//! Linear CKA of the representations with and without the block (arXiv 2405.17081, section 3.2): the method's own.

use anyhow::Result;

use super::{Criterion, ScoringContext, Value, Values};
use crate::score::{Ended, Reuse, Tally, similarities};

/// Of statistics alone, in a race if one is asked for.
pub struct Cka {
    /// What one iteration leaves for the next.
    pub reuse: Option<Reuse>,
}

impl Criterion for Cka {
    fn measure(&mut self, context: &ScoringContext, begun: Vec<Tally>) -> Result<Ended<Values>> {
        let ended = context
            .scoring
            .run(context.job, begun, self.reuse.as_mut(), context.stop)?;
        match ended {
            Ended::Done(tallies) if !(context.stop)() => {
                let found = similarities(&tallies)?.into_iter();
                let value = |(path, cka, samples)| (path, Value::Cka(cka), samples);
                Ok(Ended::Done(found.map(value).collect()))
            }
            Ended::Done(tallies) | Ended::Stopped(tallies) => Ok(Ended::Stopped(tallies)),
        }
    }
}
