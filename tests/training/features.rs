//! Maps of another network are imitated, and what training began with is kept where nothing better comes of it.

use ckaprune::blocks::patch::Patch;
use ckaprune::train::agreement::Answers;
use ckaprune::train::finetune::{Judge, Teacher};

use super::*;

/// A network that was trained, and the same without some of its blocks.
fn pair(fixture_name: &str) -> (Archive, Archive) {
    let (_folder, part) = easy_images();
    let trained = train(&open(&fixture(fixture_name)), &part, 8, 0);
    let original = trained.model.into_archive();
    let analysis = model(&original).analysis().clone();
    let removable = analysis.blocks.iter().filter(|b| b.is_removable());
    let removed: Vec<String> = removable.take(2).map(|b| b.path.clone()).collect();
    let pruned = Patch::remove(&analysis, &removed).unwrap();
    let pruned = pruned.apply(&original, &analysis).unwrap();
    (original, pruned)
}

fn without_labels() -> Images {
    let (_folder, mut part) = easy_images();
    part.forget_labels();
    images(&part)
}

/// What imitation of `original` makes of `student`.
fn imitated(original: &Archive, student: &Archive, images: &Images, epochs: usize) -> Trained {
    let mut teacher = Teacher::of_maps(&model(original), None).unwrap();
    let training = Training {
        epochs,
        ..Training::default()
    };
    let all = Lessons {
        teacher: Some(&mut teacher),
        ..lessons(images)
    };
    run(student, all, &training)
}

#[test]
fn a_network_comes_closer_to_the_one_whose_maps_it_imitates() {
    let images = without_labels();
    for name in ["basic_scripted.pt", "basic_traced.pt", "preact_traced.pt"] {
        let (original, pruned) = pair(name);
        let answers = Answers::of(model(&original).module().unwrap(), images.clone()).unwrap();
        let closeness = |archive: &Archive| {
            let model = model(archive);
            answers
                .agreement(model.module().unwrap())
                .unwrap()
                .closeness
        };
        let trained = imitated(&original, &pruned, &images, 10);
        let (before, after) = (closeness(&pruned), closeness(trained.model.archive()));
        assert!(after > 0.5 * before, "{name}: {before} and {after}");
        let losses = trained.tuning.train_losses;
        assert!(losses[9] < 0.5 * losses[0], "{name}: {losses:?}");
    }
}

#[test]
fn the_classifier_stays_as_it_was_where_maps_alone_are_imitated() {
    let (original, pruned) = pair("basic_scripted.pt");
    let trained = imitated(&original, &pruned, &without_labels(), 2);
    for name in ["weight", "bias"] {
        let bytes = |archive: &Archive| tensor_bytes(archive, "fc", name);
        assert!(bytes(&pruned) == bytes(trained.model.archive()), "{name}");
    }
    let bytes = |archive: &Archive| archive.to_bytes().unwrap();
    assert!(bytes(&pruned) != bytes(trained.model.archive()));
}

#[test]
fn weights_that_were_better_than_all_that_came_of_them_are_kept() {
    let (_folder, part) = easy_images();
    let begun = train(&open(&fixture("basic_scripted.pt")), &part, 25, 0);
    let begun = begun.model.into_archive();
    let images = images(&part);
    let training = Training {
        epochs: 2,
        learning_rate: 3.,
        clip_norm: Some(1.),
        ..Training::default()
    };
    let answers = Answers::of(model(&begun).module().unwrap(), images.clone()).unwrap();
    for judge in [Judge::Labelled(&images), Judge::Answers(&answers)] {
        let all = Lessons {
            judge: Some(judge),
            ..lessons(&images)
        };
        let trained = run(&begun, all, &training);
        assert_eq!(trained.tuning.kept_epoch, 0, "{:?}", trained.tuning);
        assert!(trained.model.archive().to_bytes().unwrap() == begun.to_bytes().unwrap());
    }
    // Without anything that decides, it is the last weights that are kept.
    let trained = run(&begun, lessons(&images), &training);
    assert_eq!(trained.tuning.kept_epoch, 2);
}

#[test]
fn training_that_diverges_at_once_keeps_the_weights_it_began_with() {
    let (_folder, part) = easy_images();
    let archive = open(&fixture("basic_scripted.pt"));
    let images = images(&part);
    let training = Training {
        epochs: 30,
        learning_rate: 1e30,
        ..Training::default()
    };
    let all = Lessons {
        judge: Some(Judge::Labelled(&images)),
        ..lessons(&images)
    };
    let trained = run(&archive, all, &training);
    assert_eq!(trained.tuning.kept_epoch, 0);
    assert!(trained.model.archive().to_bytes().unwrap() == archive.to_bytes().unwrap());
}

#[test]
fn a_network_without_maps_of_the_same_shape_is_refused() {
    let images = without_labels();
    let original = open(&fixture("basic_scripted.pt"));
    let mut teacher = Teacher::of_maps(&model(&original), None).unwrap();
    let all = Lessons {
        teacher: Some(&mut teacher),
        ..lessons(&images)
    };
    let other = model(&open(&fixture("preact_scripted.pt")));
    let session = Session::at(0, QUIET);
    let refused = finetune(other, all, &Training::default(), session).unwrap_err();
    assert!(refused.to_string().contains("--teach"), "{refused:#}");
}
