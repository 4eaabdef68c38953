//! What is kept of the images: in parts, in several passes, interrupted, always the same scores.

use std::cell::Cell;

use super::*;

fn assert_same(found: &[Score], expected: &[Score], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((&found.path, found.rank), (&expected.path, expected.rank));
        assert!(
            (found.number() - expected.number()).abs() <= tolerance,
            "{found:?} {expected:?}"
        );
    }
}

/// Below and above the number of features, so in Gram space and in feature space.
const COUNTS: [usize; 2] = [6, 100];

#[test]
fn shards_merged_in_order_give_the_scores_of_one_run() {
    for count in COUNTS {
        let case = Case::of(&open(&fixture("basic_scripted.pt")), count);
        let whole = ranking(&case.tallies(SCORING), None).unwrap();
        let shard = |range: std::ops::Range<usize>| {
            let job = Job {
                range,
                ..case.job()
            };
            finished(SCORING.run(&job, Vec::new(), None, &|| false).unwrap()).remove(0)
        };
        let mut merged = shard(0..count / 3);
        for range in [count / 3..count / 2, count / 2..count] {
            merged.merge(shard(range)).unwrap();
        }
        assert_same(&ranking(&[merged], None).unwrap(), &whole, 1e-9);
    }
}

#[test]
fn an_interrupted_scoring_goes_on_to_the_same_bits() {
    for count in COUNTS {
        let case = Case::of(&open(&fixture("basic_scripted.pt")), count);
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) == 3;
        let scoring = Scoring {
            batch: NonZeroUsize::new(2),
            ..SCORING
        };
        let mut tallies = Vec::new();
        let mut interruptions = 0;
        let tallies = loop {
            asked.set(0);
            match scoring.run(&case.job(), tallies, None, &stop).unwrap() {
                Ended::Done(tallies) => break tallies,
                Ended::Stopped(rest) => {
                    interruptions += 1;
                    let text = serde_json::to_string(&rest).unwrap();
                    tallies = serde_json::from_str(&text).unwrap();
                }
            }
        };
        assert!(interruptions > 0 || count == COUNTS[0]);
        assert_eq!(tallies, case.tallies(scoring));
    }
}

#[test]
fn too_little_memory_for_all_statistics_takes_several_passes() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 100);
    let tight = Scoring {
        memory: 1,
        ..SCORING
    };
    let tallies = case.tallies(tight);
    assert_eq!(tallies.len(), case.wanted.len());
    assert_same(
        &ranking(&tallies, None).unwrap(),
        &ranking(&case.tallies(SCORING), None).unwrap(),
        1e-12,
    );
}
