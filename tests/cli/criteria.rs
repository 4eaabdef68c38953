//! The criteria to score and prune by.

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, strings};
use crate::prune::PRUNE;

const CRITERIA: [&str; 8] = [
    "cka",
    "cka-debiased",
    "block-influence",
    "l1",
    "random",
    "consensus",
    "recoverability",
    "agreement",
];

fn score(options: &str) -> String {
    let line = PRUNE.replacen("prune", "score", 1);
    line.replace("--iterations 2", "") + " --json " + options
}

/// Path and value of every scored block, the first to go at the front.
fn ranking(document: &Value, key: &str) -> Vec<(String, f64)> {
    let mut blocks: Vec<&Value> = document["blocks"].as_array().unwrap().iter().collect();
    blocks.retain(|block| block["rank"].is_u64());
    blocks.sort_by_key(|block| block["rank"].as_u64());
    let named = |block: &&Value| {
        let path = block["path"].as_str().unwrap().to_owned();
        (path, block[key].as_f64().unwrap())
    };
    blocks.iter().map(named).collect()
}

#[test]
fn each_criterion_scores_and_prunes_by_its_own_order() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    for criterion in CRITERIA {
        let key = criterion.replace('-', "_");
        let document = place.json(&score(&format!(
            "--criterion {criterion} --min-blocks-per-stage 2"
        )));
        assert_eq!(document["criterion"], criterion);
        let found = ranking(&document, &key);
        assert_eq!(found.len(), 6, "{criterion}");
        let similar =
            criterion.starts_with("cka") || ["recoverability", "agreement"].contains(&criterion);
        let sorted = found.windows(2).all(|w| match similar {
            true => w[0].1 >= w[1].1,
            false => w[0].1 <= w[1].1,
        });
        assert!(sorted, "{criterion}: {found:?}");
        let spread = &document["distribution"];
        let ends = [found[0].1, found[5].1];
        assert_eq!(spread["min"].as_f64().unwrap(), ends[0].min(ends[1]));
        assert_eq!(spread["max"].as_f64().unwrap(), ends[0].max(ends[1]));
        let line = format!(
            "{PRUNE} --epochs 0 --json --force --criterion {criterion} --min-blocks-per-stage 2"
        );
        let report = place.json(&line);
        assert_eq!(report["removed"][0], found[0].0, "{criterion}");
        assert_eq!(report["iterations"][0]["distribution"], *spread);
    }
}

#[test]
fn one_seed_draws_one_random_order_and_resuming_draws_the_same() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --epochs 0 --json --force --criterion random");
    let removed = |options: &str| {
        let report = place.json(&format!("{line} {options}"));
        strings(&report["removed"], |path| path)
    };
    let straight = removed("--seed 3");
    let first = removed("--seed 3 --iterations 1 --run-dir run");
    let resumed = removed("--seed 3 --iterations 2 --run-dir run --resume");
    assert_eq!(straight[..1], first);
    assert_eq!(straight, resumed);
    let others = (4..12).map(|seed| removed(&format!("--seed {seed}")));
    assert!(others.into_iter().any(|other| other != straight));
}

#[test]
fn options_that_do_not_go_with_a_criterion() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    assert_snapshot!(place.all_refused(&[
        "score --model basic_scripted.pt --criterion magic",
        "score --model basic_scripted.pt --criterion l1 --race",
        "score --model basic_scripted.pt --criterion l1 --shard 1/2 --output part.json",
        "prune --model basic_scripted.pt --iterations 1 --criterion l1 --race",
        "prune --model basic_scripted.pt --iterations 1 --criterion l1 --reference original",
        "score --model basic_scripted.pt --criterion random --per macs",
        "prune --model basic_scripted.pt --iterations 1 --criterion consensus --per latency",
    ]));
}

#[test]
fn what_a_removal_costs_is_weighed_against_what_it_saves() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    for (criterion, best) in [("cka", 1.), ("recoverability", 1.), ("agreement", 0.)] {
        let line = score(&format!(
            "--criterion {criterion} --per params --min-blocks-per-stage 2"
        ));
        let document = place.json(&line);
        assert_eq!(document["per"], "params");
        let mut blocks: Vec<&Value> = document["blocks"].as_array().unwrap().iter().collect();
        blocks.retain(|block| block["rank"].is_u64());
        blocks.sort_by_key(|block| block["rank"].as_u64());
        let price = |block: &&Value| {
            assert_eq!(block["saves"], block["params_share"], "{criterion}");
            (best - block[criterion].as_f64().unwrap()) / block["saves"].as_f64().unwrap()
        };
        assert!(blocks.iter().map(price).is_sorted(), "{criterion}");
        let line = format!(
            "{PRUNE} --epochs 0 --json --force --criterion {criterion} --per params --min-blocks-per-stage 2"
        );
        let report = place.json(&line);
        assert_eq!(report["removed"][0], blocks[0]["path"], "{criterion}");
        assert_eq!(report["per"], "params");
    }
}

#[test]
fn weights_and_chance_need_no_images() {
    let place = Place::with(&["basic_scripted.pt"]);
    for criterion in ["l1", "random"] {
        let said = place.done(&format!(
            "score --model basic_scripted.pt --criterion {criterion}"
        ));
        assert!(!said.stderr.contains("random noise"), "{said:#?}");
        assert!(said.stdout.contains("median"), "{said:#?}");
    }
}

#[test]
fn blocks_that_the_class_scores_never_see_are_no_candidates_by_any_criterion() {
    let place = Place::with(&["outputs_tuple_scripted.pt"]);
    let ranked = |criterion: &str| {
        let line = format!(
            "score --model outputs_tuple_scripted.pt --output-key 0 --input-size 8 --samples 20 --json \
             --criterion {criterion}"
        );
        let found = ranking(&place.json(&line), &criterion.replace('-', "_")).into_iter();
        let mut paths: Vec<String> = found.map(|(path, _)| path).collect();
        paths.sort();
        paths
    };
    let expected = ranked("cka");
    for criterion in CRITERIA {
        assert_eq!(ranked(criterion), expected, "{criterion}");
    }
}

/// Several draws of a run that is the same otherwise: what any criterion has to be compared with.
#[test]
fn chance_has_a_seed_of_its_own() {
    let place = Place::with(&["basic_scripted.pt"]);
    let order = |options: &str| {
        let report = place.json(&format!(
            "score --model basic_scripted.pt --criterion random --device cpu --threads 1 --quiet --json {options}"
        ));
        let mut blocks: Vec<(u64, String)> = report["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|b| Some((b["rank"].as_u64()?, b["path"].as_str()?.to_owned())))
            .collect();
        blocks.sort();
        blocks
    };
    assert_eq!(order("--seed 3"), order("--seed 5 --criterion-seed 3"));
    assert_ne!(order("--seed 3"), order("--seed 3 --criterion-seed 4"));
}
