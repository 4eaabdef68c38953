//! What a run says of each removal.

use serde::{Deserialize, Serialize};

use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::score::criteria::{Distribution, Score, Value};
use crate::train::repair::Repair;

/// Size and quality of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// By the user's own measure, which takes accuracy's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// Fraction of the images set aside to decide by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Seconds of a forward pass of one image: the original's, times the ratio of both measured in turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// Forward passes, measured side by side with the network it is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<f64>,
}

impl Figures {
    /// The size of a network.
    #[must_use]
    pub fn of(analysis: &Analysis) -> Self {
        Figures {
            params: analysis.params(),
            macs: analysis.macs().count,
            blocks: analysis.blocks.len(),
            ..Figures::default()
        }
    }

    /// What is shown of its quality: by the user's own measure, or else the accuracy on test images.
    #[must_use]
    pub fn quality(&self) -> Option<f64> {
        self.measured.or(self.accuracy)
    }

    /// What a run decides by: the user's own measure, or else the accuracy on images set aside.
    #[must_use]
    pub fn decisive(&self) -> Option<f64> {
        self.measured.or(self.validation_accuracy)
    }

    /// Of the network without these blocks, as far as their own figures tell.
    #[must_use]
    pub(crate) fn without(&self, gone: &[&Block]) -> Self {
        Figures {
            macs: self.macs - gone.iter().map(|b| b.macs.count).sum::<i64>(),
            params: self.params - gone.iter().map(|b| b.params).sum::<i64>(),
            ..*self
        }
    }
}

/// One removal: of one block, or of several together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Iteration {
    /// Counted from 1.
    pub iteration: usize,
    /// The best first.
    pub removed: Vec<String>,
    /// Of the best, by the criterion whose name is the key.
    #[serde(flatten)]
    pub value: Value,
    /// All candidates, the best first.
    pub candidates: Vec<Score>,
    /// Of the candidates' values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// What repairing did, step by step; a step that did not bring the network closer was undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<Repair>,
    /// Of the network without the blocks, before repairs that were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_before_repair: Option<f64>,
    /// Of the network without the blocks, repaired, before fine-tuning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_before_finetuning: Option<f64>,
    /// The same two by the user's own measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_before_repair: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_before_finetuning: Option<f64>,
    /// Mean loss of the last fine-tuning epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// After fine-tuning.
    #[serde(flatten)]
    pub after: Figures,
    pub seconds: f64,
}

impl Iteration {
    /// The removal of these blocks, nothing measured yet.
    #[must_use]
    pub fn of(number: usize, removed: &[String], candidates: Vec<Score>) -> Self {
        let best = candidates
            .iter()
            .find(|score| removed.first() == Some(&score.path));
        Iteration {
            iteration: number,
            removed: removed.to_vec(),
            value: best.map_or(Value::Cka(0.), |score| score.value),
            distribution: Distribution::of(&candidates),
            candidates,
            repairs: Vec::new(),
            accuracy_before_repair: None,
            accuracy_before_finetuning: None,
            measured_before_repair: None,
            measured_before_finetuning: None,
            train_loss: None,
            after: Figures::default(),
            seconds: 0.,
        }
    }

    /// Whether a repair was kept.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        self.repairs.iter().any(Repair::pays)
    }

    /// Quality after the removal, after repairs that were kept, and after fine-tuning, where there were any.
    #[must_use]
    pub fn qualities(&self) -> [Option<f64>; 3] {
        let before_repair = self.measured_before_repair.or(self.accuracy_before_repair);
        let before_tuning = (self.measured_before_finetuning).or(self.accuracy_before_finetuning);
        let after = self.after.quality();
        let (tuned, untuned) = (before_tuning.and(after), before_tuning.or(after));
        match self.is_repaired() {
            true => [before_repair, untuned, tuned],
            false => [untuned, None, tuned],
        }
    }
}
