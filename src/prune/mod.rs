//! The greedy loop: score, remove the block with the highest similarity, fine-tune, again
//! (arXiv 2405.17081, algorithm 1).

pub mod gates;
mod iteration;
mod next;
mod pick;
mod removal;
mod rules;
pub mod run_dir;
mod scorer;
mod state;
mod targets;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;

use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, Request};
use crate::blocks::lineage::Lineage;
use crate::data::{Loader, Part};
use crate::program::interface::Interface;
use crate::run::interrupt;
use crate::run::torch::Module;
use crate::score::Scoring;
use crate::score::criteria;
use crate::train::eval::{Metrics, evaluate};
use crate::train::finetune::{Distillation, Teacher, Training};
use crate::train::repair::Step;
use removal::Bench;

pub use iteration::{Figures, Iteration, Tuning};
pub use pick::Pick;
pub use rules::Rules;
pub use scorer::Reference;
pub use state::{Begun, Phase, State};
pub use targets::{MaxDrop, Stop, Targets};

/// The images of a run.
#[derive(Clone, Debug)]
pub struct Images {
    /// Drawn from the training part; scoring sees nothing else.
    pub calibration: Part,
    /// What fine-tuning learns from, if there are labels.
    pub train: Option<Part>,
    /// Taken from the training part: what the best epoch is picked by.
    pub validation: Option<Part>,
    /// Only ever measured on.
    pub test: Option<Part>,
    /// Without shuffling or augmentation.
    pub plain: Loader,
    /// Shuffled and augmented.
    pub training: Loader,
}

impl Images {
    /// Whether fine-tuning has labels to learn from.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.train.as_ref().is_some_and(|t| t.labels().is_some())
    }
}

/// A pruning run, as asked for.
#[derive(Clone, Debug)]
pub struct Run {
    pub targets: Targets,
    pub max_drop: Option<MaxDrop>,
    pub blocks_per_iteration: usize,
    pub rules: Rules,
    pub criterion: criteria::Name,
    /// Of what the criterion leaves to chance.
    pub criterion_seed: u64,
    pub reference: Reference,
    pub training: Training,
    /// Learn from the unpruned network.
    pub distillation: Option<Distillation>,
    /// What is tried after each removal, in this order.
    pub repair: Vec<Step>,
    /// Of the network; removals do not change it.
    pub interface: Interface,
    pub scoring: Scoring,
    /// Where training is kept half way, if it is to be.
    pub folder: Option<PathBuf>,
}

