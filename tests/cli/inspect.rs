use std::io::Read;
use std::process::Stdio;

use insta::assert_snapshot;

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
      blocks      none: there is no region `x + f(x)` with one tensor in and one out
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
