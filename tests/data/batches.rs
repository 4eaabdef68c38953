//! What a network gets to see: normalised, resized, shuffled and augmented, the same for the same seed.

use std::num::NonZeroUsize;

use ckaprune::data::{
    Augment, Batch, InputSize, Loader, Normalisation, Part, Transform, open, synthetic,
};
use ndarray::{Array4, array, s};
use tempfile::{TempDir, tempdir};

use super::files::{colour, grey, npz};

fn size(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

/// `n` distinct 3 x 6 x 6 images.
fn images(n: usize) -> Part {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let pixel = |(n, c, y, x): (usize, usize, usize, usize)| (n * 37 + c * 91 + y * 6 + x) as u8;
    npz(
        &path,
        false,
        &[("images", &Array4::from_shape_fn((n, 3, 6, 6), pixel))],
    );
    open(&path).unwrap().train.unwrap()
}

fn epoch(loader: &Loader, part: &Part, epoch: u64) -> Vec<Batch> {
    loader
        .batches(part, epoch)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn order(batches: &[Batch]) -> Vec<usize> {
    batches
        .iter()
        .flat_map(|batch| batch.indices.clone())
        .collect()
}

/// What became of the stored image `index`.
fn image(batches: &[Batch], index: usize) -> ndarray::Array3<f32> {
    let found = batches.iter().find_map(|batch| {
        let at = batch.indices.iter().position(|&i| i == index)?;
        Some(batch.images.slice(s![at, .., .., ..]).to_owned())
    });
    found.unwrap()
}

fn training() -> Loader {
    Loader::new(size(4), Transform::default()).augmented(Augment::default(), 1)
}

#[test]
fn batches_come_in_order_and_the_last_one_is_short() {
    let part = images(10);
    let loader = Loader::new(size(4), Transform::default());
    assert_eq!(loader.batches(&part, 0).unwrap().len(), 3);
    let batches = epoch(&loader, &part, 0);
    let lengths: Vec<_> = batches.iter().map(|batch| batch.images.dim().0).collect();
    assert_eq!(lengths, [4, 4, 2]);
    assert_eq!(order(&batches), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_size_that_suits_is_taken_where_nobody_named_one() {
    let named = Loader::new(size(4), Transform::default());
    assert_eq!(named.suiting(size(32)).batch_size(), size(4));
    let unnamed = Loader::new(None, Transform::default());
    assert_eq!(unnamed.batch_size(), size(128));
    assert_eq!(unnamed.suiting(size(32)).batch_size(), size(32));
}

#[test]
fn bytes_and_floats_are_normalised_alike_by_channel() {
    let dir = tempdir().unwrap();
    let normalisation = Normalisation::new(vec![0.5, 0.25, 0.0], vec![0.5, 0.25, 2.0]).unwrap();
    let transform = Transform {
        normalisation,
        ..Transform::default()
    };
    let bytes = Array4::from_shape_vec((1, 3, 1, 2), vec![0_u8, 255, 255, 0, 51, 102]).unwrap();
    let floats = bytes.mapv(|b| f32::from(b) / 255.0);
    let arrays: [&dyn super::files::Npy; 2] = [&bytes, &floats];
    for given in arrays {
        let path = dir.path().join("data.npz");
        npz(&path, false, &[("images", given)]);
        let part = open(&path).unwrap().train.unwrap();
        let batches = epoch(&Loader::new(size(1), transform.clone()), &part, 0);
        assert_eq!(
            image(&batches, 0),
            array![[[-1.0, 1.0]], [[3.0, -1.0]], [[0.1, 0.2]]]
        );
    }
}

#[test]
fn settings_that_do_not_fit_the_images_are_refused_before_the_first_batch() {
    let part = images(1);
    let refused = |part: &Part, transform| {
        let loader = Loader::new(size(1), transform);
        loader.batches(part, 0).unwrap_err().to_string()
    };
    let normalisation = Normalisation::new(vec![0.5, 0.5], vec![1.0]).unwrap();
    let message = refused(
        &part,
        Transform {
            normalisation,
            ..Transform::default()
        },
    );
    assert!(message.contains("mean has 2 values"), "{message}");
    let sized = |channels, height, width| Transform {
        size: Some(InputSize {
            channels,
            height,
            width,
        }),
        ..Transform::default()
    };
    let message = refused(&part, sized(4, 6, 6));
    assert!(
        message.contains("does not fit images of 3 channels"),
        "{message}"
    );
    for side in [0, usize::MAX] {
        let message = refused(&part, sized(3, side, 6));
        assert!(message.contains("is not the size of an image"), "{message}");
    }
    let noise = synthetic([3, 6, 6], size(1), 1).unwrap();
    let message = refused(&noise, sized(3, 7, 6));
    assert!(message.contains("synthetic"), "{message}");
}

#[test]
fn every_epoch_is_shuffled_anew_and_repeats_for_its_seed() {
    let part = images(20);
    let loader = Loader::new(size(4), Transform::default()).shuffled(1);
    let first = order(&epoch(&loader, &part, 0));
    assert_eq!(first, order(&epoch(&loader, &part, 0)));
    assert_ne!(first, order(&epoch(&loader, &part, 1)));
    assert_ne!(first, order(&epoch(&loader.clone().shuffled(2), &part, 0)));
    let mut sorted = first;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..20).collect::<Vec<_>>());
}

#[test]
fn labels_follow_their_images_through_the_shuffle() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let labels = ndarray::Array1::from_iter(0..20_i64);
    npz(
        &path,
        false,
        &[
            ("images", &ndarray::Array3::<u8>::zeros((20, 1, 1))),
            ("labels", &labels),
        ],
    );
    let part = open(&path).unwrap().train.unwrap();
    for batch in epoch(
        &Loader::new(size(6), Transform::default()).shuffled(1),
        &part,
        0,
    ) {
        let expected: Vec<_> = batch.indices.iter().map(|&i| i as i64).collect();
        assert_eq!(batch.labels, Some(expected));
    }
}

#[test]
fn augmentation_of_an_image_does_not_depend_on_order_batch_or_subset() {
    let part = images(12);
    let in_order = epoch(&training(), &part, 3);
    let shuffled = epoch(&training().shuffled(9), &part, 3);
    let alone = epoch(&training(), &part.subset(&[7]), 3);
    assert_eq!(image(&in_order, 7), image(&shuffled, 7));
    assert_eq!(image(&in_order, 7), image(&alone, 7));
    let changed =
        (0..12).filter(|&i| image(&in_order, i) != image(&epoch(&training(), &part, 4), i));
    assert!(changed.count() >= 10);
}

#[test]
fn pixels_moved_in_by_the_crop_are_black_before_normalisation() {
    let part = images(12);
    let normalisation = Normalisation::new(vec![0.5], vec![0.25]).unwrap();
    let transform = Transform {
        normalisation,
        ..Transform::default()
    };
    let augment = Augment {
        crop_padding: 6,
        flip: false,
    };
    let loader = Loader::new(size(12), transform).augmented(augment, 1);
    let batch = &epoch(&loader, &part, 0)[0];
    // Image 11 has no pixel of value 0, so every -2 in it is padding.
    assert!(
        batch
            .images
            .slice(s![11, .., .., ..])
            .iter()
            .any(|&v| v == -2.0)
    );
    assert!(batch.images.iter().all(|&v| (-2.0..=2.0).contains(&v)));
}

fn sized(channels: usize, height: usize, width: usize) -> Transform {
    Transform {
        size: Some(InputSize {
            channels,
            height,
            width,
        }),
        ..Transform::default()
    }
}

/// Grey and colour, upright and wide.
fn mixed_folder() -> TempDir {
    let dir = tempdir().unwrap();
    grey(dir.path(), "a/1.png", 9, 5, 100);
    colour(dir.path(), "a/2.png", 4, 4, [255, 0, 0]);
    colour(dir.path(), "b/3.png", 3, 20, [0, 255, 0]);
    dir
}

#[test]
fn image_files_of_all_sizes_and_colours_are_brought_to_the_input() {
    let dir = mixed_folder();
    let part = open(dir.path()).unwrap().train.unwrap();
    let batch = &epoch(&Loader::new(size(3), sized(3, 6, 8)), &part, 0)[0];
    assert_eq!(batch.images.dim(), (3, 3, 6, 8));
    let corner = batch
        .images
        .slice(s![.., .., 5, 7])
        .mapv(|v| (v * 255.0).round());
    assert_eq!(
        corner,
        array![[100., 100., 100.], [255., 0., 0.], [0., 255., 0.]]
    );
    let batch = &epoch(&Loader::new(size(3), sized(1, 6, 8)), &part, 0)[0];
    let corner = batch
        .images
        .slice(s![.., 0, 0, 0])
        .mapv(|v| (v * 255.0).round());
    assert_eq!(corner, array![100., 76., 150.]);
}

#[test]
fn threads_change_nothing() {
    let dir = mixed_folder();
    let part = open(dir.path()).unwrap().train.unwrap();
    let loader = Loader::new(size(3), sized(3, 6, 6)).augmented(Augment::default(), 1);
    let one = epoch(&loader.clone().threads(size(1)), &part, 0);
    let many = epoch(&loader.threads(size(2)), &part, 0);
    assert_eq!(one[0].images, many[0].images);
    assert_eq!(one[0].indices, many[0].indices);
}
