//! Image folders: which images make a class, a part, or neither, as torchvision's `ImageFolder` decides it.

use std::fs;
use std::path::Path;

use ckaprune::data::{ClassNames, DataSet, Format, Labelling, Part, open, open_labelled};
use tempfile::tempdir;

use super::errors::refused;
use super::files::{grey, write};

fn opened(path: &Path) -> DataSet {
    let set = open(path).unwrap();
    assert_eq!(set.format, Format::ImageFolder);
    set
}

fn images(folder: &Path, names: &[&str]) {
    for name in names {
        grey(folder, name, 2, 2, 7);
    }
}

fn labels(part: &Option<Part>) -> &[i64] {
    part.as_ref().unwrap().labels().unwrap()
}

#[test]
fn images_deeper_in_a_class_folder_are_of_that_class() {
    let dir = tempdir().unwrap();
    images(
        dir.path(),
        &[
            "train/ant/1.png",
            "train/bee/day1/am/1.png",
            "train/bee/day1/2.png",
            "train/bee/9.png",
            "train/cow/1.png",
            "test/bee/other/1.png",
            "test/cow/1.png",
        ],
    );
    let set = opened(dir.path());
    assert_eq!(set.classes, ["ant", "bee", "cow"]);
    assert_eq!(labels(&set.train), [0, 1, 1, 1, 2]);
    assert_eq!(labels(&set.test), [1, 2]);
    assert_eq!(set.notes, Vec::<String>::new());
}

#[test]
fn an_empty_class_folder_is_refused_rather_than_shifting_the_numbers() {
    for part in ["", "train/"] {
        let dir = tempdir().unwrap();
        images(
            dir.path(),
            &[&format!("{part}a/1.png"), &format!("{part}c/1.png")],
        );
        write(dir.path(), &format!("{part}b/deep/notes.txt"), b"no image");
        refused(dir.path(), &["class folder b holds no images", "--classes"]);
    }
}

#[test]
fn an_empty_folder_beside_the_parts_or_of_a_class_in_the_test_part_shifts_nothing() {
    let dir = tempdir().unwrap();
    images(
        dir.path(),
        &["train/a/1.png", "train/b/1.png", "test/b/1.png"],
    );
    fs::create_dir_all(dir.path().join("test/a")).unwrap();
    fs::create_dir_all(dir.path().join("annotations")).unwrap();
    let set = opened(dir.path());
    assert_eq!(labels(&set.test), [1]);
    assert_eq!(set.notes, Vec::<String>::new());
}

#[test]
fn classes_go_by_the_text_of_their_names_capitals_and_digits_first() {
    let dir = tempdir().unwrap();
    let names = ["10", "2", "Zebra", "ape", "ape-2", "ape/x", "Ünder"];
    for name in names {
        images(dir.path(), &[&format!("{name}/1.png")]);
    }
    let set = opened(dir.path());
    assert_eq!(set.classes, ["10", "2", "Zebra", "ape", "ape-2", "Ünder"]);
}

#[test]
fn tiny_imagenet_is_read_as_it_is_downloaded() {
    let dir = tempdir().unwrap();
    images(
        dir.path(),
        &[
            "train/n01/images/n01_0.png",
            "train/n02/images/n02_0.png",
            "val/images/val_0.png",
            "test/images/test_0.png",
        ],
    );
    write(dir.path(), "train/n01/n01_boxes.txt", b"n01_0.png 0 0 1 1");
    let set = opened(dir.path());
    assert_eq!(set.classes, ["n01", "n02"]);
    assert_eq!(labels(&set.train), [0, 1]);
    assert!(set.test.unwrap().labels().is_none());
    for (note, part) in set.notes.iter().zip(["val", "test"]) {
        let said = note.contains(part) && note.contains("no class folders");
        assert!(said, "{note}");
    }
    assert_eq!(set.notes.len(), 2);
}

#[test]
fn annotations_of_images_without_class_folders_label_them() {
    let dir = tempdir().unwrap();
    images(
        dir.path(),
        &[
            "train/n01/images/n01_0.png",
            "train/n02/images/n02_0.png",
            "val/images/val_0.png",
            "val/images/val_1.png",
            "test/images/test_0.png",
        ],
    );
    let file = "val/val_annotations.txt";
    write(
        dir.path(),
        file,
        b"val_0.png\tn02\t0\t0\t9\t9\nval_1.png\tn01\n",
    );
    let set = opened(dir.path());
    // What has labels is what to report on.
    assert_eq!(labels(&set.test), [1, 0]);
    assert_eq!(set.notes.len(), 1, "{:?}", set.notes);
    for (line, said) in [
        ("val_0.png\tn02\n", "no line for val_1.png"),
        (
            "val_0.png\tn02\nval_1.png\tn09\n",
            "class n09 does not exist",
        ),
    ] {
        write(dir.path(), file, line.as_bytes());
        let message = open(dir.path()).unwrap_err().to_string();
        assert!(
            message.contains(file) && message.contains(said),
            "{message}"
        );
    }
}

#[test]
fn parts_are_known_by_many_names_in_any_case() {
    for [train, validation, test] in [
        ["Train", "Val", "Test"],
        ["Training", "Valid", "Testing"],
        ["TRAIN", "dev", "TEST"],
        ["training_set", "Validation_Set", "test_set"],
        ["trainset", "validation", "testset"],
    ] {
        let dir = tempdir().unwrap();
        for part in [train, validation, test] {
            images(
                dir.path(),
                &[&format!("{part}/a/1.png"), &format!("{part}/b/1.png")],
            );
        }
        let set = opened(dir.path());
        assert_eq!(labels(&set.train), [0, 1], "{train}");
        assert_eq!(labels(&set.validation), [0, 1], "{validation}");
        assert_eq!(labels(&set.test), [0, 1], "{test}");
        assert_eq!(set.notes, Vec::<String>::new());
    }
}

