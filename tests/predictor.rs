//! The quick way to class scores against the network as it is written.

#![cfg(feature = "torch")]

mod common;

use std::num::NonZeroUsize;

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::data::{Images, Loader, Transform, synthetic};
use ckaprune::report::progress::Progress;
use ckaprune::run::torch::{Execution, FIRST_LOOK, Model, Module, to_array};
use ckaprune::train::eval::predict;
use common::{FIXTURE_INPUT, archives, fixture, open};
use ndarray::ArrayD;
use tch::{Device, Tensor};

const QUIET: Progress = Progress { quiet: true };

fn images(batch: Option<usize>) -> Images {
    let shape = FIXTURE_INPUT.map(|n| n as usize);
    let part = synthetic(shape, NonZeroUsize::new(37).unwrap(), 3).unwrap();
    let batch = batch.and_then(NonZeroUsize::new);
    Images::new(part, Loader::new(batch, Transform::default()))
}

/// The network in an archive that takes images like the fixtures' and gives class scores; `None` for others.
fn model(archive: Archive, execution: impl Into<Execution>) -> Option<Model> {
    let analysis = Analysis::of(&archive, &Request::shape(&FIXTURE_INPUT)).ok()?;
    analysis.interface.as_ref().ok()?;
    Some(Model::new(archive, analysis, execution))
}

/// The first images of all, as the network takes them.
fn sample(module: &Module) -> Tensor {
    let first = images(None).in_batches_of(FIRST_LOOK).first_batch();
    module.images(&first.unwrap().unwrap().images).unwrap()
}

/// All images, as the network takes them.
fn all(module: &Module) -> Tensor {
    let all = images(Some(37)).first_batch().unwrap().unwrap();
    module.images(&all.images).unwrap()
}

fn close(found: &ArrayD<f32>, expected: &ArrayD<f32>, tolerance: f32) -> bool {
    let scale = expected.iter().fold(1f32, |most, x| most.max(x.abs()));
    let mut pairs = found.iter().zip(expected);
    found.shape() == expected.shape() && pairs.all(|(a, b)| (a - b).abs() <= tolerance * scale)
}

#[test]
fn every_fixture_answers_as_it_is_written_and_most_do_so_in_a_quick_form() {
    let (mut asked, mut quick) = (0, 0);
    for path in archives() {
        let Some(model) = model(open(&path), Device::Cpu) else {
            continue;
        };
        let module = model.module().unwrap();
        let predictor = module.predictor(&sample(module)).unwrap();
        let found = to_array(&predictor.scores(&all(module)).unwrap()).unwrap();
        let expected = tch::no_grad(|| module.forward(&all(module))).unwrap();
        let expected = to_array(&expected).unwrap();
        let tolerance = if predictor.is_quick() { 1e-5 } else { 0. };
        assert!(
            close(&found, &expected, tolerance),
            "{}: {found} {expected}",
            path.display()
        );
        asked += 1;
        quick += usize::from(predictor.is_quick());
    }
    assert!(asked > 20 && quick > asked / 2, "{quick} of {asked}");
}

#[test]
fn the_size_of_batches_changes_no_prediction() {
    let model = model(open(&fixture("basic_scripted.pt")), Device::Cpu).unwrap();
    let module = model.module().unwrap();
    let of = |batch| predict(module, &images(batch), QUIET, "asking").unwrap();
    let usual = of(None);
    assert_eq!(usual.len(), 37);
    for batch in [1, 5, 37, 128] {
        let found = of(Some(batch));
        assert_eq!(found.classes, usual.classes, "{batch}");
        assert_eq!(found.indices, usual.indices, "{batch}");
        let pairs = found.confidences.iter().zip(&usual.confidences);
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn a_network_that_is_to_run_as_written_gives_the_same_bits_as_its_forward() {
    let execution = Execution {
        device: Device::Cpu,
        as_written: true,
    };
    let model = model(open(&fixture("basic_scripted.pt")), execution).unwrap();
    let module = model.module().unwrap();
    let predictor = module.predictor(&sample(module)).unwrap();
    assert!(!predictor.is_quick());
    let found = to_array(&predictor.scores(&all(module)).unwrap()).unwrap();
    let expected = tch::no_grad(|| module.forward(&all(module))).unwrap();
    assert_eq!(found, to_array(&expected).unwrap());
}

#[test]
fn a_predictor_has_the_weights_that_the_network_has_in_memory() {
    let mut model = model(open(&fixture("basic_scripted.pt")), Device::Cpu).unwrap();
    let weights: Vec<Tensor> = model.weights().unwrap().iter().map(|w| w * 0.5).collect();
    model.set_weights(&weights).unwrap();
    let module = model.module().unwrap();
    let predictor = module.predictor(&sample(module)).unwrap();
    assert!(predictor.is_quick());
    let found = to_array(&predictor.scores(&all(module)).unwrap()).unwrap();
    let expected = tch::no_grad(|| module.forward(&all(module))).unwrap();
    assert!(close(&found, &to_array(&expected).unwrap(), 1e-5));
}
