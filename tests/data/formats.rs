//! Every format is recognised from its path alone, and its pixels and labels arrive where they belong.

use std::num::NonZeroUsize;
use std::path::Path;

use ckaprune::data::{
    ClassNames, DataSet, Format, Labelling, Loader, Part, Transform, open, open_labelled,
};
use ndarray::{Array1, Array2, Array3, Array4, array};
use tempfile::tempdir;

use super::files::{cifar10, colour, grey, gzip, idx, mnist, npz, write};

/// Pixels in 0..255 of all images in one batch.
pub fn pixels(part: &Part) -> Array4<f32> {
    let size = NonZeroUsize::new(part.len()).unwrap();
    let loader = Loader::new(size, Transform::default());
    let batch = loader.batches(part, 0).unwrap().next().unwrap().unwrap();
    batch.images.mapv(|v| (v * 255.0).round())
}

fn labels(part: &Option<Part>) -> Option<Vec<i64>> {
    part.as_ref().unwrap().labels().map(<[i64]>::to_vec)
}

fn opened(path: &Path, format: Format) -> DataSet {
    let set = open(path).unwrap();
    assert_eq!(set.format, format);
    set
}

#[test]
fn cifar10_reads_all_files_of_any_length_and_the_names() {
    let dir = tempdir().unwrap();
    write(dir.path(), "data_batch_1.bin", &cifar10(&[1, 0]));
    write(dir.path(), "data_batch_2.bin", &cifar10(&[2]));
    write(dir.path(), "test_batch.bin", &cifar10(&[2, 2, 1, 0]));
    write(dir.path(), "batches.meta.txt", b"cat\ndog\ncow\n\n");
    let set = opened(dir.path(), Format::Cifar10);
    assert_eq!(labels(&set.train), Some(vec![1, 0, 2]));
    assert_eq!(labels(&set.test), Some(vec![2, 2, 1, 0]));
    assert_eq!(set.classes, ["cat", "dog", "cow"]);
    let train = set.train.unwrap();
    assert_eq!(train.image_shape(), [3, 32, 32]);
    assert_eq!(pixels(&train)[[1, 2, 31, 31]], 1.0);
    assert_eq!(pixels(&train)[[2, 0, 0, 0]], 0.0);
}

#[test]
fn cifar10_without_names_has_ten_classes() {
    let dir = tempdir().unwrap();
    write(dir.path(), "test_batch.bin", &cifar10(&[9]));
    let set = opened(dir.path(), Format::Cifar10);
    assert!(set.train.is_none());
    assert_eq!(set.classes.len(), 10);
}

#[test]
fn cifar_with_names_gets_the_numbers_that_a_list_gives_them() {
    let dir = tempdir().unwrap();
    write(dir.path(), "data_batch_1.bin", &cifar10(&[1, 0, 2]));
    write(dir.path(), "batches.meta.txt", b"cat\ndog\ncow\n");
    let with = |list: &str| {
        write(dir.path(), "list.json", list.as_bytes());
        let classes = Some(ClassNames::read(&dir.path().join("list.json")).unwrap());
        open_labelled(dir.path(), &Labelling { classes, first: 0 })
    };
    let set = with(r#"["ant", "cow", "dog", "cat"]"#).unwrap();
    assert_eq!(labels(&set.train), Some(vec![2, 3, 1]));
    let message = with(r#"["cow", "dog"]"#).unwrap_err().to_string();
    assert!(message.contains("class cat is not among"), "{message}");
    // Classes without names have the numbers that they have.
    std::fs::remove_file(dir.path().join("batches.meta.txt")).unwrap();
    let set = with(r#"["a","b","c","d","e","f","g","h","i","j"]"#).unwrap();
    assert_eq!(labels(&set.train), Some(vec![1, 0, 2]));
}

#[test]
fn cifar100_uses_the_fine_label() {
    let dir = tempdir().unwrap();
    let record = [vec![3, 77], vec![0; 1024], vec![100; 1024], vec![200; 1024]].concat();
    write(dir.path(), "train.bin", &record);
    let set = opened(dir.path(), Format::Cifar100);
    assert_eq!(labels(&set.train), Some(vec![77]));
    assert_eq!(set.classes.len(), 100);
    // Channel after channel, as stored.
    assert_eq!(
        pixels(&set.train.unwrap()).index_axis(ndarray::Axis(0), 0)[[1, 0, 0]],
        100.0
    );
}

#[test]
fn the_mnist_family_is_read_plain_gzipped_dotted_and_prefixed() {
    for (images, labels_name) in [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),
        (
            "emnist-digits-train-images-idx3-ubyte.gz",
            "emnist-digits-train-labels-idx1-ubyte",
        ),
    ] {
        let dir = tempdir().unwrap();
        for (name, content) in [
            (images, idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6])),
            (labels_name, idx(&[2], &[4, 0])),
        ] {
            let content = if name.ends_with(".gz") {
                gzip(&content)
            } else {
                content
            };
            write(dir.path(), name, &content);
        }
        let set = opened(dir.path(), Format::Idx);
        assert_eq!(labels(&set.train), Some(vec![4, 0]), "{images}");
        assert_eq!(set.classes.len(), 5);
        let expected = array![[[[1., 2., 3.]]], [[[4., 5., 6.]]]];
        assert_eq!(pixels(&set.train.unwrap()), expected);
    }
}

