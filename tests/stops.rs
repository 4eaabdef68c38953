//! A network run from stop to stop has on its way what it has when it runs as a whole.

#![cfg(feature = "torch")]

mod common;

use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::program::ValueId;
use ckaprune::run::stops::{Look, Stops};
use ckaprune::run::torch::Model;
use common::{FIXTURE_INPUT, fixture, open};
use tch::{Device, Kind, Tensor};

#[test]
fn what_is_looked_at_from_stop_to_stop_is_what_the_whole_network_has() {
    for name in [
        "basic_scripted",
        "basic_traced",
        "preact_scripted",
        "halves_scripted",
    ] {
        let archive = open(&fixture(&format!("{name}.pt")));
        let analysis = Analysis::of(&archive, &Request::shape(&FIXTURE_INPUT)).unwrap();
        let looks: Vec<Look> = analysis
            .blocks
            .iter()
            .map(|block| Look {
                from: block.statements.start,
                until: block.statements.end - 1,
                values: vec![block.input, block.output],
            })
            .collect();
        let stops = Stops::of(&analysis, &looks);
        assert!(
            stops.stops().iter().skip(1).any(|stop| stop.lead.is_some()),
            "{name}"
        );
        let mut model = Model::new(archive, analysis, Device::Cpu);
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
            found.extend(module.list(&stop.look, &at).unwrap());
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.equal(expected), "{name}");
        }
    }
}

/// From look to look, the way goes on from what was looked at, and gives the same.
#[test]
fn what_was_looked_at_is_not_computed_again_on_the_way() {
    for name in ["basic_scripted", "preact_scripted", "halves_scripted"] {
        let archive = open(&fixture(&format!("{name}.pt")));
        let analysis = Analysis::of(&archive, &Request::shape(&FIXTURE_INPUT)).unwrap();
        let looks: Vec<Look> = analysis
            .blocks
            .iter()
            .map(|block| Look {
                from: block.statements.start,
                until: block.statements.end - 1,
                values: vec![block.output],
            })
            .collect();
        let stops = Stops::from_look_to_look(&analysis, &looks);
        let going_on = stops.stops().iter().filter(|s| s.goes_on_from_look).count();
        assert!(going_on > 0, "{name}");
        let mut model = Model::new(archive, analysis, Device::Cpu);
        let [channels, height, width] = FIXTURE_INPUT;
        let images = Tensor::rand([4, channels, height, width], (Kind::Float, Device::Cpu));

        let all: Vec<ValueId> = looks.iter().flat_map(|look| look.values.clone()).collect();
        model.load_with(&[("all".to_owned(), all)]).unwrap();
        let expected = model.module().unwrap().list("all", &images).unwrap();

        model.load_with_methods(stops.functions()).unwrap();
        let module = model.module().unwrap();
        let mut at = images;
        for (stop, expected) in stops.stops().iter().zip(&expected) {
            if let Some(lead) = &stop.lead {
                at = module.method(lead, &at, Vec::new()).unwrap();
            }
            let found = module.list(&stop.look, &at).unwrap();
            assert!(found[0].equal(expected), "{name}");
            if stop.goes_on_from_look {
                at = found[0].shallow_clone();
            }
        }
    }
}
