//! `eval` under attack, under corruption, and on images of another kind.

use serde_json::Value;

use crate::images::{colours, npy};
use crate::place::Place;

const EVAL: &str = "eval --model basic_scripted.pt --device cpu --quiet --data data.npz";

/// As a list of one field each.
fn numbers(list: &Value) -> Vec<i64> {
    let items = list.as_array().unwrap().iter();
    items.map(|n| n.as_i64().unwrap()).collect()
}

#[test]
fn predictions_are_written_for_every_image_and_condition() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!(
        "{EVAL} --attacks fgsm --epsilon 2/255 --corruptions blur,noise --severities 1,5 --robust-samples 10 \
         --predictions predictions.json --json"
    );
    let result = place.json(&line);
    let rows = result["robustness"]["rows"].as_array().unwrap();
    let names: Vec<_> = rows
        .iter()
        .map(|r| (r["name"].as_str().unwrap(), r["severity"].as_i64()))
        .collect();
    let wanted = [
        ("fgsm", None),
        ("blur", Some(1)),
        ("blur", Some(5)),
        ("noise", Some(1)),
        ("noise", Some(5)),
    ];
    assert_eq!(names, wanted);
    let document: Value = serde_json::from_slice(&place.read("predictions.json")).unwrap();
    let (indices, labels) = (numbers(&document["indices"]), numbers(&document["labels"]));
    assert_eq!(indices.len(), 10);
    // The images' classes take turns in the data, and the draw has two of each.
    assert!(indices.iter().zip(&labels).all(|(i, l)| i % 5 == *l));
    assert!((0..5).all(|class| labels.iter().filter(|l| **l == class).count() == 2));
    for (row, predicted) in rows.iter().zip(document["rows"].as_array().unwrap()) {
        assert_eq!(row["name"], predicted["name"]);
        let classes = numbers(&predicted["predicted"]);
        let correct = classes.iter().zip(&labels).filter(|(a, b)| a == b).count();
        assert_eq!(row["correct"], correct);
        assert_eq!(row["images"], 10);
    }
    // Never written over, and told of before the network runs.
    let message = place.refused(&line);
    assert!(
        message.contains("predictions.json: exists already"),
        "{message}"
    );
    let message = place.refused(&format!("{EVAL} --predictions no/such.json"));
    assert!(message.contains("there is no folder no"), "{message}");
}

#[test]
fn all_images_are_used_where_all_are_asked_for() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{EVAL} --corruptions contrast --severities 1 --robust-samples all --json");
    let result = place.json(&line);
    let clean = &result["robustness"]["clean"];
    assert_eq!(clean["images"], 30);
    assert_eq!(clean["accuracy"], result["accuracy"]);
}

#[test]
fn labels_of_other_images_count_where_classes_are_the_same() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let (images, labels) = colours(20, 9);
    let fewer = labels.mapv(|label| label % 4);
    place.npz(
        "same.npz",
        &[("images", npy(&images)), ("labels", npy(&labels))],
    );
    place.npz(
        "fewer.npz",
        &[("images", npy(&images)), ("labels", npy(&fewer))],
    );
    let ood = |data: &str| {
        place.json(&format!("{EVAL} --ood {data} --json"))["robustness"]["ood"].clone()
    };
    // Folders name their classes, and data.npz numbers its own.
    for (name, label) in [("a", 0), ("b", 1), ("c", 2), ("d", 3), ("e", 4)] {
        let image = [b"P6 8 8 255\n".as_slice(), &[60 * label; 192]].concat();
        place.write(&format!("named/{name}/one.ppm"), image);
    }
    let (same, other) = (ood("same.npz"), ood("fewer.npz"));
    assert!(same["accuracy"].is_f64() && other["accuracy"].is_null());
    assert!(ood("named")["accuracy"].is_null());
    assert_eq!(same["auroc"], other["auroc"]);
    assert_eq!(same["images"], 20);
    let message = place.refused(&format!("{EVAL} --ood nothing.npz"));
    assert!(
        message.contains("nothing.npz: no such file or folder; --ood"),
        "{message}"
    );
}

/// Classes that nobody asks for have no numbers that could be wrong.
#[test]
fn folders_of_other_images_need_not_be_classes() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let image = |brightness: u8| [b"P6 8 8 255\n".as_slice(), &[brightness; 192]].concat();
    let (ones, others) = (["cats/a", "dogs/a"], ["test/cats/b", "test/birds/b"]);
    for (at, name) in (1..).zip(ones) {
        place.write(&format!("empty/{name}.ppm"), image(40 * at));
        place.write(&format!("train/{name}.ppm"), image(40 * at));
        place.write(&format!("unknown/train/{name}.ppm"), image(40 * at));
        place.write(&format!("deeper/inner/{name}.ppm"), image(40 * at));
    }
    for (at, name) in (1..).zip(others) {
        place.write(&format!("unknown/{name}.ppm"), image(40 * at));
    }
    std::fs::create_dir_all(place.path("empty/birds")).unwrap();
    let ood = |data: &str| {
        place.json(&format!("{EVAL} --ood {data} --json"))["robustness"]["ood"].clone()
    };
    let usual = ood("train");
    assert_eq!(usual["images"], 2);
    for (data, part) in [("empty", "train"), ("unknown", "test"), ("deeper", "train")] {
        let found = ood(data);
        assert_eq!(found["images"], 2, "{data}");
        assert_eq!(found["part"], part);
        assert_eq!(found["confidence"], usual["confidence"]);
        assert!(found["accuracy"].is_null());
    }
}

#[test]
fn a_quantised_network_is_corrupted_but_not_attacked() {
    let place = Place::with_data(&["quantised_scripted.pt"]);
    let eval = EVAL.replace("basic", "quantised");
    place.json(&format!("{eval} --corruptions all --severities 3 --json"));
    let message = place.refused(&format!("{eval} --attacks pgd"));
    assert!(
        message.contains("quantised_scripted.pt: under pgd, ε = 8/255, 10 steps of 2/255: the network is quantised"),
        "{message}"
    );
}
