//! The greedy loop: score, remove the block with the highest similarity, fine-tune, again
//! (arXiv 2405.17081, algorithm 1).

mod iteration;
mod targets;

use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::analysis::{Analysis, Request};
use crate::archive::Archive;
use crate::blocks::Block;
use crate::cli::Reference;
use crate::data::{Loader, Part};
use crate::eval::{Metrics, evaluate};
use crate::finetune::{Distillation, Lessons, Teacher, Training, finetune};
use crate::interface::Interface;
use crate::interrupt::Interrupt;
use crate::options::Globs;
use crate::patch::Patch;
use crate::repair::Workshop;
use crate::score::{Against, Ended, Job, Reuse, Score, Scoring, Tally, ranking, representation};
use crate::torch::Module;

pub use iteration::{Figures, Iteration, Repair};
pub use targets::{Stop, Targets};

/// Which blocks may go.
#[derive(Clone, Debug)]
pub struct Rules {
    pub keep: Option<Globs>,
    pub only: Option<Globs>,
    /// Blocks that stay in each stage, shape-changing ones counted.
    pub min_blocks_per_stage: usize,
}

impl Rules {
    /// The removable blocks that may go next.
    #[must_use]
    pub fn candidates<'a>(&self, blocks: &'a [Block]) -> Vec<&'a Block> {
        let left = |stage: usize| blocks.iter().filter(|b| b.stage == stage).count();
        let selected = |b: &Block| {
            !self.keep.as_ref().is_some_and(|g| g.matches(&b.path))
                && self.only.as_ref().is_none_or(|g| g.matches(&b.path))
        };
        blocks
            .iter()
            .filter(|b| {
                b.is_removable() && selected(b) && left(b.stage) > self.min_blocks_per_stage
            })
            .collect()
    }

    /// Refuses a glob that matches no block.
    ///
    /// # Errors
    /// One message that names the glob.
    pub fn check(&self, blocks: &[Block]) -> Result<()> {
        for (option, globs) in [("--keep", &self.keep), ("--only", &self.only)] {
            if let Some(globs) = globs
                && let Some(glob) = globs.without_match(blocks.iter().map(|b| b.path.as_str()))
            {
                bail!("{option} {glob} matches no block; `ckaprune inspect` lists their paths");
            }
        }
        Ok(())
    }
}

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

/// A pruning run, as asked for.
#[derive(Clone, Debug)]
pub struct Run {
    pub targets: Targets,
    pub rules: Rules,
    pub reference: Reference,
    pub training: Training,
    /// Learn from the unpruned network.
    pub distillation: Option<Distillation>,
    /// Bring batch normalisation back in step after each removal.
    pub repairs: bool,
    /// Of the network; removals do not change it.
    pub interface: Interface,
    pub scoring: Scoring,
}

/// Where a run stands between two iterations.
#[derive(Clone, Debug)]
pub struct State {
    pub archive: Archive,
    pub iterations: Vec<Iteration>,
    /// What was scored of the next iteration before the user stopped the run.
    pub scoring: Vec<Tally>,
}

