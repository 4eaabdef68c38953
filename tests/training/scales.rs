//! Networks that end in softmax are measured and trained as those that do not.

use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::program::interface::Scale;
use ckaprune::run::torch::Model;
use ckaprune::train::eval::{Quality, predict};
use ckaprune::train::finetune::{Distillation, Session, Teacher, Training, finetune};
use tch::{Device, Kind, Tensor};

use super::common::images::easy_images;
use super::common::{fixture, open};
use super::{Lessons, QUIET, images, lessons, random_numbers};

fn model(name: &str, output: Option<&str>) -> Model {
    let request = Request {
        output: output.map(|key| key.parse().unwrap()),
        ..Request::shape(&[3, 8, 8])
    };
    let archive = open(&fixture(name));
    let analysis = Analysis::of(&archive, &request).unwrap();
    Model::new(archive, analysis, Device::Cpu)
}

#[test]
fn what_a_network_ends_in_is_seen() {
    for (name, output, scale) in [
        ("net_scripted.pt", None, Scale::Scores),
        ("softmax_scripted.pt", None, Scale::Probabilities),
        ("softmax_maps_traced.pt", None, Scale::Probabilities),
        ("log_softmax_traced.pt", None, Scale::LogProbabilities),
        ("softmax_both_scripted.pt", Some("0"), Scale::Scores),
        ("softmax_both_scripted.pt", Some("1"), Scale::Probabilities),
        ("softmax_sum_traced.pt", None, Scale::Probabilities),
        ("softmax_stack_scripted.pt", None, Scale::Probabilities),
        // Over the images, which makes no probabilities of classes.
        ("softmax_images_scripted.pt", None, Scale::Scores),
        ("sigmoid_scripted.pt", None, Scale::Independent),
    ] {
        let model = model(&format!("field/{name}"), output);
        assert_eq!(model.interface().unwrap().scale, scale, "{name}");
    }
}

const NORMALISED: [(&str, Option<&str>); 6] = [
    ("field/softmax_sum_traced.pt", None),
    ("field/softmax_stack_scripted.pt", None),
    ("field/softmax_scripted.pt", None),
    ("field/softmax_maps_traced.pt", None),
    ("field/log_softmax_traced.pt", None),
    ("field/softmax_both_scripted.pt", Some("1")),
];

fn quality(model: &Model) -> Quality {
    let (_folder, part) = easy_images();
    let module = model.module().unwrap();
    let predictions = predict(module, &images(&part), QUIET, "measuring").unwrap();
    Quality::of(&predictions, &[])
}

#[test]
fn loss_and_calibration_are_those_of_the_scores_before_softmax() {
    let expected = quality(&model("field/net_scripted.pt", None));
    for (name, output) in NORMALISED {
        let found = quality(&model(name, output));
        assert_eq!(found.rate, expected.rate, "{name}");
        assert!(
            (found.loss - expected.loss).abs() < 1e-4,
            "{name}: {}",
            found.loss
        );
        let apart = found.calibration_error - expected.calibration_error;
        assert!(apart.abs() < 1e-4, "{name}: {}", found.calibration_error);
    }
}

/// Losses of an epoch, learned from labels and from a teacher.
fn losses(model: &Model) -> Vec<f64> {
    let (_folder, part) = easy_images();
    let images = images(&part);
    let distillation = Distillation {
        temperature: 4.,
        weight: 0.5,
    };
    let mut teacher = Teacher::of_scores(model.module().unwrap(), distillation, &images.loader);
    let lessons = Lessons {
        teacher: Some(&mut teacher),
        ..lessons(&images)
    };
    let training = Training {
        epochs: 3,
        ..Training::default()
    };
    let _alone = random_numbers();
    let trained = finetune(model.clone(), lessons, &training, Session::at(0, QUIET));
    trained.unwrap().tuning.train_losses
}

#[test]
fn training_is_that_of_the_scores_before_softmax() {
    let expected = losses(&model("field/net_scripted.pt", None));
    // Not that with dropout behind it, which draws.
    for (name, output) in NORMALISED
        .into_iter()
        .filter(|(name, _)| !name.contains("maps"))
    {
        let found = losses(&model(name, output));
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-3,
                "{name}: {found}, not {expected}"
            );
        }
    }
}

#[test]
fn a_probability_that_rounds_to_nothing_has_a_finite_logarithm_and_gradient() {
    let model = model("field/softmax_scripted.pt", None);
    let module = model.module().unwrap();
    let images = Tensor::full([2, 3, 8, 8], 1e6, (Kind::Float, Device::Cpu));
    let images = images.set_requires_grad(true);
    let scores = module.forward(&images).unwrap();
    assert!(scores.min().double_value(&[]) < -80., "{scores:?}");
    scores.sum(Kind::Float).backward();
    for tensor in [scores, images.grad()] {
        assert!(tensor.isfinite().all().int64_value(&[]) == 1);
    }
}
