//! What a network says of each image.

use std::cmp::Ordering;

use anyhow::Result;
use ndarray::{ArrayView1, Axis, Ix2};

use super::{Metrics, check_scores};
use crate::data::{Images, ahead};
use crate::report::progress::Progress;
use crate::run::interrupt;
use crate::run::torch::{Module, to_array};

/// What a network says of images; one entry an image in every list, but that images without labels have no labels,
/// ranks and losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Number of every image in the data as it was opened.
    pub indices: Vec<usize>,
    pub labels: Vec<i64>,
    /// Class of the highest score; of equal ones the first.
    pub classes: Vec<i64>,
    /// Softmax of the highest score.
    pub confidences: Vec<f64>,
    /// Classes that come before the label's: 0 where the prediction is right.
    pub ranks: Vec<usize>,
    /// Cross-entropy in nats.
    pub losses: Vec<f64>,
    /// Classes that the network knows.
    pub known: usize,
}

impl Predictions {
    #[must_use]
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Whether it is known which are right.
    #[must_use]
    pub fn is_labelled(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Takes in the scores of one image, one a class.
    pub fn add(&mut self, index: usize, label: Option<i64>, scores: ArrayView1<f32>) {
        let view = Scores::of(scores);
        self.known = scores.len();
        self.indices.push(index);
        self.classes.push(view.best as i64);
        self.confidences.push(view.share(view.best).exp());
        if let Some(label) = label {
            self.labels.push(label);
            self.ranks.push(view.rank(label as usize));
            self.losses.push(-view.share(label as usize));
        }
    }

    /// Images whose highest score is their label's.
    #[must_use]
    pub fn correct(&self) -> usize {
        self.ranks.iter().filter(|rank| **rank == 0).count()
    }

    /// Whether each image is classified right.
    pub fn hits(&self) -> impl Iterator<Item = bool> {
        self.ranks.iter().map(|rank| *rank == 0)
    }

    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let count = self.len().max(1) as f64;
        Metrics {
            accuracy: self.correct() as f64 / count,
            loss: self.losses.iter().sum::<f64>() / count,
            images: self.len(),
            correct: self.correct(),
        }
    }

    /// Fraction of images for which both networks name the same class.
    #[must_use]
    pub fn agreement(&self, other: &Predictions) -> f64 {
        let pairs = self.classes.iter().zip(&other.classes);
        pairs.filter(|(a, b)| a == b).count() as f64 / self.len().max(1) as f64
    }
}

/// The scores of one image, one a class.
struct Scores<'a> {
    scores: ArrayView1<'a, f32>,
    /// The first of the highest; a score that is no number counts as higher than all, as in libtorch.
    best: usize,
    /// Logarithm of the sum of their exponentials.
    log_sum: f64,
}

impl<'a> Scores<'a> {
    fn of(scores: ArrayView1<'a, f32>) -> Self {
        let higher = |a: f32, b: f32| a > b || (a.is_nan() && !b.is_nan());
        let mut best = 0;
        for (class, score) in scores.iter().enumerate() {
            if higher(*score, scores[best]) {
                best = class;
            }
        }
        let top = scores.get(best).copied().map_or(0., f64::from);
        let sum: f64 = scores.iter().map(|s| (f64::from(*s) - top).exp()).sum();
        Scores {
            scores,
            best,
            log_sum: top + sum.ln(),
        }
    }

    /// Logarithm of a class's softmax.
    fn share(&self, class: usize) -> f64 {
        f64::from(self.scores[class]) - self.log_sum
    }

    /// Classes with a higher score, and those before it with an equal one.
    fn rank(&self, class: usize) -> usize {
        let own = self.scores[class];
        let before = |(other, score): &(usize, &f32)| match score.partial_cmp(&&own) {
            Some(Ordering::Less) => false,
            Some(Ordering::Equal) => *other < class,
            Some(Ordering::Greater) => true,
            // A score that is no number comes first, so that a network that gives none is never right by it.
            None => *other != class,
        };
        self.scores.iter().enumerate().filter(before).count()
    }
}

/// Asks a network for all these images, in the quickest form that gives the same.
///
/// # Errors
/// If the network does not give one row of class scores an image, with a class for every label; and
/// [`Stopped`](interrupt::Stopped).
pub fn predict(
    module: &Module,
    images: &Images,
    progress: Progress,
    what: &str,
) -> Result<Predictions> {
    let mut found = Predictions::default();
    if images.is_empty() {
        return Ok(found);
    }
    let predictor = module.predictor_for(images)?;
    let bar = progress.bar(what, images.len());
    ahead(images.suiting(predictor.batch()).batches(0)?, |batches| {
        for batch in batches {
            interrupt::check()?;
            let batch = batch?;
            let scores = predictor.scores(&module.images(&batch.images)?)?;
            let labels = batch.labels.as_deref().unwrap_or_default();
            check_scores(&scores, batch.indices.len(), labels, &images.part)?;
            let scores = to_array(&scores)?.into_dimensionality::<Ix2>()?;
            let rows = batch.indices.iter().zip(scores.axis_iter(Axis(0)));
            for (at, (index, row)) in rows.enumerate() {
                found.add(*index, labels.get(at).copied(), row);
            }
            bar.advance(batch.indices.len());
        }
        Ok(found)
    })
}

#[cfg(test)]
mod tests {
    use ndarray::aview1;

    use super::*;

    fn said(label: i64, scores: &[f32]) -> Predictions {
        let mut predictions = Predictions::default();
        predictions.add(0, Some(label), aview1(scores));
        predictions
    }

    #[test]
    fn the_highest_score_is_the_prediction_and_its_softmax_the_confidence() {
        let found = said(2, &[0., 2f32.ln(), 5f32.ln()]);
        assert_eq!((found.classes[0], found.ranks[0]), (2, 0));
        assert!((found.confidences[0] - 5. / 8.).abs() < 1e-6);
        assert!((found.losses[0] - (8f64 / 5.).ln()).abs() < 1e-6);
    }

    #[test]
    fn of_equal_scores_the_first_class_is_the_prediction_and_the_only_hit() {
        assert_eq!(said(0, &[1., 1., 1.]).correct(), 1);
        assert_eq!(said(2, &[1., 1., 1.]).ranks, [2]);
    }

    #[test]
    fn scores_that_are_no_numbers_are_never_right_by_accident() {
        assert_eq!(said(1, &[f32::NAN, 3., 1.]).correct(), 0);
        assert!(said(1, &[f32::NAN; 3]).losses[0].is_nan());
    }

    #[test]
    fn huge_scores_do_not_overflow() {
        let found = said(1, &[1e30, -1e30]);
        assert!(found.losses[0].is_finite() && found.confidences[0] == 1.);
    }
}
