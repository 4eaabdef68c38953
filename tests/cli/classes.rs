//! Which class a label stands for, and what is done where nobody can tell.

use std::sync::LazyLock;

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use image::RgbImage;
use ndarray::{Array1, Array4};
use serde_json::Value;

use crate::images::{CLASSES, colours, npy};
use crate::place::{Place, Said, fixture};

const HOW: &str = "--mean 0.5 --std 0.25 --batch-size 20 --device cpu --threads 1";

fn eval(data: &str) -> String {
    format!("eval --model net.pt --passes 0 --json {HOW} --data {data}")
}

/// `net.pt`, which knows the five colours well, and data.npz.
fn place() -> Place {
    static TRAINED: LazyLock<Place> = LazyLock::new(|| {
        let place = Place::with_data(&["basic_scripted.pt"]);
        place.done(&format!(
            "finetune --model basic_scripted.pt --data data.npz {HOW} --epochs 6 --lr 0.05 --augment none --val-split 0 --output net.pt"
        ));
        place
    });
    TRAINED.copy()
}

fn accuracy(document: &Value) -> f64 {
    document["accuracy"].as_f64().unwrap()
}

impl Place {
    /// The test images of data.npz as files, in the folder that is named for their class.
    fn folders(&self, root: &str, folder: impl Fn(usize) -> Option<&'static str>) {
        let (images, labels) = colours(30, 2);
        for (at, (image, label)) in images.outer_iter().zip(&labels).enumerate() {
            let Some(folder) = folder(*label as usize) else {
                continue;
            };
            let pixels = image.iter().copied().collect();
            let file = self.path(&format!("{root}/{folder}/{at:02}.png"));
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            RgbImage::from_raw(8, 8, pixels)
                .unwrap()
                .save(file)
                .unwrap();
        }
    }
}

#[test]
fn a_class_whose_images_lie_deeper_keeps_its_number_and_so_do_all_others() {
    let place = place();
    let whole = accuracy(&place.json(&eval("data.npz")));
    assert!(whole > 0.7, "the network did not learn: {whole}");
    let names = ["c0", "c1", "c2/session1", "c3", "c4"];
    place.folders("nested", |class| Some(names[class]));
    let said = place.done(&eval("nested"));
    assert_eq!(accuracy(&said.json()), whole);
    assert!(!said.stderr.contains("warning"), "{said:#?}");
}

#[test]
fn a_part_in_other_letters_is_measured_on() {
    let place = place();
    place.folders("set/train", |class| Some(["a", "b", "c", "d", "e"][class]));
    place.folders("set/Testing", |class| ["a", "b", "c"].get(class).copied());
    let document = place.json(&eval("set"));
    assert_eq!(
        (&document["part"], &document["images"]),
        (&"test".into(), &18.into())
    );
}

/// Four names of a network that knows five.
const SUBSET: [Option<&str>; 5] = [None, Some("ant"), Some("bee"), None, Some("cow")];

