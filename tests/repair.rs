//! Repair without labels: linear maps, channels, and batch normalisation's statistics.

#![cfg(feature = "torch")]

mod common;

use std::num::NonZeroUsize;

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::Patch;
use ckaprune::data::{self, Images, Loader, Normalisation, Part, Samples, Transform};
use ckaprune::program::interface::Interface;
use ckaprune::report::progress::Progress;
use ckaprune::run::segments::with_tensor_list;
use ckaprune::run::torch::Model;
use ckaprune::run::torch::state_dict::StateDict;
use ckaprune::run::torch::{Module, to_array};
use ckaprune::train::repair::{Repaired, Repairer, Step};
use common::{demo, fixture, open};
use tch::{Device, Tensor};

const BATCH: usize = 64;

fn model(archive: &Archive) -> Model {
    Model::new(archive.clone(), analyse(archive), Device::Cpu)
}

fn loader() -> Loader {
    let transform = Transform {
        normalisation: Normalisation::new(vec![0.286], vec![0.353]).unwrap(),
        ..Transform::default()
    };
    Loader::new(NonZeroUsize::new(BATCH).unwrap(), transform)
}

/// Images that the demo network was trained for: a batch to repair on, and a quarter as many to be held back.
fn images() -> Part {
    let set = data::open(&demo().with_file_name("fashion-mnist")).unwrap();
    let count = NonZeroUsize::new(BATCH * 5 / 4).unwrap();
    set.train.unwrap().draw(Samples::N(count), 0)
}

fn analyse(archive: &Archive) -> Analysis {
    Analysis::of(archive, &Request::shape(&[1, 28, 28])).unwrap()
}

/// The demo network without some of its blocks.
fn pruned() -> (Archive, Archive, Vec<String>) {
    let original = open(&demo());
    let blocks = [1, 2, 3].map(|stage| [1, 2, 3].map(|block| format!("stage{stage}.{block}")));
    let blocks = blocks.concat();
    let analysis = analyse(&original);
    let pruned = Patch::remove(&analysis, &blocks).unwrap();
    let pruned = pruned.apply(&original, &analysis).unwrap();
    (original, pruned, blocks)
}

/// What these steps make of a network without `removed`.
fn repaired(original: &Archive, archive: &Archive, removed: &[String], steps: &[Step]) -> Repaired {
    let original = model(original);
    let images = Images::new(images(), loader());
    let repairer = Repairer::new(&original, &images, Progress { quiet: true }).unwrap();
    repairer.repair(model(archive), removed, steps).unwrap()
}

#[test]
fn each_step_brings_a_pruned_network_closer_to_the_original() {
    let (original, pruned, removed) = pruned();
    for step in [Step::Bn, Step::Channels, Step::Refit] {
        let repaired = repaired(&original, &pruned, &removed, &[step]);
        assert!(repaired.steps[0].pays(), "{:?}", repaired.steps);
    }
}

#[test]
fn a_scale_and_a_shift_of_channels_are_taken_back() {
    let original = open(&demo());
    let network = original.network().unwrap();
    let bent = ["stage1.2.bn2", "stage1.3.bn2", "stage1.4.bn2"].map(|path| {
        let mut modules = network.modules.iter();
        let (id, _) = modules.find(|(_, m)| m.path == path).unwrap();
        ["weight", "bias"].map(|name| (id, name.to_owned()))
    });
    let state = StateDict::of_tensors(bent.concat());
    let values = |archive: &Archive| {
        let listed = with_tensor_list(archive, &network, &state.operands());
        let module = Module::load(&listed, Device::Cpu, &Interface::default()).unwrap();
        module.tensors().unwrap()
    };
    let expected = values(&original);
    let changed: Vec<Tensor> = expected.iter().map(|t| t * 0.7 + 0.05).collect();
    let mut archive = original.clone();
    state.write_back(&network, &changed, &mut archive).unwrap();
    let behind = ["stage1.1".to_owned()];
    let repaired = repaired(&original, &archive, &behind, &[Step::Channels]);
    assert!(repaired.steps[0].pays(), "{:?}", repaired.steps);
    for (found, expected) in values(repaired.model.archive()).iter().zip(&expected) {
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off < 1e-3, "{found} and {expected}");
    }
}

