//! Racing finds what comparing everything finds, with less work.

use ckaprune::blocks::value::Per;
use ckaprune::score::{Race, Savings, ranking};

use super::*;

const RACING: Scoring = Scoring {
    race: Some(Race {
        confidence: 0.99,
        winners: NonZeroUsize::MIN,
    }),
    ..SCORING
};

#[test]
fn the_race_is_won_by_the_block_that_is_best_on_all_images() {
    for name in ["basic_scripted", "inplace_traced", "preact_scripted"] {
        let case = Case::of(&open(&fixture(&format!("{name}.pt"))), 600);
        let exact = ranking(&case.tallies(SCORING), None).unwrap();
        let raced = ranking(&case.tallies(RACING), None).unwrap();
        assert_eq!(raced[0].path, exact[0].path, "{name}");
        // Survivors are finished exactly: they go through the same sums.
        for score in raced.iter().filter(|s| s.samples == 600) {
            let same = exact.iter().find(|s| s.path == score.path).unwrap();
            assert!(
                (score.number() - same.number()).abs() < TOLERANCE,
                "{name}, {}",
                score.path
            );
        }
    }
}

#[test]
fn blocks_that_are_surely_behind_stop_early() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 600);
    let raced = ranking(&case.tallies(RACING), None).unwrap();
    assert!(raced.iter().any(|s| s.samples < 600), "{raced:?}");
    assert!(raced.windows(2).all(|w| w[0].samples >= w[1].samples));
}

#[test]
fn too_few_images_for_a_comparison_are_all_seen() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 40);
    let raced = ranking(&case.tallies(RACING), None).unwrap();
    assert!(raced.iter().all(|s| s.samples == 40));
}

#[test]
fn whatever_may_be_picked_sees_all_images() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 600);
    let exact = ranking(&case.tallies(SCORING), None).unwrap();
    for winners in 1..=exact.len() {
        let race = Some(Race {
            confidence: 0.99,
            winners: winners.try_into().unwrap(),
        });
        let raced = ranking(&case.tallies(Scoring { race, ..SCORING }), None).unwrap();
        for (found, expected) in raced.iter().zip(&exact).take(winners) {
            assert_eq!((&found.path, found.samples), (&expected.path, 600));
        }
    }
}

#[test]
fn the_race_for_what_costs_least_is_won_by_what_costs_least_on_all_images() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 600);
    for per in [Per::Macs, Per::Params] {
        let savings = Savings::of(per, &case.model, &case.images).unwrap();
        let best = |scoring: Scoring| {
            let job = Job {
                savings: Some(&savings),
                ..case.job()
            };
            let ended = scoring.run(&job, Vec::new(), None, &|| false).unwrap();
            let scores = ranking(&finished(ended), Some(&savings)).unwrap();
            let cost = |s: &Score| (1. - s.number()) / s.saves.unwrap();
            assert_eq!(scores[0].samples, 600);
            let least = scores.iter().filter(|s| s.samples == 600).map(cost);
            assert_eq!(cost(&scores[0]), least.fold(f64::INFINITY, f64::min));
            scores[0].path.clone()
        };
        assert_eq!(best(RACING), best(SCORING), "{per:?}");
    }
}

#[test]
fn the_time_that_blocks_save_is_part_of_the_whole_network_s() {
    for name in ["basic_scripted.pt", "inplace_traced.pt"] {
        let case = Case::of(&open(&fixture(name)), 8);
        let savings = Savings::of(Per::Latency, &case.model, &case.images).unwrap();
        let parts: Vec<f64> = case.wanted.iter().map(|path| savings.part(path)).collect();
        assert!(parts.iter().all(|part| (0. ..1.).contains(part)));
        let all: f64 = parts.iter().sum();
        assert!(all > 0.05 && all < 1., "{name}: {parts:?}");
    }
}