impl Run {
    /// Carries the run on from `state` to its end, or to where no candidate is left. `saved` is called after each step of
    /// an iteration: scoring, removal with repair, fine-tuning. `whole` are the figures of the original.
    ///
    /// # Errors
    /// Those of scoring, removal and fine-tuning; and [`Stopped`](interrupt::Stopped), after a call of `saved`.
    pub fn carry_on(
        &self,
        (original, whole): (&Archive, &Figures),
        mut state: State,
        request: &Request,
        images: &Images,
        mut saved: impl FnMut(&State) -> Result<()>,
    ) -> Result<(State, Stop)> {
        let progress = self.scoring.progress;
        let began = Analysis::of(original, request)?;
        let done: Vec<_> = state.iterations.iter().map(|i| i.removed.clone()).collect();
        let (_, mut lineage) = Lineage::replay(original, &began, &done)?;
        let mut bench = Bench::new(self, images, original, &began)?;
        let mut scorer = self.scorer(original, &began, images)?;
        if self.targets.latency.is_some() && state.original_latency.is_none() {
            let [seconds, _] = self.pace_of_one([original, original], images)?;
            state.original_latency = Some(seconds);
        }
        let whole = &Figures {
            latency: state.original_latency,
            ..*whole
        };
        let stop = loop {
            let now = state.iterations.last().map_or(whole, |last| &last.after);
            if let Some(stop) = self.targets.met(state.iterations.len(), whole, now) {
                break stop;
            }
            if let Some(max_drop) = &self.max_drop
                && state.tried().count() > max_drop.retries
            {
                break Stop::MaxDrop;
            }
            interrupt::check()?;
            let mut analysis = Analysis::of(&state.archive, request)?;
            lineage.name(&mut analysis);
            if state.begun.is_none() {
                let begun = Instant::now();
                let tools = (&bench, &mut scorer);
                match self.remove_next(tools, &mut state, &analysis, whole, &mut saved)? {
                    ControlFlow::Continue(mut removed) => {
                        removed.iteration.seconds = begun.elapsed().as_secs_f64();
                        state.begun = Some(removed);
                    }
                    ControlFlow::Break(stop) => break stop,
                }
                // Without training what is left to do takes no longer than this.
                if self.trains(images) {
                    saved(&state)?;
                }
            }
            let Some(removed) = state.begun.take() else {
                continue;
            };
            let mut iteration = removed.iteration;
            let begun = Instant::now();
            let latency = state.original_latency;
            let archive =
                bench.tune(removed.archive, &analysis.request, &mut iteration, latency)?;
            iteration.seconds += begun.elapsed().as_secs_f64();
            let (before, after) = (
                whole.validation_accuracy,
                iteration.after.validation_accuracy,
            );
            let too_much = self.max_drop.is_some_and(|m| m.exceeded(before, after));
            progress.note(progress_line(&iteration, self.targets.iterations, too_much));
            if too_much {
                state.rolled_back.push(iteration);
            } else {
                state.archive = archive;
                lineage.follow(&analysis, &iteration.removed);
                state.iterations.push(iteration);
            }
            saved(&state)?;
        };
        Ok((state, stop))
    }

    /// Whether networks are fine-tuned after each removal.
    #[must_use]
    pub fn trains(&self, images: &Images) -> bool {
        self.training.epochs > 0 && self.can_train(images)
    }

    /// Whether there are images to learn from, with labels or a teacher.
    #[must_use]
    pub fn can_train(&self, images: &Images) -> bool {
        images.train.is_some() && (images.has_labels() || self.distillation.is_some())
    }

    /// The unpruned network, to learn from.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn teacher(&self, original: &Archive, images: &Images) -> Result<Option<Teacher>> {
        let Some(distillation) = self.distillation else {
            return Ok(None);
        };
        let module = Module::load(original, self.scoring.device, &self.interface)?;
        Ok(Some(Teacher::new(module, distillation, &images.training)))
    }

    /// Test accuracy of an archive, if there are labelled test images.
    ///
    /// # Errors
    /// If it cannot run.
    pub fn measure(&self, archive: &Archive, images: &Images) -> Result<Option<Metrics>> {
        self.evaluated(archive, images.test.as_ref(), images, "measuring")
    }

    /// Accuracy on the validation images, if there are any.
    ///
    /// # Errors
    /// If the archive cannot run.
    pub fn validate(&self, archive: &Archive, images: &Images) -> Result<Option<f64>> {
        let metrics = self.evaluated(archive, images.validation.as_ref(), images, "validating")?;
        Ok(metrics.map(|m| m.accuracy))
    }

    fn evaluated(
        &self,
        archive: &Archive,
        part: Option<&Part>,
        images: &Images,
        what: &str,
    ) -> Result<Option<Metrics>> {
        let Some(part) = part else {
            return Ok(None);
        };
        let module = Module::load(archive, self.scoring.device, &self.interface)?;
        evaluate(&module, part, &images.plain, self.scoring.progress, what).map(Some)
    }
}

fn progress_line(iteration: &Iteration, of: Option<usize>, rolled_back: bool) -> String {
    let of = of.map_or(String::new(), |of| format!("/{of}"));
    let steps: Vec<String> = iteration
        .accuracies()
        .into_iter()
        .flatten()
        .map(|accuracy| format!("{:.2} %", 100. * accuracy))
        .collect();
    let quality = match steps[..] {
        [] => String::new(),
        _ => format!(", accuracy {}", steps.join(" → ")),
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
