//! NumPy arrays in the shapes and under the names that other data sets have.

use std::path::Path;

use ckaprune::data::{DataSet, Format, Part, Problem, open};
use ndarray::{Array1, Array2, Array3, Array4, ArrayView4};
use tempfile::tempdir;

use super::errors::refused;
use super::files::{Npy, npz, write};
use super::formats::pixels;

fn labels(part: &Option<Part>) -> &[i64] {
    part.as_ref().unwrap().labels().unwrap()
}

/// Images of 2 × 2 in colour; all pixels of one have its number.
fn images(count: usize) -> Array4<u8> {
    Array4::from_shape_fn((count, 2, 2, 3), |(image, ..)| image as u8)
}

fn numbers(count: usize) -> Array1<i64> {
    Array1::from_shape_fn(count, |image| image as i64 % 3)
}

fn npy(folder: &Path, name: &str, array: &dyn Npy) {
    write(folder, &format!("{name}.npy"), &array.bytes());
}

#[test]
fn of_arrays_that_share_their_labels_one_is_named() {
    let dir = tempdir().unwrap();
    npy(dir.path(), "fog", &images(6));
    npy(dir.path(), "brightness", &images(6));
    npy(dir.path(), "labels", &numbers(6));
    refused(dir.path(), &["(brightness, fog)", "brightness.npy"]);
    let set = open(&dir.path().join("fog.npy")).unwrap();
    assert_eq!((set.format, &set.notes[..]), (Format::Npy, &[][..]));
    assert_eq!(labels(&set.train), [0, 1, 2, 0, 1, 2]);
    assert_eq!(pixels(&set.train.unwrap())[[5, 0, 0, 0]], 5.);
}

#[test]
fn labels_of_one_block_serve_all_blocks_if_they_divide_evenly() {
    let dir = tempdir().unwrap();
    npy(dir.path(), "fog", &images(10));
    npy(dir.path(), "labels", &Array1::from(vec![4_i64, 7]));
    let set = open(&dir.path().join("fog.npy")).unwrap();
    assert_eq!(labels(&set.train), [4, 7, 4, 7, 4, 7, 4, 7, 4, 7]);
    assert!(set.notes[0].contains("repeated 5 times"), "{:?}", set.notes);
    assert_eq!(labels(&open(dir.path()).unwrap().train).len(), 10);
    for count in [3, 20] {
        npy(dir.path(), "labels", &numbers(count));
        refused(&dir.path().join("fog.npy"), &["10 images but"]);
    }
}

#[test]
fn a_single_array_finds_its_labels_by_name_or_is_unlabelled() {
    let dir = tempdir().unwrap();
    npy(dir.path(), "v6_data", &images(2));
    npy(dir.path(), "v4_data", &images(2));
    npy(dir.path(), "v6_labels", &Array1::from(vec![1_i64, 0]));
    let set = open(&dir.path().join("v6_data.npy")).unwrap();
    assert_eq!(labels(&set.train), [1, 0]);
    let set = open(&dir.path().join("v4_data.npy")).unwrap();
    assert!(set.notes[0].contains("no v4_labels.npy"), "{:?}", set.notes);
    assert!(set.train.unwrap().labels().is_none());
}

#[test]
fn a_folder_of_arrays_has_the_parts_that_their_names_say() {
    let dir = tempdir().unwrap();
    for (part, count) in [("train", 6), ("test", 3)] {
        npy(dir.path(), &format!("X_{part}"), &images(count));
        npy(dir.path(), &format!("y_{part}"), &numbers(count));
    }
    let set = open(dir.path()).unwrap();
    assert_eq!(set.format, Format::Npy);
    assert_eq!((labels(&set.train).len(), labels(&set.test).len()), (6, 3));
    let set = open(&dir.path().join("X_test.npy")).unwrap();
    assert!(set.train.is_none());
    assert_eq!(labels(&set.test), [0, 1, 2]);
}

#[test]
fn two_arrays_without_names_are_told_apart_by_their_shapes() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let [x, y] = [&images(3) as &dyn Npy, &numbers(3)];
    for arrays in [
        [("arr_0", x), ("arr_1", y)],
        [("arr_0", y), ("arr_1", x)],
        [("pictures", x), ("targets", y)],
    ] {
        npz(&path, false, &arrays);
        let set = open(&path).unwrap();
        assert_eq!(labels(&set.train), [0, 1, 2]);
        assert!(set.notes[0].contains("by their shapes"), "{:?}", set.notes);
    }
    npz(&path, false, &[("arr_0", x)]);
    assert!(open(&path).unwrap().train.unwrap().labels().is_none());
    for arrays in [
        &[("arr_0", x), ("arr_1", y), ("arr_2", x), ("arr_3", y)][..],
        &[("arr_0", x), ("arr_1", &numbers(4))],
        &[("arr_0", x), ("arr_1", x)],
        &[("arr_0", y)],
    ] {
        npz(&path, false, arrays);
        refused(&path, &["arr_0 of shape", "np.savez", "x_train"]);
    }
}

