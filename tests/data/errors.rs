//! Everything that can be wrong with data is one message that names the file, and the image where it is one image.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use ckaprune::data::{DataError, Loader, Problem, Transform, open};
use ndarray::{Array1, Array2, Array3, Array4};
use proptest::prelude::*;
use tempfile::tempdir;

use super::files::{cifar10, grey, gzip, idx, mnist, npz, write};

/// The problem `open` has, after checking that its message begins with the file it is about.
#[track_caller]
fn problem(path: &Path, file: &str) -> (Option<usize>, Problem) {
    let error = open(path).expect_err("nothing was found wrong");
    let named = if file.is_empty() {
        path.to_owned()
    } else {
        path.join(file)
    };
    let message = error.to_string();
    assert!(
        message.starts_with(&named.display().to_string()),
        "{message}"
    );
    match error {
        DataError::File { image, problem, .. } => (image, problem),
        DataError::Setting(message) => panic!("no file is named: {message}"),
    }
}

/// Whether `open` fails with a message that begins with the path and holds all that is to be said.
#[track_caller]
pub fn refused(path: &Path, said: &[&str]) {
    let message = open(path).unwrap_err().to_string();
    assert!(
        message.starts_with(&path.display().to_string()),
        "{message}"
    );
    for part in said {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

macro_rules! assert_problem {
    ($path:expr, $file:expr, $image:pat, $problem:pat) => {
        let found = problem($path, $file);
        assert!(matches!(found, ($image, $problem)), "{found:?}");
    };
}

#[test]
fn a_missing_path() {
    assert_problem!(Path::new("no/such/data"), "", None, Problem::Missing);
}

#[test]
fn an_unknown_folder_says_what_is_there_and_what_is_known() {
    let dir = tempdir().unwrap();
    write(dir.path(), "model.pt", b"");
    let message = open(dir.path()).unwrap_err().to_string();
    for part in [
        "found model.pt",
        "CIFAR-10",
        "train-images-idx3-ubyte",
        ".npz",
        "folder for each class",
    ] {
        assert!(message.contains(part), "{part:?} is missing in: {message}");
    }
}

#[test]
fn a_folder_above_the_data_points_one_level_down() {
    let dir = tempdir().unwrap();
    mnist(&dir.path().join("raw"));
    let message = open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("raw: name that folder"), "{message}");
}

#[test]
fn an_unknown_file_asks_for_its_folder() {
    let dir = tempdir().unwrap();
    write(dir.path(), "data_batch_1.bin", &cifar10(&[0]));
    let message = open(&dir.path().join("data_batch_1.bin"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("name the folder"), "{message}");
}

#[test]
fn an_empty_folder() {
    let dir = tempdir().unwrap();
    let message = open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("an empty folder"), "{message}");
}

#[test]
fn cifar_of_half_a_record_or_none() {
    let dir = tempdir().unwrap();
    write(dir.path(), "data_batch_1.bin", &cifar10(&[0, 1])[..5000]);
    assert_problem!(
        dir.path(),
        "data_batch_1.bin",
        None,
        Problem::PartialRecord {
            record: 3073,
            found: 5000
        }
    );
    write(dir.path(), "data_batch_1.bin", b"");
    assert_problem!(dir.path(), "data_batch_1.bin", None, Problem::Empty);
}

#[test]
fn cifar_labels_beyond_the_classes() {
    let dir = tempdir().unwrap();
    write(dir.path(), "test_batch.bin", &cifar10(&[9, 10]));
    assert_problem!(
        dir.path(),
        "test_batch.bin",
        Some(1),
        Problem::LabelOutOfRange {
            label: 10,
            classes: 10
        }
    );
}

#[test]
fn idx_shorter_or_longer_than_its_header_says() {
    let name = "t10k-images-idx3-ubyte";
    let dir = tempdir().unwrap();
    mnist(dir.path());
    write(dir.path(), name, &idx(&[1, 2, 2], &[0; 3]));
    assert_problem!(
        dir.path(),
        name,
        None,
        Problem::Truncated {
            expected: 4,
            found: 3
        }
    );
    write(dir.path(), name, &idx(&[1, 2, 2], &[0; 5]));
    assert_problem!(
        dir.path(),
        name,
        None,
        Problem::TrailingBytes { expected: 4 }
    );
    write(dir.path(), name, &idx(&[1, 2, 2], &[])[..9]);
    assert_problem!(dir.path(), name, None, Problem::Malformed(_));
}

#[test]
fn a_truncated_gzip_file_is_called_truncated() {
    let name = "train-images-idx3-ubyte.gz";
    let dir = tempdir().unwrap();
    let noise: Vec<u8> = (0..4000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let whole = gzip(&idx(&[10, 20, 20], &noise));
    write(dir.path(), name, &whole[..whole.len() / 2]);
    write(dir.path(), "train-labels-idx1-ubyte", &idx(&[10], &[0; 10]));
    assert_problem!(
        dir.path(),
        name,
        None,
        Problem::Truncated { expected: 4000, .. }
    );
}

#[test]
fn a_gzip_bomb_is_read_no_further_than_its_header_says() {
    let name = "train-images-idx3-ubyte.gz";
    let dir = tempdir().unwrap();
    write(
        dir.path(),
        name,
        &gzip(&idx(&[1, 2, 2], &vec![0; 50_000_000])),
    );
    write(dir.path(), "train-labels-idx1-ubyte", &idx(&[1], &[0]));
    assert_problem!(
        dir.path(),
        name,
        None,
        Problem::TrailingBytes { expected: 4 }
    );
}

#[test]
fn idx_sides_that_overflow() {
    let name = "train-images-idx3-ubyte";
    let dir = tempdir().unwrap();
    mnist(dir.path());
    write(dir.path(), name, &idx(&[u32::MAX, u32::MAX, u32::MAX], &[]));
    assert_problem!(dir.path(), name, None, Problem::TooLarge(_));
    // Possible in principle, but not there: nothing may be allocated for it.
    write(dir.path(), name, &idx(&[u32::MAX, 1000, 1000], &[]));
    assert_problem!(dir.path(), name, None, Problem::Truncated { found: 0, .. });
}

#[test]
fn idx_of_another_element_type_or_no_idx_at_all() {
    let name = "train-images-idx3-ubyte";
    let dir = tempdir().unwrap();
    mnist(dir.path());
    write(dir.path(), name, b"<!DOCTYPE html>");
    assert_problem!(dir.path(), name, None, Problem::Malformed(_));
    write(
        dir.path(),
        name,
        &[0, 0, 13, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    assert_problem!(dir.path(), name, None, Problem::Malformed(_));
}

#[test]
fn idx_without_images_or_with_other_labels_than_images() {
    let dir = tempdir().unwrap();
    mnist(dir.path());
    let labels = "train-labels-idx1-ubyte";
    write(dir.path(), labels, &idx(&[2], &[0, 1]));
    assert_problem!(
        dir.path(),
        labels,
        None,
        Problem::CountMismatch {
            images: 3,
            labels: 2
        }
    );
    fs::remove_file(dir.path().join(labels)).unwrap();
    let images = "train-images-idx3-ubyte";
    assert_problem!(dir.path(), images, None, Problem::LabelsMissing { .. });
    mnist(dir.path());
    write(dir.path(), images, &idx(&[0, 28, 28], &[]));
    assert_problem!(dir.path(), images, None, Problem::Empty);
}

#[test]
fn two_data_sets_in_one_folder() {
    let dir = tempdir().unwrap();
    mnist(dir.path());
    write(
        dir.path(),
        "emnist-train-images-idx3-ubyte",
        &idx(&[1, 1, 1], &[0]),
    );
    assert_problem!(dir.path(), "", None, Problem::Ambiguous { .. });
}

#[test]
fn parts_with_images_of_two_sizes() {
    let dir = tempdir().unwrap();
    mnist(dir.path());
    let test = "t10k-images-idx3-ubyte";
    write(dir.path(), test, &idx(&[1, 3, 3], &[0; 9]));
    assert_problem!(dir.path(), test, None, Problem::PartsDiffer { .. });
}

#[test]
fn npz_that_is_none_or_names_nothing_known() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    fs::write(&path, b"not a zip").unwrap();
    assert_problem!(&path, "", None, Problem::Malformed(_));
    npz(&path, false, &[("weights", &Array1::<f32>::zeros(3))]);
    assert_problem!(&path, "", None, Problem::Unrecognised { .. });
}

#[test]
fn npz_arrays_that_are_no_images_or_labels() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let images = Array3::<u8>::zeros((2, 4, 4));
    npz(&path, false, &[("images", &Array2::<u8>::zeros((2, 16)))]);
    assert_problem!(&path, "images.npy", None, Problem::Shape { .. });
    npz(
        &path,
        false,
        &[("images", &Array4::<u8>::zeros((2, 8, 8, 8)))],
    );
    assert_problem!(&path, "images.npy", None, Problem::Shape { .. });
    npz(
        &path,
        false,
        &[("images", &Array3::<i64>::zeros((2, 4, 4)))],
    );
    assert_problem!(&path, "images.npy", None, Problem::Malformed(_));
    npz(
        &path,
        false,
        &[
            ("images", &images),
            ("labels", &Array2::<u8>::zeros((2, 10))),
        ],
    );
    assert_problem!(
        &path,
        "labels.npy",
        None,
        Problem::SeveralClasses { image: 0, ones: 0 }
    );
    npz(
        &path,
        false,
        &[("images", &images), ("labels", &Array1::<f32>::zeros(2))],
    );
    assert_problem!(&path, "labels.npy", None, Problem::Malformed(_));
    npz(&path, false, &[("images", &Array3::<u8>::zeros((0, 4, 4)))]);
    assert_problem!(&path, "", None, Problem::Empty);
    npz(&path, false, &[("images", &Array3::<u8>::zeros((2, 0, 4)))]);
    assert_problem!(&path, "images.npy", None, Problem::Empty);
}

#[test]
fn npz_labels_that_do_not_match_the_images() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let images = Array3::<u8>::zeros((2, 4, 4));
    npz(
        &path,
        false,
        &[("images", &images), ("labels", &Array1::<u8>::zeros(3))],
    );
    assert_problem!(
        &path,
        "",
        None,
        Problem::CountMismatch {
            images: 2,
            labels: 3
        }
    );
    for bad in [-1, i64::MAX] {
        npz(
            &path,
            false,
            &[("images", &images), ("labels", &Array1::from(vec![0, bad]))],
        );
        assert_problem!(&path, "", Some(1), Problem::LabelOutOfRange { .. });
    }
}

#[test]
fn npz_pixels_that_are_nan_or_on_another_scale() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    for bad in [f32::NAN, -0.5, 255.0] {
        let mut images = Array3::<f32>::zeros((3, 4, 4));
        images[[2, 1, 1]] = bad;
        npz(&path, false, &[("images", &images)]);
        assert_problem!(&path, "images.npy", Some(2), Problem::PixelRange(_));
    }
}

