//! What a network is worth: accuracy and calibration on labelled images, speed, memory, energy.

mod energy;
mod latency;
mod predictions;
mod quality;

use anyhow::{Result, bail};
use serde::Serialize;
use tch::Tensor;

use crate::data::{DataError, Images, Part};
use crate::report::progress::Progress;
use crate::run::torch::Module;

pub use energy::{Energy, Meter};
pub use latency::{Latency, Passes, Ratio, Spread, in_turn, throughput};
pub use predictions::{Predictions, predict};
pub use quality::{Bin, ClassQuality, Quality, Rate, paired_difference, points_lost};

/// What one pass over labelled images measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Fraction of images whose highest score is their label's.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Images measured.
    pub images: usize,
    /// Images whose highest score is their label's.
    pub correct: usize,
}

/// Measures `module` on all these images.
///
/// # Errors
/// If the images have no labels, and those of [`predict`].
pub fn evaluate(
    module: &Module,
    images: &Images,
    progress: Progress,
    what: &str,
) -> Result<Metrics> {
    if !images.is_labelled() {
        bail!(unlabelled(
            &images.part,
            "so there is no accuracy to measure; name a data set with labels"
        ));
    }
    Ok(predict(module, images, progress, what)?.metrics())
}

/// The images lack what only labels can give.
pub(crate) fn unlabelled(part: &Part, consequence: &str) -> DataError {
    let path = part.path().display();
    DataError::Setting(format!("{path}: the images have no labels, {consequence}"))
}

/// Refuses an output that is not one row of class scores an image, or has no class for some label.
pub(crate) fn check_scores(
    scores: &Tensor,
    images: usize,
    labels: &[i64],
    part: &Part,
) -> Result<()> {
    let shape = scores.size();
    let [rows, classes] = shape.as_slice() else {
        bail!(
            "the network gives a tensor of shape {shape:?} where one row of class scores an image is expected"
        );
    };
    if *rows != images as i64 {
        bail!("the network gives {rows} rows of scores for {images} images");
    }
    match labels.iter().max() {
        Some(highest) if highest >= classes => bail!(
            "the network knows {classes} classes (0 to {}), but {} has a label {highest}; {}",
            classes - 1,
            part.path().display(),
            fitting_labels(part, *classes)
        ),
        _ => Ok(()),
    }
}

/// What to do where labels are no numbers of the network's classes.
fn fitting_labels(part: &Part, classes: i64) -> String {
    const OTHER: &str = "name the data set that the network was trained for";
    if part.is_labelled_by_folders() {
        return format!("{OTHER}, or the network's classes in their order with --classes FILE");
    }
    let labels = part.labels().unwrap_or_default();
    match labels.iter().min().zip(labels.iter().max()) {
        Some((least @ 1.., highest)) if highest - least < classes => format!(
            "its labels go from {least} to {highest}: if the first class is {least}, add --first-class {least}; else {OTHER}"
        ),
        _ => OTHER.to_owned(),
    }
}
