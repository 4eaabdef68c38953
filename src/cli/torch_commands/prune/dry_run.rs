//! `ckaprune prune --dry-run`: what a run would do, and what it would take, measured on a few images.

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::super::{Outcome, blame, show};
use super::job::Job;
use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::blocks::patch::Patch;
use crate::data::{Images, Samples};
use crate::prune::{Figures, Phase, Run, Splits, Tune};
use crate::report::progress::Progress;
use crate::report::{SCHEMA, percent, thousands};
use crate::run::memory::Memory;
use crate::run::torch::Model;
use crate::run::torch::Peak;
use crate::score::criteria::ScoringContext;
use crate::score::{self, Against, Scoring};
use crate::train::eval::evaluate;
use crate::train::finetune::Training;
use crate::train::repair::Repairer;

#[derive(Serialize)]
struct DryRunReport {
    schema: u32,
    command: &'static str,
    dry_run: bool,
    model: String,
    /// What would be written.
    output: String,
    /// Blocks that would be scored first, in the order in which they run.
    candidates: Vec<String>,
    /// Blocks that can go at most, `--min-blocks-per-stage` and the targets being kept.
    removals: usize,
    calibration_images: usize,
    training_images: usize,
    test_images: usize,
    params: i64,
    macs: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_macs: Option<f64>,
    seconds: Seconds,
    /// Bytes beyond what the process had before, in these trials.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory: Option<u64>,
}

/// Estimates for the unpruned network; each removal makes it quicker.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Seconds {
    /// Of all candidates, once.
    scoring: f64,
    /// After one removal.
    repair: f64,
    /// One epoch of fine-tuning; 0 if nothing is trained.
    epoch: f64,
    /// One pass over the test images.
    measuring: f64,
    /// The whole run at most: as if no removal made the network quicker.
    run: f64,
}

/// Images of the smaller and of the larger trial. Their difference tells the time of an image, without what it takes to
/// begin.
const TRIALS: [usize; 2] = [64, 192];

pub(super) fn run(job: &Job) -> Result<Outcome> {
    let Job { options, run, .. } = job;
    let path = &options.model.model;
    let analysis = job.model.analysis();
    let candidates = run.rules.candidates(analysis);
    let candidates: Vec<String> = candidates.iter().map(|b| b.path.clone()).collect();
    let removals = removals(run, analysis);
    let peak = Peak::begin();
    let trial = Trial {
        run,
        model: &job.model,
        candidates: &candidates,
        seed: options.data.seed,
        trains: job.trains_at_all(),
    };
    let mut seconds = trial.seconds().map_err(blame(path))?;
    seconds.run = whole(job, seconds, removals);
    let Splits {
        calibration,
        train,
        test,
        ..
    } = &run.splits;
    let report = DryRunReport {
        schema: SCHEMA,
        command: "prune",
        dry_run: true,
        model: path.display().to_string(),
        output: job.output.display().to_string(),
        removals,
        calibration_images: calibration.len(),
        training_images: train.as_ref().map_or(0, Images::len),
        test_images: test.as_ref().map_or(0, Images::len),
        params: analysis.params(),
        macs: analysis.macs().count,
        target_macs: options.target_macs,
        seconds,
        peak_memory: peak.and_then(Peak::end),
        candidates,
    };
    show(options.messages, &report, || {
        report.text(job.trains_at_all())
    })?;
    Ok(Outcome::Done)
}

/// How many blocks may go, one after another, until a stage or a target says no.
fn removals(run: &Run, analysis: &Analysis) -> usize {
    let best_first = run.rules.candidates(analysis).into_iter();
    let most = run.targets.iterations.unwrap_or(usize::MAX);
    let most = most.saturating_mul(run.blocks_per_iteration);
    let whole = Figures::of(analysis);
    let enough = |gone: &[&Block]| run.targets.met(0, &whole, &whole.without(gone)).is_some();
    let chosen = run.rules.choose(&analysis.blocks, best_first, most, enough);
    chosen.len()
}

