//! One removal with all that follows it: repair, fine-tuning, measuring.

use anyhow::Result;

use super::{Figures, Images, Iteration, Run, Tuning, lessons};
use crate::analysis::Analysis;
use crate::archive::Archive;
use crate::eval::throughput;
use crate::finetune::{Teacher, finetune};
use crate::patch::Patch;
use crate::repair::{Repaired, Step, Workshop};
use crate::torch::Module;

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

    /// The network without these blocks, repaired and fine-tuned; fills in what was measured.
    ///
    /// # Errors
    /// Those of removal, repair, training and measuring.
    pub fn remove(
        &mut self,
        archive: &Archive,
        analysis: &Analysis,
        iteration: &mut Iteration,
        original_latency: Option<f64>,
    ) -> Result<Archive> {
        let patch = Patch::remove(analysis, &iteration.removed)?;
        let mut pruned = patch.apply(archive, analysis)?;
        if let Some(workshop) = &self.workshop {
            let Repaired { archive, steps } =
                workshop.repair(&pruned, &iteration.removed, &self.run.repair)?;
            iteration.repairs = steps;
            if iteration.is_repaired() {
                iteration.accuracy_before_repair = self.accuracy(&pruned)?;
                pruned = archive;
            }
        }
        let mut validation = None;
        if self.run.trains(self.images) {
            iteration.accuracy_before_finetuning = self.accuracy(&pruned)?;
            let trained = self.tuned(&pruned, iteration.iteration)?;
            iteration.train_loss = trained.losses.last().copied();
            validation = Tuning::of(&trained).validation_accuracy();
            pruned = self.kept(pruned, trained.archive, iteration)?;
        }
        let metrics = self.run.measure(&pruned, self.images)?;
        let after = Analysis::of(&pruned, &analysis.request)?;
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

    fn tuned(&mut self, archive: &Archive, number: usize) -> Result<crate::finetune::Trained> {
        let training = &self.run.training;
        let scoring = &self.run.scoring;
        finetune(
            archive,
            &self.run.interface,
            lessons(self.images, self.teacher.as_mut())?,
            training,
            (number - 1) * training.epochs,
            scoring.device,
            scoring.progress,
        )
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
        let [whole, pruned] = self.run.pace([self.original, archive], self.images)?;
        Ok(Some(original * pruned / whole))
    }
}

impl Run {
    /// Seconds of a forward pass of one image of each network, measured in turn.
    ///
    /// # Errors
    /// If a network cannot run.
    pub fn pace(&self, archives: [&Archive; 2], images: &Images) -> Result<[f64; 2]> {
        let load = |archive| Module::load(archive, self.scoring.device, &self.interface);
        let modules = [load(archives[0])?, load(archives[1])?];
        let one = images.calibration.subset(&[0]);
        let mut batches = images.plain.batches(&one, 0)?;
        let batch = batches.next().transpose()?;
        let batch = batch.ok_or_else(|| anyhow::anyhow!("no calibration images"))?;
        let image = modules[0].images(&batch.images)?;
        Ok(throughput(&modules, &image)?.map(|per_second| 1. / per_second))
    }
}
