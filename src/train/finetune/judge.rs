//! What decides which weights of a training are kept.

use anyhow::Result;

use crate::data::Images;
use crate::report::in_percent;
use crate::report::progress::Progress;
use crate::run::torch::Module;
use crate::train::agreement::Answers;
use crate::train::eval::evaluate;

/// Closeness of answers that are no numbers: further off than any.
const NO_NUMBER: f64 = f64::MIN;

/// Images that are not learned from, and what is asked of a network on them.
#[derive(Clone, Copy, Debug)]
pub enum Judge<'a> {
    /// Its accuracy.
    Labelled(&'a Images),
    /// How closely it answers as another network does.
    Answers(&'a Answers),
}

impl Judge<'_> {
    /// More is better. It is always a number, so that it can be kept in JSON.
    pub(super) fn verdict(self, module: &Module, progress: Progress) -> Result<f64> {
        match self {
            Judge::Labelled(images) => {
                Ok(evaluate(module, images, progress, "validating")?.accuracy)
            }
            Judge::Answers(answers) => {
                let closeness = answers.agreement(module)?.closeness;
                Ok(if closeness.is_finite() {
                    closeness
                } else {
                    NO_NUMBER
                })
            }
        }
    }

    /// A verdict in words.
    pub(super) fn say(self, verdict: f64) -> String {
        match self {
            Judge::Labelled(_) => format!("validation accuracy {}", in_percent(verdict)),
            Judge::Answers(_) if verdict == NO_NUMBER => "answers that are no numbers".into(),
            // Without the minus of -0.
            Judge::Answers(_) => format!("{:.4} nats from the teacher's answers", -verdict + 0.),
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