#[test]
fn two_folders_for_one_part_are_refused() {
    let dir = tempdir().unwrap();
    images(dir.path(), &["train/a/1.png", "Training/a/1.png"]);
    refused(dir.path(), &["Training and train could both be meant"]);
    fs::remove_file(dir.path().join("Training/a/1.png")).unwrap();
    assert_eq!(opened(dir.path()).train.unwrap().len(), 1);
}

#[test]
fn what_is_left_out_beside_the_parts_is_told() {
    let dir = tempdir().unwrap();
    images(
        dir.path(),
        &[
            "train/a/1.png",
            "train/b/1.png",
            "train/stray.png",
            "test/a/1.png",
            "holdout/a/1.png",
            "sheet.png",
        ],
    );
    let set = opened(dir.path());
    let notes = set.notes.join("\n");
    for said in [
        "holdout, sheet.png",
        "belongs to no part",
        "1 of its images",
        "stray.png",
    ] {
        assert!(notes.contains(said), "{said:?} is missing in: {notes}");
    }
    assert_eq!(set.parts().map(Part::len).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_folder_above_the_data_set_is_refused() {
    let dir = tempdir().unwrap();
    images(dir.path(), &["pets/cat/1.png", "pets/dog/1.png"]);
    refused(dir.path(), &["pets: name that folder"]);
    let dir = tempdir().unwrap();
    for set in ["pets", "cars"] {
        images(
            dir.path(),
            &[&format!("{set}/train/1.png"), &format!("{set}/test/1.png")],
        );
    }
    refused(dir.path(), &["cars holds parts of its own (test, train)"]);
}

#[test]
fn folders_inside_folders_without_end_are_refused() {
    let dir = tempdir().unwrap();
    images(
        dir.path(),
        &["a/1.png", &format!("b/{}1.png", "x/".repeat(60))],
    );
    assert_eq!(labels(&opened(dir.path()).train), [0, 1]);
    images(dir.path(), &[&format!("b/{}1.png", "x/".repeat(70))]);
    refused(dir.path(), &["more than 64 folders deep"]);
}

fn named(folder: &Path, names: &str) -> DataSet {
    let file = folder.join("classes.txt");
    fs::write(&file, names).unwrap();
    let classes = Some(ClassNames::read(&file).unwrap());
    let labelling = Labelling { classes, first: 0 };
    open_labelled(folder, &labelling).unwrap()
}

#[test]
fn a_list_of_classes_numbers_folders_whatever_is_missing_or_empty() {
    let dir = tempdir().unwrap();
    images(
        dir.path(),
        &[
            "train/cow/1.png",
            "train/ant/1.png",
            "test/bee/1.png",
            "val/pile/1.png",
        ],
    );
    fs::create_dir_all(dir.path().join("train/spider")).unwrap();
    let set = named(dir.path(), "bee\nwasp\ncow\nant\n");
    assert_eq!(labels(&set.train), [3, 2]);
    assert_eq!(labels(&set.test), [0]);
    assert_eq!(set.classes.len(), 4);
    assert!(set.notes[0].contains("no class folders"), "{:?}", set.notes);
}

#[test]
fn one_class_folder_is_labelled_if_a_list_says_which_class_it_is() {
    let dir = tempdir().unwrap();
    images(dir.path(), &["cow/1.png"]);
    let set = named(dir.path(), "bee\ncow\n");
    assert_eq!((labels(&set.train), set.only_class), (&[1][..], None));
}

#[test]
fn folders_that_a_list_does_not_name_are_listed() {
    let dir = tempdir().unwrap();
    images(dir.path(), &["ant/1.png", "cow/1.png", "bee/1.png"]);
    let file = dir.path().join("classes.txt");
    fs::write(&file, "bee\nfly\n").unwrap();
    let classes = Some(ClassNames::read(&file).unwrap());
    let error = open_labelled(dir.path(), &Labelling { classes, first: 0 }).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("class ant, cow is not among"), "{message}");
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed() {
        let elsewhere = tempdir().unwrap();
        images(elsewhere.path(), &["1.png", "2.png"]);
        let dir = tempdir().unwrap();
        images(dir.path(), &["a/1.png"]);
        symlink(elsewhere.path(), dir.path().join("b")).unwrap();
        symlink(elsewhere.path(), dir.path().join("c")).unwrap();
        let set = opened(dir.path());
        assert_eq!(labels(&set.train), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn links_that_lead_back_are_refused_whatever_their_number() {
        let dir = tempdir().unwrap();
        images(dir.path(), &["a/1.png", "b/1.png"]);
        for level in 0..40 {
            let inner = dir.path().join(format!("b/{level:02}"));
            fs::create_dir(&inner).unwrap();
            for link in ["x", "y"] {
                let next = dir.path().join(format!("b/{:02}", level + 1));
                symlink(next, inner.join(link)).unwrap();
            }
        }
        let message = open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("same folder again"), "{message}");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_an_image_that_cannot_be_read() {
        let dir = tempdir().unwrap();
        images(dir.path(), &["a/1.png", "b/1.png"]);
        symlink("gone.png", dir.path().join("b/2.png")).unwrap();
        assert_eq!(opened(dir.path()).train.unwrap().len(), 3);
    }
}
