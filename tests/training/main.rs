//! Fine-tuning changes what it should: weights and statistics, in scripted and in traced archives alike.

#![cfg(feature = "torch")]

#[path = "../common/mod.rs"]
mod common;
mod features;
mod held;
mod layouts;
mod modes;
mod momentum;
mod scales;

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::thaw;
use ckaprune::data::{self, Images, Loader, Part, Transform};
use ckaprune::program::interface::Interface;
use ckaprune::program::{Attribute, ModuleTree};
use ckaprune::report::progress::Progress;
use ckaprune::run::export::save_archive;
use ckaprune::run::torch::Model;
use ckaprune::run::torch::Module;
use ckaprune::train::finetune::{
    Distillation, Judge, Lessons, Mixing, Schedule, Session, Shape, Teacher, Trained, Training,
    Tuning, finetune,
};
use common::images::easy_images;
use common::{fixture, open};
use tch::{Device, Kind, Tensor};

const QUIET: Progress = Progress { quiet: true };
/// libtorch's random numbers are the whole process's: one test at a time draws them.
fn random_numbers() -> MutexGuard<'static, ()> {
    static DRAWING: Mutex<()> = Mutex::new(());
    DRAWING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lessons<'a, 't>(train: &'a Images) -> Lessons<'a, 't> {
    Lessons {
        train,
        judge: None,
        teacher: None,
    }
}

fn model(archive: &Archive) -> Model {
    let analysis = Analysis::of(archive, &Request::shape(&[3, 8, 8])).unwrap();
    Model::new(archive.clone(), analysis, Device::Cpu)
}

fn train(archive: &Archive, part: &Part, epochs: usize, seed: u64) -> Trained {
    let loader = Loader::new(NonZeroUsize::new(20).unwrap(), Transform::default()).shuffled(seed);
    let training = Training {
        epochs,
        ..Training::default()
    };
    run(
        archive,
        lessons(&Images::new(part.clone(), loader)),
        &training,
    )
}

fn scores(archive: &Archive) -> Vec<f32> {
    let _alone = random_numbers();
    tch::manual_seed(3);
    let input = Tensor::randn([4, 3, 8, 8], (Kind::Float, Device::Cpu));
    let module = Module::load(archive, Device::Cpu, &Interface::default()).unwrap();
    tch::no_grad(|| module.forward(&input))
        .unwrap()
        .flatten(0, -1)
        .try_into()
        .unwrap()
}

/// All bytes of the tensor attribute at `path`.
fn tensor_bytes(archive: &Archive, module: &str, name: &str) -> Vec<u8> {
    let node = archive
        .data()
        .attribute(archive.object(module).unwrap(), name)
        .unwrap();
    let tensor = archive.data().tensor(node).unwrap().unwrap();
    archive
        .storage(ckaprune::archive::Section::Data, &tensor.storage)
        .unwrap()
}

#[test]
fn training_lowers_the_loss() {
    let (_folder, part) = easy_images();
    for name in [
        "basic_scripted.pt",
        "basic_traced.pt",
        "preact_scripted.pt",
        "dropout_traced.pt",
    ] {
        let losses = train(&open(&fixture(name)), &part, 12, 0)
            .tuning
            .train_losses;
        assert!(losses[11] < 0.7 * losses[0], "{name}: {losses:?}");
    }
}

#[test]
fn a_traced_archive_trains_like_the_scripted_one() {
    let (_folder, part) = easy_images();
    // 7 epochs of 3 batches: 21 steps.
    let scripted = train(&open(&fixture("basic_scripted.pt")), &part, 7, 0)
        .tuning
        .train_losses;
    let traced = train(&open(&fixture("basic_traced.pt")), &part, 7, 0)
        .tuning
        .train_losses;
    for (step, (a, b)) in scripted.iter().zip(&traced).enumerate() {
        assert!(
            (a - b).abs() < 1e-4,
            "epoch {step}: {scripted:?} and {traced:?}"
        );
    }
}

