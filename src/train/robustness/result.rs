//! What was measured, as documents have it.

use serde::{Deserialize, Serialize};

use super::{Attack, Corruption, Ood, Severity};

/// Accuracy on the same images as they are, attacked, and corrupted; and what the network makes of foreign ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Robustness {
    /// Of what is drawn at random: the images measured, noise, where attacks begin.
    pub seed: u64,
    /// The images as they are: those measured here, which may be fewer than the data set's.
    pub clean: Hits,
    /// In the order of the options: attacks, then corruptions by severity.
    pub rows: Vec<Row>,
    /// Mean accuracy of all corruptions and severities measured; `None` if there are none.
    pub mean_corruption_accuracy: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ood: Option<Ood>,
}

/// What is done to the images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Condition {
    Attack(Attack),
    Corruption {
        name: Corruption,
        severity: Severity,
    },
}

/// Hits and losses over images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hits {
    /// Fraction of images whose highest score is their label's.
    pub accuracy: f64,
    pub correct: usize,
    pub images: usize,
    /// Mean cross-entropy in nats.
    pub loss: f64,
}

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    #[serde(flatten)]
    pub condition: Condition,
    #[serde(flatten)]
    pub hits: Hits,
    /// Of an attack: images at which the gradient it goes by is 0 everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_gradient: Option<usize>,
}

impl Robustness {
    /// The corruptions that were measured, in the order in which they are listed.
    pub fn corruptions(&self) -> impl Iterator<Item = Corruption> + '_ {
        let measured = |corruption: &Corruption| {
            self.rows
                .iter()
                .any(|row| matches!(row.condition, Condition::Corruption { name, .. } if name == *corruption))
        };
        Corruption::ALL.into_iter().filter(measured)
    }

    /// The accuracy under a corruption, if it was measured.
    #[must_use]
    pub fn under(&self, corruption: Corruption, severity: Severity) -> Option<f64> {
        let wanted = Condition::Corruption {
            name: corruption,
            severity,
        };
        let row = self.rows.iter().find(|row| row.condition == wanted)?;
        Some(row.hits.accuracy)
    }

    /// The lowest of the accuracies under each attack and of the mean under corruptions; `None` if there are neither.
    #[must_use]
    pub fn lowest(&self) -> Option<f64> {
        let attacked = self.rows.iter().filter_map(|row| match row.condition {
            Condition::Attack(_) => Some(row.hits.accuracy),
            Condition::Corruption { .. } => None,
        });
        attacked
            .chain(self.mean_corruption_accuracy)
            .min_by(f64::total_cmp)
    }

    /// The mean accuracy of the rows that are corruptions, or this one; `None` if there are none.
    #[must_use]
    pub fn mean_accuracy(rows: &[Row], of: Option<Corruption>) -> Option<f64> {
        let corrupted = rows.iter().filter(|row| match row.condition {
            Condition::Corruption { name, .. } => of.is_none_or(|of| of == name),
            Condition::Attack(_) => false,
        });
        // All conditions have the same images. A sum of counts is exact, so that a limit can be met to the last image.
        let (mut correct, mut images) = (0, 0);
        for row in corrupted {
            correct += row.hits.correct;
            images += row.hits.images;
        }
        (images > 0).then(|| correct as f64 / images as f64)
    }
}

/// The predicted class of every image under every condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predictions {
    /// Each image's number in its part of the data, as it is stored; what follows is in the same order.
    pub indices: Vec<usize>,
    pub labels: Vec<i64>,
    /// Of the images as they are.
    pub clean: Vec<i64>,
    pub rows: Vec<Predicted>,
}

/// The predicted classes under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    #[serde(flatten)]
    pub condition: Condition,
    pub predicted: Vec<i64>,
}
