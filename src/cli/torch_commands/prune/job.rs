//! A pruning run that may begin: its options, network and images were looked at, and fit each other.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::RACES;
use super::folder::{check_apart, check_free};
use crate::blocks::value::Reference;
use crate::cli::options::Teach;
use crate::cli::torch_commands::classes::{Classes, Knows, LEARNS};
use crate::cli::torch_commands::images::{BeyondScoring, Preparation, Prepared, warn_synthetic};
use crate::cli::torch_commands::memory_fit::MemoryFit;
use crate::cli::torch_commands::report_files::ReportFiles;
use crate::cli::torch_commands::{
    blame, execution, free_output, in_evaluation_mode, interface, note_caveats, note_scale,
    open_model, require_candidates, thawed,
};
use crate::cli::{Prune, Removals, Repair, Selection};
use crate::data::Images;
use crate::prune::{MaxDrop, Rules, Run, Splits, Targets, Trainer};
use crate::report::yardstick::Goal;
use crate::report::{counted, thousands};
use crate::run::memory::Work;
use crate::run::pick::Pick;
use crate::run::torch::Model;
use crate::score::{Race, Scoring};
use crate::train::finetune::{Teaching, Training};
use crate::train::measure::Measure;
use crate::train::repair::Step;

pub(super) struct Job<'a> {
    pub options: &'a Prune,
    pub run: Run,
    /// Of the network that is exported.
    pub final_epochs: usize,
    /// As it was handed in.
    pub model: Model,
    pub output: PathBuf,
    pub report_files: Option<ReportFiles>,
    /// The images are noise, because none were named.
    pub synthetic: bool,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// Image files that were left out.
    pub skipped: usize,
    /// Places of each image that are compared; `None` where images are.
    pub places: Option<usize>,
}

impl From<&Selection> for Rules {
    fn from(selection: &Selection) -> Self {
        Rules {
            keep: selection.keep.clone(),
            only: selection.only.clone(),
            min_blocks_per_stage: selection.min_blocks_per_stage,
        }
    }
}

impl<'a> Job<'a> {
    /// Everything that can be wrong with the options is told before the network runs.
    pub fn open(options: &'a Prune) -> Result<Self> {
        options.scoring.check()?;
        let progress = options.messages.progress();
        let path = &options.model.model;
        let mut archive = in_evaluation_mode(path, open_model(&options.model)?, progress)?;
        if options.repair == Repair::Refit && options.data.data.is_some() {
            archive = thawed(path, archive, progress)?;
        }
        let output = free_output(&options.output, path, &archive, "pruned")?;
        if let Some(folder) = &options.run_dir {
            check_free(options, folder)?;
            for file in [Some(&output), options.output.export_weights.as_ref()] {
                check_apart(folder, file)?;
            }
        }
        let (force, run_dir) = (options.output.force, options.run_dir.as_deref());
        let report_files = options.report.files(force, run_dir)?;
        let teaching = teaching(options);
        let preparation = Preparation {
            model: &options.model,
            data: &options.data,
            search: options.search.into(),
            representation: options.scoring.representation,
            beyond: Some(BeyondScoring {
                training: &options.training,
                teaching,
                decides: options.decides_by_accuracy()
                    || teaching.labels && options.asks_to_train(),
            }),
            execution: execution(&options.machine)?,
            progress,
        };
        let Prepared {
            model,
            splits,
            synthetic,
            classes,
            warnings,
            skipped,
            places,
        } = preparation.of(archive)?;
        interface(path, model.analysis())?;
        let mut job = Job {
            options,
            run: run(options, teaching, splits, synthetic, model.device())?,
            final_epochs: options.final_epochs + epochs(options)[1],
            model,
            output,
            report_files,
            synthetic,
            warnings,
            skipped,
            places,
        };
        job.check()?;
        job.check_classes(&classes)?;
        job.note_recipe();
        Ok(job)
    }

    /// Whether any network is trained: first, after a removal, or last.
    pub fn trains_at_all(&self) -> bool {
        let tunes = self.run.training.epochs + self.final_epochs > 0;
        self.options.pretrain > 0 || (self.run.can_train() && tunes)
    }

    /// Whether this program does so, and not a trainer of the user's.
    fn trains_itself(&self) -> bool {
        self.trains_at_all() && self.run.trainer.is_none()
    }