#[test]
fn weights_and_batch_statistics_are_written_back() {
    let (_folder, part) = easy_images();
    let before = open(&fixture("basic_traced.pt"));
    let after = train(&before, &part, 1, 0).model.into_archive();
    for (module, name) in [
        ("conv", "weight"),
        ("bn", "weight"),
        ("bn", "running_mean"),
        ("bn", "running_var"),
        ("fc", "bias"),
    ] {
        let bytes = tensor_bytes(&after, module, name);
        assert_ne!(
            bytes,
            tensor_bytes(&before, module, name),
            "{module}.{name}"
        );
        assert!(
            bytes
                .chunks(4)
                .all(|b| f32::from_le_bytes(b.try_into().unwrap()).is_finite())
        );
    }
}

#[test]
fn a_saved_archive_gives_the_scores_of_the_trained_network() {
    let (folder, part) = easy_images();
    let trained = train(&open(&fixture("inplace_scripted.pt")), &part, 1, 0)
        .model
        .into_archive();
    let path = folder.path().join("trained.pt");
    save_archive(&trained, &path, false).unwrap();
    assert_eq!(scores(&open(&path)), scores(&trained));
    assert_ne!(
        scores(&trained),
        scores(&open(&fixture("inplace_scripted.pt")))
    );
}

#[test]
fn the_same_seed_gives_the_same_weights_bit_for_bit() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("basic_scripted.pt"));
    let bytes = |seed| {
        train(&archive, &part, 2, seed)
            .model
            .archive()
            .to_bytes()
            .unwrap()
    };
    assert!(bytes(1) == bytes(1));
    assert!(bytes(1) != bytes(2));
}

#[test]
fn dropout_draws_the_same_whatever_was_drawn_before() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("dropout_traced.pt"));
    let bytes_after = |draws: i64| {
        tch::manual_seed(draws);
        train(&archive, &part, 1, 0)
            .model
            .archive()
            .to_bytes()
            .unwrap()
    };
    assert!(bytes_after(1) == bytes_after(2));
}

#[test]
fn training_keeps_names_modes_and_structure() {
    let (_folder, part) = easy_images();
    let before = open(&fixture("basic_scripted.pt"));
    let after = train(&before, &part, 1, 0).model.into_archive();
    assert_eq!(
        after.sources().collect::<Vec<_>>(),
        before.sources().collect::<Vec<_>>()
    );
    let (before, after) = (before.network().unwrap(), after.network().unwrap());
    assert_eq!(after.modules, before.modules);
    assert_eq!(
        after.modules.attribute(ModuleTree::ROOT, "training"),
        Some(&Attribute::Bool(false))
    );
}

#[test]
fn a_frozen_archive_trains_and_keeps_what_it_learned() {
    let (folder, part) = easy_images();
    let frozen = open(&fixture("basic_frozen.pt"));
    let trained = train(&frozen, &part, 12, 0);
    assert!(
        trained.tuning.train_losses[11] < 0.7 * trained.tuning.train_losses[0],
        "{:?}",
        trained.tuning.train_losses
    );
    let path = folder.path().join("trained.pt");
    save_archive(trained.model.archive(), &path, false).unwrap();
    assert_eq!(scores(&open(&path)), scores(trained.model.archive()));
    assert_ne!(scores(&open(&path)), scores(&frozen));
}

#[test]
fn a_thawed_archive_gives_the_frozen_scores_bit_for_bit() {
    let frozen = open(&fixture("basic_frozen.pt"));
    let mut thawed = frozen.clone();
    thaw(&mut thawed, &frozen.network().unwrap()).unwrap();
    assert_eq!(scores(&thawed), scores(&frozen));
}

#[test]
fn a_network_without_weights_is_refused_with_the_way_out() {
    let (_folder, part) = easy_images();
    let loader = Loader::new(NonZeroUsize::new(20).unwrap(), Transform::default());
    let mut archive = open(&fixture("basic_frozen.pt"));
    let (file, text) = archive.sources().next().unwrap();
    let (head, _) = text.split_once("    x: Tensor) -> Tensor:\n").unwrap();
    let (file, text) = (
        file.to_owned(),
        format!("{head}    x: Tensor) -> Tensor:\n    return torch.mean(x, [2, 3])\n"),
    );
    archive.set_source(&file, text);
    let images = Images::new(part, loader);
    let session = Session::at(0, QUIET);
    let error = finetune(
        model(&archive),
        lessons(&images),
        &Training::default(),
        session,
    );
    let error = error.unwrap_err();
    assert!(error.to_string().contains("torch.jit.freeze"), "{error}");
}

