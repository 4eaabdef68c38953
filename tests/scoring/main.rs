//! Scores by pieces against the plain way: remove the block, run what is left, compare the representations.

#![cfg(feature = "torch")]

#[path = "../common/mod.rs"]
mod common;
mod criteria;
mod heads;
mod race;
mod statistics;

use std::num::NonZeroUsize;

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::Patch;
use ckaprune::data::{Images, Loader, Transform, synthetic};
use ckaprune::report::progress::Progress;
use ckaprune::run::inference::{Kernels, Layer};
use ckaprune::run::segments::{Form, Pieces};
use ckaprune::run::torch::Model;
use ckaprune::run::torch::kernels::quickest;
use ckaprune::score::criteria::Score;
use ckaprune::score::{
    Against, Ended, Engine, Job, Reuse, Scoring, Tally, ranking, representation,
};
use common::{FIXTURE_INPUT, demo, fixture, open};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use tch::Device;

const QUIET: Progress = Progress { quiet: true };

const SCORING: Scoring = Scoring {
    race: None,
    space: None,
    memory: 1 << 30,
    // Does not divide the images, so that the last batch is short.
    batch: NonZeroUsize::new(16),
    progress: QUIET,
};

/// How far f32 forward passes in another form may move a similarity.
const TOLERANCE: f64 = 1e-5;

/// Channels, height and width of images.
type Input = [i64; 3];

fn images(input: Input, count: usize) -> Images {
    let input = input.map(|n| n as usize);
    let part = synthetic(input, NonZeroUsize::new(count).unwrap(), 3).unwrap();
    let batch = NonZeroUsize::new(16).unwrap();
    Images::new(part, Loader::new(batch, Transform::default()))
}

fn model(archive: &Archive, input: Input) -> Model {
    Model::new(archive.clone(), analyse_for(archive, input), Device::Cpu)
}

fn analyse(archive: &Archive) -> Analysis {
    analyse_for(archive, FIXTURE_INPUT)
}

fn analyse_for(archive: &Archive, input: Input) -> Analysis {
    let request = Request::shape(&input);
    let found = Analysis::of(archive, &request).unwrap();
    if found.interface.is_ok() {
        return found;
    }
    // Of the fixtures with several matrices the second holds the scores.
    let output = Some("1".parse().unwrap());
    Analysis::of(archive, &Request { output, ..request }).unwrap()
}

fn removable(analysis: &Analysis) -> Vec<String> {
    let blocks = analysis.blocks.iter().filter(|b| b.is_removable());
    blocks.map(|b| b.path.clone()).collect()
}

/// A scoring of all removable blocks on so many images.
struct Case {
    model: Model,
    wanted: Vec<String>,
    input: Input,
    images: Images,
}

impl Case {
    fn of(archive: &Archive, count: usize) -> Self {
        Case::of_images(archive, FIXTURE_INPUT, count)
    }

    fn of_images(archive: &Archive, input: Input, count: usize) -> Self {
        let model = model(archive, input);
        Case {
            wanted: removable(model.analysis()),
            model,
            input,
            images: images(input, count),
        }
    }

    fn job(&self) -> Job<'_> {
        Job {
            model: &self.model,
            wanted: &self.wanted,
            images: &self.images,
            range: 0..self.images.len(),
            against: Against::Current,
            savings: None,
        }
    }

    fn tallies(&self, scoring: Scoring) -> Vec<Tally> {
        finished(
            scoring
                .run(&self.job(), Vec::new(), None, &|| false)
                .unwrap(),
        )
    }

    fn scores(&self) -> anyhow::Result<Vec<Score>> {
        let ended = SCORING.run(&self.job(), Vec::new(), None, &|| false)?;
        ranking(&finished(ended), None)
    }
}

fn finished(ended: Ended<Vec<Tally>>) -> Vec<Tally> {
    match ended {
        Ended::Done(tallies) => tallies,
        Ended::Stopped(_) => panic!("nobody interrupted it"),
    }
}

/// The network run as it is written, from its input to the representation in one go.
fn represent(archive: &Archive, input: Input) -> Array2<f32> {
    let images = images(input, 40);
    let batches: Vec<_> = images.batches(0).unwrap().map(Result::unwrap).collect();
    let engine = Engine::as_written(&model(archive, input), &batches[0]).unwrap();
    let rows: Vec<Array2<f32>> = batches
        .iter()
        .map(|batch| engine.representation(batch).unwrap())
        .collect();
    let views: Vec<ArrayView2<f32>> = rows.iter().map(Array2::view).collect();
    concatenate(Axis(0), &views).unwrap()
}

fn without(archive: &Archive, analysis: &Analysis, path: &str) -> Archive {
    let patch = Patch::remove(analysis, &[path.to_owned()]).unwrap();
    patch.apply(archive, analysis).unwrap()
}

