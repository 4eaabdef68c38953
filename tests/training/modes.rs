//! What is written gives, as it is loaded, what was measured: in evaluation mode.

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::{Patch, to_evaluation_mode};
use tch::{CModule, Device, Kind, Tensor};

use super::common::images::easy_images;
use super::common::{fixture, open};
use super::{random_numbers, scores, train};

/// Scores of a program that loads the archive and runs it, without a word about modes.
fn scores_as_loaded(archive: &Archive) -> Vec<f32> {
    let _alone = random_numbers();
    tch::manual_seed(3);
    let input = Tensor::randn([4, 3, 8, 8], (Kind::Float, Device::Cpu));
    let bytes = archive.to_bytes().unwrap();
    let module = CModule::load_data(&mut bytes.as_slice()).unwrap();
    let scores = tch::no_grad(|| module.forward_ts(&[&input])).unwrap();
    scores.flatten(0, -1).try_into().unwrap()
}

const FLAGS: [&str; 3] = [
    "field/flags_traced.pt",
    "field/flags_part_traced.pt",
    "field/flags_scripted.pt",
];

#[test]
fn a_network_saved_in_training_mode_is_fine_tuned_into_one_in_evaluation_mode() {
    let (_folder, part) = easy_images();
    for name in FLAGS {
        let trained = train(&open(&fixture(name)), &part, 1, 0)
            .model
            .into_archive();
        assert_eq!(scores_as_loaded(&trained), scores(&trained), "{name}");
    }
}

#[test]
fn the_flags_of_a_trace_change_nothing_where_nothing_is_trained() {
    for name in ["field/flags_traced.pt", "field/flags_part_traced.pt"] {
        let archive = open(&fixture(name));
        let analysis = Analysis::of(&archive, &Request::shape(&[3, 8, 8])).unwrap();
        let patch = Patch::remove(&analysis, &["blocks.1".to_owned()]).unwrap();
        let pruned = patch.apply(&archive, &analysis).unwrap();
        assert_eq!(scores_as_loaded(&pruned), scores(&pruned), "{name}");
    }
}

#[test]
fn evaluation_mode_is_that_of_pytorch() {
    for name in FLAGS {
        let mut archive = open(&fixture(name));
        let expected = scores(&archive);
        let network = archive.network().unwrap();
        assert!(to_evaluation_mode(&mut archive, &network) > 0, "{name}");
        assert_eq!(scores_as_loaded(&archive), expected, "{name}");
        let network = archive.network().unwrap();
        assert_eq!(to_evaluation_mode(&mut archive, &network), 0, "{name}");
    }
}