impl State {
    /// Before the first iteration.
    #[must_use]
    pub fn new(original: &Archive) -> Self {
        State {
            archive: original.clone(),
            iterations: Vec::new(),
            scoring: Vec::new(),
        }
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
    /// iteration.
    ///
    /// # Errors
    /// Those of scoring, removal and fine-tuning.
    pub fn carry_on(
        &self,
        original: &Archive,
        mut state: State,
        request: &Request,
        images: &Images,
        mut saved: impl FnMut(&State) -> Result<()>,
    ) -> Result<RunEnded> {
        let Scoring {
            device, progress, ..
        } = self.scoring;
        let began = Analysis::of(original, request)?;
        let calibration = (&images.calibration, &images.plain);
        let first = match self.reference {
            Reference::Current => None,
            Reference::Original => Some(representation(
                original,
                &began,
                calibration,
                device,
                progress,
            )?),
        };
        let mut tools = Tools {
            workshop: match self.repairs {
                true => Some(Workshop::new(
                    original,
                    &self.interface,
                    calibration,
                    device,
                    progress,
                )?),
                false => None,
            },
            teacher: match self.trains(images) {
                true => self.teacher(original, images)?,
                false => None,
            },
        };
        // Both change weights everywhere, so that nothing of one iteration holds in the next.
        let (mut reuse, scoring) = if self.trains(images) || self.repairs {
            (None, self.scoring)
        } else {
            let memory = self.scoring.memory / 2;
            let scoring = Scoring {
                memory,
                ..self.scoring
            };
            (Some(Reuse::new(memory)), scoring)
        };
        let whole = Figures::new(&began, None);
        let stop = loop {
            let now = state.iterations.last().map_or(whole, |last| last.after);
            if let Some(stop) = self.targets.met(state.iterations.len(), &whole, &now) {
                break stop;
            }
            let number = state.iterations.len() + 1;
            let mut analysis = Analysis::of(&state.archive, request)?;
            keep_names(&mut analysis, &began, &state.iterations);
            let candidates = self.rules.candidates(&analysis.blocks);
            if candidates.is_empty() {
                let asked = self
                    .targets
                    .iterations
                    .map_or(String::new(), |n| format!(" of {n}"));
                progress.warn(format_args!(
                    "stopping after {}{asked} removals: no candidate is left (--min-blocks-per-stage {}, --keep, --only)",
                    number - 1,
                    self.rules.min_blocks_per_stage
                ));
                break Stop::NoCandidates;
            }
            let begun = Instant::now();
            let wanted: Vec<String> = candidates.iter().map(|b| b.path.clone()).collect();
            let job = Job {
                archive: &state.archive,
                analysis: &analysis,
                wanted: &wanted,
                images: (&images.calibration, &images.plain),
                range: 0..images.calibration.len(),
                against: first.as_ref().map_or(Against::Current, Against::Earlier),
            };
            let begun_tallies = std::mem::take(&mut state.scoring);
            let interrupt = Interrupt::heed();
            let tallies = match scoring.run(&job, begun_tallies, reuse.as_mut(), &|| {
                interrupt.is_asked()
            })? {
                Ended::Scored(tallies) if !interrupt.is_asked() => tallies,
                Ended::Scored(tallies) | Ended::Interrupted(tallies) => {
                    state.scoring = tallies;
                    saved(&state)?;
                    return Ok(RunEnded::Interrupted(state));
                }
            };
            drop(interrupt);
            let scores = ranking(&tallies)?;
            let iteration = self.remove_best(
                &mut state.archive,
                &analysis,
                scores,
                number,
                images,
                &mut tools,
            )?;
            let iteration = Iteration {
                seconds: begun.elapsed().as_secs_f64(),
                ..iteration
            };
            progress.note(progress_line(&iteration, self.targets.iterations));
            state.iterations.push(iteration);
            saved(&state)?;
        };
        Ok(RunEnded::Finished(state, stop))
    }

    fn remove_best(
        &self,
        archive: &mut Archive,
        analysis: &Analysis,
        scores: Vec<Score>,
        number: usize,
        images: &Images,
        tools: &mut Tools,
    ) -> Result<Iteration> {
        let best = scores.first().context("nothing was scored")?.clone();
        let patch = Patch::remove(analysis, std::slice::from_ref(&best.path))?;
        *archive = patch.apply(archive, analysis)?;
        let mut accuracy_before_repair = None;
        let mut accuracy_before_finetuning = None;
        let mut train_loss = None;
        let request = &analysis.request;
        let repaired = match &tools.workshop {
            Some(workshop) => workshop.normalisation(archive, &Analysis::of(archive, request)?)?,
            None => None,
        };
        let repair = match repaired {
            Some(repaired) => {
                accuracy_before_repair = self.measure(archive, images)?.map(|m| m.accuracy);
                *archive = repaired.archive;
                Some(Repair {
                    agreement_before: repaired.before.same_class,
                    agreement_after: repaired.after.same_class,
                })
            }
            None => None,
        };
        if let Some(train) = images.train.as_ref().filter(|_| self.trains(images)) {
            accuracy_before_finetuning = self.measure(archive, images)?.map(|m| m.accuracy);
            let first_epoch = (number - 1) * self.training.epochs;
            let trained = finetune(
                archive,
                &self.interface,
                lessons(train, images, tools.teacher.as_mut()),
                &self.training,
                first_epoch,
                self.scoring.device,
                self.scoring.progress,
            )?;
            train_loss = trained.losses.last().copied();
            *archive = trained.archive;
        }
        let metrics = self.measure(archive, images)?;
        let after = Figures::new(&Analysis::of(archive, request)?, metrics.as_ref());
        Ok(Iteration {
            iteration: number,
            removed: best.path,
            cka: best.cka,
            candidates: scores,
            repair,
            accuracy_before_repair,
            accuracy_before_finetuning,
            train_loss,
            after,
            seconds: 0.,
        })
    }

    fn trains(&self, images: &Images) -> bool {
        images.train.is_some() && self.training.epochs > 0
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
    pub fn measure(&self, archive: &Archive, images: &Images) -> Result<Option<Metrics>> {
        let Some(test) = &images.test else {
            return Ok(None);
        };
        let module = Module::load(archive, self.scoring.device, &self.interface)?;
        let progress = self.scoring.progress;
        evaluate(&module, test, &images.plain, progress, "measuring").map(Some)
    }
}

/// What a run has at hand after each removal.
struct Tools<'a> {
    workshop: Option<Workshop<'a>>,
    teacher: Option<Teacher>,
}

/// What a network of this run learns from.
#[must_use]
pub fn lessons<'a>(
    train: &'a Part,
    images: &'a Images,
    teacher: Option<&'a mut Teacher>,
) -> Lessons<'a> {
    Lessons {
        train,
        loader: &images.training,
        validation: images.validation.as_ref().map(|v| (v, &images.plain)),
        teacher,
    }
}

/// Gives the blocks the names they had when the run began: a name by place, `stage2.block3`, would be another after
/// each removal.
fn keep_names(analysis: &mut Analysis, began: &Analysis, iterations: &[Iteration]) {
    let is_left = |path: &&String| !iterations.iter().any(|i| i.removed == **path);
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

fn progress_line(iteration: &Iteration, of: Option<usize>) -> String {
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
    format!(
        "[{}{of}] removed {}: CKA {:.6} (of {} candidates){quality}, {:.0} s",
        iteration.iteration,
        iteration.removed,
        iteration.cka,
        iteration.candidates.len(),
        iteration.seconds
    )
}
