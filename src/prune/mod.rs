//! The greedy loop: score, remove the block with the highest similarity, fine-tune, again
//! (arXiv 2405.17081, algorithm 1).

mod iteration;
mod pick;
mod removal;
mod rules;
mod targets;

use std::time::Instant;

use anyhow::Result;

use crate::analysis::{Analysis, Request};
use crate::archive::Archive;
use crate::blocks::Block;
use crate::cli::Reference;
use crate::criteria::{self, Criterion, Found, Look, Score, ranking};
use crate::data::{Loader, Part};
use crate::eval::{Metrics, evaluate};
use crate::finetune::{Distillation, Teacher, Training};
use crate::interface::Interface;
use crate::interrupt::Interrupt;
use crate::repair::Step;
use crate::score::{Against, Job, Reuse, Scoring, Tally, representation};
use crate::torch::Module;
use removal::Bench;

pub use iteration::{Figures, Iteration, Tuning};
pub use pick::Pick;
pub use rules::Rules;
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
}

/// Where a run stands between two iterations.
#[derive(Clone, Debug)]
pub struct State {
    pub archive: Archive,
    pub iterations: Vec<Iteration>,
    /// Removals that cost too much; each carries the number of the iteration it was tried for.
    pub rolled_back: Vec<Iteration>,
    /// What was scored of the next iteration before the user stopped the run.
    pub scoring: Vec<Tally>,
    /// Seconds of a forward pass of one image of the original, once measured.
    pub original_latency: Option<f64>,
}

impl State {
    /// Before the first iteration.
    #[must_use]
    pub fn new(original: &Archive) -> Self {
        State {
            archive: original.clone(),
            iterations: Vec::new(),
            rolled_back: Vec::new(),
            scoring: Vec::new(),
            original_latency: None,
        }
    }

    /// Removals that were rolled back since the last one that was kept.
    fn tried(&self) -> impl Iterator<Item = &Iteration> {
        let next = self.iterations.len() + 1;
        self.rolled_back.iter().filter(move |i| i.iteration == next)
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum RunEnded {
    Finished(State, Stop),
    /// The user stopped it while blocks were scored.
    Interrupted(State),
}

impl Run {
    /// Carries the run on from `state` to its end, or to where no candidate is left. `saved` is called after each
    /// iteration. `whole` are the figures of the original.
    ///
    /// # Errors
    /// Those of scoring, removal and fine-tuning.
    pub fn carry_on(
        &self,
        (original, whole): (&Archive, &Figures),
        mut state: State,
        request: &Request,
        images: &Images,
        mut saved: impl FnMut(&State) -> Result<()>,
    ) -> Result<RunEnded> {
        let progress = self.scoring.progress;
        let began = Analysis::of(original, request)?;
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
            let number = state.iterations.len() + 1;
            let mut analysis = Analysis::of(&state.archive, request)?;
            keep_names(&mut analysis, &began, &state.iterations);
            let tried: Vec<String> = state.tried().flat_map(|i| i.removed.clone()).collect();
            let mut candidates = self.rules.candidates(&analysis.blocks);
            candidates.retain(|b| !tried.contains(&b.path));
            if candidates.is_empty() {
                if !tried.is_empty() {
                    break Stop::MaxDrop;
                }
                self.warn_of_end(number - 1);
                break Stop::NoCandidates;
            }
            let begun = Instant::now();
            // A removal that was rolled back has left the network, and so the scores, as they were.
            let known = state.tried().next().map(|i| i.candidates.clone());
            let scores = match known {
                Some(scores) => scores,
                None => match scorer.score(&mut state, &analysis, &candidates)? {
                    Some(scores) => scores,
                    None => {
                        saved(&state)?;
                        return Ok(RunEnded::Interrupted(state));
                    }
                },
            };
            let chosen = self.choose(&analysis, &candidates, &scores, whole);
            let mut iteration = Iteration::of(number, &chosen, scores);
            let archive = bench.remove(
                &state.archive,
                &analysis,
                &mut iteration,
                state.original_latency,
            )?;
            iteration.seconds = begun.elapsed().as_secs_f64();
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
                state.iterations.push(iteration);
            }
            saved(&state)?;
        };
        Ok(RunEnded::Finished(state, stop))
    }

