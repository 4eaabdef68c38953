//! The greedy loop: score, remove the block with the highest similarity, fine-tune, again
//! (arXiv 2405.17081, algorithm 1).
//!
//! In come a [`Model`], images and a [`Run`] as asked for; out come a model without some blocks, the figures of each
//! iteration, and a folder from which the run goes on. Imports from all rooms up to `train`.

pub mod gates;
mod iteration;
mod next;
mod pick;
mod recovery;
mod rules;
pub mod run_dir;
mod scorer;
mod splits;
mod state;
mod targets;
mod trainer;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::blocks::lineage::Lineage;
use crate::blocks::value::{Per, Reference};
use crate::report::progress::Progress;
use crate::run::interrupt;
use crate::run::torch::Model;
use crate::score::Scoring;
use crate::score::criteria;
use crate::train::finetune::{Teaching, Training};
use crate::train::measure::Measure;
use crate::train::repair::Step;
use recovery::Recovery;
use scorer::Scorer;

pub use iteration::{Figures, Iteration};
pub use recovery::Tune;
pub use rules::Rules;
pub use splits::Splits;
pub use state::{Begun, Phase, State};
pub use targets::{MaxDrop, Stop, Targets};
pub use trainer::Trainer;

/// A pruning run, as asked for.
#[derive(Clone, Debug)]
pub struct Run {
    pub targets: Targets,
    pub max_drop: Option<MaxDrop>,
    pub blocks_per_iteration: usize,
    pub rules: Rules,
    pub criterion: criteria::Name,
    /// What its value is weighed against.
    pub per: Option<Per>,
    /// Of what the criterion leaves to chance.
    pub criterion_seed: u64,
    pub reference: Reference,
    pub training: Training,
    /// What trains in place of this program, if it is not to do so itself.
    pub trainer: Option<Trainer>,
    /// What networks are measured by in place of accuracy.
    pub measure: Option<Measure>,
    /// Of each training the weights that do best are kept, those it began with among them; else the last ones.
    pub keeps_best: bool,
    /// What is learned from; the other network is the unpruned one.
    pub teaching: Teaching,
    /// What is tried after each removal, in this order.
    pub repair: Vec<Step>,
    pub scoring: Scoring,
    pub splits: Splits,
    /// Where training is kept half way, if it is to be.
    pub folder: Option<PathBuf>,
}

impl Run {
    /// Whether networks are fine-tuned after each removal.
    #[must_use]
    pub fn trains(&self) -> bool {
        self.training.epochs > 0 && self.can_train()
    }

    /// Whether there is a trainer, or images to learn from, with labels or a teacher.
    #[must_use]
    pub fn can_train(&self) -> bool {
        let train = self.splits.train.as_ref();
        self.trainer.is_some()
            || train.is_some_and(|images| images.is_labelled() || self.teaching.has_teacher())
    }

    #[must_use]
    pub fn progress(&self) -> Progress {
        self.scoring.progress
    }

    /// Carries the run on from `state` to its end, or to where no candidate is left. `saved` is called after each step of
    /// an iteration: scoring, removal with repair, fine-tuning. `whole` are the figures of the original.
    ///
    /// # Errors
    /// Those of scoring, removal and fine-tuning; and [`Stopped`](interrupt::Stopped), after a call of `saved`.
    pub fn carry_on(
        &self,
        original: &Model,
        whole: &Figures,
        state: State,
        saved: &mut dyn FnMut(&State) -> Result<()>,
    ) -> Result<(State, Stop)> {
        PruningLoop::new(self, original, whole, state, saved)?.run()
    }
}

/// A run under way.
struct PruningLoop<'a> {
    run: &'a Run,
    /// Figures of the original.
    whole: Figures,
    state: State,
    /// Names that blocks keep while others go.
    lineage: Lineage,
    scorer: Scorer<'a>,
    recovery: Recovery<'a>,
    saved: &'a mut dyn FnMut(&State) -> Result<()>,
}

/// What a run does next.
enum Next {
    /// Score, remove and repair.
    Remove,
    /// Fine-tune and measure what a removal has left.
    Tune(Box<Begun>),
    Stop(Stop),
}

