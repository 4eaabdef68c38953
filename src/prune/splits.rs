//! The images of a run, by what they serve for.

use crate::data::Images;

/// What a data set was split into.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Drawn from the training part; scoring sees nothing else.
    pub calibration: Images,
    /// What fine-tuning learns from, if there are labels or a teacher: shuffled and augmented.
    pub train: Option<Images>,
    /// Taken from the training part: what the best epoch is picked by.
    pub validation: Option<Images>,
    /// Only ever measured on.
    pub test: Option<Images>,
}

impl Splits {
    /// Whether fine-tuning has labels to learn from.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.train.as_ref().is_some_and(Images::is_labelled)
    }
}