#[test]
fn mnist_keeps_train_and_test_apart() {
    let dir = tempdir().unwrap();
    mnist(dir.path());
    let set = opened(dir.path(), Format::Idx);
    assert_eq!(labels(&set.train), Some(vec![0, 2, 1]));
    assert_eq!(labels(&set.test), Some(vec![2]));
}

#[test]
fn npz_puts_the_channels_first_and_keeps_the_parts_apart() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let last = Array4::from_shape_fn((3, 2, 5, 3), |(n, y, x, c)| {
        (100 * n + 30 * c + 10 * y + x) as u8
    });
    let first = last.view().permuted_axes([0, 3, 1, 2]);
    for compressed in [false, true] {
        let train_labels = array![[0_i64], [1], [2]];
        let test_labels = array![2_u8, 2, 2];
        let test = first.as_standard_layout().into_owned();
        npz(
            &path,
            compressed,
            &[
                ("x_train", &last),
                ("y_train", &train_labels),
                ("x_test", &test),
                ("y_test", &test_labels),
            ],
        );
        let set = opened(&path, Format::Npz);
        assert_eq!(labels(&set.train), Some(vec![0, 1, 2]));
        assert_eq!(labels(&set.test), Some(vec![2, 2, 2]));
        assert_eq!(set.classes, ["0", "1", "2"]);
        for part in [set.train, set.test] {
            assert_eq!(pixels(&part.unwrap()), first.mapv(f32::from));
        }
    }
}

#[test]
fn npz_holds_three_parts_grey_images_or_floats() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let images = |n| Array3::from_elem((n, 4, 4), 0.6_f32);
    npz(
        &path,
        false,
        &[
            ("train_images", &images(3)),
            ("val_images", &images(2)),
            ("test_images", &images(1)),
        ],
    );
    let set = opened(&path, Format::Npz);
    let lengths: Vec<_> = set.parts().map(Part::len).collect();
    assert_eq!(lengths, [3, 2, 1]);
    assert_eq!(set.classes, Vec::<String>::new());
    let train = set.train.unwrap();
    assert_eq!(train.labels(), None);
    assert_eq!(pixels(&train)[[2, 0, 3, 3]], 153.0);
}

#[test]
fn npz_of_one_part_is_for_training() {
    let dir = tempdir().unwrap();
    for (images, labels_name) in [("images", "labels"), ("X", "y")] {
        let path = dir.path().join("data.npz");
        let values = Array3::<u8>::zeros((2, 4, 4));
        npz(
            &path,
            false,
            &[(images, &values), (labels_name, &array![1_i32, 0])],
        );
        let set = opened(&path, Format::Npz);
        assert_eq!(labels(&set.train), Some(vec![1, 0]));
        assert!(set.test.is_none());
    }
}

#[test]
fn npz_in_fortran_order_is_not_scrambled() {
    use ndarray::ShapeBuilder;
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let images = Array3::from_shape_fn((2, 3, 4).f(), |(n, y, x)| (100 * n + 10 * y + x) as u8);
    npz(&path, false, &[("images", &images)]);
    let read = pixels(&open(&path).unwrap().train.unwrap());
    assert_eq!(read.remove_axis(ndarray::Axis(1)), images.mapv(f32::from));
}

#[test]
fn image_folders_number_their_classes_by_name() {
    let dir = tempdir().unwrap();
    colour(dir.path(), "train/dog/1.png", 2, 3, [1, 2, 3]);
    colour(dir.path(), "train/cat/b.png", 2, 3, [7, 8, 9]);
    colour(dir.path(), "train/cat/a.bmp", 2, 3, [4, 5, 6]);
    colour(dir.path(), "val/dog/x.png", 2, 3, [0, 0, 0]);
    write(dir.path(), "train/cat/notes.txt", b"no image");
    write(dir.path(), "train/.cache/thumb.png", b"no class");
    let set = opened(dir.path(), Format::ImageFolder);
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(labels(&set.train), Some(vec![0, 0, 1]));
    // With no test folder, the validation images are what to report on, and keep the training part's numbers.
    assert_eq!(labels(&set.test), Some(vec![1]));
    let train = set.train.unwrap();
    assert_eq!(train.image_shape(), [3, 3, 2]);
    let read = pixels(&train);
    assert_eq!(
        read.slice(ndarray::s![.., .., 0, 0]),
        array![[4., 5., 6.], [7., 8., 9.], [1., 2., 3.]]
    );
}

