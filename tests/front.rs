//! A module inside a network is given what the whole gives it.

#![cfg(feature = "torch")]

mod common;

use ckaprune::archive::Focus;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::front::NoFront;
use ckaprune::run::torch::{Model, Module, to_array};
use common::{FIXTURE_INPUT, fixture, open};
use ndarray::{Array4, ArrayD};
use tch::Device;

fn analysed(name: &str, inside: Option<&str>, output: Option<&str>) -> Model {
    let archive = open(&fixture(name));
    let archive = archive.focused(&Focus::of(inside, &[])).unwrap();
    let request = Request {
        output: output.map(|key| key.parse().unwrap()),
        ..Request::shape(&FIXTURE_INPUT)
    };
    let analysis = Analysis::of(&archive, &request).unwrap();
    Model::new(archive, analysis, Device::Cpu)
}

/// Five images of bytes.
fn images() -> Array4<f32> {
    let [channels, height, width] = FIXTURE_INPUT.map(|n| n as usize);
    Array4::from_shape_fn((5, channels, height, width), |(n, c, h, w)| {
        ((n * 53 + c * 89 + h * 31 + w * 17) % 256) as f32
    })
}

fn answers(module: &Module) -> ArrayD<f32> {
    let answer = tch::no_grad(|| module.output(&module.images(&images()).unwrap()));
    to_array(&answer.unwrap()).unwrap()
}

#[test]
fn a_module_inside_answers_as_in_the_whole_bit_for_bit() {
    let name = "inside/behind_scripted.pt";
    let whole = analysed(name, None, Some("tower"));
    let tower = analysed(name, Some("tower"), None);
    assert_eq!(tower.analysis().input_shape, [3, 4, 4]);
    assert_eq!(tower.analysis().image_shape(), FIXTURE_INPUT);
    let [whole, tower] = [&whole, &tower].map(|model| answers(model.module().unwrap()));
    assert_eq!(whole.shape(), [5, 4, 4, 4]);
    assert_eq!(whole, tower);
    let [first, second] = [0, 1].map(|n| whole.index_axis(ndarray::Axis(0), n).to_owned());
    assert_ne!(first, second, "the images tell nothing apart");
}

#[test]
fn a_network_made_of_a_module_inside_is_given_the_same() {
    let tower = analysed("inside/behind_scripted.pt", Some("tower"), None);
    let again = tower.changed_into(tower.archive().clone()).unwrap();
    let [tower, again] = [&tower, &again].map(|model| answers(model.module().unwrap()));
    assert_eq!(tower, again);
}

#[test]
fn where_the_whole_takes_no_images_the_module_is_given_them_as_they_are() {
    let left = analysed("inside/lists_scripted.pt", Some("towers.left"), None);
    let front = &left.analysis().front;
    assert!(matches!(front, Err(NoFront::NotRun(_))), "{front:?}");
    assert_eq!(left.analysis().input_shape, FIXTURE_INPUT);
    assert!(!left.module().unwrap().has_front());
}
