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
        Ended::Done(found) => ranking(found, None),
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

#[test]
fn a_block_that_adds_nothing_changes_no_answer_and_leaves_all_of_the_representation() {
    let case = demo_case(&filled("stage2.2.bn2", 0.));
    for (criterion, whole) in [(Name::Agreement, 0.), (Name::Recoverability, 1.)] {
        let found = scores(&case, criterion);
        assert_eq!(found[0].path, "stage2.2", "{criterion:?}");
        assert!((found[0].number() - whole).abs() < 1e-5, "{:?}", found[0]);
        let others = &found[1..];
        assert!(
            others.iter().all(|s| s.number() < found[0].number()),
            "{found:?}"
        );
    }
}

/// The network without a block.
fn without(case: &Case, path: &str) -> Archive {
    let (archive, analysis) = (case.model.archive(), case.model.analysis());
    let patch = Patch::remove(analysis, &[path.to_owned()]).unwrap();
    patch.apply(archive, analysis).unwrap()
}

#[test]
fn more_is_left_of_the_representation_with_a_fit_than_without() {
    let case = Case::of_images(&open(&demo()), [1, 28, 28], 160);
    let judged = case.images.subset(&(80..160).collect::<Vec<_>>());
    let rows = |archive: &Archive| {
        let rows = representation(&model(archive, case.input), &judged, QUIET).unwrap();
        rows.mapv(f64::from)
    };
    let whole = rows(case.model.archive());
    let square = |a: Array2<f64>| a.iter().map(|x| x * x).sum::<f64>();
    let mean = whole.mean_axis(Axis(0)).unwrap();
    let all = square(&whole - &mean);
    let mut gains = Vec::new();
    for score in scores(&case, Name::Recoverability) {
        assert_eq!(score.samples, 160);
        let left = 1. - square(rows(&without(&case, &score.path)) - &whole) / all;
        gains.push(score.number() - left);
    }
    assert!(gains.iter().all(|gain| *gain > -0.01), "{gains:?}");
    assert!(gains.iter().sum::<f64>() > 0.1, "{gains:?}");
}

/// What a network answers to all images of a case.
fn answers(case: &Case, archive: &Archive) -> Tensor {
    let model = model(archive, case.input);
    let module = model.module().unwrap();
    let batches = case.images.batches(0).unwrap();
    let answers = batches.map(|batch| {
        let images = module.images(&batch.unwrap().images).unwrap();
        tch::no_grad(|| module.forward(&images)).unwrap()
    });
    Tensor::cat(&answers.collect::<Vec<_>>(), 0)
}

#[test]
fn agreement_is_the_divergence_from_the_answers_of_the_whole_network() {
    let case = demo_case(&open(&demo()));
    let answers = |archive: &Archive| answers(&case, archive).log_softmax(-1, Kind::Double);
    let whole = answers(case.model.archive());
    for score in scores(&case, Name::Agreement) {
        let found = answers(&without(&case, &score.path));
        let divergence = found
            .kl_div(&whole, tch::Reduction::Sum, true)
            .double_value(&[]);
        let expected = -divergence / 32.;
        let off = (score.number() - expected).abs();
        assert!(off < 1e-4 * expected.abs().max(1.), "{score:?}: {expected}");
    }
}

#[test]
fn of_answers_that_are_no_class_scores_agreement_is_the_distance_over_the_variance() {
    let archive = open(&common::fixture("restored_traced.pt"));
    let case = Case::of(&archive, 12);
    assert!(case.model.interface().unwrap().check_scores().is_err());
    let mean = |t: &Tensor| t.mean_dim(0, true, Kind::Double);
    let answers = |archive: &Archive| answers(&case, archive).flatten(1, -1).to_kind(Kind::Double);
    let whole = answers(&archive);
    let variance = mean(&(&whole - mean(&whole)).square());
    let variance = &variance + variance.mean(Kind::Double) * 0.01;
    let found = scores(&case, Name::Agreement);
    assert!(!found.is_empty());
    for score in found {
        let off = answers(&without(&case, &score.path)) - &whole;
        let expected = (off.square() / &variance).mean(Kind::Double);
        let expected = -expected.double_value(&[]);
        let off = (score.number() - expected).abs();
        assert!(off < 1e-4 * expected.abs(), "{score:?}: {expected}");
    }
}
