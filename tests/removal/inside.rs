//! Blocks of a module inside a network that takes no images: removed exactly, and nothing else is touched.

use ckaprune::archive::{Archive, Focus};
use ckaprune::program::interface::arguments::Argument;
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

fn on(path: &str) -> Focus {
    Focus::of(Some(path), &[])
}

fn inside(path: &str) -> (Archive, Analysis) {
    let inner = open(&fixture(WHOLE)).focused(&on(path)).unwrap();
    let analysis = analysed(inner.clone());
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
        let (left, again) = (pruned.focus(), open_bytes(&written));
        assert_eq!(left, Some(&on("towers.left")));
        assert_eq!(
            analysed(again.focused(&on("towers.left")).unwrap())
                .blocks
                .len(),
            3 - gone.len()
        );
        assert_eq!(
            analysed(again.focused(&on("towers.right")).unwrap())
                .blocks
                .len(),
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
        let error = whole.focused(&on(path)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let program = open(&fixture("exported/basic_exported.pt2"));
    let error = program.focused(&on("stage1")).unwrap_err().to_string();
    assert!(
        error.contains("a program of torch.export has none"),
        "{error}"
    );
}

const STEPS: &str = "inside/steps_scripted.pt";

fn arguments(all: &[&str]) -> Vec<Argument> {
    all.iter().map(|text| text.parse().unwrap()).collect()
}

/// What the whole gives with the arguments that its reference has.
fn answers_to_steps(whole: &[u8]) -> Vec<f32> {
    let mut module = CModule::load_data(&mut &whole[..]).unwrap();
    module.set_eval();
    let given = [
        IValue::Int(-1),
        IValue::Tensor(input()),
        IValue::Tensor(tch::Tensor::from_slice(&[3_i64])),
        IValue::Double(2.),
    ];
    match tch::no_grad(|| module.forward_is(&given).unwrap()) {
        IValue::Tensor(scores) => numbers(&scores),
        other => panic!("{other:?}"),
    }
}

fn without(reference: &[u8], gone: &[i64]) -> Vec<f32> {
    let mut module = CModule::load_data(&mut &reference[..]).unwrap();
    module.set_eval();
    let given = [IValue::Tensor(input()), IValue::IntList(gone.to_vec())];
    match tch::no_grad(|| module.forward_is(&given).unwrap()) {
        IValue::Tensor(scores) => numbers(&scores),
        other => panic!("{other:?}"),
    }
}

/// The blocks are called by the module's own code, behind other classes in the same file.
#[test]
fn a_network_of_several_arguments_is_given_constants_and_written_with_its_arguments() {
    let reference = bytes("inside/steps_skippable.pt");
    for (inside, given, blocks) in [
        (
            None,
            arguments(&["sign=-1", "step=[3]", "scale=2", "mask=None"]),
            ["body.first", "body.second", "body.third"],
        ),
        (
            Some("body"),
            arguments(&["guide=[[0.5, 0., 1, 0.25]]"]),
            ["first", "second", "third"],
        ),
    ] {
        let focus = Focus::of(inside, &given);
        let inner = open(&fixture(STEPS)).focused(&focus).unwrap();
        let analysis = analysed(inner.clone());
        if inside.is_none() {
            assert_eq!(run(&load(&inner), &input()), without(&reference, &[]));
        }
        let paths: Vec<&str> = analysis.blocks.iter().map(|b| b.path.as_str()).collect();
        assert_eq!(paths, blocks);
        for set in 0..8 {
            let gone: Vec<i64> = (0..3).filter(|block| set >> block & 1 == 1).collect();
            let names: Vec<String> = gone.iter().map(|b| blocks[*b as usize].into()).collect();
            let patch = Patch::remove(&analysis, &names).unwrap();
            let pruned = patch.apply(&inner, &analysis).unwrap();
            assert_eq!(pruned.focus(), Some(&focus));
            let written = pruned.to_bytes().unwrap();
            let found = answers_to_steps(&written);
            assert_eq!(found, without(&reference, &gone), "{inside:?} {names:?}");
        }
    }
}

#[test]
fn an_exported_program_of_several_arguments_is_given_constants_too() {
    let reference = bytes("inside/steps_skippable.pt");
    let program = open(&fixture("exported/steps.pt2"));
    let focus = Focus::of(None, &arguments(&["step=[3]"]));
    let inner = program.focused(&focus).unwrap();
    let analysis = analysed(inner.clone());
    let blocks = ["body.first", "body.second", "body.third"];
    for set in 0..8 {
        let gone: Vec<i64> = (0..3).filter(|block| set >> block & 1 == 1).collect();
        let names: Vec<String> = gone.iter().map(|b| blocks[*b as usize].into()).collect();
        let patch = Patch::remove(&analysis, &names).unwrap();
        let pruned = patch.apply(&inner, &analysis).unwrap();
        let expected = without(&reference, &gone);
        assert_eq!(run(&load(&pruned), &input()), expected, "{names:?}");
        let again = open_bytes(&pruned.to_bytes().unwrap());
        assert!(again.is_exported());
        assert!(again.sources().any(|(_, text)| text.contains("v_step")));
        let again = again.focused(&focus).unwrap();
        assert_eq!(
            run(&load(&again), &input()),
            expected,
            "{names:?}, read back"
        );
    }
}

#[test]
fn an_edit_of_the_code_leaves_the_arguments_that_were_there() {
    let focus = Focus::of(None, &arguments(&["sign=-1", "step=[3]", "scale=2"]));
    let mut inner = open(&fixture(STEPS)).focused(&focus).unwrap();
    let edited = |text: &str| text.replace("torch.mean(", "torch.sum(");
    let sources: Vec<(String, String)> = inner
        .sources()
        .map(|(name, text)| (name.to_owned(), edited(text)))
        .collect();
    for (name, text) in sources {
        inner.set_source(&name, text);
    }
    let written = inner.to_bytes().unwrap();
    let (was, is) = (answers_to_steps(&bytes(STEPS)), answers_to_steps(&written));
    assert_ne!(was, is, "the edit is in the whole");
    assert_eq!(run(&load(&inner), &input()), is);
}

#[test]
fn arguments_that_are_not_there_or_of_another_type_are_told() {
    let whole = open(&fixture(STEPS));
    for (given, said) in [
        (
            "steps=3",
            "no argument `steps`; it has `sign`, `images`, `step`, `scale`, `mask`",
        ),
        ("sign=1.5", "`sign` has to be of type int, which 1.5 is not"),
        (
            "scale=True",
            "`scale` has to be of type float, which True is not",
        ),
        (
            "step=None",
            "`step` has to be of type Tensor, which None is not",
        ),
    ] {
        let focus = Focus::of(None, &arguments(&[given]));
        let error = whole.focused(&focus).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    for text in [
        "step",
        "step=",
        "step=x",
        "step=f(1)",
        "step=1, 2",
        "=1",
        "step=1\nx = 2",
    ] {
        assert!(text.parse::<Argument>().is_err(), "{text}");
    }
}
