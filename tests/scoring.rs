//! Scores by pieces against the plain way: remove the block, run what is left, compare the representations.

#![cfg(feature = "torch")]

mod common;

use std::num::NonZeroUsize;

use ckaprune::analysis::{Analysis, Request};
use ckaprune::archive::Archive;
use ckaprune::data::{Loader, Part, Transform, synthetic};
use ckaprune::patch::Patch;
use ckaprune::progress::Progress;
use ckaprune::score::{Against, Scores, representation, score};
use ckaprune::segments::Pieces;
use common::{FIXTURE_INPUT, fixture, open};
use ndarray::{Array2, Axis};
use tch::Device;

const QUIET: Progress = Progress { quiet: true };

fn images(count: usize) -> Part {
    synthetic([3, 8, 8], NonZeroUsize::new(count).unwrap(), 3).unwrap()
}

fn loader() -> Loader {
    // Batches that do not divide the images, so that the last one is short.
    Loader::new(NonZeroUsize::new(16).unwrap(), Transform::default())
}

fn analyse(archive: &Archive) -> Analysis {
    let request = Request::shape(&FIXTURE_INPUT);
    let found = Analysis::of(archive, &request).unwrap();
    if found.interface.is_ok() {
        return found;
    }
    // Of the fixtures with several matrices the second holds the scores.
    let output = Some("1".parse().unwrap());
    Analysis::of(archive, &Request { output, ..request }).unwrap()
}

fn score_all(archive: &Archive, analysis: &Analysis, against: Against) -> anyhow::Result<Scores> {
    score(
        archive,
        analysis,
        |_| true,
        (&images(40), &loader()),
        Device::Cpu,
        against,
        QUIET,
    )
}

fn represent(archive: &Archive) -> Array2<f32> {
    representation(
        archive,
        &analyse(archive),
        (&images(40), &loader()),
        Device::Cpu,
        QUIET,
    )
    .unwrap()
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

fn assert_scores_are_those_of_removal(name: &str, archive: &Archive) -> usize {
    let analysis = analyse(archive);
    let scores = score_all(archive, &analysis, Against::Current).unwrap();
    let full = represent(archive);
    assert_eq!(scores.representation, full, "{name}");
    for found in &scores.scores {
        let expected = linear_cka(&full, &represent(&without(archive, &analysis, &found.path)));
        assert!(
            (found.cka - expected).abs() < 1e-9,
            "{name}, {}: {} and {expected}",
            found.path,
            found.cka
        );
    }
    scores.scores.len()
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
    ] {
        let archive = open(&fixture(&format!("{name}.pt")));
        let scored = assert_scores_are_those_of_removal(name, &archive);
        assert_eq!(
            scored,
            analyse(&archive)
                .blocks
                .iter()
                .filter(|b| b.is_removable())
                .count()
        );
    }
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
    let pieces = Pieces::of(&analyse(&archive)).unwrap();
    let branched: Vec<&str> = pieces
        .detours
        .iter()
        .filter(|d| d.variant.is_some())
        .map(|d| d.path.as_str())
        .collect();
    assert_eq!(branched, ["blocks.1"]);
    assert_scores_are_those_of_removal("branch", &archive);
}

#[test]
fn the_best_candidate_has_rank_one_and_the_highest_score() {
    let archive = open(&fixture("basic_scripted.pt"));
    let scores = score_all(&archive, &analyse(&archive), Against::Current)
        .unwrap()
        .scores;
    assert!(scores.windows(2).all(|w| w[0].cka >= w[1].cka));
    assert_eq!(
        scores.iter().map(|s| s.rank).collect::<Vec<_>>(),
        (1..=scores.len()).collect::<Vec<_>>()
    );
    assert!(scores.iter().all(|s| s.cka > 0. && s.cka <= 1. + 1e-12));
}

#[test]
fn an_earlier_representation_can_be_the_reference() {
    let original = open(&fixture("basic_scripted.pt"));
    let earlier = represent(&original);
    let pruned = without(&original, &analyse(&original), "stage1.1");
    let analysis = analyse(&pruned);
    for found in score_all(&pruned, &analysis, Against::Earlier(&earlier))
        .unwrap()
        .scores
    {
        let expected = linear_cka(
            &earlier,
            &represent(&without(&pruned, &analysis, &found.path)),
        );
        assert!((found.cka - expected).abs() < 1e-9, "{}", found.path);
    }
}

#[test]
fn a_constant_representation_is_an_error_and_not_a_number() {
    let archive = open(&fixture("constant_scripted.pt"));
    let error = score_all(&archive, &analyse(&archive), Against::Current).unwrap_err();
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
    let error = score_all(&archive, &analyse(&archive), Against::Current).unwrap_err();
    assert!(
        error.to_string().contains("without block blocks.5"),
        "{error}"
    );
}

#[test]
fn only_the_wanted_blocks_are_scored() {
    let archive = open(&fixture("basic_scripted.pt"));
    let wanted = |path: &str| path.starts_with("stage1.");
    let analysis = analyse(&archive);
    let calibration = (&images(8), &loader());
    let scores = score(
        &archive,
        &analysis,
        wanted,
        calibration,
        Device::Cpu,
        Against::Current,
        QUIET,
    )
    .unwrap();
    assert_eq!(scores.scores.len(), 4);
}