/// The whole run, as if every network took what the unpruned one does.
fn whole(job: &Job, seconds: Seconds, removals: usize) -> f64 {
    let Job { options, run, .. } = job;
    let iterations = removals.div_ceil(run.blocks_per_iteration) as f64;
    let tuned = if run.can_train() {
        iterations * run.training.epochs as f64 + job.final_epochs as f64
    } else {
        0.
    };
    let baseline = if options.baseline { tuned } else { 0. };
    let epochs = options.pretrain as f64 + tuned + baseline;
    // Before and after fine-tuning, and the network before and after all.
    let measured = 2. * iterations + 2.;
    iterations * (seconds.scoring + seconds.repair)
        + epochs * seconds.epoch
        + measured * seconds.measuring
}

/// Parts of the run on a few images.
struct Trial<'a> {
    run: &'a Run,
    model: &'a Model,
    candidates: &'a [String],
    seed: u64,
    /// Some network of the run will be trained.
    trains: bool,
}

impl Trial<'_> {
    fn seconds(&self) -> Result<Seconds> {
        let splits = &self.run.splits;
        let calibration = &splits.calibration;
        let scoring = self.extrapolated(calibration, |images| self.score(images))?;
        let repair = if self.run.repair.is_empty() {
            0.
        } else {
            self.extrapolated(calibration, |images| self.repair(images))?
        };
        let epoch = match &splits.train {
            Some(train) if self.trains => {
                self.extrapolated(train, |images| self.train(images.clone()))?
            }
            _ => 0.,
        };
        let measuring = match &splits.test {
            Some(test) => self.extrapolated(test, |images| self.measure(images))?,
            None => 0.,
        };
        Ok(Seconds {
            scoring,
            repair,
            epoch,
            measuring,
            run: 0.,
        })
    }

    /// Seconds that `work` would take with all images, from two trials with a few.
    fn extrapolated(&self, all: &Images, work: impl Fn(&Images) -> Result<()>) -> Result<f64> {
        let mut trials = [(0., 0.); 2];
        for (trial, images) in trials.iter_mut().zip(TRIALS) {
            let few = NonZeroUsize::new(images.min(all.len())).map_or(Samples::All, Samples::N);
            let few = all.draw(few, self.seed);
            let begun = Instant::now();
            work(&few)?;
            *trial = (few.len() as f64, begun.elapsed().as_secs_f64());
        }
        Ok(line_through(trials, all.len() as f64))
    }

    fn score(&self, images: &Images) -> Result<()> {
        let job = score::Job {
            model: self.model,
            wanted: self.candidates,
            images,
            range: 0..images.len(),
            against: Against::Current,
            savings: None,
        };
        let scoring = Scoring {
            progress: QUIET,
            ..self.run.scoring
        };
        let context = ScoringContext {
            job: &job,
            scoring: &scoring,
            seed: self.seed,
            iteration: 0,
            stop: &|| false,
        };
        let mut criterion = self.run.criterion.criterion(None);
        criterion.measure(&context, Vec::new()).map(drop)
    }

    fn repair(&self, images: &Images) -> Result<()> {
        let analysis = self.model.analysis();
        // One that cannot be taken out is passed over in a run as well.
        let without = |path: &String| {
            let patch = Patch::remove(analysis, std::slice::from_ref(path)).ok()?;
            let archive = patch.apply(self.model.archive(), analysis).ok()?;
            self.model.changed_into(archive).ok()
        };
        let mut candidates = self.candidates.iter();
        let Some((path, pruned)) = candidates.find_map(|path| Some((path, without(path)?))) else {
            return Ok(());
        };
        let repairer = Repairer::new(self.model, images, QUIET)?;
        let removed = std::slice::from_ref(path);
        repairer.repair(pruned, removed, &self.run.repair).map(drop)
    }

    fn train(&self, images: Images) -> Result<()> {
        // Of a few batches at the highest rate training may well diverge. Without a rate it takes the same time.
        let training = Training {
            epochs: 1,
            learning_rate: 0.,
            ..self.run.training.clone()
        };
        let quiet = Run {
            scoring: Scoring {
                progress: QUIET,
                ..self.run.scoring
            },
            splits: Splits {
                train: Some(images),
                validation: None,
                ..self.run.splits.clone()
            },
            folder: None,
            ..self.run.clone()
        };
        let tune = Tune {
            phase: Phase::Iteration,
            training: &training,
            first_epoch: 0,
        };
        let mut teacher = quiet.teacher(self.model)?;
        let trained = quiet.tuned(self.model.clone(), teacher.as_mut(), None, &tune);
        trained.map(drop)
    }

    fn measure(&self, images: &Images) -> Result<()> {
        let module = self.model.module()?;
        evaluate(module, images, self.run.progress(), "measuring").map(drop)
    }
}

