//! Drawing and splitting: balanced, repeatable, without losing or doubling an image.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use ckaprune::data::{Loader, Part, Samples, Transform, open, synthetic};
use ndarray::{Array1, Array3};
use tempfile::tempdir;

use super::files::npz;

fn part(labels: &[i64]) -> Part {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let images = Array3::<u8>::zeros((labels.len(), 1, 1));
    npz(
        &path,
        false,
        &[
            ("images", &images),
            ("labels", &Array1::from(labels.to_vec())),
        ],
    );
    open(&path).unwrap().train.unwrap()
}

fn indices(part: &Part) -> Vec<usize> {
    let loader = Loader::new(NonZeroUsize::new(7).unwrap(), Transform::default());
    let batches = loader.batches(part, 0).unwrap();
    batches.flat_map(|batch| batch.unwrap().indices).collect()
}

fn counts(part: &Part, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for &label in part.labels().unwrap() {
        counts[label as usize] += 1;
    }
    counts
}

fn n(samples: usize) -> Samples {
    Samples::N(NonZeroUsize::new(samples).unwrap())
}

/// Ten of class 0, then thirty of class 1, then sixty of class 2.
fn skewed() -> Part {
    part(&[vec![0; 10], vec![1; 30], vec![2; 60]].concat())
}

#[test]
fn a_draw_is_balanced_until_a_class_runs_out() {
    let part = skewed();
    assert_eq!(counts(&part.draw(n(30), 1), 3), [10, 10, 10]);
    assert_eq!(counts(&part.draw(n(50), 1), 3), [10, 20, 20]);
    let mut odd = counts(&part.draw(n(8), 1), 3);
    odd.sort_unstable();
    assert_eq!(odd, [2, 3, 3]);
}

#[test]
fn every_run_of_a_draw_is_balanced() {
    let draw = skewed().draw(n(30), 5);
    for run in draw.labels().unwrap().chunks(3) {
        assert_eq!(run.iter().collect::<BTreeSet<_>>().len(), 3, "{run:?}");
    }
}

#[test]
fn a_draw_depends_on_the_seed_alone_and_holds_no_image_twice() {
    let part = skewed();
    let drawn = indices(&part.draw(n(40), 3));
    assert_eq!(drawn, indices(&part.draw(n(40), 3)));
    assert_ne!(drawn, indices(&part.draw(n(40), 4)));
    assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 40);
    assert_eq!(drawn[..20], indices(&part.draw(n(20), 3)));
}

#[test]
fn drawing_all_or_more_than_all_draws_every_image_once_and_begins_as_smaller_draws_do() {
    let part = skewed();
    let all = indices(&part.draw(Samples::All, 1));
    assert_eq!(
        all.iter().copied().collect::<BTreeSet<_>>(),
        (0..100).collect()
    );
    assert_eq!(all.len(), 100);
    assert_eq!(all, indices(&part.draw(n(1000), 1)));
    assert_eq!(all[..20], indices(&part.draw(n(20), 1)));
}

#[test]
fn a_split_keeps_the_proportions_and_every_image() {
    let part = skewed();
    let (first, second) = part.split_stratified(0.9, 1).unwrap();
    assert_eq!(counts(&first, 3), [9, 27, 54]);
    assert_eq!(counts(&second, 3), [1, 3, 6]);
    let both: BTreeSet<_> = indices(&first)
        .into_iter()
        .chain(indices(&second))
        .collect();
    assert_eq!(both.len(), 100);
    assert_eq!(
        indices(&first),
        indices(&part.split_stratified(0.9, 1).unwrap().0)
    );
    assert_ne!(
        indices(&first),
        indices(&part.split_stratified(0.9, 2).unwrap().0)
    );
}

#[test]
fn a_split_with_an_empty_side_is_an_error() {
    let part = part(&[0, 1]);
    for fraction in [0.0, 1.0, f64::NAN, -1.0, 7.0] {
        assert!(part.split_stratified(fraction, 1).is_err(), "{fraction}");
    }
}

#[test]
fn a_subset_of_a_subset_still_knows_the_original_images() {
    let inner = skewed().subset(&[50, 5, 99]).subset(&[2, 1]);
    assert_eq!(indices(&inner), [99, 5]);
    assert_eq!(inner.labels(), Some(&[2, 0][..]));
}

#[test]
fn synthetic_images_are_standard_normal_and_pass_unchanged() {
    let images = NonZeroUsize::new(200).unwrap();
    let part = synthetic([3, 8, 8], images, 1).unwrap();
    let loader = Loader::new(images, Transform::default());
    let batch = loader.batches(&part, 0).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.images.dim(), (200, 3, 8, 8));
    assert!(batch.labels.is_none());
    // 38,400 values: the mean's standard error is 0.005.
    let mean = batch.images.mean().unwrap();
    let deviation = batch.images.std(0.0);
    assert!(
        mean.abs() < 0.03 && (deviation - 1.0).abs() < 0.03,
        "{mean} {deviation}"
    );
}
