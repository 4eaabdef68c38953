//! A module inside a network, and what a network is given beside images.

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, strings};

const MODEL: &str = "inside/lists_scripted.pt";
const LEFT: &str = "--model inside/lists_scripted.pt --inside towers.left";
const DATA: &str = "--data unlabelled.npz --samples 40 --batch-size 20 --device cpu --threads 1 --min-blocks-per-stage 0";

fn blocks(place: &Place, model: &str, side: &str) -> Vec<String> {
    let line = format!("inspect --model {model} --inside towers.{side} --input-size 8 --json");
    strings(&place.json(&line)["blocks"], |block| &block["path"])
}

#[test]
fn it_is_inspected_scored_and_pruned_and_the_rest_stays() {
    let place = Place::with_unlabelled(&[MODEL]);
    assert_eq!(blocks(&place, MODEL, "left").len(), 3);
    let scored = place.json(&format!("score {LEFT} {DATA} --json --quiet"));
    let scores = scored["blocks"].as_array().unwrap();
    assert!(
        scores.iter().all(|b| b["cka"].as_f64().unwrap() < 1.),
        "{scored}"
    );
    let line = format!(
        "prune {LEFT} {DATA} --iterations 1 --epochs 1 --lr 0.001 --run-dir run --output out.pt --json --quiet"
    );
    let report: Value = place.json(&line);
    let removed = strings(&report["removed"], |path| path);
    let left = blocks(&place, "out.pt", "left");
    assert_eq!((left.len(), left.contains(&removed[0])), (2, false));
    assert_eq!(blocks(&place, "out.pt", "right").len(), 3);
    assert_eq!(blocks(&place, "run/iteration-001.pt", "left"), left);
    // The plan knows where.
    place.done(
        "remove --model inside/lists_scripted.pt --plan run/plan.json --output again.pt --quiet",
    );
    assert_eq!(blocks(&place, "again.pt", "left"), left);
    // And a run goes on there alone.
    let elsewhere = line.replace("towers.left", "towers.right");
    let said = place.refused(&format!("{elsewhere} --resume --force"));
    assert!(
        said.contains("`inside` towers.left, not towers.right"),
        "{said}"
    );
    place.done(&format!("{line} --resume --force"));
}

#[test]
fn a_module_that_is_not_there_or_takes_no_images_is_told() {
    let place = Place::with_unlabelled(&[
        MODEL,
        "exported/basic_exported.pt2",
        "exported/steps.pt2",
        "inside/steps_scripted.pt",
        "inside/behind_scripted.pt",
    ]);
    assert_snapshot!(place.all_refused(&[
        "inspect --model inside/lists_scripted.pt",
        "inspect --model inside/lists_scripted.pt --inside towers.middle",
        "inspect --model inside/lists_scripted.pt --inside fc --input-size 8",
        "inspect --model exported/basic_exported.pt2 --inside stage1",
        "inspect --model inside/steps_scripted.pt --input-size 8",
        "inspect --model inside/steps_scripted.pt --argument sign=1 --input-size 8",
        "inspect --model inside/steps_scripted.pt --argument steps=1 --input-size 8",
        "inspect --model inside/steps_scripted.pt --argument steps",
        "inspect --model exported/steps.pt2 --argument sign=1",
        "inspect --model inside/behind_scripted.pt --inside tower --input-size 1x16x16",
    ]));
}

const TOWER: &str = "--model inside/behind_scripted.pt --inside tower";

