//! Blocks of a module inside a network that takes no images: removed exactly, and nothing else is touched.

use ckaprune::archive::Archive;
use common::entries;

use super::*;

const WHOLE: &str = "inside/lists_scripted.pt";

/// What the left and the right tower lead to, of a list of pictures.
fn scores(whole: &[u8], skip: Option<&[i64]>) -> [Vec<f32>; 2] {
    let mut module = CModule::load_data(&mut &whole[..]).unwrap();
    module.set_eval();
    let pictures = input().unbind(0);
    let mut given = vec![IValue::TensorList(pictures)];
    given.extend(skip.map(|skip| IValue::IntList(skip.to_vec())));
    let IValue::GenericDict(found) = tch::no_grad(|| module.forward_is(&given).unwrap()) else {
        panic!("no dictionary");
    };
    ["left", "right"].map(|side| {
        let of_side = |(key, _): &&(IValue, IValue)| *key == IValue::String(side.into());
        match &found.iter().find(of_side).unwrap().1 {
            IValue::Tensor(scores) => numbers(scores),
            other => panic!("{other:?}"),
        }
    })
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn inside(path: &str) -> (Archive, Analysis) {
    let inner = open(&fixture(WHOLE)).inside(path).unwrap();
    let analysis = Analysis::of(&inner, &Request::shape(&FIXTURE_INPUT)).unwrap();
    (inner, analysis)
}

#[test]
fn blocks_of_one_of_two_towers_go_and_the_other_keeps_its_own() {
    let (inner, analysis) = inside("towers.left");
    let paths: Vec<String> = analysis.blocks.iter().map(|b| b.path.clone()).collect();
    assert_eq!(paths, ["blocks.0", "blocks.1", "blocks.2"]);
    let (original, reference) = (bytes(WHOLE), bytes("inside/lists_skippable.pt"));
    let [_, right] = scores(&original, None);
    let before = entries(&original);
    for set in 1..8 {
        let gone: Vec<i64> = (0..3).filter(|block| set >> block & 1 == 1).collect();
        let names: Vec<String> = gone.iter().map(|b| paths[*b as usize].clone()).collect();
        let patch = Patch::remove(&analysis, &names).unwrap();
        let pruned = patch.apply(&inner, &analysis).unwrap();
        let written = pruned.to_bytes().unwrap();
        assert_eq!(
            scores(&written, None),
            [scores(&reference, Some(&gone))[0].clone(), right.clone()],
            "without {names:?}"
        );
        // What is left of the tensors is what it was, under the same names.
        let after = entries(&written);
        let storages = after.iter().filter(|(name, _)| name.contains("/data/"));
        for (name, content) in storages {
            let old = before.iter().find(|(old, _)| old == name);
            assert_eq!(old.map(|(_, old)| old), Some(content), "{name}");
        }
        let (left, again) = (pruned.path_inside(), open_bytes(&written));
        assert_eq!(left, Some("towers.left"));
        assert_eq!(
            analysed(again.inside("towers.left").unwrap()).blocks.len(),
            3 - gone.len()
        );
        assert_eq!(
            analysed(again.inside("towers.right").unwrap()).blocks.len(),
            3
        );
    }
}

fn open_bytes(bytes: &[u8]) -> Archive {
    Archive::from_bytes(bytes.to_vec(), &Limits::default()).unwrap()
}

fn analysed(archive: Archive) -> Analysis {
    Analysis::of(&archive, &Request::shape(&FIXTURE_INPUT)).unwrap()
}

#[test]
fn libtorch_is_given_the_module_alone_and_files_hold_the_whole() {
    let (inner, _) = inside("towers.right");
    let maps = run(&load(&inner), &input());
    assert_eq!(maps.len(), BATCH as usize * 4 * 8 * 8);
    let written = inner.to_bytes().unwrap();
    assert_eq!(scores(&written, None), scores(&bytes(WHOLE), None));
    // New weights of the module are weights of the whole.
    let mut filled = inner.clone();
    let weight = filled
        .data()
        .attribute(filled.object("stem").unwrap(), "weight");
    let storage = filled.data().tensor(weight.unwrap()).unwrap().unwrap();
    let zeros = vec![0; (storage.storage_len * 4) as usize];
    filled
        .set_storage(Section::Data, &storage.storage, zeros)
        .unwrap();
    let [left, right] = scores(&filled.to_bytes().unwrap(), None);
    let [same, other] = scores(&written, None);
    assert_eq!(left, same);
    assert_ne!(right, other);
}

#[test]
fn a_module_that_is_not_there_is_told_with_those_that_are() {
    let whole = open(&fixture(WHOLE));
    for (path, said) in [
        (
            "towers.middle",
            "there is no module towers.middle; towers has left, right",
        ),
        (
            "backbone",
            "there is no module backbone; the network has towers, fc",
        ),
        ("fc.weight", "there is no module fc.weight; fc has none"),
    ] {
        let error = whole.inside(path).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let program = open(&fixture("exported/basic_exported.pt2"));
    let error = program.inside("stage1").unwrap_err().to_string();
    assert!(
        error.contains("a program of torch.export has none"),
        "{error}"
    );
}