/// The set with these images first, and with the same channels last.
fn both_ways(first: ArrayView4<f32>) -> [DataSet; 2] {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let last = first.permuted_axes([0, 2, 3, 1]);
    [first, last].map(|images| {
        let images = images.as_standard_layout().into_owned();
        npz(&path, false, &[("images", &images)]);
        open(&path).unwrap()
    })
}

#[test]
fn images_may_have_any_number_of_channels() {
    for shape in [
        (2, 13, 8, 8),
        (2, 5, 8, 9),
        (3, 12, 9, 9),
        (2, 16, 6, 6),
        (1, 6, 20, 7),
    ] {
        let images = Array4::from_shape_fn(shape, |(n, c, y, x)| {
            ((7 * n + 5 * c + 3 * y + x) % 256) as f32 / 255.
        });
        for set in both_ways(images.view()) {
            let train = set.train.unwrap();
            assert_eq!(train.image_shape(), [shape.1, shape.2, shape.3]);
            let expected = images.mapv(|v| (v * 255.).round());
            assert_eq!(pixels(&train), expected);
        }
    }
}

#[test]
fn rows_with_a_one_for_the_class_are_labels() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let rows = Array2::from_shape_fn((3, 4), |(image, class)| u8::from(class == 2 * image % 4));
    let rows: [&dyn Npy; 3] = [&rows, &rows.mapv(f64::from), &rows.mapv(i64::from)];
    for rows in rows {
        npz(&path, false, &[("images", &images(3)), ("labels", rows)]);
        assert_eq!(labels(&open(&path).unwrap().train), [0, 2, 0]);
    }
}

#[test]
fn labels_that_name_several_classes_or_none_are_refused_with_the_reason() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let mut rows = Array2::<u8>::eye(3);
    let entry = path.join("labels.npy");
    let mut refuse = |at, value, said: &[&str]| {
        let before = rows[at];
        rows[at] = value;
        npz(&path, false, &[("images", &images(3)), ("labels", &rows)]);
        rows[at] = before;
        let message = open(&path).unwrap_err().to_string();
        assert!(
            message.starts_with(&entry.display().to_string()),
            "{message}"
        );
        for part in said {
            assert!(message.contains(part), "{part:?} is missing in: {message}");
        }
    };
    refuse([1, 2], 1, &["2 classes for image 1", "multi-label"]);
    refuse([2, 2], 0, &["0 classes for image 2"]);
    refuse([1, 0], 2, &["image 1", "argmax"]);
    let soft = Array2::from_elem((3, 2), 0.5_f32);
    npz(&path, false, &[("images", &images(3)), ("labels", &soft)]);
    assert!(open(&path).unwrap_err().to_string().contains("argmax"));
}

#[test]
fn what_cannot_be_read_says_how_to_save_it() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    for bad in [-1.5, 1.01, 255.] {
        npz(
            &path,
            false,
            &[("images", &Array3::from_elem((2, 4, 4), bad as f32))],
        );
        refused(
            &path,
            &[
                "images.npy: image 0",
                "undo a normalisation",
                "divide",
                "--mean",
            ],
        );
    }
    let header = "{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }";
    let mut texts = b"\x93NUMPY\x01\x00".to_vec();
    texts.extend((header.len() as u16).to_le_bytes());
    texts.extend(header.as_bytes());
    texts.extend([0; 20]);
    write(dir.path(), "data.npy", &images(1).bytes());
    write(dir.path(), "labels.npy", &texts);
    let message = open(&dir.path().join("data.npy")).unwrap_err().to_string();
    assert!(
        message.contains("labels.npy: an array of texts"),
        "{message}"
    );

    for (name, said) in [
        ("cifar.tar.gz", "unpack it"),
        ("set.mat", "np.savez"),
        ("train.parquet", "np.savez"),
        ("labels.csv", "name the folder"),
    ] {
        write(dir.path(), name, b"");
        refused(&dir.path().join(name), &[said]);
    }
    let dir = tempdir().unwrap();
    for name in ["batches.meta", "data_batch_1", "test_batch"] {
        write(dir.path(), name, b"pickle");
    }
    refused(dir.path(), &["Python version", "binary version"]);
}

#[test]
fn arrays_without_images_are_not_recognised() {
    let dir = tempdir().unwrap();
    npy(dir.path(), "labels", &numbers(3));
    let error = open(dir.path()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("labels of shape [3]"), "{message}");
    let ckaprune::data::DataError::File { problem, .. } = error else {
        panic!("{message}");
    };
    assert!(matches!(problem, Problem::Unrecognised { .. }));
}
