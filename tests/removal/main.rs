//! Removed blocks equal skipped blocks, bit for bit: against reference networks that skip them while they run.

#![cfg(feature = "torch")]

#[path = "../common/mod.rs"]
mod common;
mod elsewhere;
mod inside;
mod names;

use std::collections::BTreeSet;

use ckaprune::archive::{Archive, Limits, Section};
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::{Patch, PatchError};
use ckaprune::blocks::{Granularity, Search};
use ckaprune::program::ast::{File, Item};
use ckaprune::program::{ModuleTree, Network, print};
use common::{FIXTURE_INPUT, fixture, open};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{CModule, IValue, Kind, Tensor};

const NETWORKS: [&str; 6] = ["basic", "inplace", "preact", "halves", "postnorm", "branch"];
const EXPORTS: [&str; 3] = ["scripted", "traced", "exported"];
const BATCH: i64 = 5;

fn request(network: &str) -> Request {
    let search = Search {
        granularity: match network {
            "halves" | "postnorm" => Granularity::Fine,
            _ => Granularity::Block,
        },
        ..Search::default()
    };
    Request {
        search,
        ..Request::shape(&FIXTURE_INPUT)
    }
}

/// The same each time: libtorch's random numbers are drawn by tests beside this one too.
fn input() -> Tensor {
    let [channels, height, width] = FIXTURE_INPUT;
    let numbers = BATCH * channels * height * width;
    let numbers = Tensor::arange(numbers, (Kind::Float, tch::Device::Cpu));
    ((numbers * 12.9898).sin() * 1.4).view([BATCH, channels, height, width])
}

fn load(archive: &Archive) -> CModule {
    let bytes = archive.to_runnable_bytes().unwrap();
    let mut module = CModule::load_data(&mut bytes.as_slice()).unwrap();
    module.set_eval();
    module
}

fn run(module: &CModule, input: &Tensor) -> Vec<f32> {
    numbers(&tch::no_grad(|| module.forward_ts(&[input]).unwrap()))
}

/// The reference network's scores without the blocks of these running numbers.
fn run_skipping(reference: &CModule, input: &Tensor, skip: &[i64]) -> Vec<f32> {
    let args = [
        IValue::Tensor(input.shallow_clone()),
        IValue::IntList(skip.to_vec()),
    ];
    match tch::no_grad(|| reference.forward_is(&args).unwrap()) {
        IValue::Tensor(scores) => numbers(&scores),
        other => panic!("{other:?}"),
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten(0, -1).try_into().unwrap()
}

struct Case {
    name: String,
    archive: Archive,
    analysis: Analysis,
    reference: CModule,
}

impl Case {
    fn all() -> Vec<Case> {
        let names = NETWORKS
            .iter()
            .flat_map(|n| EXPORTS.iter().map(move |e| (n, e)));
        names
            .map(|(network, export)| Case::of(network, export))
            .collect()
    }

    /// Those whose classes are the archive's own, and not derived from a graph.
    fn torchscript() -> Vec<Case> {
        let mut cases = Case::all();
        cases.retain(|case| !case.archive.is_exported());
        cases
    }

    fn of(network: &str, export: &str) -> Case {
        let file = match export {
            "exported" => format!("exported/{network}_exported.pt2"),
            _ => format!("{network}_{export}.pt"),
        };
        let archive = open(&fixture(&file));
        let analysis = Analysis::of(&archive, &request(network)).unwrap();
        let reference = load(&open(&fixture(&format!("{network}_skippable.pt"))));
        Case {
            name: format!("{network}, {export}"),
            archive,
            analysis,
            reference,
        }
    }

    /// Running numbers of the removable blocks.
    fn removable(&self) -> Vec<usize> {
        (0..self.analysis.blocks.len())
            .filter(|i| self.analysis.blocks[*i].is_removable())
            .collect()
    }

    fn paths(&self, numbers: &[usize]) -> Vec<String> {
        numbers
            .iter()
            .map(|i| self.analysis.blocks[*i].path.clone())
            .collect()
    }

    fn without(&self, numbers: &[usize]) -> Archive {
        let patch = Patch::remove(&self.analysis, &self.paths(numbers)).unwrap();
        patch.apply(&self.archive, &self.analysis).unwrap()
    }

    fn assert_equals_skipping(&self, numbers: &[usize]) {
        let input = input();
        let skip: Vec<i64> = numbers.iter().map(|i| *i as i64).collect();
        let found = run(&load(&self.without(numbers)), &input);
        let expected = run_skipping(&self.reference, &input, &skip);
        assert_eq!(
            found,
            expected,
            "{} without {:?}",
            self.name,
            self.paths(numbers)
        );
    }
}

#[test]
fn removing_nothing_gives_the_very_same_scores() {
    for case in Case::all() {
        let before = run(&load(&case.archive), &input());
        assert_eq!(
            run(&load(&case.without(&[])), &input()),
            before,
            "{}",
            case.name
        );
        case.assert_equals_skipping(&[]);
    }
}

#[test]
fn each_removed_block_equals_the_network_with_it_skipped() {
    for case in Case::all() {
        for block in case.removable() {
            case.assert_equals_skipping(&[block]);
        }
    }
}

#[test]
fn random_sets_of_removed_blocks_equal_the_network_with_them_skipped() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for case in Case::all() {
        let removable = case.removable();
        for _ in 0..6 {
            let count = rng.random_range(2..=removable.len());
            let mut set: Vec<usize> = removable.sample(&mut rng, count).copied().collect();
            set.shuffle(&mut rng);
            case.assert_equals_skipping(&set);
        }
        case.assert_equals_skipping(&removable);
    }
}

