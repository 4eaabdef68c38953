//! Image files that cannot be used are found before the work begins, all of them.

use std::fs;

use image::{ImageFormat, Rgb, RgbImage};

use crate::place::{Place, strings};

const ON: &str = "--data data --batch-size 20 --device cpu --threads 1 --quiet";

fn picture(class: u32, image: u32) -> RgbImage {
    RgbImage::from_fn(8, 8, |x, y| {
        let mixed = (image * 31 + x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
        let mut pixel = [(mixed >> 25) as u8; 3];
        pixel[(class % 3) as usize] += 128;
        Rgb(pixel)
    })
}

/// Five classes of 12 images to learn from and of two to measure on.
fn images(place: &Place) {
    for class in 0..5 {
        for (part, count) in [("train", 12), ("test", 2)] {
            let folder = place.path(&format!("data/{part}/c{class}"));
            fs::create_dir_all(&folder).unwrap();
            for image in 0..count {
                let file = folder.join(format!("{image:02}.png"));
                picture(class, image).save(file).unwrap();
            }
        }
    }
}

/// An empty file, the first of all; a cut JPEG under a PNG's name; a text; each of another class.
const BAD: [&str; 3] = [
    "data/train/c0/00.png",
    "data/train/c2/05.png",
    "data/train/c4/11.png",
];

fn spoil(place: &Place) {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture(2, 5)
        .write_to(&mut jpeg, ImageFormat::Jpeg)
        .unwrap();
    let jpeg = jpeg.into_inner();
    place.write(BAD[0], "");
    place.write(BAD[1], &jpeg[..jpeg.len() - 20]);
    place.write(BAD[2], "404: not found");
}

#[test]
fn all_bad_files_are_named_together_before_the_work_begins() {
    let place = Place::with(&["basic_scripted.pt"]);
    images(&place);
    spoil(&place);
    for command in [
        "prune --iterations 1 --run-dir run",
        "finetune --epochs 1",
        "score --samples all",
    ] {
        let message = place.refused(&format!("{command} --model basic_scripted.pt {ON}"));
        for bad in BAD {
            assert!(message.contains(bad), "{bad} is missing in {message}");
        }
        assert!(message.contains("3 of "), "{message}");
        assert!(message.contains("--skip-bad"), "{message}");
    }
    // Nothing is said of files that are not needed.
    place.done(&format!("eval --model basic_scripted.pt {ON} --passes 0"));
    place.write("data/test/c3/01.png", "");
    let message = place.refused(&format!("eval --model basic_scripted.pt {ON} --passes 0"));
    assert!(
        message.contains("data/test/c3/01.png: cannot be decoded"),
        "{message}"
    );
}

#[test]
fn many_bad_files_are_counted_and_the_first_ones_named() {
    let place = Place::with(&["basic_scripted.pt"]);
    images(&place);
    for image in 0..11 {
        place.write(&format!("data/train/c1/{image:02}.png"), "");
    }
    let message = place.refused(&format!(
        "finetune --epochs 1 --model basic_scripted.pt {ON}"
    ));
    assert!(message.contains("11 of 70 image files"), "{message}");
    assert!(
        message.contains("c1/09.png") && !message.contains("c1/10.png"),
        "{message}"
    );
    assert!(message.contains("and 1 more"), "{message}");
}

#[test]
fn bad_files_that_are_left_out_change_nothing_else() {
    let place = Place::with(&["basic_scripted.pt"]);
    images(&place);
    spoil(&place);
    let line = format!(
        "finetune --epochs 1 --model basic_scripted.pt {ON} --json --augment none --val-split 0"
    );
    let skipping = place.json(&format!("{line} --skip-bad"));
    assert_eq!(skipping["skipped"], 3);
    let warnings = strings(&skipping["warnings"], |warning| warning);
    assert!(warnings[0].contains(BAD[1]), "{warnings:?}");
    for bad in BAD {
        fs::remove_file(place.path(bad)).unwrap();
    }
    let without = place.json(&format!("{line} --force"));
    assert_eq!(without.get("skipped"), None);
    assert_eq!(skipping["after"], without["after"]);
    assert_eq!(skipping["train_losses"], without["train_losses"]);
}

#[test]
fn every_command_counts_what_it_leaves_out() {
    let place = Place::with(&["basic_scripted.pt"]);
    images(&place);
    spoil(&place);
    place.write("data/test/c3/01.png", "");
    for (command, count) in [
        ("score --samples all", 3),
        ("prune --iterations 1 --epochs 0", 4),
        ("eval --passes 0", 1),
    ] {
        let line = format!("{command} --model basic_scripted.pt {ON} --json --skip-bad");
        assert_eq!(place.json(&line)["skipped"], count, "{command}");
    }
}

#[test]
fn files_of_other_images_are_counted_too() {
    let place = Place::with(&["basic_scripted.pt"]);
    images(&place);
    place.write("data/test/c3/01.png", "");
    for image in 0..3 {
        let file = place.path(&format!("others/{image}.png"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        picture(image, 1).save(file).unwrap();
    }
    place.write("others/1.png", "404: not found");
    let eval = format!("--passes 0 {ON} --ood others --json");
    for command in [
        "eval --model basic_scripted.pt",
        "compare basic_scripted.pt basic_scripted.pt",
    ] {
        let line = format!("{command} {eval}");
        let message = place.refused(&line);
        assert!(message.contains("--skip-bad"), "{message}");
        let report = place.json(&format!("{line} --skip-bad"));
        assert_eq!(report["skipped"], 2, "{command}");
        let warnings = strings(&report["warnings"], |warning| warning).join("\n");
        assert!(warnings.contains("others/1.png"), "{warnings}");
    }
}

/// Without it the others would keep their numbers, and nobody would know that one is gone.
#[test]
fn a_class_whose_images_are_all_bad_is_an_error() {
    let place = Place::with(&["basic_scripted.pt"]);
    images(&place);
    for image in 0..2 {
        place.write(&format!("data/test/c3/{image:02}.png"), "");
    }
    let line = format!("eval --model basic_scripted.pt {ON} --passes 0 --skip-bad");
    let message = place.refused(&line);
    assert!(message.contains("class 3"), "{message}");
}
