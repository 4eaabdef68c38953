//! CKA from the unbiased HSIC estimator (Song et al., JMLR 13, 2012; Nguyen et al., arXiv 2010.15327): the biased one
//! comes out too high where features outnumber images.

use anyhow::Result;
use ndarray::ArrayView2;

use super::{Criterion, Found, Look, Value};
use crate::cka::debiased_cka;
use crate::score::{Ended, Tally};

/// Of the representations themselves, which are all kept.
pub struct CkaDebiased;

impl Criterion for CkaDebiased {
    fn measure(&mut self, look: &Look, _begun: Vec<Tally>) -> Result<Found> {
        let found = compared(look, |path, x, y| {
            debiased_cka(x, y).map_err(|error| crate::score::explain(&error, Some(path)))
        })?;
        Ok(match found {
            None => Found::Stopped(Vec::new()),
            Some(found) => Found::Values(
                found
                    .into_iter()
                    .map(|(path, value, images)| (path, Value::CkaDebiased(value), images))
                    .collect(),
            ),
        })
    }
}

/// What `compare` says of each candidate, its path, the reference's representation and its own being given, and the
/// number of images; `None` if the user stopped it.
pub(super) fn compared<T>(
    look: &Look,
    compare: impl Fn(&str, ArrayView2<f32>, ArrayView2<f32>) -> Result<T>,
) -> Result<Option<Vec<(String, T, usize)>>> {
    let tallies = match look.scoring.run_on_rows(look.job, look.stop)? {
        Ended::Scored(tallies) if !(look.stop)() => tallies,
        _ => return Ok(None),
    };
    let mut found = Vec::new();
    for tally in &tallies {
        let Some((reference, candidates)) = tally.rows() else {
            anyhow::bail!("a tally without representations");
        };
        for (path, rows) in candidates {
            let value = compare(path, reference, rows)?;
            found.push((path.to_owned(), value, rows.nrows()));
        }
    }
    Ok(Some(found))
}