/// A network with other weights in some of its maps, named by their modules.
fn bent(original: &Archive, maps: &[&str]) -> Archive {
    let network = original.network().unwrap();
    let weights = maps.iter().map(|path| {
        let mut modules = network.modules.iter();
        let (id, _) = modules.find(|(_, m)| m.path == *path).unwrap();
        (id, "weight".to_owned())
    });
    let state = StateDict::of_tensors(weights.collect());
    let listed = with_tensor_list(original, &network, &state.operands());
    let module = Module::load(&listed, Device::Cpu, &Interface::default()).unwrap();
    let changed = module.tensors().unwrap();
    let elements = |t: &Tensor| Tensor::arange(t.numel() as i64, (tch::Kind::Float, Device::Cpu));
    let noise = |t: &Tensor| ((elements(t) * 12.9898).sin() * 0.07).reshape(t.size());
    let changed: Vec<Tensor> = changed.iter().map(|t| t + noise(t)).collect();
    let mut bent = original.clone();
    state.write_back(&network, &changed, &mut bent).unwrap();
    bent
}

/// That the only step of a repair undid what made the answers differ.
fn assert_undone(repaired: &Repaired) {
    let [repair] = repaired.steps[..] else {
        panic!("{:?}", repaired.steps)
    };
    let (before, after) = (repair.before.closeness, repair.after.closeness);
    assert!(before < -1e-5, "{repair:?}");
    assert!(after > before / 50., "{repair:?}");
}

/// In maps that end blocks, in one inside a block, in one far behind, and in the classifier.
#[test]
fn weights_that_were_changed_are_fitted_back() {
    let original = open(&demo());
    let bent = bent(
        &original,
        &[
            "stage2.2.conv2",
            "stage2.3.conv1",
            "stage2.3.conv2",
            "stage3.3.conv2",
            "classifier",
        ],
    );
    let removed = ["stage2.1".to_owned()];
    assert_undone(&repaired(&original, &bent, &removed, &[Step::Refit]));
}

#[test]
fn maps_are_fitted_through_what_scales_and_turns_their_values_on_the_way_into_the_sum() {
    for form in ["scripted", "traced"] {
        let original = open(&fixture(&format!("scaled_{form}.pt")));
        for maps in [
            ["stage1.1.fc2", "stage1.2.fc2"],
            ["stage2.0.conv2", "stage2.1.conv2"],
        ] {
            let bent = bent(&original, &maps);
            let analysis = |archive: &Archive| {
                Analysis::of(archive, &Request::shape(&common::FIXTURE_INPUT)).unwrap()
            };
            let model =
                |archive: &Archive| Model::new(archive.clone(), analysis(archive), Device::Cpu);
            let noise = data::synthetic([3, 8, 8], NonZeroUsize::new(100).unwrap(), 0).unwrap();
            let loader = Loader::new(NonZeroUsize::new(20).unwrap(), Transform::default());
            let (original, images) = (model(&original), Images::new(noise, loader));
            let repairer = Repairer::new(&original, &images, Progress { quiet: true }).unwrap();
            let removed = ["stage1.0".to_owned()];
            let repaired = repairer.repair(model(&bent), &removed, &[Step::Refit]);
            assert_undone(&repaired.unwrap());
        }
    }
}

#[test]
fn nothing_is_fitted_where_nothing_is_missing() {
    let original = open(&demo());
    let repaired = repaired(
        &original,
        &original,
        &["stage2.1".to_owned()],
        &[Step::Refit],
    );
    assert!(!repaired.steps[0].pays(), "{:?}", repaired.steps);
    assert_eq!(
        repaired.model.archive().to_bytes().unwrap(),
        original.to_bytes().unwrap()
    );
}