#[test]
fn a_loss_that_stops_being_a_number_ends_the_training() {
    let (_folder, part) = easy_images();
    let loader = Loader::new(NonZeroUsize::new(20).unwrap(), Transform::default());
    let training = Training {
        epochs: 30,
        learning_rate: 1e30,
        ..Training::default()
    };
    let archive = open(&fixture("basic_scripted.pt"));
    let images = Images::new(part, loader);
    let session = Session::at(0, QUIET);
    let error = finetune(model(&archive), lessons(&images), &training, session).unwrap_err();
    assert!(error.to_string().contains("diverged"), "{error}");
}

fn loader() -> Loader {
    Loader::new(NonZeroUsize::new(20).unwrap(), Transform::default())
}

fn images(part: &Part) -> Images {
    Images::new(part.clone(), loader())
}

fn run(archive: &Archive, lessons: Lessons, training: &Training) -> Trained {
    let _alone = random_numbers();
    finetune(model(archive), lessons, training, Session::at(0, QUIET)).unwrap()
}

#[test]
fn training_that_diverges_keeps_the_weights_of_the_last_good_epoch() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("basic_scripted.pt"));
    let images = images(&part);
    // Nothing moves in the first epoch but the statistics; the second one ruins everything.
    let schedule = Schedule {
        shape: Shape::Steps {
            at: vec![0.25],
            factor: 1e60,
        },
        warm_up: 0.,
    };
    let training = Training {
        epochs: 4,
        learning_rate: 1e-30,
        schedule,
        ..Training::default()
    };
    let trained = run(&archive, lessons(&images), &training);
    assert_eq!(trained.tuning.kept_epoch, 1);
    assert!(
        scores(trained.model.archive())
            .iter()
            .all(|s| s.is_finite())
    );
}

#[test]
fn the_epoch_that_validates_best_is_kept() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("basic_scripted.pt"));
    let images = images(&part);
    let training = Training {
        epochs: 12,
        learning_rate: 0.05,
        ..Training::default()
    };
    let all = Lessons {
        judge: Some(Judge::Labelled(&images)),
        ..lessons(&images)
    };
    let trained = run(&archive, all, &training);
    let Tuning {
        validation,
        kept_epoch,
        ..
    } = &trained.tuning;
    let best = validation.iter().copied().fold(0., f64::max);
    assert_eq!(validation[kept_epoch - 1], best, "{validation:?}");
    assert_eq!(trained.tuning.validation_accuracy(), Some(best));
    let stopped = Training {
        epochs: *kept_epoch,
        ..training
    };
    let again = run(&archive, lessons(&images), &stopped);
    assert!(
        again.model.archive().to_bytes().unwrap() == trained.model.archive().to_bytes().unwrap()
    );
}

#[test]
fn training_stops_when_patience_is_over() {
    let (_folder, part) = easy_images();
    let begun = train(&open(&fixture("basic_scripted.pt")), &part, 25, 0);
    let images = images(&part);
    let training = Training {
        epochs: 30,
        learning_rate: 3.,
        clip_norm: Some(1.),
        patience: Some(2),
        ..Training::default()
    };
    let all = Lessons {
        judge: Some(Judge::Labelled(&images)),
        ..lessons(&images)
    };
    let trained = run(begun.model.archive(), all, &training);
    assert_eq!(trained.tuning.kept_epoch, 0);
    assert_eq!(trained.tuning.validation.len(), 2);
}

/// Mean divergence of the class probabilities of two networks.
fn divergence(a: &Archive, b: &Archive, part: &Part) -> f64 {
    let probabilities = |archive: &Archive| {
        let module = Module::load(archive, Device::Cpu, &Interface::default()).unwrap();
        let batch = loader().batches(part, 0).unwrap().next().unwrap().unwrap();
        let images = module.images(&batch.images).unwrap();
        let scores = tch::no_grad(|| module.forward(&images)).unwrap();
        scores.log_softmax(-1, Kind::Float)
    };
    let (a, b) = (probabilities(a), probabilities(b));
    b.kl_div(&a, tch::Reduction::Sum, true).double_value(&[])
}

