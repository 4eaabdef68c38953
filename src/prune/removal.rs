//! One removal with all that follows it: repair, fine-tuning, measuring.

use anyhow::{Context, Result};
use serde_json::json;
use tch::Tensor;

use super::{Figures, Images, Iteration, Phase, Run, Tuning};
use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, Request};
use crate::data::Part;
use crate::run::interrupt;
use crate::run::settings::fingerprint;
use crate::run::torch::Module;
use crate::train::eval::throughput;
use crate::train::finetune::{Checkpoint, Lessons, Session, Teacher, Trained, Training, finetune};
use crate::train::repair::{Repaired, Step, Workshop};

/// What a run has at hand after each removal.
pub(super) struct Bench<'a> {
    run: &'a Run,
    images: &'a Images,
    original: &'a Archive,
    workshop: Option<Workshop<'a>>,
    teacher: Option<Teacher>,
}

impl<'a> Bench<'a> {
    /// For networks made of `original`, which `began` is the analysis of.
    ///
    /// # Errors
    /// If the original cannot run.
    pub fn new(
        run: &'a Run,
        images: &'a Images,
        original: &'a Archive,
        began: &'a Analysis,
    ) -> Result<Self> {
        let scoring = &run.scoring;
        // Without labels, learning has to show that it pays.
        let judges = !run.repair.is_empty() || (run.trains(images) && !images.has_labels());
        let workshop = match judges {
            true => Some(Workshop::new(
                (original, began),
                &run.interface,
                (&images.calibration, &images.plain),
                scoring.device,
                scoring.progress,
            )?),
            false => None,
        };
        let teacher = match run.trains(images) {
            true => run.teacher(original, images)?,
            false => None,
        };
        Ok(Bench {
            run,
            images,
            original,
            workshop,
            teacher,
        })
    }

    /// A network whose blocks have just been removed, repaired; fills in what was measured.
    ///
    /// # Errors
    /// Those of repair and measuring.
    pub fn repaired(&self, mut pruned: Archive, iteration: &mut Iteration) -> Result<Archive> {
        if let Some(workshop) = &self.workshop {
            let Repaired { archive, steps } =
                workshop.repair(&pruned, &iteration.removed, &self.run.repair)?;
            iteration.repairs = steps;
            if iteration.is_repaired() {
                iteration.accuracy_before_repair = self.accuracy(&pruned)?;
                pruned = archive;
            }
        }
        if self.run.trains(self.images) {
            iteration.accuracy_before_finetuning = self.accuracy(&pruned)?;
        }
        Ok(pruned)
    }

    /// The network after a removal, fine-tuned; fills in what was measured.
    ///
    /// # Errors
    /// Those of training and measuring.
    pub fn tune(
        &mut self,
        mut pruned: Archive,
        request: &Request,
        iteration: &mut Iteration,
        original_latency: Option<f64>,
    ) -> Result<Archive> {
        let mut validation = None;
        if self.run.trains(self.images) {
            let training = &self.run.training;
            let first_epoch = (iteration.iteration - 1) * training.epochs;
            let teacher = self.teacher.as_mut();
            let trained = self.run.tuned(
                Phase::Iteration,
                &pruned,
                self.images,
                teacher,
                training,
                first_epoch,
            )?;
            iteration.train_loss = trained.losses.last().copied();
            validation = Tuning::of(&trained).validation_accuracy();
            pruned = self.kept(pruned, trained.archive, iteration)?;
        }
        let metrics = self.run.measure(&pruned, self.images)?;
        let after = Analysis::of(&pruned, request)?;
        let validation_accuracy = match validation {
            Some(accuracy) => Some(accuracy),
            None => self.run.validate(&pruned, self.images)?,
        };
        iteration.after = Figures {
            validation_accuracy,
            latency: self.latency(&pruned, original_latency)?,
            ..Figures::new(&after, metrics.as_ref())
        };
        Ok(pruned)
    }

