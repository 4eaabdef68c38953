use insta::assert_snapshot;

use crate::place::Place;

#[test]
fn help_of_inspect() {
    assert_snapshot!(Place::with(&[]).done("inspect --help").stdout);
}

#[test]
fn help_of_remove() {
    assert_snapshot!(Place::with(&[]).done("remove --help").stdout);
}

#[test]
fn help() {
    assert_snapshot!(Place::with(&[]).done("--help").stdout);
}

#[test]
fn help_of_score() {
    assert_snapshot!(Place::with(&[]).done("score --help").stdout);
}

#[test]
fn help_of_prune() {
    assert_snapshot!(Place::with(&[]).done("prune --help").stdout);
}

#[test]
fn help_of_finetune() {
    assert_snapshot!(Place::with(&[]).done("finetune --help").stdout);
}

#[test]
fn help_of_eval() {
    assert_snapshot!(Place::with(&[]).done("eval --help").stdout);
}
