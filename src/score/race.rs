//! Racing: candidates are compared on growing prefixes of the calibration images, and those that are surely behind stop.
//!
//! All candidates see the same images, so the difference between two of them varies far less from draw to draw than
//! either similarity. What one image does to each similarity is known ([`crate::score::cka::Influence`]); the difference of two
//! has the variance of the images' differences.

use std::num::NonZeroUsize;

use statrs::distribution::{ContinuousCDF, Normal};

use crate::score::cka::Influence;

/// When candidates are compared, and how sure one has to be to drop one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Race {
    /// Probability that none of the `winners` is dropped in the whole race.
    pub confidence: f64,
    /// So many of the best are looked for: all that may be picked.
    pub winners: NonZeroUsize,
}

impl Default for Race {
    fn default() -> Self {
        Race {
            confidence: 0.99,
            winners: NonZeroUsize::MIN,
        }
    }
}

/// Images before the first comparison.
const FIRST: usize = 128;
/// Each comparison after so many times the images of the one before.
const GROWTH: f64 = 1.5;

/// The numbers of images at which to compare, of `samples` in all, for representations of so many features.
#[must_use]
pub fn comparisons(samples: usize, features: usize) -> Vec<usize> {
    // Of fewer images than features CKA says more of their number than of the network.
    let first = FIRST.max(2 * features);
    let at = std::iter::successors(Some(first as f64), |at| Some(at * GROWTH));
    at.map(|at| at as usize)
        .take_while(|at| *at < samples)
        .collect()
}

impl Race {
    /// Standard errors by which a candidate has to be behind another: each decision may err a little, all of them
    /// together no more than the confidence allows (Bonferroni). A winner is only dropped if as many as there are winners
    /// seem to be ahead of it, one of which is none. So what may err is each winner beside each candidate that is truly
    /// behind it, at each comparison.
    #[must_use]
    pub fn margin(&self, candidates: usize, comparisons: usize) -> f64 {
        let behind = |place| candidates.saturating_sub(place);
        let pairs: usize = (1..=self.winners.get().min(candidates)).map(behind).sum();
        let decisions = pairs.saturating_mul(comparisons).max(1) as f64;
        Normal::standard().inverse_cdf(1. - (1. - self.confidence) / decisions)
    }
}

/// Which of the candidates are behind each of the `winners` best by more than `margin` standard errors of the difference.
/// `seen` of `all` images have been seen; the influences are those of some of them, the same for every candidate.
#[must_use]
pub fn fallen_behind(
    candidates: &[Influence],
    winners: NonZeroUsize,
    seen: usize,
    all: usize,
    margin: f64,
) -> Vec<bool> {
    let mut best: Vec<&Influence> = candidates.iter().collect();
    // Of equal ones the later comes first.
    best.reverse();
    best.sort_by(|a, b| b.cka.total_cmp(&a.cka));
    if best.len() <= winners.get() {
        return vec![false; candidates.len()];
    }
    best.truncate(winners.get());
    // What remains unknown is the part of the images that is not seen yet (finite population correction).
    let unseen = 1. - seen as f64 / all as f64;
    let is_behind = |candidate: &Influence| {
        best.iter().all(|leader| {
            let differences = &leader.samples - &candidate.samples;
            let scale = seen as f64 / differences.len() as f64;
            let variance = differences.dot(&differences) * scale * unseen;
            leader.cka - candidate.cka > margin * variance.sqrt()
        })
    };
    candidates.iter().map(is_behind).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    /// A candidate with this similarity, whose images move it by these amounts.
    fn candidate(cka: f64, samples: &[f64]) -> Influence {
        Influence {
            cka,
            samples: Array1::from(samples.to_vec()),
        }
    }

    #[test]
    fn noise_that_candidates_share_does_not_blur_their_difference() {
        let shared = [0.1, -0.1, 0.2, -0.2];
        let lone = [0.1, -0.1, -0.2, 0.2];
        let pair = |other: &[f64]| {
            let both = [candidate(0.9, &shared), candidate(0.89, other)];
            fallen_behind(&both, ONE, 4, 1000, 3.)
        };
        assert_eq!(pair(&shared), [false, true]);
        assert_eq!(pair(&lone), [false, false]);
    }

    #[test]
    fn the_fewer_images_are_left_the_less_is_unknown() {
        let both = [candidate(0.9, &[0.008; 4]), candidate(0.85, &[-0.008; 4])];
        assert_eq!(fallen_behind(&both, ONE, 4, 1000, 3.), [false, false]);
        assert_eq!(fallen_behind(&both, ONE, 4, 5, 3.), [false, true]);
    }

    #[test]
    fn images_looked_at_stand_for_all_that_were_seen() {
        let both = |n| {
            let [up, down] = [0.01, -0.01].map(|x| vec![x; n]);
            [candidate(0.9, &up), candidate(0.85, &down)]
        };
        for seen in [100, 10_000] {
            let some = fallen_behind(&both(50), ONE, seen, 1 << 40, 3.);
            assert_eq!(some, fallen_behind(&both(seen), ONE, seen, 1 << 40, 3.));
        }
    }

    #[test]
    fn more_comparisons_need_wider_margins() {
        let race = Race {
            confidence: 0.95,
            winners: ONE,
        };
        // One-sided 5 %.
        assert!((race.margin(2, 1) - 1.645).abs() < 1e-3);
        assert!(race.margin(25, 4) > race.margin(25, 1));
        assert!(race.margin(1, 0).is_finite());
    }

    #[test]
    fn a_candidate_stays_while_it_may_be_one_of_the_winners() {
        let places = [0.9, 0.8, 0.7, 0.6].map(|cka| candidate(cka, &[0.; 4]));
        let behind = |winners: usize| {
            let winners = winners.try_into().unwrap();
            fallen_behind(&places, winners, 4, 1000, 3.)
        };
        assert_eq!(behind(1), [false, true, true, true]);
        assert_eq!(behind(2), [false, false, true, true]);
        assert_eq!(behind(4), [false; 4]);
        assert_eq!(behind(9), [false; 4]);
    }

    #[test]
    fn one_sure_leader_is_not_enough_where_two_win() {
        // The first varies against the last, the second does not.
        let all = [
            candidate(0.9, &[0.5, -0.5, 0.5, -0.5]),
            candidate(0.8, &[0.; 4]),
            candidate(0.7, &[0.; 4]),
        ];
        let two = 2.try_into().unwrap();
        assert_eq!(fallen_behind(&all, two, 4, 1000, 3.), [false; 3]);
    }

    #[test]
    fn every_pair_that_may_be_mistaken_has_its_share_of_the_error() {
        let margin = |winners: usize| {
            let winners = winners.try_into().unwrap();
            Race {
                confidence: 0.95,
                winners,
            }
            .margin(5, 1)
        };
        // One in five beside the four others; of two winners the second has three behind it.
        let of = |pairs: f64| Normal::standard().inverse_cdf(1. - 0.05 / pairs);
        assert_eq!(margin(1), of(4.));
        assert_eq!(margin(2), of(7.));
        assert_eq!(margin(5), of(10.));
        assert_eq!(margin(50), of(10.));
    }

    #[test]
    fn comparisons_begin_where_there_are_more_images_than_features() {
        assert_eq!(comparisons(1024, 64), [128, 192, 288, 432, 648, 972]);
        assert!(comparisons(1024, 512).is_empty());
        assert_eq!(comparisons(5000, 512), [1024, 1536, 2304, 3456]);
    }
}
