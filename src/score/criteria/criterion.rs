//! What a criterion is, and what it may look at.

use anyhow::{Context, Result};
use ndarray::ArrayView2;

use super::{agreement, block_influence, cka, cka_debiased, consensus, l1, random, recoverability};
use crate::blocks::Block;
use crate::blocks::value::{Name, Score, Value};
use crate::run::segments::{Detour, Pieces};
use crate::score::{Ended, Job, Reuse, Savings, Scoring, Space, Tally};

/// What a criterion may look at.
pub struct ScoringContext<'a> {
    pub job: &'a Job<'a>,
    pub scoring: &'a Scoring,
    pub seed: u64,
    /// Iterations before this one.
    pub iteration: usize,
    /// Whether the user wants it to stop, asked between two batches.
    pub stop: &'a dyn Fn() -> bool,
}

impl<'a> ScoringContext<'a> {
    /// The blocks to measure.
    ///
    /// # Errors
    /// If one of them is not in the network.
    pub fn blocks(&self) -> Result<Vec<&'a Block>> {
        let wanted = self.job.wanted.iter();
        let found = wanted.map(|path| self.job.model.analysis().block(path));
        found
            .collect::<Option<Vec<_>>>()
            .context("a block that is gone")
    }

    /// The ways around the blocks to measure, in their order.
    ///
    /// # Errors
    /// If there is no way around one of them.
    pub fn detours<'p>(&self, pieces: &'p Pieces) -> Result<Vec<&'p Detour>> {
        let wanted = self.job.wanted.iter();
        let detours = wanted.map(|path| pieces.detours.iter().find(|d| d.path == *path));
        detours
            .collect::<Option<Vec<_>>>()
            .context("a block on which the representation does not depend")
    }

    /// What `compare` says of each candidate, its path, the reference's representation and its own being given, and the
    /// number of images; `None` if the user stopped it. All representations are kept.
    ///
    /// # Errors
    /// Those of scoring, and of `compare`.
    pub fn compared<T>(
        &self,
        compare: impl Fn(&str, ArrayView2<f32>, ArrayView2<f32>) -> Result<T>,
    ) -> Result<Option<Vec<(String, T, usize)>>> {
        // Representations themselves are compared in the space of images alone.
        let on_rows = Scoring {
            race: None,
            space: Some(Space::Gram),
            ..*self.scoring
        };
        let tallies = match on_rows.run(self.job, Vec::new(), None, self.stop)? {
            Ended::Done(tallies) if !(self.stop)() => tallies,
            _ => return Ok(None),
        };
        let mut found = Vec::new();
        for tally in &tallies {
            let (reference, candidates) =
                tally.rows().context("a tally without representations")?;
            for (path, rows) in candidates {
                let value = compare(path, reference, rows)?;
                found.push((path.to_owned(), value, rows.nrows() / tally.places));
            }
        }
        Ok(Some(found))
    }
}

/// The path of each candidate, its value, and the images that this rests on. Of equal values the one that stands first
/// goes first.
pub type Values = Vec<(String, Value, usize)>;

/// A way to tell how redundant blocks are.
pub trait Criterion {
    /// Measures the candidates of a job. `begun` is what an earlier call that was stopped left.
    ///
    /// # Errors
    /// If the network cannot be run, or nothing can be compared.
    fn measure(&mut self, context: &ScoringContext, begun: Vec<Tally>) -> Result<Ended<Values>>;
}

impl Name {
    /// The criterion of this name. `reuse`: what one iteration computed may serve the next, as weights stay.
    #[must_use]
    pub fn criterion(self, reuse: Option<Reuse>) -> Box<dyn Criterion> {
        match self {
            Name::Cka => Box::new(cka::Cka { reuse }),
            Name::CkaDebiased => Box::new(cka_debiased::CkaDebiased),
            Name::BlockInfluence => Box::new(block_influence::BlockInfluence),
            Name::L1 => Box::new(l1::L1),
            Name::Random => Box::new(random::Random),
            Name::Consensus => Box::new(consensus::Consensus),
            Name::Recoverability => Box::new(recoverability::Recoverability),
            Name::Agreement => Box::new(agreement::Agreement),
        }
    }
}

/// The scores of what a criterion found, the block to remove first at the front, what removals save being counted where
/// it is given; in a race those that saw more images come first.
#[must_use]
pub fn ranking(found: Values, savings: Option<&Savings>) -> Vec<Score> {
    let price = |path: &str, value: Value| savings.and_then(|s| s.price(path, value));
    let mut found = found;
    // Stable: of equal values the earlier one comes first.
    found.sort_by(|(path, a, seen), (other, b, others)| {
        let order = match (price(path, *a), price(other, *b)) {
            (Some(price), Some(of_other)) => price.total_cmp(&of_other),
            _ => a.order(b),
        };
        others.cmp(seen).then(order)
    });
    (1..)
        .zip(found)
        .map(|(rank, (path, value, samples))| Score {
            saves: savings.map(|s| s.part(&path)),
            path,
            value,
            rank,
            samples,
        })
        .collect()
}