/// Kornblith et al. 2019, equation 4, written out.
fn linear_cka(x: &Array2<f32>, y: &Array2<f32>) -> f64 {
    let centred = |m: &Array2<f32>| {
        let m = m.mapv(f64::from);
        let mean = m.mean_axis(Axis(0)).unwrap();
        m - mean
    };
    let norm = |m: Array2<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
    let (x, y) = (centred(x), centred(y));
    norm(y.t().dot(&x)).powi(2) / (norm(x.t().dot(&x)) * norm(y.t().dot(&y)))
}

fn assert_scores_are_those_of_removal(name: &str, archive: &Archive, input: Input) -> usize {
    let case = Case::of_images(archive, input, 40);
    let found = case.scores().unwrap();
    let full = represent(archive, input);
    let plain = |path: &str| {
        let pruned = without(archive, case.model.analysis(), path);
        linear_cka(&full, &represent(&pruned, case.input))
    };
    let mut expected: Vec<(String, f64)> = case
        .wanted
        .iter()
        .map(|path| (path.clone(), plain(path)))
        .collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (found, (path, expected)) in found.iter().zip(&expected) {
        assert_eq!(found.path, *path, "{name}: another ranking");
        assert!(
            (found.number() - expected).abs() < TOLERANCE,
            "{name}, {path}: {} and {expected}",
            found.number()
        );
    }
    found.len()
}

#[test]
fn scores_equal_those_of_really_removing_each_block() {
    for name in [
        "basic_scripted",
        "basic_traced",
        "inplace_scripted",
        "inplace_traced",
        "preact_scripted",
        "preact_traced",
        "outputs_tuple_scripted",
        "outputs_tuple_traced",
        "outputs_dict_scripted",
        "outputs_dict_traced",
        "double_scripted",
        "basic_frozen",
        "branch_scripted",
        "branch_traced",
        "halves_scripted",
        "halves_traced",
        "postnorm_scripted",
        "postnorm_traced",
    ] {
        let archive = open(&fixture(&format!("{name}.pt")));
        let scored = assert_scores_are_those_of_removal(name, &archive, FIXTURE_INPUT);
        assert_eq!(scored, removable(&analyse(&archive)).len());
    }
}

#[test]
fn scores_by_our_own_convolutions_are_those_of_libtorch() {
    let archive = open(&demo());
    let input = [1, 16, 16];
    let case = Case::of_images(&archive, input, 8);
    let sample = case.images.first_batch().unwrap().unwrap();
    let engine = Engine::open(&case.model, &sample);
    let is_ours = |layer: &&Layer| layer.kernel.is_some();
    let ours = engine
        .unwrap()
        .pieces()
        .layers
        .iter()
        .filter(is_ours)
        .count();
    let expected = match quickest()[0] {
        Kernels::Ours => 20,
        Kernels::Libtorch => 0,
    };
    assert_eq!(ours, expected);
    assert_scores_are_those_of_removal("demo", &archive, input);
}