#[test]
fn a_class_the_training_part_lacks() {
    let dir = tempdir().unwrap();
    grey(dir.path(), "train/cat/1.png", 4, 4, 0);
    grey(dir.path(), "test/cow/1.png", 4, 4, 0);
    assert_problem!(dir.path(), "test", None, Problem::UnknownClass(_));
}

fn batch_error(path: &Path) -> String {
    let part = open(path).unwrap().train.unwrap();
    let loader = Loader::new(NonZeroUsize::new(8).unwrap(), Transform::default());
    let batch = loader.batches(&part, 0).unwrap().next().unwrap();
    batch.unwrap_err().to_string()
}

#[test]
fn an_image_file_that_does_not_decode_is_named() {
    let dir = tempdir().unwrap();
    grey(dir.path(), "a/1.png", 4, 4, 0);
    grey(dir.path(), "a/2.png", 4, 4, 0);
    let broken = dir.path().join("a/2.png");
    let bytes = fs::read(&broken).unwrap();
    fs::write(&broken, &bytes[..bytes.len() - 20]).unwrap();
    let message = batch_error(dir.path());
    assert!(
        message.contains("2.png") && message.contains("cannot be decoded"),
        "{message}"
    );
}

#[test]
fn an_image_of_more_pixels_than_memory_is_set_aside_for_is_named() {
    let dir = tempdir().unwrap();
    let gif =
        b"GIF89a\xff\xff\xff\x7f\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    write(dir.path(), "1.gif", gif);
    assert_problem!(dir.path(), "1.gif", None, Problem::TooManyPixels(_));
    // Behind a harmless one it is met when it is decoded.
    grey(dir.path(), "0.png", 2, 2, 7);
    let message = batch_error(dir.path());
    assert!(message.contains("1.gif: cannot be decoded"), "{message}");
}

