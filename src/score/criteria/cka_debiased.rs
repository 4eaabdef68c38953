//! CKA from the unbiased HSIC estimator (Song et al., JMLR 13, 2012; Nguyen et al., arXiv 2010.15327): the biased one
//! comes out too high where features outnumber images.

use anyhow::Result;

use super::{Criterion, ScoringContext, Value, Values};
use crate::score::cka::debiased_cka;
use crate::score::{Ended, Tally};

/// Of the representations themselves, which are all kept.
pub struct CkaDebiased;

impl Criterion for CkaDebiased {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let found = context.compared(|path, x, y| {
            debiased_cka(x, y).map_err(|error| crate::score::incomparable(&error, Some(path)))
        })?;
        Ok(match found {
            None => Ended::Stopped(Vec::new()),
            Some(found) => Ended::Done(
                found
                    .into_iter()
                    .map(|(path, value, images)| (path, Value::CkaDebiased(value), images))
                    .collect(),
            ),
        })
    }
}
