//! A network run from stop to stop has on its way what it has when it runs as a whole.

#![cfg(feature = "torch")]

mod common;

use ckaprune::blocks::Block;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::program::ValueId;
use ckaprune::run::stops::{Look, Stops};
use ckaprune::run::torch::Model;
use common::{FIXTURE_INPUT, fixture, open};
use tch::{Device, Kind, Tensor};

/// A network, and looks at these values of each of its blocks.
fn looks_at_blocks(name: &str, values: fn(&Block) -> Vec<ValueId>) -> (Model, Vec<Look>) {
    let archive = open(&fixture(&format!("{name}.pt")));
    let analysis = Analysis::of(&archive, &Request::shape(&FIXTURE_INPUT)).unwrap();
    let look = |block: &Block| Look {
        from: block.statements.start,
        until: block.statements.end - 1,
        values: values(block),
    };
    let looks = analysis.blocks.iter().map(look).collect();
    (Model::new(archive, analysis, Device::Cpu), looks)
}

/// That the network has on its way past these stops what it has when it runs as a whole.
fn assert_same_on_the_way(name: &str, mut model: Model, looks: &[Look], stops: &Stops) {
    let [channels, height, width] = FIXTURE_INPUT;
    let images = Tensor::rand([4, channels, height, width], (Kind::Float, Device::Cpu));
    let all: Vec<ValueId> = looks.iter().flat_map(|look| look.values.clone()).collect();
    model.load_with(&[("all".to_owned(), all)]).unwrap();
    let expected = model.module().unwrap().list("all", &images).unwrap();

    model.load_with_methods(stops.functions()).unwrap();
    let module = model.module().unwrap();
    let mut at = images;
    let mut found = Vec::new();
    for stop in stops.stops() {
        if let Some(lead) = &stop.lead {
            at = module.method(lead, &at, Vec::new()).unwrap();
        }
        let mut values = module.list(&stop.look, &at).unwrap();
        if stop.goes_on_from_look {
            // What follows may write over it.
            at = values[0].copy();
        }
        found.append(&mut values);
    }
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.equal(expected), "{name}");
    }
}

#[test]
fn what_is_looked_at_from_stop_to_stop_is_what_the_whole_network_has() {
    for name in [
        "basic_scripted",
        "basic_traced",
        "preact_scripted",
        "halves_scripted",
    ] {
        let (model, looks) = looks_at_blocks(name, |block| vec![block.input, block.output]);
        let stops = Stops::of(model.analysis(), &looks);
        let mut later = stops.stops().iter().skip(1);
        assert!(later.any(|stop| stop.lead.is_some()), "{name}");
        assert_same_on_the_way(name, model, &looks, &stops);
    }
}

#[test]
fn what_was_looked_at_is_not_computed_again_on_the_way() {
    for name in ["basic_scripted", "preact_scripted", "halves_scripted"] {
        let (model, looks) = looks_at_blocks(name, |block| vec![block.output]);
        let stops = Stops::from_look_to_look(model.analysis(), &looks);
        assert!(
            stops.stops().iter().any(|stop| stop.goes_on_from_look),
            "{name}"
        );
        assert_same_on_the_way(name, model, &looks, &stops);
    }
}
