//! Scoring in a run.

use anyhow::{Result, bail};

use super::{Run, State};
use crate::blocks::Block;
use crate::blocks::value::{Per, Reference};
use crate::data::Images;
use crate::run::interrupt::{self, Stopped};
use crate::run::torch::Model;
use crate::score::criteria::{Criterion, Score, ScoringContext, Values, ranking};
use crate::score::{Against, Ended, Job, Reuse, Savings, Scoring, Tally, representation};

/// Scores the candidates of each iteration.
pub(super) struct Scorer<'a> {
    criterion: Box<dyn Criterion>,
    per: Option<Per>,
    scoring: Scoring,
    seed: u64,
    images: &'a Images,
    /// The original's representation, where candidates are compared with that.
    first: Option<ndarray::Array2<f32>>,
}

impl Scorer<'_> {
    /// The candidates' scores, the best first; kept once they are all there.
    ///
    /// # Errors
    /// Those of scoring; and [`Stopped`], after what was scored is kept.
    pub fn scores(
        &mut self,
        state: &mut State,
        candidates: &[&Block],
        saved: &mut dyn FnMut(&State) -> Result<()>,
    ) -> Result<Vec<Score>> {
        // A removal that was rolled back has left the network, and so the scores, as they were.
        if let Some(tried) = state.tried().last() {
            return Ok(tried.candidates.clone());
        }
        if state.scores.is_empty() {
            self.weigh(state)?;
            let begun = std::mem::take(&mut state.scoring);
            let wanted: Vec<String> = candidates.iter().map(|b| b.path.clone()).collect();
            match self.compared(state, &wanted, self.scoring, begun)? {
                Ended::Done(found) => state.scores = ranking(found, state.savings.as_ref()),
                Ended::Stopped(tallies) => {
                    state.scoring = tallies;
                    saved(state)?;
                    bail!(Stopped);
                }
            }
            saved(state)?;
            interrupt::check()?;
        }
        Ok(std::mem::take(&mut state.scores))
    }

    /// Looks at what removals save, once an iteration: times would differ the next time.
    fn weigh(&self, state: &mut State) -> Result<()> {
        if let Some(per) = self.per
            && state.savings.is_none()
        {
            state.savings = Some(Savings::of(per, &state.model, self.images)?);
        }
        Ok(())
    }

    fn compared(
        &mut self,
        state: &State,
        wanted: &[String],
        scoring: Scoring,
        begun: Vec<Tally>,
    ) -> Result<Ended<Values>> {
        let job = Job {
            model: &state.model,
            wanted,
            images: self.images,
            range: 0..self.images.len(),
            against: self
                .first
                .as_ref()
                .map_or(Against::Current, Against::Earlier),
            savings: state.savings.as_ref(),
        };
        let context = ScoringContext {
            job: &job,
            scoring: &scoring,
            seed: self.seed,
            iteration: state.iterations.len(),
            stop: &interrupt::is_asked,
        };
        self.criterion.measure(&context, begun)
    }

    /// Whether one of these blocks fell behind in a race before it had seen all images.
    pub fn has_dropped(&self, scores: &[Score], paths: &[String]) -> bool {
        let mut of_paths = scores.iter().filter(|s| paths.contains(&s.path));
        self.scoring.race.is_some() && of_paths.any(|s| s.samples < self.images.len())
    }

    /// The scores with all candidates compared on all images: what the race left out, because of it a block would be
    /// picked that had fallen behind.
    ///
    /// # Errors
    /// Those of scoring; and [`Stopped`].
    pub fn finished(&mut self, state: &State, scores: Vec<Score>) -> Result<Vec<Score>> {
        let images = self.images.len();
        let (done, dropped): (Vec<Score>, _) =
            scores.into_iter().partition(|s| s.samples >= images);
        let wanted: Vec<String> = dropped.into_iter().map(|s| s.path).collect();
        let exact = Scoring {
            race: None,
            ..self.scoring
        };
        let Ended::Done(found) = self.compared(state, &wanted, exact, Vec::new())? else {
            bail!(Stopped);
        };
        let done = done.into_iter().map(|s| (s.path, s.value, s.samples));
        let all = done.chain(found).collect();
        Ok(ranking(all, state.savings.as_ref()))
    }
}

impl Run {
    /// What scores the candidates of this run's iterations.
    ///
    /// # Errors
    /// If the original cannot run.
    pub(super) fn scorer(&self, original: &Model) -> Result<Scorer<'_>> {
        let images = &self.splits.calibration;
        let first = match self.reference {
            Reference::Current => None,
            Reference::Original => Some(representation(original, images, self.progress())?),
        };
        // Both change weights everywhere, so that nothing of one iteration holds in the next.
        let changes_weights = self.trains() || !self.repair.is_empty();
        let (reuse, memory) = if changes_weights {
            (None, self.scoring.memory)
        } else {
            let memory = self.scoring.memory / 2;
            (Some(Reuse::new(memory)), memory)
        };
        Ok(Scorer {
            criterion: self.criterion.criterion(reuse),
            per: self.per,
            scoring: Scoring {
                memory,
                ..self.scoring
            },
            seed: self.criterion_seed,
            images,
            first,
        })
    }
}