#[test]
fn a_student_without_labels_comes_closer_to_its_teacher() {
    let (_folder, part) = easy_images();
    let teacher = train(&open(&fixture("basic_scripted.pt")), &part, 8, 0)
        .model
        .into_archive();
    let student = open(&fixture("basic_traced.pt"));
    let unlabelled = data::synthetic([3, 8, 8], NonZeroUsize::new(60).unwrap(), 1).unwrap();
    let images = images(&unlabelled);
    let module = Module::load(&teacher, Device::Cpu, &Interface::default()).unwrap();
    let distillation = Distillation {
        temperature: 4.,
        weight: 1.,
    };
    let mut taught = Teacher::of_scores(&module, distillation, &images.loader);
    let training = Training {
        epochs: 12,
        ..Training::default()
    };
    let all = Lessons {
        teacher: Some(&mut taught),
        ..lessons(&images)
    };
    let trained = run(&student, all, &training).model.into_archive();
    let (before, after) = (
        divergence(&teacher, &student, &unlabelled),
        divergence(&teacher, &trained, &unlabelled),
    );
    assert!(after < 0.5 * before, "{before} and {after}");
}

const MIXED: Mixing = Mixing {
    mixup: Some(0.4),
    cutmix: Some(1.),
};

fn mixing(mixing: Mixing) -> Training {
    Training {
        epochs: 2,
        mixing,
        ..Training::default()
    }
}

#[test]
fn mixed_images_train_otherwise_and_the_same_way_each_time() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("basic_scripted.pt"));
    let images = images(&part);
    let bytes = |training: &Training| {
        let trained = run(&archive, lessons(&images), training);
        trained.model.archive().to_bytes().unwrap()
    };
    let mixed = bytes(&mixing(MIXED));
    assert!(mixed == bytes(&mixing(MIXED)));
    assert!(mixed != bytes(&mixing(Mixing::default())));
    let other_seed = Training {
        seed: 1,
        ..mixing(MIXED)
    };
    assert!(mixed != bytes(&other_seed));
}

#[test]
fn a_network_learns_from_mixed_images_what_plain_ones_show() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("basic_scripted.pt"));
    let images = images(&part);
    let training = Training {
        epochs: 15,
        ..mixing(MIXED)
    };
    let all = Lessons {
        judge: Some(Judge::Labelled(&images)),
        ..lessons(&images)
    };
    // Validation sees the images as they are: mixed, half of them would look like another class.
    let best = run(&archive, all, &training).tuning.validation;
    let best = best.into_iter().fold(0., f64::max);
    assert!(best >= 0.8, "{best}");
}

#[test]
fn a_teacher_sees_mixed_images_each_time() {
    let part = data::synthetic([3, 8, 8], NonZeroUsize::new(60).unwrap(), 1).unwrap();
    let archive = open(&fixture("basic_scripted.pt"));
    let images = images(&part);
    let bytes = |known_to_change: &Loader| {
        let module = Module::load(&archive, Device::Cpu, &Interface::default()).unwrap();
        let distillation = Distillation {
            temperature: 4.,
            weight: 1.,
        };
        let mut teacher = Teacher::of_scores(&module, distillation, known_to_change);
        let all = Lessons {
            teacher: Some(&mut teacher),
            ..lessons(&images)
        };
        let trained = run(&open(&fixture("basic_traced.pt")), all, &mixing(MIXED));
        trained.model.archive().to_bytes().unwrap()
    };
    let augmented = images.loader.clone().augmented(data::Augment::default(), 0);
    assert!(bytes(&images.loader) == bytes(&augmented));
}

#[test]
fn training_says_how_fast_it_was_if_there_was_any() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("basic_scripted.pt"));
    let speed = |epochs| train(&archive, &part, epochs, 0).images_per_second;
    assert!(speed(1).is_some_and(|speed| speed.is_finite() && speed > 0.));
    assert_eq!(speed(0), None);
}