#[test]
fn blocks_removed_one_after_another_equal_blocks_removed_at_once() {
    for case in Case::all() {
        let mut archive = case.archive.clone();
        for path in case.paths(&case.removable()) {
            let analysis = Analysis::of(&archive, &case.analysis.request).unwrap();
            let path = if case.analysis.block(&path).is_some() && analysis.block(&path).is_none() {
                // Of two halves, the one that is left is all of its module.
                path.rsplit_once('.').unwrap().0.to_owned()
            } else {
                path
            };
            let patch = Patch::remove(&analysis, &[path]).unwrap();
            archive = patch.apply(&archive, &analysis).unwrap();
        }
        let at_once = case.without(&case.removable());
        assert_eq!(
            run(&load(&archive), &input()),
            run(&load(&at_once), &input()),
            "{}",
            case.name
        );
    }
}

#[test]
fn a_removed_block_takes_its_weights_along_and_nothing_else() {
    for case in Case::torchscript() {
        let block = case.removable()[0];
        let bytes = case.without(&[block]).to_bytes().unwrap();
        let after = Archive::from_bytes(bytes.clone(), &Limits::default()).unwrap();
        let tensors = |archive: &Archive| -> BTreeSet<String> {
            let modules = archive.network().unwrap().modules;
            let named = |(id, name, _): (_, &str, _)| format!("{}.{name}", modules.get(id).path);
            modules.tensors(ModuleTree::ROOT).map(named).collect()
        };
        let path = &case.analysis.blocks[block].path;
        // A half is named by its heaviest module, and is not that alone: a normalisation goes with it.
        let norm = path.replace("attention", "norm1");
        let expected: BTreeSet<String> = tensors(&case.archive)
            .into_iter()
            .filter(|t| {
                ![path, &norm]
                    .iter()
                    .any(|module| t.starts_with(&format!("{module}.")))
            })
            .collect();
        assert_eq!(tensors(&after), expected, "{}", case.name);
        let stored = |archive: &Archive| archive.data().storages().unwrap().len();
        assert_eq!(
            zip_entries(&bytes, "data/"),
            stored(&after),
            "{}",
            case.name
        );
        assert!(stored(&after) < stored(&case.archive), "{}", case.name);
    }
}

fn zip_entries(bytes: &[u8], folder: &str) -> usize {
    let zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    let in_folder = |name: &str| {
        name.split_once('/')
            .is_some_and(|(_, name)| name.starts_with(folder))
    };
    zip.file_names()
        .filter(|name| in_folder(name.as_ref().unwrap()))
        .count()
}

