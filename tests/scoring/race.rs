//! Racing finds what comparing everything finds, with less work.

use ckaprune::score::{Race, ranking};

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
        let exact = ranking(&case.tallies(SCORING)).unwrap();
        let raced = ranking(&case.tallies(RACING)).unwrap();
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
    let raced = ranking(&case.tallies(RACING)).unwrap();
    assert!(raced.iter().any(|s| s.samples < 600), "{raced:?}");
    assert!(raced.windows(2).all(|w| w[0].samples >= w[1].samples));
}

#[test]
fn too_few_images_for_a_comparison_are_all_seen() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 40);
    let raced = ranking(&case.tallies(RACING)).unwrap();
    assert!(raced.iter().all(|s| s.samples == 40));
}

#[test]
fn whatever_may_be_picked_sees_all_images() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 600);
    let exact = ranking(&case.tallies(SCORING)).unwrap();
    for winners in 1..=exact.len() {
        let race = Some(Race {
            confidence: 0.99,
            winners: winners.try_into().unwrap(),
        });
        let raced = ranking(&case.tallies(Scoring { race, ..SCORING })).unwrap();
        for (found, expected) in raced.iter().zip(&exact).take(winners) {
            assert_eq!((&found.path, found.samples), (&expected.path, 600));
        }
    }
}