#[test]
fn what_the_whole_makes_of_images_is_what_a_module_inside_is_pruned_on() {
    let place = Place::with_unlabelled(&["inside/behind_scripted.pt"]);
    let inspected = |model: &str| place.json(&format!("inspect {model} --input-size 8 --json"));
    let found = inspected(TOWER);
    let shapes = [&found["input_shape"], &found["image_shape"]].map(Value::to_string);
    assert_eq!(shapes, ["[3,4,4]", "[3,8,8]"]);
    let paths = |report: &Value| strings(&report["blocks"], |block| &block["path"]);
    // The network around it takes bytes, and so no mean.
    let said = place.done(&format!("score {TOWER} {DATA}")).stderr;
    assert!(
        said.contains("the module is given 3×4×4 made of images of 3×8×8"),
        "{said}"
    );
    place.refused(&format!("score {TOWER} {DATA} --mean 0.5 --std 0.5"));
    let line = format!(
        "prune {TOWER} {DATA} --iterations 1 --epochs 1 --lr 0.001 --run-dir run --output out.pt --json --quiet"
    );
    let report: Value = place.json(&line);
    let removed = strings(&report["removed"], |path| path);
    let pruned = TOWER.replace("inside/behind_scripted.pt", "out.pt");
    let left = paths(&inspected(&pruned));
    assert_eq!((left.len(), left.contains(&removed[0])), (2, false));
    place.done(&format!("{line} --resume --force"));
    place.done(
        "remove --model inside/behind_scripted.pt --plan run/plan.json --output again.pt --quiet",
    );
    assert_eq!(
        paths(&inspected(&pruned.replace("out.pt", "again.pt"))),
        left
    );
    let images = "--data unlabelled.npz --batch-size 20 --device cpu --threads 1";
    place.done(&format!(
        "eval {pruned} --baseline inside/behind_scripted.pt {images} --passes 1 --quiet"
    ));
    place.done(&format!(
        "finetune {pruned} {images} --teacher inside/behind_scripted.pt --teach features --epochs 1 --output tuned.pt --quiet"
    ));
}

const STEPS: &str =
    "--model inside/steps_scripted.pt --argument sign=-1 --argument step=[3] --argument scale=2";

#[test]
fn a_network_of_several_arguments_is_pruned_with_constants_for_them() {
    let place = Place::with_unlabelled(&["inside/steps_scripted.pt"]);
    let inspected = |model: &str| {
        let line = format!("inspect {model} --input-size 8 --json");
        strings(&place.json(&line)["blocks"], |block| &block["path"])
    };
    assert_eq!(
        inspected(STEPS),
        ["body.first", "body.second", "body.third"]
    );
    place.done(&format!("score {STEPS} {DATA} --quiet"));
    let line = format!(
        "prune {STEPS} {DATA} --iterations 1 --epochs 1 --lr 0.001 --run-dir run --output out.pt --json --quiet"
    );
    let report: Value = place.json(&line);
    let removed = strings(&report["removed"], |path| path);
    let pruned = STEPS.replace("inside/steps_scripted.pt", "out.pt");
    let left = inspected(&pruned);
    assert_eq!((left.len(), left.contains(&removed[0])), (2, false));
    // The plan knows the arguments, and so does a run that goes on.
    place.done(
        "remove --model inside/steps_scripted.pt --plan run/plan.json --output again.pt --quiet",
    );
    assert_eq!(
        inspected(&STEPS.replace("inside/steps_scripted.pt", "again.pt")),
        left
    );
    let other = line.replace("step=[3]", "step=[4]");
    let said = place.refused(&format!("{other} --resume --force"));
    assert!(said.contains("`argument`"), "{said}");
    let images = DATA
        .replace(" --min-blocks-per-stage 0", "")
        .replace("--samples 40 ", "");
    let steps = "--argument sign=-1 --argument step=[3] --argument scale=2";
    place.done(&format!(
        "eval {pruned} --baseline inside/steps_scripted.pt {images} --passes 1 --quiet"
    ));
    place.done(&format!(
        "compare inside/steps_scripted.pt out.pt {steps} {images} --passes 1 --quiet"
    ));
    place.done(&format!(
        "finetune {pruned} {images} --teacher inside/steps_scripted.pt --teach features --epochs 1 --output tuned.pt --quiet"
    ));
    assert_eq!(
        inspected(&STEPS.replace("inside/steps_scripted.pt", "tuned.pt")),
        left
    );
}

#[test]
fn arguments_come_from_a_file_of_options_too_and_those_typed_win() {
    let place = Place::with_unlabelled(&["inside/steps_scripted.pt"]);
    place.write(
        "options.json",
        r#"{"argument": ["sign=-1", "step=[3]", "scale=x"]}"#,
    );
    let line = "inspect --model inside/steps_scripted.pt --config options.json --input-size 8";
    let said = place.refused(line);
    assert!(
        said.contains("options.json: argument \"scale=x\""),
        "{said}"
    );
    place.write(
        "options.json",
        r#"{"argument": ["sign=-1", "step=[3]", "scale=2"]}"#,
    );
    place.done(line);
    place.done(&format!("{line} --argument scale=3"));
}
