//! Every operator that a network may call has a rule for the shape of what it gives, or a reason why not.

use std::collections::{BTreeMap, BTreeSet};

use ckaprune::program::has_shape_rule;

const ADMITTED: &str = include_str!("../../src/run/admission/operators.txt");
const UNMET: &str = include_str!("unmet_operators.txt");

/// The operators of libtorch itself; those of quantised arithmetic have no shapes to prune by.
fn admitted() -> BTreeSet<&'static str> {
    let named = ADMITTED.lines().filter_map(|line| line.split_once("::"));
    let own = named.filter(|(namespace, _)| matches!(*namespace, "aten" | "prim"));
    own.map(|(_, name)| name).collect()
}

fn unmet() -> BTreeMap<&'static str, &'static str> {
    let lines = UNMET.lines().filter(|line| !line.starts_with('#'));
    let reasons = lines.map(|line| line.split_once(": ").unwrap());
    reasons
        .flat_map(|(reason, names)| names.split_whitespace().map(move |name| (name, reason)))
        .collect()
}

#[test]
fn every_admitted_operator_has_a_rule_or_a_reason() {
    let unmet = unmet();
    let silent: Vec<&str> = admitted()
        .into_iter()
        .filter(|name| !has_shape_rule(name) && !unmet.contains_key(name))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn the_reasons_are_for_operators_that_are_admitted_and_have_no_rule() {
    let admitted = admitted();
    let idle: Vec<&str> = unmet()
        .into_keys()
        .filter(|name| !admitted.contains(name) || has_shape_rule(name))
        .collect();
    assert!(idle.is_empty(), "{idle:?}");
}