    fn check(&self) -> Result<()> {
        let path = &self.options.model.model;
        let (interface, analysis) = (self.model.interface()?, self.model.analysis());
        let trains = self.trains_itself();
        let fit = if trains {
            interface.check_trainable()
        } else {
            interface.check_prunable()
        };
        fit.map_err(|e| blame(path)(e.into()))?;
        require_candidates(path, analysis, &self.run.rules)?;
        note_scale(path, interface.scale, self.run.progress());
        if trains {
            note_caveats(analysis, self.run.progress());
        }
        self.check_images()?;
        self.check_fit().map_err(blame(path))
    }

    /// Says what is learned from, how often, and what decides whether it is kept.
    fn note_recipe(&self) {
        let run = &self.run;
        if let Some(trainer) = run.trainer.as_ref().filter(|_| self.trains_at_all()) {
            run.progress().note(format_args!(
                "note: {}, by {}",
                self.when().join(", "),
                trainer.command()
            ));
            return;
        }
        let Some(train) = run.splits.train.as_ref().filter(|_| self.trains_at_all()) else {
            return;
        };
        let Teaching {
            labels,
            scores,
            features,
        } = run.teaching;
        let learned = [
            (labels && train.is_labelled(), "labels"),
            (scores.is_some(), "the unpruned network's scores"),
            (features, "the unpruned network's maps"),
        ];
        let learned: Vec<&str> = learned.iter().filter(|l| l.0).map(|l| l.1).collect();
        let decides = match &run.splits.validation {
            Some(images) => format!("accuracy on {} images set aside decides", images.len()),
            None if run.keeps_best => {
                "closeness to the unpruned network on calibration images held back decides".into()
            }
            None => "nothing but the last epoch decides".into(),
        };
        run.progress().note(format_args!(
            "note: {} on {} images, from {}; {decides} what is kept",
            self.when().join(", "),
            thousands(train.len() as i64),
            learned.join(" and ")
        ));
    }

    /// How many epochs there are when.
    fn when(&self) -> Vec<String> {
        let epochs = [
            (self.options.pretrain, "before the first removal"),
            (self.run.training.epochs, "after each removal"),
            (self.final_epochs, "after the last removal"),
        ];
        let epochs = epochs.iter().filter(|(epochs, _)| *epochs > 0);
        epochs
            .map(|(epochs, when)| format!("{} {when}", counted(*epochs, "epoch")))
            .collect()
    }

    /// Says what these images cannot serve for, and refuses what was asked for all the same.
    fn check_images(&self) -> Result<()> {
        let Job { options, run, .. } = self;
        if options.reference == Reference::Original && !run.criterion.compares() {
            bail!(
                "--reference original needs a criterion that compares representations: cka, cka-debiased or consensus"
            );
        }
        let has_labels = run.splits.has_labels();
        let was_left_out = !run.teaching.labels;
        let gives_scores = self.model.interface()?.check_scores().is_ok();
        if self.synthetic {
            let calibration = &run.splits.calibration;
            let analysis = self.model.analysis();
            warn_synthetic(analysis, calibration, run.criterion, run.progress());
        } else if !has_labels && !was_left_out {
            let tuned = if run.can_train() {
                "fine-tuning learns from the unpruned network alone"
            } else {
                "nothing is fine-tuned (--teach features lets the unpruned network teach)"
            };
            let measured = match run.splits.test.is_some() || run.measure.is_some() {
                true => "",
                false => ", and no accuracy is measured",
            };
            let why = match gives_scores {
                true => "the images have no labels",
                false => "the network gives no class scores",
            };
            run.progress()
                .warn(format_args!("{why}: {tuned}{measured}"));
        }
        let by_accuracy = run.measure.is_none();
        for (option, asked) in [
            ("--max-drop", options.max_drop.is_some() && by_accuracy),
            ("--pick best", options.pick == Pick::Best && by_accuracy),
            ("--pretrain", options.pretrain > 0 && run.trainer.is_none()),
        ] {
            if asked && !has_labels {
                let cure = match was_left_out {
                    _ if !gives_scores => {
                        "the network gives no class scores to hold labels against"
                    }
                    true => "leave labels in --teach, or set images aside with --val-split",
                    false => "name a data set with labels",
                };
                bail!("{option} needs labelled images; {cure}");
            }
        }
        Ok(())
    }

