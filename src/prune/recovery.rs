//! What follows a removal: repair, fine-tuning, measuring.

use anyhow::{Context, Result};
use serde_json::json;

use super::{Figures, Iteration, Phase, Run};
use crate::data::Images;
use crate::report::yardstick::Yardstick;
use crate::run::interrupt;
use crate::run::settings::fingerprint;
use crate::run::torch::Model;
use crate::train::agreement::Answers;
use crate::train::eval::{Metrics, evaluate, throughput};
use crate::train::finetune::{
    Checkpoint, Judge, Lessons, Session, Teacher, Trained, Training, Tuning, finetune,
};
use crate::train::measure::Measure;
use crate::train::repair::{Repair, Repairer, Step, held_back};

/// Gives networks without some blocks their accuracy back, as far as it goes.
pub(super) struct Recovery<'a> {
    run: &'a Run,
    original: &'a Model,
    repairer: Option<Repairer<'a>>,
    teacher: Option<Teacher<'a>>,
    /// What training is judged by where no labels decide.
    answers: Option<Answers>,
}

impl<'a> Recovery<'a> {
    /// For networks made of `original`.
    ///
    /// # Errors
    /// If the original cannot run.
    pub fn new(run: &'a Run, original: &'a Model) -> Result<Self> {
        let repairs = !run.repair.is_empty();
        let repairer =
            repairs.then(|| Repairer::new(original, &run.splits.calibration, run.progress()));
        let teacher = run.trains().then(|| run.teacher(original));
        let answers = run.trains().then(|| run.answers(original));
        Ok(Recovery {
            run,
            original,
            repairer: repairer.transpose()?,
            teacher: teacher.transpose()?.flatten(),
            answers: answers.transpose()?.flatten(),
        })
    }

    /// A network whose blocks have just been removed, repaired; fills in what was measured.
    ///
    /// # Errors
    /// Those of repair and measuring.
    pub fn repaired(&self, pruned: Model, iteration: &mut Iteration) -> Result<Model> {
        let mut model = pruned;
        if let Some(repairer) = &self.repairer {
            let unrepaired = model.clone();
            let repaired = repairer.repair(model, &iteration.removed, &self.run.repair)?;
            model = repaired.model;
            iteration.repairs = repaired.steps;
            if iteration.is_repaired() {
                let figures = self.run.figures(&unrepaired)?;
                iteration.accuracy_before_repair = figures.accuracy;
                iteration.measured_before_repair = figures.measured;
            }
        }
        if self.run.trains() {
            let figures = self.run.figures(&model)?;
            iteration.accuracy_before_finetuning = figures.accuracy;
            iteration.measured_before_finetuning = figures.measured;
        }
        Ok(model)
    }

    /// The network after a removal, fine-tuned; fills in what was measured.
    ///
    /// # Errors
    /// Those of training and measuring.
    pub fn tuned(
        &mut self,
        model: Model,
        iteration: &mut Iteration,
        original_latency: Option<f64>,
    ) -> Result<Model> {
        let (model, validation) = if self.run.trains() {
            let (model, tuning) = self.trained(model, iteration)?;
            (model, tuning.validation_accuracy())
        } else {
            (model, None)
        };
        let figures = self.run.figures(&model)?;
        let validation_accuracy = match validation {
            Some(accuracy) => Some(accuracy),
            None => self.run.validate(&model)?,
        };
        iteration.after = Figures {
            validation_accuracy,
            latency: self.latency(&model, original_latency)?,
            ..figures
        };
        Ok(model)
    }

    /// What training made better is kept.
    fn trained(&mut self, model: Model, iteration: &mut Iteration) -> Result<(Model, Tuning)> {
        let judge = self.answers.as_ref();
        let before = judge.map(|judge| judge.agreement(model.module()?));
        let before = before.transpose()?;
        let training = &self.run.training;
        let tune = Tune {
            phase: Phase::Iteration,
            training,
            first_epoch: (iteration.iteration - 1) * training.epochs,
        };
        let trained = self.run.tuned(model, self.teacher.as_mut(), judge, &tune)?;
        iteration.train_loss = trained.tuning.train_losses.last().copied();
        if let (Some(judge), Some(before)) = (judge, before) {
            iteration.repairs.push(Repair {
                step: Step::Distillation,
                before,
                after: judge.agreement(trained.model.module()?)?,
            });
        }
        Ok((trained.model, trained.tuning))
    }

    /// Seconds of a forward pass of one image: how long the original's took once, times the ratio of both measured in
    /// turn, so that a machine that slows down slows both.
    fn latency(&self, model: &Model, original: Option<f64>) -> Result<Option<f64>> {
        let Some(original) = original else {
            return Ok(None);
        };
        let [whole, pruned] = self.run.pace_of_one([self.original, model])?;
        Ok(Some(original * pruned / whole))
    }
}

/// One training of a run.
#[derive(Clone, Copy, Debug)]
pub struct Tune<'a> {
    pub phase: Phase,
    pub training: &'a Training,
    /// Epochs of the run before it, of which each has its own order and augmentation.
    pub first_epoch: usize,
}