#[test]
fn fewer_classes_than_the_network_has_are_measured_with_a_loud_warning() {
    let place = place();
    place.folders("subset", |class| SUBSET[class]);
    let said = place.done(&eval("subset"));
    let warning = "subset HAS 3 CLASS FOLDERS, net.pt KNOWS 5 CLASSES";
    assert!(said.stderr.contains(warning), "{said:#?}");
    assert!(
        said.json()["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with(warning)
    );
    assert!(accuracy(&said.json()) < 0.5);

    place.done(&format!("{} --report page.html", eval("subset")));
    assert!(
        String::from_utf8(place.read("page.html"))
            .unwrap()
            .contains(warning)
    );
}

#[test]
fn what_rests_on_doubtful_numbers_is_refused_and_can_be_allowed() {
    let place = place();
    place.folders("subset", |class| SUBSET[class]);
    let gates = format!("{} --min-accuracy 0", eval("subset"));
    let net = format!("--model net.pt --data subset {HOW}");
    let best = "--iterations 2 --samples 16 --epochs 0 --pick best --val-split 0.3";
    for line in [
        gates.clone(),
        format!(
            "{} --baseline basic_scripted.pt --max-drop 100",
            eval("subset")
        ),
        format!("finetune {net}"),
        format!("prune {net} --iterations 1 --samples 16"),
        format!("prune {net} --iterations 1 --samples 16 --epochs 0 --final-epochs 1"),
        format!("prune {net} {best}"),
    ] {
        let said = place.refused(&line);
        for part in [
            "subset HAS 3 CLASS FOLDERS",
            "--classes FILE",
            "--allow-class-mismatch",
        ] {
            assert!(said.contains(part), "{part:?} is missing in: {said}");
        }
    }
    place.done(&format!("{gates} --allow-class-mismatch"));
    // Sizes, and what labels decide nothing of, are nobody's doubt.
    place.done(&format!("{} --max-params 1M", eval("subset")));
    place.done(&format!("score {net} --samples 16"));
    let said = place.done(&format!(
        "prune {net} --iterations 1 --samples 16 --epochs 0 --json"
    ));
    assert!(
        said.json()["warnings"][0]
            .as_str()
            .unwrap()
            .contains("KNOWS 5")
    );
    let said = place.done(&format!("finetune {net} --json --allow-class-mismatch"));
    assert!(said.stderr.contains("KNOWS 5"), "{said:#?}");
}

#[test]
fn a_list_of_the_networks_classes_gives_the_folders_their_numbers() {
    let place = place();
    let whole = accuracy(&place.json(&eval("data.npz")));
    place.folders("mixed", |class| {
        Some(["wasp", "ant", "bee", "9", "10"][class])
    });
    place.write("classes.txt", "wasp\nant\nbee\n9\n10\n");
    place.write(
        "index.json",
        r#"{"0": ["wasp", "w"], "1": ["ant"], "2": ["bee"], "3": ["9"], "4": ["10"]}"#,
    );
    for list in ["classes.txt", "index.json"] {
        let said = place.done(&format!(
            "{} --classes {list} --min-accuracy 0.1",
            eval("mixed")
        ));
        assert_eq!(accuracy(&said.json()), whole);
        assert!(!said.stderr.contains("warning"), "{said:#?}");
    }
    place.folders("subset", |class| SUBSET[class]);
    let subset = format!(
        "{} --classes classes.txt --min-accuracy 0.1",
        eval("subset")
    );
    let document = place.refused(&subset);
    assert!(document.contains("class cow is not among"), "{document}");
    place.write("classes.txt", "wasp\nant\nbee\nfly\ncow\n");
    let document = place.json(&subset);
    assert_eq!(document["images"], 18);
    assert!(accuracy(&document) > 0.5);
}

#[test]
fn a_list_serves_every_command_and_is_one_of_a_runs_settings() {
    let place = place();
    place.folders("data", |class| Some(["e", "d", "c", "b", "a"][class]));
    place.write("classes.txt", "e\nd\nc\nb\na\n");
    place.write(
        "run.json",
        r#"{"data": "data", "classes": "classes.txt", "seed": 3}"#,
    );
    let how = format!("{HOW} --config run.json");
    place.done(&format!(
        "compare net.pt basic_scripted.pt --passes 0 {how}"
    ));
    place.done(&format!("score --model net.pt {how}"));
    place.done(&format!("score --map --model net.pt {how}"));
    let tune = format!("finetune --model net.pt {how} --checkpoint check");
    place.done(&format!("{tune} --output tuned.pt"));
    let run = format!("prune --model net.pt --samples 20 {how} --run-dir run --epochs 0");
    place.done(&format!("{run} --iterations 1 --output first.pt"));
    place.write("classes.txt", "a\nb\nc\nd\ne\n");
    let said = place.refused(&format!("{run} --iterations 2 --resume"));
    assert!(said.contains("classes"), "{said}");
    place.write("classes.txt", "a\nb\nc\nd\ne\nf\n");
    let said = place.refused(&tune);
    assert!(
        said.contains("classes.txt NAMES 6 CLASSES, net.pt KNOWS 5"),
        "{said}"
    );
}

#[test]
fn folders_named_by_numbers_are_sorted_as_text_and_that_is_said() {
    let place = place();
    place.folders("numbers", |class| Some(["8", "9", "10", "11", "12"][class]));
    let said: Said = place.done(&eval("numbers"));
    for part in ["SORTED AS TEXT (10, 11, 12, …, 9)", "folder 10 is class 0"] {
        assert!(said.stderr.contains(part), "{said:#?}");
    }
    let gate = format!("{} --min-accuracy 0", eval("numbers"));
    assert!(place.refused(&gate).contains("--allow-class-mismatch"));
    place.write("classes.txt", "8\n9\n10\n11\n12");
    let said = place.done(&format!("{gate} --classes classes.txt"));
    assert!(
        accuracy(&said.json()) > 0.7 && !said.stderr.contains("warning"),
        "{said:#?}"
    );
}

#[test]
fn how_many_classes_a_network_knows_is_found_by_running_it_where_its_code_does_not_tell() {
    let place = place();
    let known = |model: &str| {
        let archive = Archive::open(&fixture(model)).unwrap();
        let analysis = Analysis::of(&archive, &Request::shape(&[3, 8, 8]));
        analysis.unwrap().classes()
    };
    assert_eq!(known("basic_scripted.pt"), Some(5));
    assert_eq!(known("field/masked_scripted.pt"), None);
    place.write(
        "net.pt",
        std::fs::read(fixture("field/masked_scripted.pt")).unwrap(),
    );
    place.folders("subset", |class| SUBSET[class]);
    let said = place.done(&eval("subset"));
    assert!(said.stderr.contains("net.pt KNOWS 5 CLASSES"), "{said:#?}");
    place.folders("all", |class| Some(["a", "b", "c", "d", "e"][class]));
    let said = place.done(&eval("all"));
    assert!(!said.stderr.contains("warning"), "{said:#?}");
}

#[test]
fn images_of_many_channels_go_through_every_command() {
    let place = Place::with(&[]);
    place.write(
        "net.pt",
        std::fs::read(fixture("field/bands_scripted.pt")).unwrap(),
    );
    let images = Array4::from_shape_fn((40, 13, 8, 8), |(n, c, y, x)| {
        ((n * 31 + c * 17 + y * 5 + x * 3) % 100) as f32 / 100.
    });
    let (_, labels) = colours(40, 0);
    let bands = [("images", npy(&images)), ("labels", npy(&labels))];
    place.npz("bands.npz", &bands);
    let values = |value: &str| [value; 13].join(",");
    let data = "--model net.pt --data bands.npz --batch-size 20 --device cpu --threads 1 --quiet";
    let one = place.json(&format!(
        "eval {data} --mean 0.5 --std 0.25 --passes 0 --json"
    ));
    let all = format!("--mean {} --std {}", values("0.5"), values("0.25"));
    let each = place.json(&format!("eval {data} {all} --passes 0 --json"));
    assert_eq!(one["loss"], each["loss"]);
    place.done(&format!("prune {data} {all} --iterations 1 --samples 20"));
    let said = place.refused(&format!("eval {data} --mean 0.5,0.4,0.3"));
    assert!(
        said.contains("mean has 3 values") && said.contains("13 channels"),
        "{said}"
    );
}

#[test]
fn more_folders_than_the_network_has_classes() {
    let place = place();
    place.folders("more", |class| Some(["a", "b", "c", "d", "f"][class]));
    place.write("more/e/1.png", place.read("more/a/00.png"));
    let said = place.refused(&eval("more"));
    for part in [
        "more HAS 6 CLASS FOLDERS",
        "has a label 5",
        "--classes FILE",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn labels_from_one_on_are_told_what_to_do_and_then_fit() {
    let place = place();
    let whole = accuracy(&place.json(&eval("data.npz")));
    let (images, labels) = colours(30, 2);
    let shifted = labels.mapv(|label| label + 1);
    let arrays = [("x_test", npy(&images)), ("y_test", npy(&shifted))];
    place.npz("letters.npz", &arrays);
    let said = place.refused(&eval("letters.npz"));
    assert!(
        said.contains(&format!("labels go from 1 to {CLASSES}")),
        "{said}"
    );
    assert!(said.contains("--first-class 1"), "{said}");
    let document = place.json(&format!("{} --first-class 1", eval("letters.npz")));
    assert_eq!(accuracy(&document), whole);
    let said = place.refused(&format!("{} --first-class 2", eval("letters.npz")));
    assert!(
        said.contains("label 1 is less than --first-class 2"),
        "{said}"
    );
    place.folders("folders", |class| Some(["a", "b", "c", "d", "e"][class]));
    place.refused(&format!("{} --first-class 1", eval("folders")));
}

#[test]
fn the_validation_part_beside_a_test_part_is_validated_on() {
    let place = place();
    let part = |images, salt| {
        let (images, labels): (Array4<u8>, Array1<i64>) = colours(images, salt);
        (npy(&images), npy(&labels))
    };
    let ((x_train, y_train), (x_val, y_val), (x_test, y_test)) =
        (part(60, 1), part(25, 7), part(30, 2));
    let mut arrays = vec![
        ("x_train", x_train),
        ("y_train", y_train),
        ("x_test", x_test),
        ("y_test", y_test),
    ];
    place.npz("two.npz", &arrays);
    arrays.extend([("x_val", x_val), ("y_val", y_val)]);
    place.npz("three.npz", &arrays);
    let tune = |data: &str, more: &str| {
        let line =
            format!("finetune --model net.pt --data {data} {HOW} --json --epochs 2 --force {more}");
        place.done(&line)
    };
    let said = tune("three.npz", "");
    assert_eq!(said.json()["validation"].as_array().unwrap().len(), 2);
    assert!(
        said.stderr.contains("its 25 images are validated on"),
        "{said:#?}"
    );
    // Nothing is taken from the training part, with the option or without.
    let (plain, split) = (
        tune("two.npz", "--val-split 0").json(),
        tune("three.npz", "--val-split 0.5"),
    );
    assert_eq!(said.json()["train_losses"], plain["train_losses"]);
    assert_eq!(split.json()["train_losses"], plain["train_losses"]);
    assert!(
        split.stderr.contains("--val-split sets nothing aside"),
        "{split:#?}"
    );
    assert!(plain.get("validation").is_none());
    tune("three.npz", "--patience 1");
    let line =
        format!("finetune --model net.pt --data two.npz {HOW} --patience 1 --val-split 0 --force");
    let said = place.refused(&line);
    assert!(
        said.contains("--patience goes by images") && said.contains("--val-split"),
        "{said}"
    );

    let prune = format!(
        "prune --model net.pt --data three.npz {HOW} --iterations 1 --samples 20 --pick best --json"
    );
    let said = place.done(&prune);
    assert!(
        said.stderr.contains("its 25 images are validated on"),
        "{said:#?}"
    );
    let hits = said.json()["before"]["validation_accuracy"]
        .as_f64()
        .unwrap()
        * 25.;
    assert!((hits - hits.round()).abs() < 1e-9, "{hits}");
}

#[test]
fn a_test_part_without_labels_gives_way_to_training_images_set_aside() {
    let place = place();
    let (images, labels) = colours(60, 1);
    place.npz(
        "half.npz",
        &[
            ("x_train", npy(&images)),
            ("y_train", npy(&labels)),
            ("x_test", npy(&colours(30, 2).0)),
        ],
    );
    let line = format!("finetune --model net.pt --data half.npz {HOW} --json --epochs 1 --force");
    let said = place.done(&line);
    assert!(
        said.stderr
            .contains("no labels in its test part: 5 of the images"),
        "{said:#?}"
    );
    assert_eq!(said.json()["before"]["images"], 5);
}
