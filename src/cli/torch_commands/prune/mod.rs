//! `ckaprune prune`: the whole job, and what it reports.

mod dry_run;
mod folder;
mod job;
mod page;
mod report;

use anyhow::{Context, Result, bail};

use super::report_files::Document;
use super::{Outcome, blame, open_archive, save, show};
use crate::cli::Prune;
use crate::prune::run_dir::{self, RunDir};
use crate::prune::{Figures, Phase, State, Stop, Tune};
use crate::report::Invocation;
use crate::report::{BlockReport, SCHEMA};
use crate::run::command::Failed;
use crate::run::interrupt::{self, Interrupt, Stopped};
use crate::run::torch;
use crate::run::torch::Model;
use crate::train::finetune::{Training, Tuning};
use folder::{check_progress, how_to_go_on, open_run_dir, to_go_on};
use job::Job;
use report::PruneReport;

/// Only the best candidate counts; the race finds it with a fraction of the work.
const RACES: bool = true;

pub(super) fn run(options: &Prune, invocation: &Invocation) -> Result<Outcome> {
    match to_the_end(options, invocation) {
        Err(error) if error.is::<Stopped>() => {
            options.messages.progress().warn(how_to_go_on(options));
            Ok(Outcome::Interrupted)
        }
        // Where nothing better was said of a file that could not be written.
        ended => ended.map_err(|error| match &options.run_dir {
            Some(folder) if run_dir::holds_run(folder) => {
                if error.is::<Failed>() {
                    options.messages.progress().note(how_to_go_on(options));
                }
                to_go_on(options, error, "--resume")
            }
            _ => error,
        }),
    }
}

/// The whole command; [`Stopped`] if the user stopped it.
fn to_the_end(options: &Prune, invocation: &Invocation) -> Result<Outcome> {
    let job = Job::open(options)?;
    if options.dry_run {
        return dry_run::run(&job);
    }
    // Up to here there is nothing to keep.
    let heeded = Interrupt::heed();
    let pruned = job.pruned()?;
    interrupt::check()?;
    // A result that is there half checked and without its report would be worth less than the time that is left.
    heeded.ends_soon();
    save(pruned.model.archive(), &job.output, &options.output)
        .map_err(|error| to_go_on(options, error, "--resume"))?;
    let exported = job.exported(&pruned)?;
    job.report(pruned, exported, invocation)
}

/// What a run ends with.
struct Pruned {
    /// The network that the first block was taken from: as given, or pretrained.
    original: Model,
    whole: Figures,
    pretraining: Option<Tuning>,
    state: State,
    stopped_by: Stop,
    /// The iteration whose network is exported.
    picked: usize,
    /// The network to export.
    model: Model,
    final_tuning: Option<Tuning>,
    /// Fine-tuning epochs that it has behind it.
    epochs: usize,
    baseline: Option<Figures>,
}

/// Figures of both networks, once the exported file was proved.
struct Exported {
    before: Figures,
    after: Figures,
}