    /// Paths of the blocks to remove together, the best first.
    fn choose(
        &self,
        analysis: &Analysis,
        candidates: &[&Block],
        scores: &[Score],
        whole: &Figures,
    ) -> Vec<String> {
        let is_candidate = |b: &&Block| candidates.iter().any(|c| c.path == b.path);
        let best_first = scores
            .iter()
            .filter_map(|s| analysis.block(&s.path))
            .filter(is_candidate);
        let now = Figures::new(analysis, None);
        let enough = |gone: &[&Block]| {
            let without = Figures {
                macs: now.macs - gone.iter().map(|b| b.macs.count).sum::<i64>(),
                params: now.params - gone.iter().map(|b| b.params).sum::<i64>(),
                ..now
            };
            self.targets.met(0, whole, &without).is_some()
        };
        let chosen = self.rules.choose(
            &analysis.blocks,
            best_first,
            self.blocks_per_iteration,
            enough,
        );
        chosen.into_iter().map(|b| b.path.clone()).collect()
    }

    fn warn_of_end(&self, done: usize) {
        let asked = self
            .targets
            .iterations
            .map_or(String::new(), |n| format!(" of {n}"));
        self.scoring.progress.warn(format_args!(
            "stopping after {done}{asked} iterations: no candidate is left (--min-blocks-per-stage {}, --keep, --only)",
            self.rules.min_blocks_per_stage
        ));
    }

    /// Whether networks are fine-tuned: there are images to learn from, with labels or a teacher.
    #[must_use]
    pub fn trains(&self, images: &Images) -> bool {
        images.train.is_some()
            && self.training.epochs > 0
            && (images.has_labels() || self.distillation.is_some())
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

    fn scorer<'a>(
        &'a self,
        original: &Archive,
        began: &Analysis,
        images: &'a Images,
    ) -> Result<Scorer<'a>> {
        let calibration = (&images.calibration, &images.plain);
        let Scoring {
            device, progress, ..
        } = self.scoring;
        let first = match self.reference {
            Reference::Current => None,
            Reference::Original => Some(representation(
                original,
                began,
                calibration,
                device,
                progress,
            )?),
        };
        // Both change weights everywhere, so that nothing of one iteration holds in the next.
        let changes_weights = self.trains(images) || !self.repair.is_empty();
        let (reuse, memory) = match changes_weights {
            true => (None, self.scoring.memory),
            false => {
                let memory = self.scoring.memory / 2;
                (Some(Reuse::new(memory)), memory)
            }
        };
        Ok(Scorer {
            criterion: self.criterion.criterion(reuse),
            scoring: Scoring {
                memory,
                ..self.scoring
            },
            seed: self.criterion_seed,
            images: calibration,
            first,
        })
    }
}

/// Scores the candidates of each iteration.
struct Scorer<'a> {
    criterion: Box<dyn Criterion>,
    scoring: Scoring,
    seed: u64,
    images: (&'a Part, &'a Loader),
    /// The original's representation, where candidates are compared with that.
    first: Option<ndarray::Array2<f32>>,
}

impl Scorer<'_> {
    /// The candidates' scores, the best first; `None` if the user stopped it, and the state then holds what was scored.
    fn score(
        &mut self,
        state: &mut State,
        analysis: &Analysis,
        candidates: &[&Block],
    ) -> Result<Option<Vec<Score>>> {
        let wanted: Vec<String> = candidates.iter().map(|b| b.path.clone()).collect();
        let job = Job {
            archive: &state.archive,
            analysis,
            wanted: &wanted,
            images: self.images,
            range: 0..self.images.0.len(),
            against: self
                .first
                .as_ref()
                .map_or(Against::Current, Against::Earlier),
        };
        let interrupt = Interrupt::heed();
        let look = Look {
            job: &job,
            scoring: &self.scoring,
            seed: self.seed,
            iteration: state.iterations.len(),
            stop: &|| interrupt.is_asked(),
        };
        let begun = std::mem::take(&mut state.scoring);
        match self.criterion.measure(&look, begun)? {
            Found::Values(found) => Ok(Some(ranking(found))),
            Found::Stopped(tallies) => {
                state.scoring = tallies;
                Ok(None)
            }
        }
    }
}

/// Gives the blocks the names they had when the run began: a name by place, `stage2.block3`, would be another after
/// each removal.
fn keep_names(analysis: &mut Analysis, began: &Analysis, iterations: &[Iteration]) {
    let is_left = |path: &&String| !iterations.iter().any(|i| i.removed.contains(*path));
    let left: Vec<&String> = began
        .blocks
        .iter()
        .map(|b| &b.path)
        .filter(is_left)
        .collect();
    if left.len() == analysis.blocks.len() {
        for (block, path) in analysis.blocks.iter_mut().zip(left) {
            block.path.clone_from(path);
        }
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
