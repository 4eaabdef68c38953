//! What a run says of each removal.

use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::eval::Metrics;
use crate::score::Score;

/// Size and quality of a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub params: i64,
    pub macs: i64,
    /// Number of residual blocks.
    pub blocks: usize,
    /// Fraction of test images; absent without labelled test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Forward passes, measured side by side with the network it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<f64>,
}

impl Figures {
    #[must_use]
    pub fn new(analysis: &Analysis, metrics: Option<&Metrics>) -> Self {
        Figures {
            params: analysis.params(),
            macs: analysis.macs().count,
            blocks: analysis.blocks.len(),
            accuracy: metrics.map(|m| m.accuracy),
            loss: metrics.map(|m| m.loss),
            images_per_second: None,
        }
    }
}

/// One removal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Counted from 1.
    pub iteration: usize,
    pub removed: String,
    pub cka: f64,
    /// All candidates, the best first.
    pub candidates: Vec<Score>,
    /// What was repaired; absent where that did not pay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Repair>,
    /// Of the network without the block, before a repair that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_before_repair: Option<f64>,
    /// Of the network without the block, repaired, before fine-tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_before_finetuning: Option<f64>,
    /// Mean loss of the last fine-tuning epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// After fine-tuning.
    #[serde(flatten)]
    pub after: Figures,
    pub seconds: f64,
}

impl Iteration {
    /// Accuracy after the removal, after a repair that was kept, and after fine-tuning, where there were any.
    #[must_use]
    pub fn accuracies(&self) -> [Option<f64>; 3] {
        let tuned = self.accuracy_before_finetuning.and(self.after.accuracy);
        let untuned = self.accuracy_before_finetuning.or(self.after.accuracy);
        match self.repair {
            Some(_) => [self.accuracy_before_repair, untuned, tuned],
            None => [untuned, None, tuned],
        }
    }
}

/// Agreement with the unpruned network on calibration images held back: the fraction given the same class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repair {
    pub agreement_before: f64,
    pub agreement_after: f64,
}
