//! Which blocks a run may remove, and what it says where none is left.

use ckaprune::archive::Archive;
use serde_json::Value;

use crate::place::{Place, fixture, strings};

const ASIDE: &str = "--model heads_aside_scripted.pt --output-key 0 --input-size 8 --samples 16 --device cpu --threads 1";

fn field(models: &[&str]) -> Place {
    let place = Place::with(&[]);
    for model in models {
        let path = fixture(&format!("field/{model}"));
        place.write(model, std::fs::read(path).unwrap());
    }
    place
}

#[test]
fn where_only_blocks_of_another_output_are_left_every_criterion_ends_alike() {
    let place = field(&["heads_aside_scripted.pt"]);
    for criterion in [
        "cka",
        "cka-debiased",
        "consensus",
        "block-influence",
        "l1",
        "random",
    ] {
        let said = place.run(&format!(
            "prune {ASIDE} --min-blocks-per-stage 0 --iterations 5 --criterion {criterion} --json --force"
        ));
        assert_eq!(said.code, 1, "{said:#?}");
        let report = said.json();
        let mut removed = strings(&report["removed"], |path| path);
        removed.sort();
        assert_eq!(removed, ["main.0", "main.1"], "{criterion}");
        assert_eq!(report["stopped_by"], "no-candidates");
        let why = "no candidate is left: the class scores do not depend on any block that could go: what is on the way to \
                   another output alone stays (other.0, other.1, other.2)";
        assert!(said.stderr.contains(why), "{said:#?}");
    }
}

#[test]
fn the_reason_for_nothing_to_remove_is_the_true_one() {
    let place = field(&["heads_aside_scripted.pt", "two_a_stage_scripted.pt"]);
    let stages = "--model two_a_stage_scripted.pt --input-size 8 --samples 16";
    for (options, why) in [
        (
            format!("{stages} --keep *"),
            "--keep leaves none of those that could go (stage1.0, stage1.1, stage2.1 and 1 more)",
        ),
        (
            format!("{stages} --only stage1.0 --keep *.0"),
            "--keep with --only leaves none of those that could go",
        ),
        (
            format!("{stages} --min-blocks-per-stage 2"),
            "--min-blocks-per-stage 2 keeps what could go (stage1.0, stage1.1, stage2.1 and 1 more)",
        ),
        (
            format!("{ASIDE} --only other.*"),
            "--only leaves none of those that could go (main.0, main.1)",
        ),
    ] {
        for command in ["prune --iterations 1", "score"] {
            let said = place.refused(&format!("{command} {options}"));
            assert!(
                said.contains(&format!("no block may be removed: {why}")),
                "{said}"
            );
        }
    }
}

#[test]
fn of_two_blocks_a_stage_one_may_go_without_an_option() {
    let place = field(&["two_a_stage_scripted.pt"]);
    let report = place.json(
        "prune --model two_a_stage_scripted.pt --iterations 2 --input-size 8 --samples 16 --threads 1 --json",
    );
    assert_eq!(report["removed"].as_array().unwrap().len(), 2);
    assert_eq!(report["stopped_by"], "iterations");
}

/// Stages that may lose no more make a run pick blocks that the race had given up.
#[test]
fn what_is_picked_has_seen_all_images() {
    let place = Place::with(&["basic_scripted.pt"]);
    let line = "prune --model basic_scripted.pt --input-size 8 --samples 600 --iterations 1 --threads 1 --json --force --quiet";
    for options in [
        "--blocks-per-iteration 2",
        "--blocks-per-iteration 3 --min-blocks-per-stage 2",
        "--blocks-per-iteration 2 --min-blocks-per-stage 3",
        "--blocks-per-iteration 5",
    ] {
        let raced = place.json(&format!("{line} {options}"));
        let exact = place.json(&format!("{line} {options} --exact"));
        assert_eq!(raced["removed"], exact["removed"], "{options}");
        let iteration = &raced["iterations"][0];
        let candidates = iteration["candidates"].as_array().unwrap();
        for path in iteration["removed"].as_array().unwrap() {
            let is_it = |candidate: &&Value| candidate["path"] == *path;
            let seen = &candidates.iter().find(is_it).unwrap()["samples"];
            assert_eq!(*seen, 600, "{options}: {path}");
        }
    }
}

#[test]
fn where_shapes_end_is_the_reason_for_nothing_to_remove() {
    let place = Place::with(&[]);
    let mut archive = Archive::open(&fixture("basic_scripted.pt")).unwrap();
    let file = "code/__torch__.py";
    let text = archive.source(file).unwrap();
    let (head, body) = text.split_once("x: Tensor) -> Tensor:\n").unwrap();
    let opaque = "    x = torch.operator_of_tomorrow(x)\n";
    let text = format!("{head}x: Tensor) -> Tensor:\n{opaque}{body}");
    archive.set_source(file, text);
    place.write("opaque.pt", archive.to_bytes().unwrap());
    for command in ["score", "prune --iterations 1"] {
        let said = place.refused(&format!(
            "{command} --model opaque.pt --input-size 8 --samples 16"
        ));
        assert!(
            said.contains(
                "no block may be removed: stage1.0, stage1.1, stage1.2 and 6 more: the shape"
            ),
            "{said}"
        );
        assert!(
            said.contains("operator_of_tomorrow") && !said.contains("--keep"),
            "{said}"
        );
    }
}
