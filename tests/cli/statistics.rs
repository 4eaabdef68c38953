//! Statistics of a scoring in files: shards, merging, going on after Ctrl-C.

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::Place;
use crate::signals::{Ended, Running};

const SCORE: &str =
    "score --model basic_scripted.pt --data data.npz --batch-size 8 --device cpu --samples all";

fn place() -> Place {
    Place::with_data(&["basic_scripted.pt"])
}

/// Paths and similarities, the best first.
fn ranked(document: &Value) -> Vec<(String, f64)> {
    let blocks = document["blocks"].as_array().unwrap();
    let mut ranked: Vec<_> = blocks.iter().filter(|b| b["rank"].is_u64()).collect();
    ranked.sort_by_key(|b| b["rank"].as_u64());
    let entry = |b: &&Value| {
        (
            b["path"].as_str().unwrap().to_owned(),
            b["cka"].as_f64().unwrap(),
        )
    };
    ranked.iter().map(entry).collect()
}

fn assert_same(found: &Value, expected: &Value) {
    let (found, expected) = (ranked(found), ranked(expected));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        assert!(
            (found.1 - expected.1).abs() < 1e-9,
            "{found:?} {expected:?}"
        );
    }
}

fn shard(place: &Place, number: usize) {
    place.done(&format!(
        "{SCORE} --shard {number}/3 --output part{number}.json"
    ));
}

#[test]
fn shards_merged_in_any_order_give_the_ranking_of_one_run() {
    let place = place();
    (1..=3).for_each(|number| shard(&place, number));
    let merged = place.json("score --merge part3.json part1.json part2.json --json");
    assert_same(&merged, &place.json(&format!("{SCORE} --json")));
    let table = place
        .done("score --merge part1.json part2.json part3.json")
        .stdout;
    assert!(table.contains("CKA without it"), "{table}");
}

#[test]
fn parts_that_make_no_whole() {
    let place = place();
    (1..=3).for_each(|number| shard(&place, number));
    place.done(&format!("{SCORE} --seed 5 --shard 2/3 --output other.json"));
    place.write("broken.json", "{}");
    let text = String::from_utf8(place.read("part2.json")).unwrap();
    place.write(
        "cut.json",
        text.replace("\"samples\": 20", "\"samples\": 21"),
    );
    assert_snapshot!(place.all_refused(&[
        "score --merge part1.json part3.json",
        "score --merge part1.json part2.json",
        "score --merge part1.json part1.json part2.json part3.json",
        "score --merge part1.json other.json part3.json",
        "score --merge nowhere.json",
        "score --merge broken.json",
        "score --merge cut.json",
        "score --merge part1.json --model basic_scripted.pt",
        "score",
        &format!("{SCORE} --shard 1/3"),
        &format!("{SCORE} --shard 4/3 --output x.json"),
        &format!("{SCORE} --shard 1/1000 --output x.json"),
        &format!("{SCORE} --shard 1/3 --race --output x.json"),
        &format!("{SCORE} --shard 1/3 --output part1.json"),
        &format!("{SCORE} --shard 2/3 --resume part1.json --output x.json"),
        &format!("{SCORE} --seed 5 --shard 1/3 --resume part1.json --output x.json"),
    ]));
}

#[test]
fn ctrl_c_leaves_statistics_to_go_on_from() {
    let place = place();
    // So many images that the end is far; noise needs no files.
    let line = "score --model basic_scripted.pt --input-size 3x8x8 --batch-size 2 --device cpu --samples 40000";
    let mut running = Running::start(&place, line);
    running.wait_for("NO DATA");
    running.send("INT");
    let Ended { code, stderr } = running.end();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(
        stderr.contains("--resume basic_scripted.score.json"),
        "{stderr}"
    );

    // The part that is done, then a job that has nothing left to do.
    let rest: Value = serde_json::from_slice(&place.read("basic_scripted.score.json")).unwrap();
    let seen = rest["tallies"][0]["seen"]["end"].as_u64().unwrap();
    assert!(seen < 40_000);
    let other = place.refused(&format!(
        "{line} --seed 1 --resume basic_scripted.score.json"
    ));
    assert!(other.contains("`seed` 0, not 1"), "{other}");
}
