//! What the criteria other than CKA measure.

use ckaprune::program::{ModuleId, ModuleTree};
use ckaprune::run::torch::state_dict::StateDict;
use ckaprune::score::cka::debiased_cka;
use ckaprune::score::criteria::{Name, Score, ScoringContext, ranking};
use tch::{Kind, Tensor};

use super::*;

fn scores(case: &Case, criterion: Name) -> Vec<Score> {
    let job = case.job();
    let context = ScoringContext {
        job: &job,
        scoring: &SCORING,
        seed: 0,
        iteration: 0,
        stop: &|| false,
    };
    match criterion
        .criterion(None)
        .measure(&context, Vec::new())
        .unwrap()
    {
        Ended::Done(found) => ranking(found),
        Ended::Stopped(_) => panic!("nobody stopped it"),
    }
}

/// The demo network, the tensors of this name below the module at `path` filled with a number.
fn filled(path: &str, value: f64) -> Archive {
    let mut archive = open(&demo());
    let network = archive.network().unwrap();
    let below: Vec<(ModuleId, String)> = network
        .modules
        .tensors(ModuleTree::ROOT)
        .filter(|(id, _, info)| info.parameter && network.modules.get(*id).path.starts_with(path))
        .map(|(id, name, _)| (id, name.to_owned()))
        .collect();
    assert!(!below.is_empty());
    let tensors: Vec<Tensor> = below
        .iter()
        .map(|(id, name)| {
            let mut all = network.modules.tensors(ModuleTree::ROOT);
            let (_, _, info) = all.find(|(i, n, _)| i == id && n == name).unwrap();
            Tensor::full(&info.shape[..], value, (Kind::Float, Device::Cpu))
        })
        .collect();
    let state = StateDict::of_tensors(below);
    state.write_back(&network, &tensors, &mut archive).unwrap();
    archive
}

fn demo_case(archive: &Archive) -> Case {
    Case::of_images(archive, [1, 28, 28], 32)
}

#[test]
fn a_block_that_adds_nothing_has_no_influence() {
    let found = scores(
        &demo_case(&filled("stage2.2.bn2", 0.)),
        Name::BlockInfluence,
    );
    assert_eq!(found[0].path, "stage2.2");
    assert!(found[0].number().abs() < 1e-6, "{found:?}");
    assert!(found[1..].iter().all(|s| s.number() > 1e-4), "{found:?}");
    assert_eq!(found[0].samples, 32);
}

#[test]
fn the_smallest_weights_are_those_of_the_block_to_remove() {
    let found = scores(&demo_case(&filled("stage3.2.", 0.001)), Name::L1);
    assert_eq!(found[0].path, "stage3.2");
    assert!((found[0].number() - 0.001).abs() < 1e-9, "{found:?}");
    // A block of large normalisation and ordinary weights is none of small weights, and none of large ones.
    let others = scores(&demo_case(&filled("stage3.2.bn1", 100.)), Name::L1);
    assert!(others.iter().all(|s| s.number() < 1.), "{others:?}");
}

#[test]
fn debiased_cka_is_that_of_the_representations() {
    let case = Case::of(&open(&fixture("basic_scripted.pt")), 40);
    let quiet = |archive: &Archive| {
        representation(&model(archive, FIXTURE_INPUT), &case.images, QUIET).unwrap()
    };
    let whole = quiet(case.model.archive());
    for score in scores(&case, Name::CkaDebiased) {
        let patch =
            Patch::remove(case.model.analysis(), std::slice::from_ref(&score.path)).unwrap();
        let without = quiet(
            &patch
                .apply(case.model.archive(), case.model.analysis())
                .unwrap(),
        );
        let expected = debiased_cka(whole.view(), without.view()).unwrap();
        assert!((score.number() - expected).abs() < TOLERANCE, "{score:?}");
    }
}

#[test]
fn a_block_that_adds_nothing_is_first_by_all_similarities() {
    let found = scores(&demo_case(&filled("stage2.2.bn2", 0.)), Name::Consensus);
    assert_eq!(
        (found[0].path.as_str(), found[0].number()),
        ("stage2.2", 1.)
    );
}

#[test]
fn every_fixture_can_be_scored_by_what_compares_no_representations() {
    for path in common::archives() {
        let archive = open(&path);
        let Ok(analysis) = Analysis::of(&archive, &Request::shape(&FIXTURE_INPUT)) else {
            continue;
        };
        if removable(&analysis).is_empty() || Pieces::of(&analysis, Form::AsWritten).is_err() {
            continue;
        }
        let case = Case::of(&archive, 12);
        for criterion in [Name::BlockInfluence, Name::L1, Name::Random] {
            let found = scores(&case, criterion);
            let finite = found.iter().all(|s| s.number().is_finite());
            assert!(
                finite && !found.is_empty(),
                "{} {criterion:?}: {found:?}",
                path.display()
            );
        }
    }
}
