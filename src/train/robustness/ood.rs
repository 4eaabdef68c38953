//! Images of another kind than the network was trained for: how sure it is of them, and whether its confidence tells
//! them from those it knows.
//!
//! Confidence is the largest softmax probability (Hendrycks and Gimpel, arXiv 1610.02136, section 2).

use serde::{Deserialize, Serialize};

use crate::data::Part;

/// A second data set, out of distribution.
#[derive(Clone, Debug)]
pub struct Foreign {
    /// The images; their size may be another.
    pub part: Part,
    /// Which part of its data set that is: `test` or `train`.
    pub name: &'static str,
    /// Its labels mean the classes that the network knows, so that there is an accuracy.
    pub labels_match: bool,
}

/// What was measured on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ood {
    pub data: String,
    /// The part of it: `test` or `train`.
    pub part: String,
    pub images: usize,
    /// Fraction of images whose highest score is their label's; `None` without labels of the network's classes.
    pub accuracy: Option<f64>,
    pub correct: Option<usize>,
    /// Mean largest softmax probability.
    pub confidence: f64,
    /// Of the images that are not out of distribution, as they are.
    pub clean_confidence: f64,
    /// Probability that the network is surer of one of its own images than of one of these, ties counted half: 1 where
    /// confidence tells them apart, 0.5 where it says nothing.
    pub auroc: f64,
}

/// Whether labels of two data sets mean the same classes, as far as their names tell: as many, called the same, in the
/// same order. Classes without names are called by their numbers.
#[must_use]
pub fn same_classes(one: &[String], other: &[String]) -> bool {
    one == other && !one.is_empty()
}

/// Area under the receiver operating characteristic: the fraction of pairs in which the one of `higher` is above the one
/// of `lower`, a tie counted half (Mann and Whitney's U over the number of pairs). `None` if there is no pair.
#[must_use]
pub fn auroc(higher: &[f64], lower: &[f64]) -> Option<f64> {
    if higher.is_empty() || lower.is_empty() {
        return None;
    }
    let mut sorted = lower.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Twice the number of pairs won, so that ties stay whole.
    let won = |x: &f64| {
        let below = sorted.partition_point(|y| y < x);
        let not_above = sorted.partition_point(|y| y <= x);
        (below + not_above) as u64
    };
    let doubled: u64 = higher.iter().map(won).sum();
    Some(doubled as f64 / (2. * higher.len() as f64 * lower.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random_stream;
    use rand::RngExt;

    #[test]
    fn the_area_is_the_count_over_all_pairs() {
        let mut random = random_stream(*b"a test  ", 1, 0, 0);
        // Few different values, so that there are ties within and across.
        let mut draw = |count: usize, most: u32| -> Vec<f64> {
            (0..count)
                .map(|_| f64::from(random.random_range(0..most)) / 8.)
                .collect()
        };
        let (higher, lower) = (draw(37, 12), draw(53, 8));
        let mut won = 0.;
        for x in &higher {
            for y in &lower {
                won += if x > y {
                    1.
                } else if x == y {
                    0.5
                } else {
                    0.
                };
            }
        }
        let naive = won / (higher.len() * lower.len()) as f64;
        assert_eq!(auroc(&higher, &lower), Some(naive));
        let turned = auroc(&lower, &higher).unwrap();
        assert!((turned - (1. - naive)).abs() < 1e-12, "{turned}");
    }

    #[test]
    fn the_area_at_its_ends() {
        assert_eq!(auroc(&[0.9, 0.8], &[0.1]), Some(1.));
        assert_eq!(auroc(&[0.1], &[0.9, 0.8]), Some(0.));
        assert_eq!(auroc(&[0.5, 0.5], &[0.5]), Some(0.5));
        assert_eq!(auroc(&[], &[0.5]), None);
    }
}