#[test]
fn a_folder_of_classes_alone_is_one_part_even_if_one_is_called_train() {
    let dir = tempdir().unwrap();
    for class in ["car", "plane", "train"] {
        grey(dir.path(), &format!("{class}/1.png"), 4, 4, 9);
    }
    let set = opened(dir.path(), Format::ImageFolder);
    assert_eq!(set.classes, ["car", "plane", "train"]);
    assert_eq!(labels(&set.train), Some(vec![0, 1, 2]));
    assert_eq!(set.train.unwrap().image_shape(), [1, 4, 4]);
}

#[test]
fn loose_images_are_an_unlabelled_part() {
    let dir = tempdir().unwrap();
    grey(dir.path(), "1.png", 4, 4, 9);
    grey(dir.path(), "2.png", 4, 4, 9);
    let set = opened(dir.path(), Format::ImageFolder);
    assert_eq!(labels(&set.train), None);
    assert!(set.classes.is_empty());
}

#[test]
fn a_test_part_without_labels_gives_way_to_validation() {
    let dir = tempdir().unwrap();
    grey(dir.path(), "train/a/1.png", 4, 4, 9);
    grey(dir.path(), "train/b/1.png", 4, 4, 9);
    grey(dir.path(), "val/a/1.png", 4, 4, 9);
    grey(dir.path(), "test/1.png", 4, 4, 9);
    let set = opened(dir.path(), Format::ImageFolder);
    assert_eq!(labels(&set.test), Some(vec![0]));
    assert!(set.validation.is_none());
}

#[test]
fn an_image_under_a_wrong_extension_is_decoded_by_its_content() {
    let dir = tempdir().unwrap();
    grey(dir.path(), "a/1.png", 4, 4, 50);
    std::fs::rename(dir.path().join("a/1.png"), dir.path().join("a/1.JPEG")).unwrap();
    let set = opened(dir.path(), Format::ImageFolder);
    assert_eq!(pixels(&set.train.unwrap())[[0, 0, 0, 0]], 50.0);
}

#[test]
fn labels_of_every_integer_type_are_read() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let images = Array3::<u8>::zeros((2, 4, 4));
    let types: [&dyn super::files::Npy; 5] = [
        &Array1::from(vec![1_u8, 0]),
        &Array1::from(vec![1_i8, 0]),
        &Array1::from(vec![1_u16, 0]),
        &Array1::from(vec![1_u64, 0]),
        &Array2::from_shape_vec((2, 1), vec![1_i64, 0]).unwrap(),
    ];
    for given in types {
        npz(&path, false, &[("images", &images), ("labels", given)]);
        assert_eq!(labels(&open(&path).unwrap().train), Some(vec![1, 0]));
    }
}

#[test]
fn npz_takes_three_for_the_channels_before_four() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("data.npz");
    let shape_of = |n, a, b, c| {
        npz(
            &path,
            false,
            &[("images", &Array4::<u8>::zeros((n, a, b, c)))],
        );
        open(&path).unwrap().train.unwrap().image_shape()
    };
    assert_eq!(shape_of(2, 3, 4, 4), [3, 4, 4]);
    assert_eq!(shape_of(2, 4, 4, 3), [3, 4, 4]);
    assert_eq!(shape_of(2, 8, 8, 4), [4, 8, 8]);
    assert_eq!(shape_of(2, 3, 3, 3), [3, 3, 3]);
}

#[test]
fn the_images_of_an_only_class_folder_are_unlabelled() {
    let dir = tempdir().unwrap();
    for name in ["all/1.png", "all/2.png"] {
        grey(dir.path(), name, 2, 2, 7);
    }
    let set = opened(dir.path(), Format::ImageFolder);
    assert_eq!(labels(&set.train), None);
    assert_eq!(set.only_class.as_deref(), Some("all"));
    assert!(set.classes.is_empty());
    grey(dir.path(), "other/1.png", 2, 2, 7);
    let set = opened(dir.path(), Format::ImageFolder);
    assert_eq!(
        (labels(&set.train), set.only_class),
        (Some(vec![0, 0, 1]), None)
    );
}