    /// Refuses a run that cannot fit the memory.
    fn check_fit(&self) -> Result<()> {
        let Job { options, run, .. } = self;
        let Splits {
            calibration,
            train,
            test,
            ..
        } = &run.splits;
        let fit = |work| MemoryFit::new(self.model.analysis(), work, self.model.device());
        let progress = run.progress();
        (options.scoring).check_fit(
            fit(Work::Forward),
            &options.data,
            calibration.len(),
            progress,
        )?;
        let trains = self.trains_itself();
        let (work, images) = if trains {
            (options.training.work(), train)
        } else {
            (Work::Forward, test)
        };
        let loader = match trains {
            true => calibration.loader.clone(),
            false => calibration.loader.suiting(self.model.batch_together()),
        };
        let batch = loader.batch_size().get();
        let images = images.as_ref().map_or(0, Images::len);
        fit(work).check(batch.min(images), progress)
    }

    /// Warns where the classes of the data need not be those of the network; refuses what would rest on them.
    fn check_classes(&mut self, classes: &Classes) -> Result<()> {
        let splits = &self.run.splits;
        if !splits.has_labels() {
            return Ok(());
        }
        let doubt = classes.doubt(Knows {
            path: &self.options.model.model,
            model: &self.model,
            images: &splits.calibration,
        })?;
        if let Some(why) = rests_on_labels(self.options) {
            classes.check(doubt.as_ref(), why)?;
        }
        let progress = self.run.progress();
        self.warnings
            .extend(doubt.inspect(|doubt| progress.warn(doubt)));
        Ok(())
    }
}

/// What networks learn from.
fn teaching(options: &Prune) -> Teaching {
    let own = options.tune_with.is_none();
    options.training.teaching(Teach {
        labels: own,
        scores: own && options.distill,
        features: own && !options.distill,
    })
}

/// Epochs after each removal, and after the last.
fn epochs(options: &Prune) -> [usize; 2] {
    let epochs = options.training.epochs;
    match options.schedule_removals {
        Removals::Each => [epochs, 0],
        Removals::Once => [0, epochs],
    }
}

/// The run that the options ask for.
fn run(
    options: &Prune,
    teaching: Teaching,
    splits: Splits,
    synthetic: bool,
    device: tch::Device,
) -> Result<Run> {
    let repair = match options.repair {
        // Noise says nothing about what a network sees.
        _ if synthetic => Vec::new(),
        Repair::None => Vec::new(),
        Repair::Bn => vec![Step::Bn],
        Repair::Channels => vec![Step::Channels, Step::Bn],
        Repair::Refit => vec![Step::Refit, Step::Bn],
    };
    let race = Race {
        winners: pickable(options),
        ..Race::default()
    };
    let progress = options.messages.progress();
    let trainer =
        (options.tune_with.as_deref()).map(|command| Trainer::of(command, options.measure.timeout));
    let measure = options.measure.measure()?;
    Ok(Run {
        targets: Targets {
            iterations: options.iterations.map(|n| n as usize),
            macs: options.target_macs,
            params: options.target_params,
            latency: options.target_latency.map(|ms| ms / 1e3),
        },
        max_drop: options.max_drop.map(|drop| MaxDrop {
            drop: match measure {
                Some(_) => drop,
                // Given in points.
                None => drop / 100.,
            },
            goal: measure.as_ref().map_or(Goal::Max, Measure::goal),
            retries: options.retries,
        }),
        blocks_per_iteration: options.blocks_per_iteration.get(),
        rules: (&options.selection).into(),
        criterion: options.scoring.criterion,
        per: options.scoring.per,
        criterion_seed: options.scoring.seed(options.data.seed),
        reference: options.reference,
        training: Training {
            epochs: epochs(options)[0],
            ..options.training.parameters(options.data.seed)
        },
        trainer: trainer.transpose()?,
        measure,
        keeps_best: options.training.keeps_best(),
        teaching,
        repair,
        scoring: Scoring {
            race: options.scoring.races(RACES).then_some(race),
            ..options.scoring.settings(&options.data, device, progress)
        },
        splits,
        folder: options.run_dir.clone(),
    })
}

/// What labels decide in this run.
fn rests_on_labels(options: &Prune) -> Option<&'static str> {
    let learns = teaching(options).labels && options.asks_to_train();
    match (options.max_drop, options.pick) {
        _ if learns => Some(LEARNS),
        _ if !options.decides_by_accuracy() => None,
        (Some(_), _) => Some("--max-drop would decide by such numbers"),
        (_, Pick::Best) => Some("--pick best would decide by such numbers"),
        _ => None,
    }
}

/// Blocks that may be picked by the scores of one iteration: those that go together, and as many with every retry.
fn pickable(options: &Prune) -> NonZeroUsize {
    let attempts = NonZeroUsize::MIN.saturating_add(options.retries);
    options.blocks_per_iteration.saturating_mul(attempts)
}