/// `basic`, which reads how many images there are at the start and needs it at the end.
fn with_the_batch_size_kept_throughout() -> Archive {
    let mut archive = open(&fixture("basic_scripted.pt"));
    let file = "code/__torch__.py";
    let mut text = archive.source(file).unwrap().to_owned();
    for (old, new) in [
        (
            "    relu = self.relu\n",
            "    n = torch.size(x, 0)\n    relu = self.relu\n",
        ),
        (
            "torch.flatten((pool).forward(x3, ), 1)",
            "torch.reshape((pool).forward(x3, ), [n, -1])",
        ),
    ] {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    archive.set_source(file, text);
    archive
}

#[test]
fn what_lies_in_front_of_a_block_is_not_run_again_where_the_batch_size_is_kept_throughout() {
    let archive = with_the_batch_size_kept_throughout();
    let plain = analyse(&open(&fixture("basic_scripted.pt")));
    for form in [Form::AsWritten, Form::Inference(Kernels::Libtorch)] {
        let pieces = Pieces::of(&analyse(&archive), form).unwrap();
        assert_eq!(pieces.detours, Pieces::of(&plain, form).unwrap().detours);
    }
    assert_scores_are_those_of_removal("batch size", &archive, FIXTURE_INPUT);
}

/// `preact`, its block 1 put into a branch: beside it the stream goes on, so there is no cut around the block alone.
fn with_a_block_in_a_branch() -> Archive {
    let mut archive = open(&fixture("preact_scripted.pt"));
    let file = "code/__torch__.py";
    let call = "x2 = (_1).forward(x1, )";
    let branch = "x2 = torch.mul(x1, torch.sigmoid((_1).forward(x1, )))";
    let text = archive.source(file).unwrap();
    assert!(text.contains(call));
    let text = text.replace(call, branch);
    archive.set_source(file, text);
    archive
}

#[test]
fn a_block_inside_a_branch_is_scored_by_running_the_piece_around_it() {
    let archive = with_a_block_in_a_branch();
    let pieces = Pieces::of(&analyse(&archive), Form::Inference(Kernels::Libtorch)).unwrap();
    let branched: Vec<&str> = pieces
        .detours
        .iter()
        .filter(|d| d.variant.is_some())
        .map(|d| d.path.as_str())
        .collect();
    assert_eq!(branched, ["blocks.1"]);
    assert_scores_are_those_of_removal("branch", &archive, FIXTURE_INPUT);
}

#[test]
fn the_best_candidate_has_rank_one_and_the_highest_score() {
    let archive = open(&fixture("basic_scripted.pt"));
    let scores = Case::of(&archive, 40).scores().unwrap();
    assert!(scores.windows(2).all(|w| w[0].number() >= w[1].number()));
    assert_eq!(
        scores.iter().map(|s| s.rank).collect::<Vec<_>>(),
        (1..=scores.len()).collect::<Vec<_>>()
    );
    assert!(
        scores
            .iter()
            .all(|s| s.number() > 0. && s.number() <= 1. + 1e-12)
    );
}

#[test]
fn an_earlier_representation_can_be_the_reference() {
    let original = open(&fixture("basic_scripted.pt"));
    let pruned = without(&original, &analyse(&original), "stage1.1");
    let case = Case::of(&pruned, 40);
    let whole = model(&original, FIXTURE_INPUT);
    let earlier = representation(&whole, &case.images, QUIET).unwrap();
    let job = Job {
        against: Against::Earlier(&earlier),
        ..case.job()
    };
    let tallies = finished(SCORING.run(&job, Vec::new(), None, &|| false).unwrap());
    for found in ranking(&tallies, None).unwrap() {
        let candidate = represent(
            &without(&pruned, case.model.analysis(), &found.path),
            FIXTURE_INPUT,
        );
        let expected = linear_cka(&represent(&original, FIXTURE_INPUT), &candidate);
        assert!(
            (found.number() - expected).abs() < TOLERANCE,
            "{}",
            found.path
        );
    }
}

#[test]
fn a_constant_representation_is_an_error_and_not_a_number() {
    let archive = open(&fixture("constant_scripted.pt"));
    let error = Case::of(&archive, 40).scores().unwrap_err();
    assert!(
        error.to_string().contains("the same for every image"),
        "{error}"
    );
}

/// `preact`, all but its block 5 multiplied away: without that block nothing varies any more.
#[test]
fn a_block_without_which_nothing_varies_is_named() {
    let mut archive = open(&fixture("preact_scripted.pt"));
    let file = "code/__torch__.py";
    let text = archive.source(file).unwrap();
    let cut = "x6 = (_5).forward(x5, )";
    assert!(text.contains(cut));
    // The block sees the images, the stream beside it does not: x6 = 0 * x5 + (block(x5) - x5).
    let text = text.replace(cut, "x6 = torch.sub((_5).forward(x5, ), x5)");
    archive.set_source(file, text);
    let error = Case::of(&archive, 40).scores().unwrap_err();
    assert!(
        error.to_string().contains("without block blocks.5"),
        "{error}"
    );
}

#[test]
fn only_the_wanted_blocks_are_scored() {
    let mut case = Case::of(&open(&fixture("basic_scripted.pt")), 8);
    case.wanted.retain(|path| path.starts_with("stage1."));
    assert_eq!(case.scores().unwrap().len(), 4);
}

#[test]
fn a_network_that_only_loses_a_block_takes_over_what_lies_in_front_of_it() {
    let original = open(&fixture("basic_scripted.pt"));
    let mut reuse = Reuse::new(1 << 30);
    let case = Case::of(&original, 40);
    let run = |case: &Case, reuse: Option<&mut Reuse>| {
        finished(
            SCORING
                .run(&case.job(), Vec::new(), reuse, &|| false)
                .unwrap(),
        )
    };
    run(&case, Some(&mut reuse));
    let pruned = Case::of(&without(&original, case.model.analysis(), "stage1.3"), 40);
    let pieces = |case: &Case| {
        Pieces::of(case.model.analysis(), Form::Inference(Kernels::Libtorch)).unwrap()
    };
    assert!(pieces(&pruned).common_prefix(&pieces(&case)) >= 3);
    // Bit for bit.
    assert_eq!(run(&pruned, Some(&mut reuse)), run(&pruned, None));
}

#[test]
fn nothing_is_taken_over_where_weights_in_front_have_other_names() {
    let pieces = |name: &str| {
        Pieces::of(
            &analyse(&open(&fixture(name))),
            Form::Inference(Kernels::Libtorch),
        )
        .unwrap()
    };
    assert_eq!(
        pieces("basic_scripted.pt").common_prefix(&pieces("preact_scripted.pt")),
        0
    );
}