impl Run {
    /// The unpruned network's answers to calibration images held back, if those are what decides between weights: there
    /// are no labels to decide by.
    ///
    /// # Errors
    /// If it cannot run.
    pub fn answers(&self, original: &Model) -> Result<Option<Answers>> {
        if self.trainer.is_some() || !self.keeps_best || self.splits.validation.is_some() {
            return Ok(None);
        }
        let [_, held] = held_back(&self.splits.calibration);
        Answers::of(original.module()?, held).map(Some)
    }

    /// Trains a network of this run on its images, or goes on with that. Its weights are those that do best on the
    /// validation images; where there are none, by these answers, if any are given.
    ///
    /// # Errors
    /// Those of [`finetune`], and if there are no images to learn from.
    pub fn tuned(
        &self,
        model: Model,
        teacher: Option<&mut Teacher>,
        answers: Option<&Answers>,
        tune: &Tune,
    ) -> Result<Trained> {
        if let Some(trainer) = &self.trainer {
            return trainer.tuned(&model, tune, self.folder.as_deref(), self.progress());
        }
        let train = self.splits.train.as_ref();
        let validation = self.splits.validation.as_ref();
        let lessons = Lessons {
            train: train.context("there are no images to learn from")?,
            judge: match validation {
                Some(images) => Some(Judge::Labelled(images)),
                None => answers.map(Judge::Answers),
            },
            teacher,
        };
        let checkpoint = self.checkpoint(&model, tune)?;
        let session = Session {
            checkpoint: checkpoint.as_ref(),
            stop: &interrupt::is_asked,
            ..Session::at(tune.first_epoch, self.progress())
        };
        finetune(model, lessons, tune.training, session)
    }

    /// Where this training is kept. What it is told from others by is all that may differ within one run.
    fn checkpoint(&self, model: &Model, tune: &Tune) -> Result<Option<Checkpoint>> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let settings = [
            ("network", json!(fingerprint(model.archive())?)),
            ("training", json!(format!("{:?}", tune.training))),
            ("first-epoch", json!(tune.first_epoch)),
        ];
        let file = folder.join(tune.phase.file());
        Ok(Some(Checkpoint::new(file, settings.into_iter().collect())))
    }

    /// The unpruned network, to learn from, if that was asked for.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn teacher<'t>(&self, original: &'t Model) -> Result<Option<Teacher<'t>>> {
        match &self.splits.train {
            Some(train) => Teacher::new(original, self.teaching, &train.loader),
            None => Ok(None),
        }
    }

    /// How large a network is, and how it does: by the user's own measure, or else on the test images, if there are
    /// labelled ones.
    ///
    /// # Errors
    /// If it cannot run, or not be measured.
    pub fn figures(&self, model: &Model) -> Result<Figures> {
        let size = Figures::of(model.analysis());
        if let Some(measure) = &self.measure {
            let measured = measure.of_model(model, self.folder.as_deref(), self.progress())?;
            return Ok(Figures {
                measured: Some(measured),
                ..size
            });
        }
        let metrics = self.evaluated(model, self.splits.test.as_ref(), "measuring")?;
        Ok(Figures {
            accuracy: metrics.map(|m| m.accuracy),
            loss: metrics.map(|m| m.loss),
            ..size
        })
    }

    /// What its networks are measured by.
    #[must_use]
    pub fn yardstick(&self) -> Yardstick {
        self.measure
            .as_ref()
            .map_or(Yardstick::Accuracy, Measure::yardstick)
    }

    /// Accuracy on the validation images, if there are any.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn validate(&self, model: &Model) -> Result<Option<f64>> {
        let metrics = self.evaluated(model, self.splits.validation.as_ref(), "validating")?;
        Ok(metrics.map(|m| m.accuracy))
    }

    fn evaluated(
        &self,
        model: &Model,
        images: Option<&Images>,
        what: &str,
    ) -> Result<Option<Metrics>> {
        let Some(images) = images else {
            return Ok(None);
        };
        evaluate(model.module()?, images, self.progress(), what).map(Some)
    }

    /// Calibration images that two networks run in a second, measured in turn, so that a machine that slows down slows
    /// both.
    ///
    /// # Errors
    /// If a network cannot run.
    pub fn pace(&self, models: [&Model; 2]) -> Result<[f64; 2]> {
        pace_of(models, &self.splits.calibration)
    }

    /// Seconds that each takes for one image, measured in turn.
    ///
    /// # Errors
    /// If a network cannot run.
    pub fn pace_of_one(&self, models: [&Model; 2]) -> Result<[f64; 2]> {
        let per_second = pace_of(models, &self.splits.calibration.subset(&[0]))?;
        Ok(per_second.map(|images| 1. / images))
    }
}

fn pace_of([first, second]: [&Model; 2], images: &Images) -> Result<[f64; 2]> {
    let modules = [first.module()?, second.module()?];
    let images = images.suiting(modules[0].batch_together());
    let batch = images.first_batch()?.context("no calibration images")?;
    throughput(modules, &modules[0].images(&batch.images)?)
}
