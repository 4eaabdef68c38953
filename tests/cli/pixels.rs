//! From the pixels of files to what a network sees: channels, scale, size.

use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::Value;

use crate::place::Place;

/// A picture like no other.
fn pixel(image: u32, x: u32, y: u32) -> [u8; 3] {
    let mixed = (image * 31 + x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
    [(mixed >> 8) as u8, (mixed >> 16) as u8, (mixed >> 24) as u8]
}

fn save(place: &Place, name: &str, save: impl FnOnce(&Path) -> image::ImageResult<()>) {
    let path = place.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    save(&path).unwrap();
}

fn colour(place: &Place, name: &str, side: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) {
    let image = RgbImage::from_fn(side, side, |x, y| Rgb(pixel(x, y)));
    save(place, name, |path| image.save(path));
}

fn grey(place: &Place, name: &str, side: u32, pixel: impl Fn(u32, u32) -> u8) {
    let image = GrayImage::from_fn(side, side, |x, y| Luma([pixel(x, y)]));
    save(place, name, |path| image.save(path));
}

fn evaluate(place: &Place, model: &str, data: &str) -> Value {
    place.json(&format!(
        "eval --model {model} --data {data} --device cpu --threads 1 --passes 0 --json"
    ))
}

/// Images in five classes.
fn five_classes(place: &Place, folder: &str, mut save: impl FnMut(&Place, u32, &str)) {
    for image in 0..60 {
        let class = image % 5;
        save(place, image, &format!("{folder}/c{class}/{image}.png"));
    }
}

#[test]
fn a_grey_file_among_colour_ones_is_given_three_channels_wherever_it_stands() {
    let place = Place::with(&["basic_scripted.pt"]);
    // All are grey as seen, but only the first is stored so.
    five_classes(&place, "mixed", |place, image, name| match image {
        0 => grey(place, name, 8, |x, y| pixel(0, x, y)[0]),
        _ => colour(place, name, 8, |x, y| [pixel(image, x, y)[0]; 3]),
    });
    five_classes(&place, "colour", |place, image, name| {
        colour(place, name, 8, |x, y| [pixel(image, x, y)[0]; 3]);
    });
    let mean = "--mean 0.5,0.4,0.3 --std 0.5,0.5,0.5";
    let [mixed, colour] = ["mixed", "colour"]
        .map(|data| evaluate(&place, "basic_scripted.pt", &format!("{data} {mean}")));
    assert_eq!(mixed["loss"], colour["loss"]);
    place.done(&format!(
        "prune --model basic_scripted.pt --iterations 1 --data mixed {mean} --batch-size 4 --device cpu --threads 1"
    ));
}

#[test]
fn colour_files_are_reduced_to_grey_for_a_network_of_one_channel() {
    let place = Place::with(&[]);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/demo/model.pt");
    std::fs::copy(demo, place.path("demo.pt")).unwrap();
    // Pillow's convert("L") of these colours: the usual rounding of the three weights gives one more.
    let known = [
        ([176, 30, 169], 89),
        ([195, 19, 53], 75),
        ([144, 84, 124], 106),
        ([202, 128, 219], 160),
    ];
    let at = |image: u32, x: u32, y: u32| known[((image + x + y * y) % 4) as usize];
    five_classes(&place, "colour", |place, image, name| {
        colour(place, name, 28, |x, y| at(image, x, y).0);
    });
    five_classes(&place, "grey", |place, image, name| {
        grey(place, name, 28, |x, y| at(image, x, y).1);
    });
    let [colour, grey] = ["colour", "grey"].map(|data| evaluate(&place, "demo.pt", data));
    assert_eq!(colour["loss"], grey["loss"]);
}

#[test]
fn means_of_another_scale_are_refused_with_what_to_name_instead() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = "score --model basic_scripted.pt --data data.npz --mean 123.675,116.28,103.53 --std 58.395,57.12,57.375";
    let message = place.refused(line);
    assert!(
        message.contains("--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 (divided by 255)"),
        "{message}"
    );
    assert!(message.contains("--pixel-range 255"), "{message}");
    place.write("run.json", r#"{"std": [63.75]}"#);
    let line = "score --model basic_scripted.pt --data data.npz --config run.json";
    let message = place.refused(line);
    assert!(message.contains("--std 0.25"), "{message}");
}

/// The same network input, spelt on either scale.
#[test]
fn pixels_up_to_255_take_means_up_to_255() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let loss = |normalisation: &str| {
        let report = evaluate(
            &place,
            "basic_scripted.pt",
            &format!("data.npz {normalisation}"),
        );
        report["loss"].as_f64().unwrap()
    };
    let unit = loss("--mean 0.4 --std 0.2");
    let bytes = loss("--pixel-range 255 --mean 102 --std 51");
    assert!((unit - bytes).abs() < 1e-5, "{unit} {bytes}");
    assert!((loss("--pixel-range 255") - loss("--std 0.00392156862745098")).abs() < 1e-2);
    assert!((loss("--pixel-range 255") - unit).abs() > 1.);
}

