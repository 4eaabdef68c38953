use std::io::Read;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::Place;

#[test]
fn table_of_a_scripted_network() {
    let place = Place::with(&["basic_scripted.pt"]);
    assert_snapshot!(
        place
            .done("inspect --model basic_scripted.pt --input-size 8")
            .stdout
    );
}

#[test]
fn table_of_a_traced_network() {
    let place = Place::with(&["preact_traced.pt"]);
    assert_snapshot!(
        place
            .done("inspect --model preact_traced.pt --input-size 8")
            .stdout
    );
}

#[test]
fn document_of_a_scripted_network() {
    let place = Place::with(&["basic_scripted.pt"]);
    assert_snapshot!(
        place
            .done("inspect --model basic_scripted.pt --input-size 8 --json")
            .stdout
    );
}

#[test]
fn document_of_a_traced_network() {
    let place = Place::with(&["preact_traced.pt"]);
    assert_snapshot!(
        place
            .done("inspect --model preact_traced.pt --input-size 3x8x8 --json")
            .stdout
    );
}

#[test]
fn a_guessed_input_size_is_called_a_guess() {
    let place = Place::with(&["basic_scripted.pt"]);
    let table = place.done("inspect --model basic_scripted.pt").stdout;
    assert!(
        table.contains("(guessed; --input-size names it)"),
        "{table}"
    );
    let report = place.json("inspect --model basic_scripted.pt --json");
    assert_eq!(report["input_shape_guessed"], true);
}

#[test]
fn a_network_without_residual_blocks_says_so() {
    let place = Place::with(&["plain_scripted.pt"]);
    assert_snapshot!(place.done("inspect --model plain_scripted.pt --input-size 8").stdout, @"
    plain_scripted.pt
      input       3×8×8
      parameters  379
      MACs        10,398 (convolutions, linear layers, matrix products)
      blocks      none: it is a plain chain: nothing is added to what skips it
    ");
    let report = place.json("inspect --model plain_scripted.pt --input-size 8 --json");
    assert_eq!(report["blocks"], serde_json::json!([]));
}

#[test]
fn a_frozen_network_has_blocks_named_by_their_place() {
    let place = Place::with(&["basic_frozen.pt"]);
    assert_snapshot!(
        place
            .done("inspect --model basic_frozen.pt --input-size 8")
            .stdout
    );
}

#[test]
fn tree_of_a_scripted_network() {
    let place = Place::with(&["inplace_scripted.pt"]);
    assert_snapshot!(
        place
            .done("inspect --model inplace_scripted.pt --input-size 8 --tree")
            .stdout
    );
}

#[test]
fn tree_of_a_frozen_network_is_its_root() {
    let place = Place::with(&["basic_frozen.pt"]);
    let text = place
        .done("inspect --model basic_frozen.pt --input-size 8 --tree")
        .stdout;
    assert!(text.contains("├── stage1.block1   (in the code)"), "{text}");
    assert!(text.contains("its modules are gone"), "{text}");
}

#[test]
fn the_document_has_the_tree_where_it_is_asked_for() {
    let place = Place::with(&["inplace_scripted.pt"]);
    let line = "inspect --model inplace_scripted.pt --input-size 8 --json";
    assert_eq!(place.json(line)["tree"], Value::Null);
    let tree = place.json(&format!("{line} --tree"))["tree"].clone();
    let layer = tree["children"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "layer1")
        .unwrap();
    let downsample = &layer["children"][0]["children"][7];
    assert_snapshot!(serde_json::to_string_pretty(downsample).unwrap());
    assert_eq!(layer["children"][0]["removable"], false);
    assert_eq!(layer["children"][1]["removable"], true);
    assert_eq!(
        layer["children"][1]["children"][0]["removable"],
        Value::Null
    );
}

#[test]
fn shares_are_fractions_of_the_whole() {
    let place = Place::with(&["inplace_traced.pt"]);
    let report = place.json("inspect --model inplace_traced.pt --input-size 8 --json");
    for (share, part) in [("params_share", "params"), ("macs_share", "macs")] {
        let block = &report["blocks"][1];
        let expected = block[part].as_f64().unwrap() / report[part].as_f64().unwrap();
        assert_eq!(block[share].as_f64().unwrap(), expected);
    }
}

#[test]
fn quantised_networks_are_read_and_the_reason_given() {
    let models = ["quantised_scripted.pt", "quantised_traced.pt"];
    let place = Place::with(&models);
    for model in models {
        let report = place.json(&format!("inspect --model {model} --json"));
        assert_eq!(report["quantised"], true);
        assert_eq!(report["macs_exact"], false);
        let why = report["nothing_removable"].as_str().unwrap();
        assert!(why.contains("prune it in floating point"), "{why}");
        let transcript = place.refused(&format!("remove --model {model} --blocks blocks.0"));
        assert!(transcript.contains("quantised"), "{transcript}");
    }
}

#[test]
fn what_is_not_followed_is_listed_with_the_reason() {
    let place = Place::with(&["quantised_scripted.pt"]);
    assert_snapshot!(
        place
            .done("inspect --model quantised_scripted.pt --input-size 8 --tree")
            .stdout
    );
}

#[test]
fn a_reader_of_stdout_that_leaves_is_no_error() {
    let place = Place::with(&["basic_scripted.pt"]);
    let mut child = place
        .command()
        .args(["inspect", "--model", "basic_scripted.pt", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(stderr, "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_of_stderr_that_leaves_keeps_the_exit_code() {
    let place = Place::with(&[]);
    let mut child = place
        .command()
        .args(["inspect", "--model", "missing.pt"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}