impl Job<'_> {
    /// Prunes, picks the network to export, and trains it and the baseline to the end.
    fn pruned(&self) -> Result<Pruned> {
        let Job { options, run, .. } = self;
        let path = &options.model.model;
        let mut run_dir = open_run_dir(self.options, &self.model, self.run.targets, &self.output)?;
        let (original, pretraining) = self.pretrained(run_dir.as_mut()).map_err(blame(path))?;
        let begin = match &run_dir {
            Some(run_dir) => run_dir.state(&original)?,
            None => State::new(&original),
        };
        check_progress(options, &begin)?;
        let whole = self.figures(&original).map_err(blame(path))?;
        let mut keep = |state: &State| run_dir.as_mut().map_or(Ok(()), |r| r.save(state));
        let (mut state, stopped_by) = run
            .carry_on(&original, &whole, begin, &mut keep)
            .map_err(blame(path))?;
        let goal = run.yardstick().goal();
        let picked = options.pick;
        let picked = picked.of(&state.iterations, &whole, &run.targets, goal)?;
        let model = match &run_dir {
            _ if picked == state.iterations.len() => {
                std::mem::replace(&mut state.model, original.clone())
            }
            _ if picked == 0 => original.clone(),
            Some(run_dir) => run_dir.model(picked, &original)?,
            None => bail!("iteration {picked} was not kept"),
        };
        let epochs = if run.can_train() {
            run.training.epochs * picked + self.final_epochs
        } else {
            0
        };
        let finished = self.finished(&original, model, picked);
        let (model, final_tuning) = finished.map_err(blame(path))?;
        let baseline = self.baseline(&original, epochs).map_err(blame(path))?;
        Ok(Pruned {
            original,
            whole,
            pretraining,
            state,
            stopped_by,
            picked,
            model,
            final_tuning,
            epochs,
            baseline,
        })
    }

    /// The network before the first removal: trained, if that was asked for, now or by an earlier start of this run.
    fn pretrained(&self, run_dir: Option<&mut RunDir>) -> Result<(Model, Option<Tuning>)> {
        let Job { options, run, .. } = self;
        if options.pretrain == 0 {
            return Ok((self.model.clone(), None));
        }
        if let Some(run_dir) = &run_dir
            && let Some((pretraining, archive)) = run_dir.pretrained()?
        {
            let model = self.model.changed_into(archive)?;
            return Ok((model, Some(pretraining)));
        }
        let training = Training {
            epochs: options.pretrain,
            learning_rate: options.pretrain_lr.unwrap_or(run.training.learning_rate),
            ..run.training.clone()
        };
        let tune = Tune {
            phase: Phase::Pretraining,
            training: &training,
            first_epoch: 0,
        };
        let trained = run.tuned(self.model.clone(), None, None, &tune)?;
        let pretraining = trained.tuning;
        if let Some(run_dir) = run_dir {
            run_dir.keep_pretrained(&pretraining, trained.model.archive())?;
        }
        Ok((trained.model, Some(pretraining)))
    }

    /// Of the network before the first removal; what training made of it counts as what was handed in.
    fn figures(&self, original: &Model) -> Result<Figures> {
        Ok(Figures {
            validation_accuracy: self.run.validate(original)?,
            ..self.run.figures(original)?
        })
    }

    /// The network to export fine-tuned once more, if that was asked for.
    fn finished(
        &self,
        original: &Model,
        pruned: Model,
        picked: usize,
    ) -> Result<(Model, Option<Tuning>)> {
        let Job { run, .. } = self;
        if self.final_epochs == 0 || !run.can_train() {
            return Ok((pruned, None));
        }
        let training = Training {
            epochs: self.final_epochs,
            ..run.training.clone()
        };
        let tune = Tune {
            phase: Phase::Final,
            training: &training,
            first_epoch: picked * run.training.epochs,
        };
        let mut teacher = run.teacher(original)?;
        let answers = run.answers(original)?;
        let trained = run.tuned(pruned, teacher.as_mut(), answers.as_ref(), &tune)?;
        Ok((trained.model, Some(trained.tuning)))
    }

    /// The unpruned network, fine-tuned for as many epochs as the pruned one was.
    fn baseline(&self, original: &Model, epochs: usize) -> Result<Option<Figures>> {
        let run = &self.run;
        if !self.options.baseline {
            return Ok(None);
        }
        let is_own = run.trainer.is_some() && run.measure.is_some();
        if !run.splits.has_labels() && !is_own {
            run.progress()
                .warn("--baseline needs labelled images; there is none");
            return Ok(None);
        }
        run.progress()
            .note("fine-tuning the unpruned network for comparison");
        let training = Training {
            epochs,
            ..run.training.clone()
        };
        let tune = Tune {
            phase: Phase::Baseline,
            training: &training,
            first_epoch: 0,
        };
        let mut teacher = run.teacher(original)?;
        let answers = run.answers(original)?;
        let tuned = run.tuned(original.clone(), teacher.as_mut(), answers.as_ref(), &tune)?;
        run.figures(&tuned.model).map(Some)
    }

    /// Reads the exported file back, compares its outputs with the network's in memory, and measures both.
    fn exported(&self, pruned: &Pruned) -> Result<Exported> {
        let (run, output) = (&self.run, &self.output);
        let named = || output.display().to_string();
        let exported = pruned.model.changed_into(open_archive(output, "--output")?);
        let exported = exported.with_context(named)?;
        let calibration = &run.splits.calibration;
        let suits = pruned.model.batch_together();
        let batch = calibration.suiting(suits).first_batch()?;
        let batch = batch.context("no calibration images")?;
        let outputs = |model: &Model| {
            let module = model.module()?;
            let images = module.images(&batch.images)?;
            torch::to_bytes(&tch::no_grad(|| module.forward(&images))?)
        };
        if outputs(&exported).with_context(named)? != outputs(&pruned.model)? {
            bail!(
                "{}: the exported file computes something else than the network in memory; do not use it",
                output.display()
            );
        }
        let figures = run.figures(&exported)?;
        let [pace_before, pace_after] = run.pace([&pruned.original, &exported])?;
        let state = &pruned.state;
        let before = Figures {
            latency: state.original_latency,
            images_per_second: Some(pace_before),
            ..pruned.whole
        };
        let mut after = Figures {
            images_per_second: Some(pace_after),
            ..figures
        };
        if let Some(last) = pruned.picked.checked_sub(1) {
            let measured = &state.iterations[last].after;
            let tuned = pruned.final_tuning.as_ref();
            let tuned = tuned.and_then(Tuning::validation_accuracy);
            after.validation_accuracy = tuned.or(measured.validation_accuracy);
            after.latency = measured.latency;
        }
        Ok(Exported { before, after })
    }

    /// Tells what came of the run.
    fn report(
        self,
        pruned: Pruned,
        exported: Exported,
        invocation: &Invocation,
    ) -> Result<Outcome> {
        let (options, run) = (self.options, &self.run);
        let (progress, analysis) = (run.progress(), self.model.analysis());
        let kept = &pruned.state.iterations[..pruned.picked];
        let report = PruneReport {
            schema: SCHEMA,
            command: "prune",
            model: options.model.model.display().to_string(),
            output: self.output.display().to_string(),
            input_shape: analysis.input_shape.clone(),
            samples: run.splits.calibration.len(),
            places: self.places,
            scores: self.model.interface()?.scale,
            criterion: run.criterion,
            per: run.per,
            measure: run.yardstick(),
            synthetic: self.synthetic,
            seed: options.data.seed,
            removed: kept.iter().flat_map(|i| i.removed.clone()).collect(),
            before: exported.before,
            after: exported.after,
            baseline: pruned.baseline,
            pretraining: pruned.pretraining,
            stopped_by: pruned.stopped_by,
            picked: pruned.picked,
            iterations: pruned.state.iterations,
            rolled_back: pruned.state.rolled_back,
            final_tuning: pruned.final_tuning,
            epochs: pruned.epochs,
            warnings: self.warnings,
            skipped: self.skipped,
        };
        let reported = self.report_files.map_or(Ok(()), |files| {
            let document = Document {
                result: &report,
                blocks: &BlockReport::all(analysis),
                invocation,
            };
            let written = files.write(&page::page(&document), &document, progress);
            // The network is exported already, and would stand in its own way.
            written.map_err(|error| to_go_on(options, error, "--resume --force"))
        });
        // Whatever becomes of the report, the result of the run is told.
        show(options.messages, &report, || report.text())?;
        reported?;
        // A run that may remove nothing has not done what it was asked.
        let nothing = pruned.stopped_by == Stop::MaxDrop && report.iterations.is_empty();
        let missed = nothing || pruned.stopped_by == Stop::NoCandidates;
        Ok(if missed {
            Outcome::Missed
        } else {
            Outcome::Done
        })
    }
}