const QUIET: Progress = Progress { quiet: true };

/// The value at `x` of the line through two points; the second one's value where they coincide.
fn line_through([(x0, y0), (x1, y1)]: [(f64, f64); 2], x: f64) -> f64 {
    if x1 <= x0 {
        return y1;
    }
    // The first trial carries what is done once in a process: a slope is never less than none.
    let slope = ((y1 - y0) / (x1 - x0)).max(0.);
    // … nor can fixed costs be negative.
    (y1 + slope * (x - x1)).max(y1)
}

impl DryRunReport {
    fn text(&self, trains: bool) -> String {
        let lines = self.plan().into_iter();
        let lines = lines.chain(self.times(trains)).chain(self.costs());
        let lines: String = lines
            .map(|(word, text)| format!("  {word:<11} {text}\n"))
            .collect();
        format!(
            "{}: nothing was removed or written (--dry-run)\n{lines}",
            self.model
        )
    }

    /// What would be removed.
    fn plan(&self) -> [(&'static str, String); 2] {
        let candidates = format!("{}: {}", self.candidates.len(), self.candidates.join(", "));
        [
            ("candidates", candidates),
            ("removals", format!("{} at most", self.removals)),
        ]
    }

    /// How long each part of the run would take.
    fn times(&self, trains: bool) -> Vec<(&'static str, String)> {
        let about = |images: usize, what: &str, seconds: f64| {
            let (images, seconds) = (thousands(images as i64), duration(seconds));
            format!("{images} {what} images: about {seconds}")
        };
        let seconds = &self.seconds;
        let mut lines = vec![(
            "scoring",
            about(self.calibration_images, "calibration", seconds.scoring),
        )];
        if seconds.repair > 0. {
            let repair = duration(seconds.repair);
            lines.push(("repair", format!("about {repair} after each removal")));
        }
        let tuning = if trains {
            let epoch = about(self.training_images, "training", seconds.epoch);
            format!("{epoch} an epoch")
        } else {
            "none".into()
        };
        lines.push(("fine-tuning", tuning));
        if self.test_images > 0 {
            let measuring = about(self.test_images, "test", seconds.measuring);
            lines.push(("measuring", measuring));
        }
        lines
    }

    /// What the whole run is to reach, and what it would take.
    fn costs(&self) -> Vec<(&'static str, String)> {
        let target = self.target_macs.map(|part| {
            let target = (part * self.macs as f64) as i64;
            let (of, whole) = (percent(target, self.macs), thousands(self.macs));
            (
                "target",
                format!("{} MACs ({of} of {whole})", thousands(target)),
            )
        });
        let run = duration(self.seconds.run);
        let run = format!("about {run} at most; each removal makes the network quicker");
        let memory = self.peak_memory.map(|peak| {
            let peak = Memory(peak);
            (
                "memory",
                format!("{peak} beyond the images, in these trials"),
            )
        });
        let lines = target.into_iter().chain([("whole run", run)]).chain(memory);
        lines.chain([("output", self.output.clone())]).collect()
    }
}

/// `2 h 5 min`, `3 min 20 s`, `12 s`, `0.4 s`.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=9 => format!("{seconds:.1} s"),
        10..=119 => format!("{whole} s"),
        120..=7199 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_carried_on_along_the_line_of_two_trials() {
        assert_eq!(line_through([(10., 3.), (20., 4.)], 120.), 14.);
        // The first trial took longer: it began a library.
        assert_eq!(line_through([(10., 9.), (20., 4.)], 120.), 4.);
        // Fewer images than a trial.
        assert_eq!(line_through([(8., 2.), (8., 1.)], 8.), 1.);
    }

    #[test]
    fn durations_are_told_in_units_that_fit() {
        let texts: Vec<String> = [0.42, 12., 200., 7500.].map(duration).into();
        assert_eq!(texts, ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min"]);
    }
}