/// A resumed run that saw other pixels would be another run.
#[test]
fn the_scale_of_pixels_is_part_of_a_run() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = "prune --model basic_scripted.pt --data data.npz --iterations 1 --epochs 0 --device cpu --threads 1 \
                --run-dir run";
    place.done(line);
    let message = place.refused(&format!("{line} --resume --pixel-range 255 --force"));
    assert!(message.contains("pixel-range"), "{message}");
}

/// Portrait and landscape images of several sizes.
fn several_sizes(place: &Place, folder: &str) {
    five_classes(place, folder, |place, image, name| {
        let (width, height) = [(13, 17), (20, 12), (8, 8), (30, 11)][(image % 4) as usize];
        let picture = RgbImage::from_fn(width, height, |x, y| Rgb(pixel(image, x, y)));
        save(place, name, |path| picture.save(path));
    });
}

#[test]
fn images_are_resized_and_cropped_as_the_options_say() {
    let place = Place::with(&["basic_scripted.pt"]);
    several_sizes(&place, "data");
    let loss = |options: &str| {
        evaluate(&place, "basic_scripted.pt", &format!("data {options}"))["loss"].clone()
    };
    let usual = loss("--resize 10 --crop 8");
    assert_eq!(usual, loss("--crop-pct 0.8 --input-size 8"));
    assert_eq!(
        usual,
        loss("--resize 10 --crop 8x8 --interpolation bilinear --input-size 3x8x8")
    );
    let others = [
        "--resize 10 --crop 8 --interpolation bicubic",
        "--resize 9 --crop 8",
        "--crop 8",
        "--resize 8x8",
        "--input-size 8",
    ];
    for other in others {
        assert_ne!(usual, loss(other), "{other}");
    }
    place.write(
        "run.json",
        r#"{"resize": 10, "crop": 8, "interpolation": "bicubic"}"#,
    );
    assert_eq!(loss("--config run.json"), loss(others[0]));
}

#[test]
fn sizes_that_leave_the_input_open_or_contradict_each_other_are_refused() {
    let place = Place::with(&["basic_scripted.pt"]);
    several_sizes(&place, "data");
    for (options, wanted) in [
        ("--resize 10", "--crop"),
        ("--interpolation bicubic", "--crop"),
        ("--crop-pct 0.8", "--crop"),
        ("--crop 8 --input-size 10", "two sizes"),
        ("--crop-pct 0.8 --crop 8x6", "square"),
        ("--crop-pct 0.8 --crop 8 --resize 10", "cannot be used with"),
        ("--resize 3x8x8", "shorter side"),
    ] {
        let message = place.refused(&format!(
            "score --model basic_scripted.pt --data data {options}"
        ));
        assert!(message.contains(wanted), "{options}: {message}");
    }
}

#[test]
fn how_images_are_resized_is_part_of_a_run() {
    let place = Place::with(&["basic_scripted.pt"]);
    several_sizes(&place, "data");
    let line = "prune --model basic_scripted.pt --data data --iterations 1 --epochs 0 --device cpu --threads 1 \
                --crop 8 --resize 10 --run-dir run";
    place.done(line);
    for other in ["--resize 12", "--interpolation bicubic"] {
        let message = place.refused(&format!("{line} --resume --force {other}"));
        let option = other.split(' ').next().unwrap().trim_start_matches('-');
        assert!(message.contains(option), "{message}");
    }
}
