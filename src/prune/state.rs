//! Where a run stands: what is kept of it, and goes on from there.

use super::Iteration;
use crate::run::torch::Model;
use crate::score::criteria::Score;
use crate::score::{Savings, Tally};

/// What a network of a run is trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the first removal.
    Pretraining,
    /// After a removal.
    Iteration,
    /// After the last one.
    Final,
    /// The unpruned network, for comparison.
    Baseline,
}

impl Phase {
    pub const ALL: [Phase; 4] = [
        Phase::Pretraining,
        Phase::Iteration,
        Phase::Final,
        Phase::Baseline,
    ];

    /// Where in a run's folder such a training is kept while it goes on.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Phase::Pretraining => "pretraining.checkpoint",
            Phase::Iteration => "iteration.checkpoint",
            Phase::Final => "final.checkpoint",
            Phase::Baseline => "baseline.checkpoint",
        }
    }
}

/// A removal whose network is not fine-tuned yet.
#[derive(Clone, Debug)]
pub struct Begun {
    /// Without the blocks, and repaired.
    pub model: Model,
    /// As far as it goes.
    pub iteration: Iteration,
}

/// Where a run stands between two steps.
#[derive(Clone, Debug)]
pub struct State {
    /// After the last iteration.
    pub model: Model,
    pub iterations: Vec<Iteration>,
    /// Removals that cost too much; each carries the number of the iteration it was tried for.
    pub rolled_back: Vec<Iteration>,
    /// What was scored of the next iteration before the user stopped the run.
    pub scoring: Vec<Tally>,
    /// What removals of the next iteration save, once it was looked at.
    pub savings: Option<Savings>,
    /// The scores of the next iteration, the best first, once they are all there.
    pub scores: Vec<Score>,
    /// The next iteration, once its removal is done.
    pub begun: Option<Begun>,
    /// Seconds of a forward pass of one image of the original, once measured.
    pub original_latency: Option<f64>,
}

impl State {
    /// Before the first iteration.
    #[must_use]
    pub fn new(original: &Model) -> Self {
        State {
            model: original.clone(),
            iterations: Vec::new(),
            rolled_back: Vec::new(),
            scoring: Vec::new(),
            savings: None,
            scores: Vec::new(),
            begun: None,
            original_latency: None,
        }
    }

    /// Removals that were rolled back since the last one that was kept.
    pub(super) fn tried(&self) -> impl Iterator<Item = &Iteration> {
        let next = self.iterations.len() + 1;
        self.rolled_back.iter().filter(move |i| i.iteration == next)
    }
}
