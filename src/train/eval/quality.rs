//! Accuracy with its interval, by class, and how far confidence can be trusted.

use serde::{Deserialize, Serialize};

use super::Predictions;

/// Standard deviations that hold 95 % of a normal distribution.
const Z95: f64 = 1.959_963_984_540_054;
/// Bins of the calibration error, as in Guo et al., arXiv 1706.04599.
const BINS: usize = 15;
/// Scores that may hold the label for a hit among the first.
const TOP: usize = 5;

/// A count out of a number, with the interval that holds the true rate with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub accuracy: f64,
    /// Wilson's score interval.
    pub interval: [f64; 2],
    pub images: usize,
    pub correct: usize,
}

impl Rate {
    #[must_use]
    pub fn of(correct: usize, images: usize) -> Self {
        let n = images.max(1) as f64;
        let rate = correct as f64 / n;
        let z2 = Z95 * Z95;
        let centre = (rate + z2 / (2. * n)) / (1. + z2 / n);
        let half = Z95 / (1. + z2 / n) * (rate * (1. - rate) / n + z2 / (4. * n * n)).sqrt();
        let interval = match images {
            0 => [0., 1.],
            _ => [(centre - half).max(0.), (centre + half).min(1.)],
        };
        Rate {
            accuracy: rate,
            interval,
            images,
            correct,
        }
    }
}

/// Accuracy on the images of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassQuality {
    pub class: String,
    #[serde(flatten)]
    pub rate: Rate,
}

/// The images that were classified with a confidence in one range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    pub from: f64,
    pub to: f64,
    pub images: usize,
    /// Their mean; absent in an empty bin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
}

/// How well a network classifies labelled images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    #[serde(flatten)]
    pub rate: Rate,
    /// The label is among the five highest scores; absent where there are no more than five classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top5: Option<Rate>,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Expected calibration error: the mean distance of confidence and accuracy over bins of equal width, weighted by
    /// their images (Guo et al., arXiv 1706.04599, equation 3).
    pub calibration_error: f64,
    pub calibration: Vec<Bin>,
    /// Of the classes that the images have, in order of their numbers.
    pub classes: Vec<ClassQuality>,
}

impl Quality {
    /// `names` of the classes, by number; a class without a name is called by its number.
    #[must_use]
    pub fn of(predictions: &Predictions, names: &[String]) -> Self {
        let calibration = bins(predictions);
        let images = predictions.len().max(1) as f64;
        let gap = |bin: &Bin| {
            let apart = bin.confidence.zip(bin.accuracy).map(|(c, a)| (c - a).abs());
            apart.map_or(0., |apart| apart * bin.images as f64 / images)
        };
        let within = |rank: &&usize| **rank < TOP;
        let top = predictions.ranks.iter().filter(within).count();
        Quality {
            rate: Rate::of(predictions.correct(), predictions.len()),
            top5: (predictions.known > TOP).then(|| Rate::of(top, predictions.len())),
            loss: predictions.metrics().loss,
            calibration_error: calibration.iter().map(gap).sum(),
            calibration,
            classes: by_class(predictions, names),
        }
    }
}

fn bins(predictions: &Predictions) -> Vec<Bin> {
    let mut sums = [(0usize, 0., 0usize); BINS];
    for (confidence, hit) in predictions.confidences.iter().zip(predictions.hits()) {
        // A bin holds its upper end: (0, 1/15], … A confidence that is no number falls into the first.
        let place = (confidence * BINS as f64).ceil() as usize;
        let (images, confidences, hits) = &mut sums[place.clamp(1, BINS) - 1];
        *images += 1;
        *confidences += confidence;
        *hits += usize::from(hit);
    }
    let bin = |(place, (images, confidences, hits)): (usize, (usize, f64, usize))| Bin {
        from: place as f64 / BINS as f64,
        to: (place + 1) as f64 / BINS as f64,
        images,
        confidence: (images > 0).then(|| confidences / images as f64),
        accuracy: (images > 0).then(|| hits as f64 / images as f64),
    };
    sums.into_iter().enumerate().map(bin).collect()
}

fn by_class(predictions: &Predictions, names: &[String]) -> Vec<ClassQuality> {
    let mut counts = std::collections::BTreeMap::<i64, (usize, usize)>::new();
    for (label, hit) in predictions.labels.iter().zip(predictions.hits()) {
        let (correct, images) = counts.entry(*label).or_default();
        *correct += usize::from(hit);
        *images += 1;
    }
    let class = |(label, (correct, images)): (i64, (usize, usize))| {
        let name = usize::try_from(label).ok().and_then(|at| names.get(at));
        ClassQuality {
            class: name.cloned().unwrap_or_else(|| label.to_string()),
            rate: Rate::of(correct, images),
        }
    };
    counts.into_iter().map(class).collect()
}

