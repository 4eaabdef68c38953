//! Repair without labels and without training: what a removal put out of step is brought back in step.
//!
//! Steps are tried one after another, each on a part of the calibration images, and each is kept only where it brings
//! the network closer to the unpruned one on the images held back.

mod channels;
mod normalisation;
mod refit;

use std::ops::Range;

use anyhow::Result;
use serde::{Deserialize, Deserializer, Serialize};
use tch::{Kind, TchError, Tensor};

use crate::data::Images;
use crate::report::progress::Progress;
use crate::run::interrupt;
use crate::run::torch::{Model, Module, explain};

/// Part of the calibration images that decides whether a repair is kept; the others are repaired on.
const HELD_BACK: f64 = 0.2;

/// One way to repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The linear maps around the removed block, in closed form.
    Refit,
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
#[derive(Debug)]
pub struct Repaired {
    pub model: Model,
    pub steps: Vec<Repair>,
}

/// Repairs networks that removals made of one network.
pub struct Repairer<'a> {
    original: &'a Model,
    progress: Progress,
    learned_from: Images,
    held_back: Images,
    /// Log-probabilities that the original gives the images held back.
    expected: Tensor,
}

impl<'a> Repairer<'a> {
    /// For networks made of `original`.
    ///
    /// # Errors
    /// If the original cannot run.
    pub fn new(original: &'a Model, calibration: &Images, progress: Progress) -> Result<Self> {
        let count = calibration.len();
        let held_back = ((count as f64 * HELD_BACK) as usize).clamp(1, count);
        // Any run of calibration images has as many of each class.
        let images = |range: Range<usize>| calibration.subset(&range.collect::<Vec<_>>());
        let mut repairer = Repairer {
            original,
            progress,
            learned_from: images(0..count - held_back),
            held_back: images(count - held_back..count),
            expected: Tensor::new(),
        };
        repairer.expected = repairer.answers(original.module()?)?;
        Ok(repairer)
    }

    /// Tries these steps in turn on a network from which the blocks `removed`, named as in the original, were taken
    /// last. A step that the network has no place for is left out.
    ///
    /// # Errors
    /// If libtorch refuses; and [`Stopped`](interrupt::Stopped).
    pub fn repair(&self, model: Model, removed: &[String], steps: &[Step]) -> Result<Repaired> {
        let fits = match steps.contains(&Step::Channels) {
            true => self.sums_behind(&model, removed),
            false => Vec::new(),
        };
        let mut attempt = Attempt {
            repairer: self,
            model,
            agreement: None,
            steps: Vec::new(),
        };
        if !fits.is_empty() {
            attempt
                .model
                .load_with(&channels::methods(fits.iter().map(|(_, own)| own)))?;
        }
        for step in steps {
            interrupt::check()?;
            match step {
                Step::Refit => attempt.refit(removed)?,
                Step::Channels => attempt.fit_channels(&fits)?,
                Step::Bn => attempt.restate_statistics()?,
                Step::Distillation => {}
            }
        }
        Ok(Repaired {
            model: attempt.model,
            steps: attempt.steps,
        })
    }

    /// How alike a network and the original answer the images held back.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn agreement(&self, model: &Model) -> Result<Agreement> {
        let found = self.answers(model.module()?)?;
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
    fn answers(&self, module: &Module) -> Result<Tensor> {
        let predictor = module.predictor_for(&self.held_back)?;
        let mut answers = Vec::new();
        for batch in self.held_back.suiting(predictor.batch()).batches(0)? {
            let scores = predictor.scores(&module.images(&batch?.images)?)?;
            answers.push(scores.f_log_softmax(-1, Kind::Float).map_err(explain)?);
        }
        Tensor::f_cat(&answers, 0).map_err(explain)
    }
}

/// A network under repair.
struct Attempt<'a> {
    repairer: &'a Repairer<'a>,
    /// As the steps that were kept have left it.
    model: Model,
    /// Of the model, once it is known.
    agreement: Option<Agreement>,
    steps: Vec<Repair>,
}

impl Attempt<'_> {
    fn agreement(&mut self) -> Result<Agreement> {
        let known = self
            .agreement
            .map_or_else(|| self.repairer.agreement(&self.model), Ok)?;
        self.agreement = Some(known);
        Ok(known)
    }

    /// Keeps what `change` does to the weights where the network then answers more like the original.
    fn change(
        &mut self,
        step: Step,
        change: impl FnOnce(&Repairer, &mut Model) -> Result<()>,
    ) -> Result<()> {
        let before = self.agreement()?;
        let weights = self.model.weights()?;
        change(self.repairer, &mut self.model)?;
        let after = self.repairer.agreement(&self.model)?;
        if self.note(step, before, after) {
            self.model.keep_weights()
        } else {
            self.model.set_weights(&weights)
        }
    }

    /// Takes in the network `tried`, another form of this one, where it answers more like the original.
    fn replace(&mut self, step: Step, mut tried: Model) -> Result<()> {
        let before = self.agreement()?;
        let after = self.repairer.agreement(&tried)?;
        if self.note(step, before, after) {
            tried.keep_weights()?;
            self.model = tried;
        }
        Ok(())
    }

    /// Notes what a step did; whether it is kept.
    fn note(&mut self, step: Step, before: Agreement, after: Agreement) -> bool {
        let repair = Repair {
            step,
            before,
            after,
        };
        self.steps.push(repair);
        if repair.pays() {
            self.agreement = Some(after);
        }
        repair.pays()
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