#[test]
fn a_batch_beyond_all_memory_is_refused() {
    let dir = tempdir().unwrap();
    for image in 0..2000 {
        write(dir.path(), &format!("{image:04}.ppm"), b"P6 1 1 255\n123");
    }
    let part = open(dir.path()).unwrap().train.unwrap();
    let loader = Loader::new(NonZeroUsize::new(2000).unwrap(), Transform::default());
    let loader = loader.with_shape([3, 9_000, 9_000]);
    let error = loader
        .batches(&part, 0)
        .unwrap()
        .next()
        .unwrap()
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains("does not fit the memory"), "{message}");
}

#[test]
fn images_without_pixels_are_named() {
    let dir = tempdir().unwrap();
    write(dir.path(), "1.ppm", b"P6 0 2 255\n");
    assert_problem!(dir.path(), "", None, Problem::NoPixels(_));
    let dir = tempdir().unwrap();
    grey(dir.path(), "1.png", 2, 2, 7);
    write(dir.path(), "2.ppm", b"P6 0 2 255\n");
    let message = batch_error(dir.path());
    assert!(
        message.contains("2.ppm: is 2x0 (height x width): there are no pixels"),
        "{message}"
    );
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    npz(&path, false, &[("images", &Array3::<u8>::zeros((2, 0, 4)))]);
    assert_problem!(&path, "", None, Problem::Empty);
}

