//! Repair without labels and without training: what a removal put out of step is brought back in step.
//!
//! Steps are tried one after another, each on a part of the calibration images, and each is kept only where it brings
//! the network closer to the unpruned one on the images held back.

mod channels;
mod normalisation;
mod refit;

use std::ops::Range;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::data::Images;
use crate::report::progress::Progress;
use crate::run::interrupt;
use crate::run::torch::Model;
use crate::train::agreement::{Agreement, Answers};

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

/// What one step did to the agreement with the unpruned network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    pub step: Step,
    pub before: Agreement,
    pub after: Agreement,
}

impl Repair {
    /// Whether the step brought the network closer, and so was kept.
    #[must_use]
    pub fn pays(&self) -> bool {
        self.after.is_closer_than(self.before)
    }
}

/// Calibration images to learn from, and those that decide whether what was learned is kept.
#[must_use]
pub fn held_back(calibration: &Images) -> [Images; 2] {
    let count = calibration.len();
    let held = ((count as f64 * HELD_BACK) as usize).clamp(1, count);
    // Any run of calibration images has as many of each class.
    let images = |range: Range<usize>| calibration.subset(&range.collect::<Vec<_>>());
    [images(0..count - held), images(count - held..count)]
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
    /// Of the original, to the images held back.
    answers: Answers,
}

impl<'a> Repairer<'a> {
    /// For networks made of `original`.
    ///
    /// # Errors
    /// If the original cannot run.
    pub fn new(original: &'a Model, calibration: &Images, progress: Progress) -> Result<Self> {
        let [learned_from, held] = held_back(calibration);
        Ok(Repairer {
            original,
            progress,
            learned_from,
            answers: Answers::of(original.module()?, held)?,
        })
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
        let known = match self.agreement {
            Some(known) => known,
            None => self.repairer.answers.agreement(self.model.module()?)?,
        };
        self.agreement = Some(known);
        Ok(known)
    }

    /// Keeps what `change` does to the weights where the network then answers more like the original; whether it does.
    fn change(
        &mut self,
        step: Step,
        change: impl FnOnce(&Repairer, &mut Model) -> Result<()>,
    ) -> Result<bool> {
        let before = self.agreement()?;
        let weights = self.model.weights()?;
        change(self.repairer, &mut self.model)?;
        let after = self.repairer.answers.agreement(self.model.module()?)?;
        let pays = self.note(step, before, after);
        if pays {
            self.model.keep_weights()?;
        } else {
            self.model.set_weights(&weights)?;
        }
        Ok(pays)
    }

    /// Takes in the network `tried`, another form of this one, where it answers more like the original.
    fn replace(&mut self, step: Step, mut tried: Model) -> Result<()> {
        let before = self.agreement()?;
        let after = self.repairer.answers.agreement(tried.module()?)?;
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
            same_class: Some(0.5),
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
