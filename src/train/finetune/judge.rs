//! What decides which weights of a training are kept.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::data::Images;
use crate::report::in_percent;
use crate::report::progress::Progress;
use crate::run::torch::Module;
use crate::train::agreement::Answers;
use crate::train::eval::evaluate;

/// What a judge says of weights; more is better. Its parts are always numbers, so that they can be kept in JSON.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// Accuracy, or closeness.
    pub value: f64,
    /// Decides between equal ones: of few images accuracy is a coarse measure, and the loss is not.
    pub then: f64,
}

/// What stands for no number: further off than any.
const NO_NUMBER: f64 = f64::MIN;

fn number(x: f64) -> f64 {
    if x.is_finite() { x } else { NO_NUMBER }
}

/// Images that are not learned from, and what is asked of a network on them.
#[derive(Clone, Copy, Debug)]
pub enum Judge<'a> {
    /// Its accuracy.
    Labelled(&'a Images),
    /// How closely it answers as another network does.
    Answers(&'a Answers),
}

impl Judge<'_> {
    pub(super) fn verdict(self, module: &Module, progress: Progress) -> Result<Verdict> {
        Ok(match self {
            Judge::Labelled(images) => {
                let metrics = evaluate(module, images, progress, "validating")?;
                Verdict {
                    value: metrics.accuracy,
                    then: number(-metrics.loss),
                }
            }
            Judge::Answers(answers) => Verdict {
                value: number(answers.agreement(module)?.closeness),
                then: 0.,
            },
        })
    }

    /// Whether weights did better than those that training began with. Of accuracies the difference has to be more than the
    /// standard error on so many images: among several epochs one does a little better by chance, and then the weights that
    /// were there are the better choice.
    pub(super) fn is_clearly_better(self, verdict: Verdict, before: Verdict) -> bool {
        let margin = match self {
            Judge::Labelled(images) => {
                let accuracy = before.value.clamp(0., 1.);
                (accuracy * (1. - accuracy) / images.len().max(1) as f64).sqrt()
            }
            Judge::Answers(_) => 0.,
        };
        verdict > before && verdict.value >= before.value + margin
    }

    /// A verdict in words.
    pub(super) fn say(self, verdict: Verdict) -> String {
        let verdict = verdict.value;
        match self {
            Judge::Labelled(_) => format!("validation accuracy {}", in_percent(verdict)),
            Judge::Answers(_) if verdict == NO_NUMBER => "answers that are no numbers".into(),
            // Without the minus of -0.
            Judge::Answers(answers) => {
                let unit = match answers.are_scores() {
                    true => "nats",
                    false => "of their variance",
                };
                format!("{:.4} {unit} from the teacher's answers", -verdict + 0.)
            }
        }
    }
}

/// What a judge said of the weights of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdicts {
    /// It went by accuracy; else by closeness ([`Agreement`](crate::train::agreement::Agreement)).
    pub by_accuracy: bool,
    /// Of the weights it began with.
    pub before: f64,
    /// After each epoch.
    pub after: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::data::{Loader, Transform, synthetic};

    #[test]
    fn of_few_images_one_that_is_answered_better_does_not_tell() {
        let verdict = |value| Verdict { value, then: 0. };
        for (count, found, tells) in [(300, 0.94, false), (300, 0.96, true), (30_000, 0.94, true)] {
            let count = NonZeroUsize::new(count).unwrap();
            let images = synthetic([1, 1, 1], count, 0).unwrap();
            let images = Images::new(images, Loader::new(count, Transform::default()));
            let judge = Judge::Labelled(&images);
            let better = judge.is_clearly_better(verdict(found), verdict(0.9367));
            assert_eq!(better, tells, "{found} of {count}");
        }
    }
}
