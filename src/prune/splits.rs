//! The images of a run, by what they serve for.

use crate::data::Images;

/// What a data set was split into.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Drawn from the training part; scoring sees nothing else.
    pub calibration: Images,
    /// What fine-tuning learns from, if there are labels or a teacher: shuffled and augmented, without labels where those
    /// are not to be learned.
    pub train: Option<Images>,
    /// Taken from the training part, with labels: what the best weights are picked by.
    pub validation: Option<Images>,
    /// Only ever measured on.
    pub test: Option<Images>,
}

impl Splits {
    /// Whether there are labels to learn from or to decide by.
    #[must_use]
    pub fn has_labels(&self) -> bool {
        self.validation.is_some() || self.train.as_ref().is_some_and(Images::is_labelled)
    }
}