#[test]
fn statistics_are_those_of_the_images_repaired_on() {
    let (original, pruned, removed) = pruned();
    let repaired = repaired(&original, &pruned, &removed, &[Step::Bn]);
    let (loader, images) = (loader(), images());
    let batch = loader.batches(&images, 0).unwrap().next().unwrap().unwrap();
    let scores = |archive: &Archive, training: bool| -> Tensor {
        let mut module = Module::load(archive, Device::Cpu, &Interface::default()).unwrap();
        module.set_training(training).unwrap();
        let images = module.images(&batch.images).unwrap();
        tch::no_grad(|| module.forward(&images)).unwrap()
    };
    // Training normalises by the batch itself.
    let by_batch = to_array(&scores(&pruned, true)).unwrap();
    let by_statistics = to_array(&scores(repaired.model.archive(), false)).unwrap();
    let far = by_batch.iter().fold(0f32, |m, x| m.max(x.abs()));
    for (a, b) in by_batch.iter().zip(&by_statistics) {
        assert!((a - b).abs() < 1e-2 * far, "{a} and {b}, of up to {far}");
    }
}

#[test]
fn a_network_in_step_stays_as_it_is() {
    let original = open(&demo());
    let repaired = repaired(&original, &original, &[], &[Step::Channels, Step::Bn]);
    // Nothing lies behind no removal; statistics of few images are worse than those of training.
    let [repair] = repaired.steps[..] else {
        panic!("{:?}", repaired.steps)
    };
    assert!(!repair.pays(), "{repair:?}");
    assert_eq!(
        repaired.model.archive().to_bytes().unwrap(),
        original.to_bytes().unwrap()
    );
}

#[test]
fn a_network_without_normalisation_has_nothing_to_repair() {
    let frozen = open(&fixture("basic_frozen.pt"));
    let input = Request::shape(&common::FIXTURE_INPUT);
    let analysis = Analysis::of(&frozen, &input).unwrap();
    let images = data::synthetic([3, 8, 8], NonZeroUsize::new(20).unwrap(), 0).unwrap();
    let loader = Loader::new(NonZeroUsize::new(10).unwrap(), Transform::default());
    let images = Images::new(images, loader);
    let removed: Vec<String> = analysis.blocks.iter().map(|b| b.path.clone()).collect();
    let frozen = Model::new(frozen, analysis, Device::Cpu);
    let repairer = Repairer::new(&frozen, &images, Progress { quiet: true }).unwrap();
    let steps = [Step::Refit, Step::Channels, Step::Bn];
    let repaired = repairer.repair(frozen.clone(), &removed, &steps).unwrap();
    assert_eq!(repaired.steps, []);
}

/// In training mode, in which statistics are taken, dropout draws.
#[test]
fn statistics_of_a_network_with_dropout_are_the_same_each_time() {
    let original = open(&fixture("double_scripted.pt"));
    let analysis = Analysis::of(&original, &Request::shape(&common::FIXTURE_INPUT)).unwrap();
    let removed = ["stage.1".to_owned()];
    let patch = Patch::remove(&analysis, &removed).unwrap();
    let pruned = patch.apply(&original, &analysis).unwrap();
    let original = Model::new(original, analysis, Device::Cpu);
    let part = data::synthetic([3, 8, 8], NonZeroUsize::new(40).unwrap(), 0).unwrap();
    let loader = Loader::new(NonZeroUsize::new(16).unwrap(), Transform::default());
    let images = Images::new(part, loader);
    let repairer = Repairer::new(&original, &images, Progress { quiet: true }).unwrap();
    let repaired = |drawn_before: i64| {
        tch::manual_seed(drawn_before);
        let pruned = original.changed_into(pruned.clone()).unwrap();
        repairer
            .repair(pruned, &removed, &[Step::Bn])
            .unwrap()
            .steps
    };
    assert_eq!(repaired(1), repaired(2));
}
