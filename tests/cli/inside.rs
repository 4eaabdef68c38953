//! A module inside a network that takes lists of images.

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
    let place = Place::with_unlabelled(&[MODEL, "exported/basic_exported.pt2"]);
    assert_snapshot!(place.all_refused(&[
        "inspect --model inside/lists_scripted.pt",
        "inspect --model inside/lists_scripted.pt --inside towers.middle",
        "inspect --model inside/lists_scripted.pt --inside fc --input-size 8",
        "inspect --model exported/basic_exported.pt2 --inside stage1",
    ]));
}