#[test]
fn training_mode_behaves_as_in_the_network_with_the_block_skipped() {
    for network in ["basic", "inplace"] {
        let mut case = Case::of(network, "scripted");
        let block = case.removable()[1];
        let mut module = load(&case.without(&[block]));
        module.set_train();
        case.reference.set_train();
        let found = run(&module, &input());
        let expected = run_skipping(&case.reference, &input(), &[block as i64]);
        assert_eq!(found, expected, "{}", case.name);
        assert_ne!(
            found,
            run(&load(&case.without(&[block])), &input()),
            "batch statistics are in use"
        );
    }
}

#[test]
fn a_frozen_network_without_blocks_computes_what_the_others_do() {
    for network in ["basic", "postnorm"] {
        let archive = open(&fixture(&format!("{network}_frozen.pt")));
        let analysis = Analysis::of(&archive, &request(network)).unwrap();
        let case = Case::of(network, "scripted");
        for gone in [vec![1], vec![0, 1, 2], case.removable()] {
            let paths: Vec<String> = gone
                .iter()
                .map(|i| analysis.blocks[*i].path.clone())
                .collect();
            let pruned = Patch::remove(&analysis, &paths)
                .unwrap()
                .apply(&archive, &analysis)
                .unwrap();
            assert!(pruned.to_bytes().unwrap().len() < archive.to_bytes().unwrap().len());
            let found = run(&load(&pruned), &input());
            let expected = run(&load(&case.without(&gone)), &input());
            // Folding batch normalisation into the convolutions rounds differently.
            for (a, b) in found.iter().zip(&expected) {
                assert!(
                    (a - b).abs() <= 1e-4 * (1. + b.abs()),
                    "{network} {paths:?}: {a} and {b}"
                );
            }
        }
    }
}

#[test]
fn blocks_that_change_the_shape_are_refused_with_the_reason() {
    for case in Case::all() {
        for block in case.analysis.blocks.iter().filter(|b| !b.is_removable()) {
            let path = std::slice::from_ref(&block.path);
            let error = Patch::remove(&case.analysis, path).unwrap_err();
            assert!(
                matches!(error, PatchError::NotRemovable { ref path, .. } if *path == block.path),
                "{error}"
            );
        }
    }
}

#[test]
fn modules_beside_the_removed_block_keep_code_class_and_weights() {
    for case in Case::torchscript() {
        let block = &case.analysis.blocks[case.removable()[0]];
        let (parent, _) = block.path.rsplit_once('.').unwrap();
        let archive = case.without(&case.removable()[..1]);
        let (before, after) = (&case.analysis.network, archive.network().unwrap());
        for (_, module) in after.modules.iter() {
            // The block's container changes, and with its class the classes that name that.
            if parent.starts_with(&module.path) {
                continue;
            }
            let old = before
                .modules
                .get(before.modules.find(&module.path).unwrap());
            assert_eq!(module.class, old.class, "{}: {}", case.name, module.path);
            assert_eq!(
                code_of(&after, &module.class),
                code_of(before, &old.class),
                "{}: {}",
                case.name,
                module.path
            );
        }
        for (id, name, _) in after.modules.tensors(ModuleTree::ROOT) {
            let path = &after.modules.get(id).path;
            assert_eq!(
                bytes_of(&archive, path, name),
                bytes_of(&case.archive, path, name),
                "{}: {path}.{name}",
                case.name
            );
        }
        assert_eq!(archive.version(), case.archive.version());
    }
}

fn code_of(network: &Network, class: &str) -> String {
    let class = network.sources.class(class).unwrap().clone();
    print(&File {
        items: vec![Item::Class(class)],
    })
}

fn bytes_of(archive: &Archive, path: &str, name: &str) -> Vec<u8> {
    let object = archive.object(path).unwrap();
    let node = archive.data().attribute(object, name).unwrap();
    let tensor = archive.data().tensor(node).unwrap().unwrap();
    archive.storage(Section::Data, &tensor.storage).unwrap()
}