#[test]
fn image_files_of_two_sizes_ask_for_an_input_size() {
    let dir = tempdir().unwrap();
    grey(dir.path(), "a/1.png", 4, 4, 0);
    grey(dir.path(), "a/2.png", 5, 4, 0);
    let message = batch_error(dir.path());
    assert!(
        message.contains("2.png") && message.contains("--input-size"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn damaged_files_are_errors_or_data_but_never_a_panic(
        at in 0..400_usize,
        bytes in proptest::collection::vec(any::<u8>(), 1..6),
        cut in 0..600_usize,
    ) {
        let dir = tempdir().unwrap();
        let path = dir.path().join("data.npz");
        let labels = Array1::<u8>::zeros(2);
        npz(&path, false, &[("images", &Array3::<u8>::zeros((2, 4, 4))), ("labels", &labels)]);
        mnist(dir.path());
        for name in ["data.npz", "train-images-idx3-ubyte"] {
            let mut file = fs::read(dir.path().join(name)).unwrap();
            let start = at % file.len();
            for (old, new) in file[start..].iter_mut().zip(&bytes) {
                *old = *new;
            }
            file.truncate(file.len().saturating_sub(cut.saturating_sub(300)));
            fs::write(dir.path().join(name), file).unwrap();
        }
        let _ = open(&path);
        let _ = open(dir.path());
    }
}