    /// What was learned from labels is kept; what was learned from the unpruned network alone, where it pays.
    fn kept(&self, untuned: Archive, tuned: Archive, iteration: &mut Iteration) -> Result<Archive> {
        match &self.workshop {
            Some(workshop) if !self.images.has_labels() => {
                let mut repaired = Repaired {
                    archive: untuned,
                    steps: Vec::new(),
                };
                workshop.keep_if_closer(&mut repaired, Step::Distillation, tuned)?;
                iteration.repairs.append(&mut repaired.steps);
                Ok(repaired.archive)
            }
            _ => Ok(tuned),
        }
    }

    fn accuracy(&self, archive: &Archive) -> Result<Option<f64>> {
        let metrics = self.run.measure(archive, self.images)?;
        Ok(metrics.map(|m| m.accuracy))
    }

    /// Seconds of a forward pass of one image: how long the original's took once, times the ratio of both measured in
    /// turn, so that a machine that slows down slows both.
    fn latency(&self, archive: &Archive, original: Option<f64>) -> Result<Option<f64>> {
        let Some(original) = original else {
            return Ok(None);
        };
        let [whole, pruned] = self
            .run
            .pace_of_one([self.original, archive], self.images)?;
        Ok(Some(original * pruned / whole))
    }
}

impl Run {
    /// Trains a network of this run on its images, or goes on with that.
    ///
    /// # Errors
    /// Those of [`finetune`], and if there are no images to learn from.
    pub fn tuned(
        &self,
        phase: Phase,
        archive: &Archive,
        images: &Images,
        teacher: Option<&mut Teacher>,
        training: &Training,
        first_epoch: usize,
    ) -> Result<Trained> {
        let train = images.train.as_ref();
        let lessons = Lessons {
            train: train.context("there are no images to learn from")?,
            loader: &images.training,
            validation: images.validation.as_ref().map(|v| (v, &images.plain)),
            teacher,
        };
        let checkpoint = self.checkpoint(phase, archive, training, first_epoch)?;
        let session = Session {
            checkpoint: checkpoint.as_ref(),
            stop: &interrupt::is_asked,
            ..Session::at(first_epoch)
        };
        finetune(
            archive,
            &self.interface,
            lessons,
            training,
            session,
            self.scoring.device,
            self.scoring.progress,
        )
    }

    /// Where this training is kept. What it is told from others by is all that may differ within one run.
    fn checkpoint(
        &self,
        phase: Phase,
        archive: &Archive,
        training: &Training,
        first_epoch: usize,
    ) -> Result<Option<Checkpoint>> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let settings = [
            ("network", json!(fingerprint(archive)?)),
            ("training", json!(format!("{training:?}"))),
            ("first-epoch", json!(first_epoch)),
        ];
        let file = folder.join(phase.file());
        Ok(Some(Checkpoint::new(file, settings.into_iter().collect())))
    }

    /// Some calibration images, as a network of this run takes them.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn first_batch(&self, module: &Module, part: &Part, images: &Images) -> Result<Tensor> {
        let first = images.plain.batches(part, 0)?.next();
        let batch = first.context("no calibration images")??;
        module.images(&batch.images)
    }

    /// Calibration images that two networks run in a second, measured in turn, so that a machine that slows down slows
    /// both.
    ///
    /// # Errors
    /// If a network cannot run.
    pub fn pace(&self, archives: [&Archive; 2], images: &Images) -> Result<[f64; 2]> {
        self.pace_of(archives, &images.calibration, images)
    }

    /// Seconds that each takes for one image, measured in turn.
    ///
    /// # Errors
    /// If a network cannot run.
    pub fn pace_of_one(&self, archives: [&Archive; 2], images: &Images) -> Result<[f64; 2]> {
        let one = images.calibration.subset(&[0]);
        let per_second = self.pace_of(archives, &one, images)?;
        Ok(per_second.map(|images| 1. / images))
    }

    fn pace_of(&self, archives: [&Archive; 2], part: &Part, images: &Images) -> Result<[f64; 2]> {
        let load = |archive| Module::load(archive, self.scoring.device, &self.interface);
        let modules = [load(archives[0])?, load(archives[1])?];
        let [first, second] = &modules;
        throughput([first, second], &self.first_batch(first, part, images)?)
    }
}