/// Points of accuracy that the second network has less on the same images: the number nearest to this ratio of counts, and
/// so equal to a limit that names it.
#[must_use]
pub fn points_lost(first: &Rate, second: &Rate) -> f64 {
    let lost = first.correct as i64 - second.correct as i64;
    (100 * lost) as f64 / first.images.max(1) as f64
}

/// By how much the second network's accuracy is higher on the same images, with the interval that holds the true
/// difference with 95 % confidence: from the images on which just one of them is right, as McNemar's test counts them.
#[must_use]
pub fn paired_difference(first: &Predictions, second: &Predictions) -> (f64, [f64; 2]) {
    let n = first.len().max(1) as f64;
    let (mut gained, mut lost) = (0., 0.);
    for (before, after) in first.hits().zip(second.hits()) {
        match (before, after) {
            (false, true) => gained += 1.,
            (true, false) => lost += 1.,
            _ => {}
        }
    }
    let difference: f64 = (gained - lost) / n;
    let variance = (gained + lost - (gained - lost).powi(2) / n) / (n * n);
    let half = Z95 * variance.max(0.).sqrt();
    (difference, [difference - half, difference + half])
}

#[cfg(test)]
mod tests {
    use ndarray::aview1;

    use super::*;

    /// One image each: label, and the scores of two classes.
    fn predictions(images: &[(i64, [f32; 2])]) -> Predictions {
        let mut found = Predictions::default();
        for (index, (label, scores)) in images.iter().enumerate() {
            found.add(index, Some(*label), aview1(scores));
        }
        found
    }

    /// `100 · part / of`, written out with three decimals, where it has no more.
    fn in_points(part: usize, of: usize) -> Option<String> {
        let thousandths = 100_000 * part;
        thousandths.is_multiple_of(of).then(|| {
            let thousandths = thousandths / of;
            format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
        })
    }

    #[test]
    fn a_drop_equals_the_limit_that_names_it() {
        for images in 1..=500 {
            let whole = Rate::of(images, images);
            for lost in 0..=images {
                let Some(limit) = in_points(lost, images) else {
                    continue;
                };
                let limit: f64 = limit.parse().unwrap();
                let points = points_lost(&whole, &Rate::of(images - lost, images));
                assert_eq!(points, limit, "{lost} of {images}");
            }
        }
    }

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263, and 15 of 148.
        for (correct, images, low, high) in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605)] {
            let [l, h] = Rate::of(correct, images).interval;
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{l} {h}");
        }
        assert_eq!(Rate::of(0, 0).interval, [0., 1.]);
        assert!((Rate::of(10, 10).interval[1] - 1.).abs() < 1e-12);
    }

    #[test]
    fn calibration_error_is_the_weighted_gap_of_confidence_and_accuracy() {
        // Two confidences of 0.75, one right; two of 0.5 and a bit, both right.
        let sure = 3f32.ln();
        let found = predictions(&[
            (0, [sure, 0.]),
            (1, [sure, 0.]),
            (0, [0.01, 0.]),
            (0, [0.01, 0.]),
        ]);
        let quality = Quality::of(&found, &[]);
        let low = 1. / (1. + f64::from(-0.01f32).exp());
        let expected = 0.5 * (0.75 - 0.5) + 0.5 * (1. - low);
        assert!((quality.calibration_error - expected).abs() < 1e-6);
        assert_eq!(
            quality.calibration.iter().map(|b| b.images).sum::<usize>(),
            4
        );
    }

    #[test]
    fn every_class_has_its_own_rate_and_name() {
        let found = predictions(&[(0, [1., 0.]), (1, [1., 0.]), (1, [0., 1.])]);
        let quality = Quality::of(&found, &["cat".into()]);
        let rates: Vec<_> = quality
            .classes
            .iter()
            .map(|c| (c.class.as_str(), c.rate.correct, c.rate.images))
            .collect();
        assert_eq!(rates, [("cat", 1, 1), ("1", 1, 2)]);
        assert!(quality.top5.is_none(), "of two classes five are no choice");
    }

    #[test]
    fn a_difference_rests_on_the_images_that_one_network_alone_gets_right() {
        let right = (0, [1., 0.]);
        let wrong = (0, [0., 1.]);
        let first = predictions(&[right, right, wrong, right]);
        let second = predictions(&[right, wrong, right, wrong]);
        let (difference, [low, high]) = paired_difference(&first, &second);
        assert_eq!(difference, -0.25);
        // Variance (3 - 1/4) / 16.
        let half = Z95 * (2.75f64 / 16.).sqrt();
        assert!((high - low - 2. * half).abs() < 1e-12);
        assert_eq!(paired_difference(&first, &first), (0., [0., 0.]));
    }
}
