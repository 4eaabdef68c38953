//! What a training did, for its report.

use serde::{Deserialize, Serialize};

use super::judge::Verdicts;

/// Losses and verdicts, epoch by epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Mean loss of each epoch.
    pub train_losses: Vec<f64>,
    /// Accuracy on the validation images of the weights it began with, if there are any such images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_before: Option<f64>,
    /// And after each epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<f64>,
    /// Closeness of the answers to another network's ([`Agreement`](crate::train::agreement::Agreement)) of the weights it
    /// began with, where that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closeness_before: Option<f64>,
    /// And after each epoch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closeness: Vec<f64>,
    /// The epoch, counted from 1, whose weights were kept; 0 for those it began with.
    pub kept_epoch: usize,
}

impl Tuning {
    pub(super) fn new(
        train_losses: Vec<f64>,
        verdicts: Option<Verdicts>,
        kept_epoch: usize,
    ) -> Self {
        let tuning = Tuning {
            train_losses,
            kept_epoch,
            ..Tuning::default()
        };
        match verdicts {
            None => tuning,
            Some(verdicts) if verdicts.by_accuracy => Tuning {
                validation_before: Some(verdicts.before),
                validation: verdicts.after,
                ..tuning
            },
            Some(verdicts) => Tuning {
                closeness_before: Some(verdicts.before),
                closeness: verdicts.after,
                ..tuning
            },
        }
    }

    /// Of the weights that were kept.
    #[must_use]
    pub fn validation_accuracy(&self) -> Option<f64> {
        match self.kept_epoch.checked_sub(1) {
            None => self.validation_before,
            Some(epoch) => self.validation.get(epoch).copied(),
        }
    }
}
