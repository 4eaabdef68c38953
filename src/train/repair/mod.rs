//! Repair without labels and without training: what a removal put out of step is brought back in step.
//!
//! Steps are tried one after another, each on a part of the calibration images, and each is kept only where it brings
//! the network closer to the unpruned one on the images held back.

mod channels;
mod normalisation;

use std::ops::Range;

use anyhow::Result;
use serde::{Deserialize, Deserializer, Serialize};
use tch::{Device, Kind, TchError, Tensor};

use crate::archive::Archive;
use crate::blocks::analysis::Analysis;
use crate::data::{Loader, Part};
use crate::program::interface::Interface;
use crate::report::progress::Progress;
use crate::run::interrupt;
use crate::run::torch::{Module, explain};

/// Part of the calibration images that decides whether a repair is kept; the others are repaired on.
const HELD_BACK: f64 = 0.2;

/// One way to repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Scale and shift of each channel behind the removed block, in closed form.
    Channels,
    /// Mean and variance that batch normalisation keeps.
    Bn,
    /// The unpruned network's answers to images without labels, learned.
    Distillation,
}

/// How a network answers images beside another: what labels are not needed for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Fraction of images to which both give the same class.
    pub same_class: f64,
    /// Kullback-Leibler divergence of the class probabilities from the other network's, in nats, negative: more is closer.
    /// Of a network that gives none it is no number, which is null in JSON.
    #[serde(deserialize_with = "number_or_null")]
    pub closeness: f64,
}

/// What one step did to the agreement with the unpruned network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    pub step: Step,
    pub before: Agreement,
    pub after: Agreement,
}

impl Repair {
    /// Whether the step brought the network closer, and so was kept. The divergence decides: of few images, classes are
    /// too coarse a measure.
    #[must_use]
    pub fn pays(&self) -> bool {
        let (before, after) = (self.before.closeness, self.after.closeness);
        after.is_finite() && (!before.is_finite() || after > before)
    }
}

fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let number: Option<f64> = Deserialize::deserialize(from)?;
    Ok(number.unwrap_or(f64::NAN))
}

/// A network after its repair, and what each step did.
#[derive(Clone, Debug)]
pub struct Repaired {
    pub archive: Archive,
    pub steps: Vec<Repair>,
}

/// Repairs networks in the course of a run.
pub struct Workshop<'a> {
    original: &'a Archive,
    /// Of the original.
    analysis: &'a Analysis,
    interface: &'a Interface,
    loader: &'a Loader,
    device: Device,
    progress: Progress,
    learned_from: Part,
    held_back: Part,
    /// Log-probabilities that the unpruned network gives the images held back.
    expected: Tensor,
}

impl<'a> Workshop<'a> {
    /// For networks made of `original`.
    ///
    /// # Errors
    /// If the original cannot run.
    pub fn new(
        (original, analysis): (&'a Archive, &'a Analysis),
        interface: &'a Interface,
        (calibration, loader): (&Part, &'a Loader),
        device: Device,
        progress: Progress,
    ) -> Result<Self> {
        let count = calibration.len();
        let held_back = ((count as f64 * HELD_BACK) as usize).clamp(1, count);
        // Any run of calibration images has as many of each class.
        let part = |range: Range<usize>| calibration.subset(&range.collect::<Vec<_>>());
        let mut workshop = Workshop {
            original,
            analysis,
            interface,
            loader,
            device,
            progress,
            learned_from: part(0..count - held_back),
            held_back: part(count - held_back..count),
            expected: Tensor::new(),
        };
        workshop.expected = workshop.answers(original)?;
        Ok(workshop)
    }

    /// Tries these steps in turn on a network from which the blocks `removed`, named as in the original, were taken
    /// last. A step that the network has no place for is left out.
    ///
    /// # Errors
    /// If libtorch refuses; and [`Stopped`](interrupt::Stopped).
    pub fn repair(
        &self,
        archive: &Archive,
        removed: &[String],
        steps: &[Step],
    ) -> Result<Repaired> {
        let mut repaired = Repaired {
            archive: archive.clone(),
            steps: Vec::new(),
        };
        for step in steps {
            interrupt::check()?;
            let analysis = Analysis::of(&repaired.archive, &self.analysis.request)?;
            let tried = match step {
                Step::Channels => self.fitted(&repaired.archive, &analysis, removed)?,
                Step::Bn => self.restated(&repaired.archive, &analysis)?,
                Step::Distillation => None,
            };
            if let Some(tried) = tried {
                self.keep_if_closer(&mut repaired, *step, tried)?;
            }
        }
        Ok(repaired)
    }

    /// Takes `tried` in where it answers more like the unpruned network, and notes what came of it.
    ///
    /// # Errors
    /// If a network cannot run.
    pub fn keep_if_closer(
        &self,
        repaired: &mut Repaired,
        step: Step,
        tried: Archive,
    ) -> Result<()> {
        let repair = Repair {
            step,
            before: self.agreement(&repaired.archive)?,
            after: self.agreement(&tried)?,
        };
        if repair.pays() {
            repaired.archive = tried;
        }
        repaired.steps.push(repair);
        Ok(())
    }

    fn agreement(&self, archive: &Archive) -> Result<Agreement> {
        let found = self.answers(archive)?;
        let compare = || -> Result<Agreement, TchError> {
            let same = found
                .f_argmax(1, false)?
                .f_eq_tensor(&self.expected.f_argmax(1, false)?)?;
            let same = same.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?;
            let divergence = found.f_kl_div(&self.expected, tch::Reduction::Sum, true)?;
            Ok(Agreement {
                same_class: same.f_double_value(&[])?,
                closeness: -divergence.f_double_value(&[])? / self.held_back.len() as f64,
            })
        };
        compare().map_err(explain)
    }

    /// Log-probabilities of the images held back.
    fn answers(&self, archive: &Archive) -> Result<Tensor> {
        let module = Module::load(archive, self.device, self.interface)?;
        let mut answers = Vec::new();
        for batch in self.loader.batches(&self.held_back, 0)? {
            let images = module.images(&batch?.images)?;
            let scores = tch::no_grad(|| module.forward(&images))?;
            answers.push(scores.f_log_softmax(-1, Kind::Float).map_err(explain)?);
        }
        Tensor::f_cat(&answers, 0).map_err(explain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repair(before: f64, after: f64) -> Repair {
        let of = |closeness| Agreement {
            same_class: 0.5,
            closeness,
        };
        Repair {
            step: Step::Bn,
            before: of(before),
            after: of(after),
        }
    }

    #[test]
    fn closeness_that_is_no_number_is_kept_and_read_again() {
        for odd in [f64::NAN, f64::NEG_INFINITY] {
            for repair in [repair(odd, -1.), repair(-1., odd), repair(odd, odd)] {
                let text = serde_json::to_string(&repair).unwrap();
                let read: Repair = serde_json::from_str(&text).unwrap();
                assert_eq!(read.pays(), repair.pays(), "{text}");
            }
        }
    }

    #[test]
    fn what_gives_numbers_again_pays_and_what_gives_none_does_not() {
        assert!(repair(f64::NAN, -9.).pays());
        assert!(!repair(-9., f64::NAN).pays());
        assert!(!repair(f64::NAN, f64::NAN).pays());
        assert!(repair(-2., -1.).pays() && !repair(-1., -2.).pays() && !repair(-1., -1.).pays());
    }
}