impl<'a> PruningLoop<'a> {
    fn new(
        run: &'a Run,
        original: &'a Model,
        whole: &Figures,
        mut state: State,
        saved: &'a mut dyn FnMut(&State) -> Result<()>,
    ) -> Result<Self> {
        let done: Vec<_> = state.iterations.iter().map(|i| i.removed.clone()).collect();
        let (_, lineage) = Lineage::replay(original.archive(), original.analysis(), &done)?;
        let recovery = Recovery::new(run, original)?;
        let scorer = run.scorer(original)?;
        if run.targets.latency.is_some() && state.original_latency.is_none() {
            let [seconds, _] = run.pace_of_one([original, original])?;
            state.original_latency = Some(seconds);
        }
        let whole = Figures {
            latency: state.original_latency,
            ..*whole
        };
        Ok(PruningLoop {
            run,
            whole,
            state,
            lineage,
            scorer,
            recovery,
            saved,
        })
    }

    fn run(mut self) -> Result<(State, Stop)> {
        loop {
            match self.next() {
                Next::Stop(stop) => return Ok((self.state, stop)),
                Next::Remove => {
                    if let Some(stop) = self.remove()? {
                        return Ok((self.state, stop));
                    }
                }
                Next::Tune(begun) => self.tune(*begun)?,
            }
        }
    }

    fn next(&mut self) -> Next {
        let done = &self.state.iterations;
        let now = done.last().map_or(&self.whole, |last| &last.after);
        if let Some(stop) = self.run.targets.met(done.len(), &self.whole, now) {
            return Next::Stop(stop);
        }
        let tried = self.state.tried().count();
        if self.run.max_drop.is_some_and(|m| tried > m.retries) {
            return Next::Stop(Stop::MaxDrop);
        }
        self.lineage.name(self.state.model.analysis_mut());
        let begun = self.state.begun.take().map(Box::new);
        begun.map_or(Next::Remove, Next::Tune)
    }

    /// Removes the best candidates; why not, if there is none.
    fn remove(&mut self) -> Result<Option<Stop>> {
        interrupt::check()?;
        // Scoring loads the network in another form.
        self.state.model.unload();
        let begun = Instant::now();
        let mut removed = match self.remove_next()? {
            ControlFlow::Continue(removed) => removed,
            ControlFlow::Break(stop) => return Ok(Some(stop)),
        };
        removed.iteration.seconds = begun.elapsed().as_secs_f64();
        self.state.begun = Some(removed);
        // Without training what is left to do takes no longer than this.
        if self.run.trains() {
            (self.saved)(&self.state)?;
        }
        Ok(None)
    }

    /// Fine-tunes and measures what a removal has left, and keeps it or rolls it back.
    fn tune(&mut self, removed: Begun) -> Result<()> {
        let mut iteration = removed.iteration;
        let begun = Instant::now();
        let latency = self.state.original_latency;
        let model = self
            .recovery
            .tuned(removed.model, &mut iteration, latency)?;
        iteration.seconds += begun.elapsed().as_secs_f64();
        let (before, after) = (self.whole.decisive(), iteration.after.decisive());
        let max_drop = self.run.max_drop;
        let too_much = max_drop.is_some_and(|m| m.exceeded(before, after));
        let line = self.run.progress_line(&iteration, too_much);
        self.run.progress().note(line);
        if too_much {
            self.state.rolled_back.push(iteration);
        } else {
            let pruned = self.state.model.analysis();
            self.lineage.follow(pruned, &iteration.removed);
            self.state.model = model;
            self.state.savings = None;
            self.state.iterations.push(iteration);
        }
        (self.saved)(&self.state)
    }
}

impl Run {
    fn progress_line(&self, iteration: &Iteration, rolled_back: bool) -> String {
        let of = self.targets.iterations;
        let of = of.map_or(String::new(), |of| format!("/{of}"));
        let yardstick = self.yardstick();
        let steps: Vec<String> = iteration
            .qualities()
            .into_iter()
            .flatten()
            .map(|quality| yardstick.show(quality))
            .collect();
        let quality = match steps[..] {
            [] => String::new(),
            _ => format!(", {} {}", yardstick.name(), steps.join(" → ")),
        };
        let done = if rolled_back {
            "rolled back"
        } else {
            "removed"
        };
        format!(
            "[{}{of}] {done} {}: {} {:.6} (of {} candidates){quality}, {:.0} s",
            iteration.iteration,
            iteration.removed.join(", "),
            iteration.value.word(),
            iteration.value.number(),
            iteration.candidates.len(),
            iteration.seconds
        )
    }
}
