//! Run directories.

use std::sync::LazyLock;

use insta::assert_snapshot;

use crate::place::Place;
use crate::prune::PRUNE;

/// Options whose values do not survive a careless way through decimal digits.
const ODD: &str = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --lr 0.0123456789012345 --val-split 0 --run-dir run";

/// A run that stopped after its first iteration; made once, copied for each test.
fn begun() -> Place {
    static BEGUN: LazyLock<Place> = LazyLock::new(|| {
        let place = Place::with_data(&["basic_scripted.pt"]);
        place.done(&format!("{PRUNE} {ODD} --iterations 1 --output first.pt"));
        place
    });
    BEGUN.copy()
}

#[test]
fn a_resumed_run_ends_as_one_that_never_stopped() {
    let place = begun();
    let resumed = place.json(&format!("{PRUNE} {ODD} --resume --output out.pt --json"));
    let resumed_bytes = place.read("out.pt");
    let straight = place.json(&format!(
        "{PRUNE} {} --output out.pt --force --json",
        ODD.replace("--run-dir run", "--run-dir straight")
    ));
    assert_eq!(resumed["removed"], straight["removed"]);
    assert_eq!(
        resumed["iterations"][1]["cka"],
        straight["iterations"][1]["cka"]
    );
    assert!(resumed_bytes == place.read("out.pt"), "the archives differ");
}

#[test]
fn images_are_mixed_alike_after_a_resumption() {
    const MIXED: &str = "--mixup 0.4 --cutmix 1 --output out.pt --force";
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&format!("{PRUNE} {MIXED} --run-dir run --iterations 1"));
    place.done(&format!("{PRUNE} {MIXED} --run-dir run --resume"));
    let resumed = place.read("out.pt");
    place.done(&format!("{PRUNE} {MIXED}"));
    assert!(resumed == place.read("out.pt"), "the archives differ");
}

#[test]
fn a_scoring_that_was_stopped_half_way_goes_on_from_there() {
    let place = begun();
    let straight = place.json(&format!("{PRUNE} {ODD} --resume --output out.pt --json"));
    let place = begun();
    // What Ctrl-C leaves: the statistics of the images seen so far.
    let half = "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --shard 1/2 --output half.json";
    let score = PRUNE
        .replace("--iterations 2", "")
        .replacen("prune", "score", 1);
    let score = score.replace("basic_scripted.pt", "run/iteration-001.pt");
    place.done(&format!("{score} {half}"));
    let read =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&place.read(name)).unwrap() };
    let mut run = read("run/run.json");
    run["scoring"] = read("half.json")["tallies"].clone();
    assert_ne!(run["scoring"][0]["seen"]["end"], 0);
    place.write("run/run.json", run.to_string());
    let resumed = place.json(&format!("{PRUNE} {ODD} --resume --output out.pt --json"));
    let second = |document: &serde_json::Value| document["iterations"][1]["cka"].as_f64().unwrap();
    assert_eq!(resumed["removed"], straight["removed"]);
    assert!((second(&resumed) - second(&straight)).abs() < 1e-9);
    assert!(read("run/run.json").get("scoring").is_none());

    run["scoring"][0]["seen"]["end"] = 1.into();
    place.write("run/run.json", run.to_string());
    let refused = place.refused(&format!("{PRUNE} {ODD} --resume --output out.pt --force"));
    assert!(refused.contains("run.json"), "{refused}");
}

#[test]
fn every_iteration_is_kept() {
    let place = begun();
    assert_eq!(
        place.blocks("run/iteration-001.pt"),
        place.blocks("first.pt")
    );
    let run: serde_json::Value = serde_json::from_slice(&place.read("run/run.json")).unwrap();
    assert_eq!(run["schema"], 1);
    assert_eq!(run["iterations"].as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_cannot_go_on() {
    let place = begun();
    place.write("file", "");
    place.write("broken/run.json", "{}");
    let other = |flag: &str, value: &str| format!("{PRUNE} {ODD} --resume {flag} {value}");
    let lines = [
        format!("{PRUNE} {ODD}"),
        format!("{PRUNE} --resume"),
        format!("{PRUNE} --resume --run-dir nowhere"),
        format!("{PRUNE} --resume --run-dir broken"),
        format!("{PRUNE} --run-dir file/run"),
        other("--seed", "1"),
        other("--lr", "0.5"),
        other("--samples", "all"),
        other("--keep", "stage1.*"),
        other("--augment", "none"),
        other("--mixup", "0.2"),
        other("--cutmix", "1"),
        other("--amp", "off"),
        other("--mean", "0"),
    ];
    assert_snapshot!(place.all_refused(&lines.each_ref().map(String::as_str)));
}

#[test]
fn a_run_that_went_further_already() {
    let place = begun();
    place.done(&format!("{PRUNE} {ODD} --resume --output second.pt"));
    let line = format!("{PRUNE} {ODD} --iterations 1 --resume --output third.pt");
    assert_snapshot!(place.refused(&line));
}

#[test]
fn a_run_is_not_resumed_with_other_weights() {
    let place = begun();
    place.done(
        "finetune --model basic_scripted.pt --data data.npz --batch-size 20 --device cpu --val-split 0 \
         --output basic_scripted.pt --force",
    );
    let said = place.refused(&format!("{PRUNE} {ODD} --resume --output out.pt"));
    assert!(said.contains("model"), "{said}");
}

#[test]
fn two_runs_are_not_at_work_in_one_folder() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --epochs 0 --run-dir run");
    place.done(&line);
    let held = std::fs::File::open(place.path("run")).unwrap();
    held.lock().unwrap();
    let line = format!("{line} --resume --output other.pt");
    assert!(
        place
            .refused(&line)
            .contains("run: another run is at work in this folder")
    );
    held.unlock().unwrap();
    place.done(&line);
}
