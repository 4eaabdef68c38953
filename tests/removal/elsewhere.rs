//! Blocks that branches which never run, other methods and other classes speak of: they leave all of these, or none.

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::Patch;
use ckaprune::blocks::verdict::why_nothing_is_removable;
use ckaprune::blocks::{Granularity, OtherUse, Reason, Search};
use ckaprune::program::resolution::resolve;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::{CModule, IValue, Tensor};

use crate::common::{FIXTURE_INPUT, fixture, open, tests};
use crate::{BATCH, load, numbers};

fn field(name: &str) -> Archive {
    open(&tests().join("archives/field").join(name))
}

fn analysed(archive: &Archive) -> Analysis {
    Analysis::of(archive, &Request::shape(&FIXTURE_INPUT)).unwrap()
}

fn without(archive: &Archive, paths: &[String]) -> Archive {
    let analysis = analysed(archive);
    let patch = Patch::remove(&analysis, paths).unwrap();
    let patched = patch.apply(archive, &analysis).unwrap();
    resolve(&patched.network().unwrap()).unwrap();
    patched
}

/// The same for all: the seed of random numbers is shared with the tests beside this one.
fn picture() -> Tensor {
    let [channels, height, width] = FIXTURE_INPUT;
    let count = BATCH * channels * height * width;
    let angles = Tensor::arange(count, (tch::Kind::Float, tch::Device::Cpu)) * 1.7;
    angles.sin().reshape([BATCH, channels, height, width])
}

/// A method, and its arguments behind the picture.
type Call = (&'static str, Vec<IValue>);

fn given(module: &CModule, (method, more): &Call, skip: Option<&[i64]>) -> Vec<f32> {
    let mut args = vec![IValue::Tensor(picture())];
    args.extend(skip.map(|skip| IValue::IntList(skip.to_vec())));
    args.extend(more.iter().map(|value| match value {
        IValue::Tensor(tensor) => IValue::Tensor(tensor.shallow_clone()),
        IValue::Int(n) => IValue::Int(*n),
        _ => unreachable!(),
    }));
    match tch::no_grad(|| module.method_is(method, &args).unwrap()) {
        IValue::Tensor(tensor) => numbers(&tensor),
        other => panic!("{other:?}"),
    }
}

/// Everything one may call of the network, or, in a trace, what was traced.
fn calls(export: &str) -> Vec<Call> {
    let mask = Tensor::from_slice(&[0.5f32, 2., -1., 0.]).reshape([4, 1, 1]);
    let mut calls = vec![
        ("forward", vec![]),
        ("features", vec![]),
        ("encode_image", vec![]),
    ];
    if export != "traced" {
        calls.extend((0..4).map(|count| ("upto", vec![IValue::Int(count)])));
        calls.push(("forward", vec![IValue::Tensor(mask)]));
    }
    calls
}

fn assert_all_methods_skip(export: &str, gone: &[usize]) {
    let archive = field(&format!("walks_{export}.pt"));
    let analysis = analysed(&archive);
    let paths: Vec<String> = gone
        .iter()
        .map(|i| analysis.blocks[*i].path.clone())
        .collect();
    let pruned = load(&without(&archive, &paths));
    let reference = load(&field("walks_skippable.pt"));
    let skip: Vec<i64> = gone.iter().map(|i| *i as i64).collect();
    for call in calls(export) {
        let found = given(&pruned, &call, None);
        let expected = given(&reference, &call, Some(&skip));
        assert_eq!(found, expected, "{export} without {paths:?}: {call:?}");
    }
}

#[test]
fn a_block_leaves_dead_branches_other_methods_and_other_classes() {
    for export in ["scripted", "traced"] {
        let analysis = analysed(&field(&format!("walks_{export}.pt")));
        assert!(analysis.blocks.iter().all(|b| b.is_removable()), "{export}");
        for block in 0..6 {
            assert_all_methods_skip(export, &[block]);
        }
        assert_all_methods_skip(export, &[0, 1, 2, 3, 4, 5]);
    }
}

#[test]
fn random_sets_of_blocks_leave_all_methods() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for export in ["scripted", "traced"] {
        for _ in 0..4 {
            let count = rng.random_range(2..6);
            let mut gone: Vec<usize> = [0, 1, 2, 3, 4, 5]
                .sample(&mut rng, count)
                .copied()
                .collect();
            gone.sort_unstable();
            assert_all_methods_skip(export, &gone);
        }
    }
}

#[test]
fn blocks_that_leave_one_after_another_leave_all_methods() {
    let mut archive = field("walks_scripted.pt");
    let reference = load(&field("walks_skippable.pt"));
    for (i, path) in ["trunk.l2", "blocks.1", "blocks.0", "trunk.l3"]
        .iter()
        .enumerate()
    {
        archive = without(&archive, &[(*path).to_owned()]);
        let skip = &[1, 4, 3, 2][..=i];
        for call in calls("scripted") {
            let found = given(&load(&archive), &call, None);
            assert_eq!(
                found,
                given(&reference, &call, Some(skip)),
                "{skip:?}: {call:?}"
            );
        }
    }
}

/// Without modules the code of a block stands in each method anew. Where a branch that never runs holds it in another form,
/// it stays.
#[test]
fn a_block_of_a_frozen_network_leaves_all_methods_or_none() {
    let archive = field("walks_frozen.pt");
    let analysis = analysed(&archive);
    let kept: Vec<bool> = analysis.blocks.iter().map(|b| !b.is_removable()).collect();
    assert_eq!(kept, [false, false, false, true, true, true]);
    let reason = Reason::UsedElsewhere {
        class: analysis.network.modules.root().class.clone(),
        method: "forward".into(),
        otherwise: OtherUse::NoCopy,
    };
    assert_eq!(analysis.blocks[3].obstacle, Some(reason));
    let reference = load(&field("walks_skippable.pt"));
    for gone in [vec![0], vec![1], vec![2], vec![0, 2], vec![0, 1, 2]] {
        let paths: Vec<String> = gone
            .iter()
            .map(|i| analysis.blocks[*i].path.clone())
            .collect();
        let pruned = without(&archive, &paths);
        let constants = |archive: &Archive| archive.network().unwrap().constants.len();
        assert!(constants(&pruned) < constants(&archive));
        let skip: Vec<i64> = gone.iter().map(|i| *i as i64).collect();
        for call in calls("frozen") {
            let found = given(&load(&pruned), &call, None);
            let expected = given(&reference, &call, Some(&skip));
            // Folding batch normalisation into the convolutions rounds differently.
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * (1. + b.abs());
            assert!(found.iter().zip(&expected).all(close), "{skip:?}: {call:?}");
        }
    }
}

#[test]
fn what_else_is_done_with_a_block_keeps_it_and_is_named() {
    let analysis = analysed(&field("beside_scripted.pt"));
    let reason = |path: &str| match &analysis.block(path).unwrap().obstacle {
        None => None,
        Some(Reason::UsedElsewhere {
            method, otherwise, ..
        }) => Some((method.as_str(), *otherwise)),
        Some(other) => panic!("{path}: {other}"),
    };
    assert_eq!(reason("read.0"), None);
    assert_eq!(reason("read.1"), Some(("forward", OtherUse::ReadsInside)));
    assert_eq!(reason("picked.0"), Some(("one", OtherUse::PicksByNumber)));
    assert_eq!(reason("picked.1"), Some(("one", OtherUse::PicksByNumber)));
    // Behind an interface.
    assert_eq!(reason("only"), None);
    let pruned = without(
        &field("beside_scripted.pt"),
        &["read.0".to_owned(), "only".to_owned()],
    );
    let module = load(&pruned);
    assert_eq!(
        given(&module, &("forward", vec![]), None).len(),
        5 * BATCH as usize
    );
}

/// The size that a half gives along with its tensor is read behind it, so that the code of that half would stay.
#[test]
fn a_half_whose_sizes_are_read_behind_it_stays_and_says_so() {
    let archive = field("sized_scripted.pt");
    let analysis = analysed(&archive);
    let found: Vec<(&str, bool)> = analysis
        .blocks
        .iter()
        .map(|b| (b.path.as_str(), b.is_removable()))
        .collect();
    let expected = [
        ("blocks.0.mix", false),
        ("blocks.0.net", true),
        ("blocks.1.mix", false),
        ("blocks.1.net", true),
    ];
    assert_eq!(found, expected);
    let reason = analysis.block("blocks.0.mix").unwrap().obstacle.as_ref();
    assert_eq!(
        reason.unwrap().to_string(),
        "`forward` of SizedBlock reads other values that it computes, besides its output"
    );
    let pruned = without(&archive, &["blocks.0.net".into(), "blocks.1.net".into()]);
    let left: Vec<String> = analysed(&pruned)
        .network
        .modules
        .iter()
        .map(|(_, module)| module.path.clone())
        .collect();
    assert!(!left.iter().any(|path| path.ends_with(".net")), "{left:?}");
    assert!(given(&load(&pruned), &("forward", vec![]), None).len() == 5 * BATCH as usize);
}

/// What a block computes for a check alone goes with it, and so does the check; other checks stay.
#[test]
fn checks_of_what_is_gone_keep_nothing_of_a_frozen_block() {
    let archive = field("gated_frozen.pt");
    let analysis = analysed(&archive);
    let raising = |archive: &Archive| {
        let text: String = archive.sources().map(|(_, text)| text).collect();
        text.matches("RaiseException").count()
    };
    assert_eq!(raising(&archive), 3);
    for block in &analysis.blocks {
        let pruned = without(&archive, std::slice::from_ref(&block.path));
        assert_eq!(raising(&pruned), 2, "{}", block.path);
        let left = analysed(&pruned).params();
        assert_eq!(left, analysis.params() - block.params, "{}", block.path);
        let scores = given(&load(&pruned), &("forward", vec![]), None);
        assert_ne!(scores, given(&load(&archive), &("forward", vec![]), None));
    }
    assert_eq!(analysis.blocks.len(), 2);
}

/// The statement that reads the number of images stands in front of all that computes.
#[test]
fn a_half_that_begins_with_the_sizes_of_its_input_goes_with_its_module() {
    let reference = load(&field("folds_skippable.pt"));
    for export in ["scripted", "traced"] {
        let archive = field(&format!("folds_{export}.pt"));
        let search = Search {
            granularity: Granularity::Fine,
            ..Search::default()
        };
        let request = Request {
            search,
            ..Request::shape(&FIXTURE_INPUT)
        };
        let analysis = Analysis::of(&archive, &request).unwrap();
        let paths: Vec<&str> = analysis.blocks.iter().map(|b| b.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "blocks.0.mix",
                "blocks.0.net",
                "blocks.1.mix",
                "blocks.1.net"
            ],
            "{export}"
        );
        for (number, path) in paths.iter().enumerate() {
            let patch = Patch::remove(&analysis, &[(*path).to_owned()]).unwrap();
            let pruned = patch.apply(&archive, &analysis).unwrap();
            let found = crate::run(&load(&pruned), &picture());
            let expected = crate::run_skipping(&reference, &picture(), &[number as i64]);
            assert_eq!(found, expected, "{export} {path}");
            let network = pruned.network().unwrap();
            let mut modules = network.modules.iter();
            assert!(
                modules.all(|(_, module)| module.path != *path),
                "{export} {path}"
            );
        }
    }
}

/// The length of a container decides, and is computed with: without a block all of this stays as it was. Where no code asks,
/// the length is that of what is left.
#[test]
fn code_that_asks_how_many_blocks_there_are_hears_what_it_heard() {
    let mut archive = open(&fixture("basic_scripted.pt"));
    let file = "code/__torch__.py";
    let text = archive.source(file).unwrap();
    let scores = "return (fc).forward(x4, )";
    let asking = "scores = (fc).forward(x4, )
    depth = (stage1).__len__()
    for i in range((stage2).__len__()):
      depth = torch.add(depth, i)
    if torch.lt(depth, 7):
      scores0 = torch.neg(scores)
    else:
      scores0 = torch.mul(scores, 2)
    return torch.mul(scores0, (stage1).__len__())";
    let text = text.replacen(scores, asking, 1);
    assert!(text.contains(asking));
    archive.set_source(file, text);
    let analysis = analysed(&archive);
    let reference = load(&open(&fixture("basic_skippable.pt")));
    for (number, block) in analysis.blocks.iter().enumerate() {
        if !block.is_removable() {
            continue;
        }
        let pruned = without(&archive, std::slice::from_ref(&block.path));
        let found = crate::run(&load(&pruned), &picture());
        let skipped = crate::run_skipping(&reference, &picture(), &[number as i64]);
        let expected: Vec<f32> = skipped.iter().map(|score| score * 8.).collect();
        assert_eq!(found, expected, "{}", block.path);
        let lengths = pruned.sources().map(|(_, text)| text).collect::<String>();
        let shortened = block.path.starts_with("stage3");
        assert_eq!(lengths.contains("return 1\n"), shortened, "{}", block.path);
    }
}

/// Such a list is walked over by number, so that none of it may leave; what is around it may.
#[test]
fn blocks_that_a_loop_picks_by_number_stay_and_say_so() {
    let mut archive = open(&fixture("basic_scripted.pt"));
    let file = "code/__torch__.py";
    let text = archive.source(file).unwrap();
    let whole = "x2 = (stage2).forward(x1, )";
    let walk = "x2 = x1
    for i in range((stage2).__len__()):
      block = stage2[i]
      x2 = (block).forward(x2, )";
    let text = text.replacen(whole, walk, 1);
    assert!(text.contains(walk));
    archive.set_source(file, text);
    // A ModuleList has no `forward`.
    let list = "code/__torch__/torch/nn/modules/container/___torch_mangle_6.py";
    let sequential = archive.source(list).unwrap();
    let (head, rest) = sequential.split_once("  def forward").unwrap();
    let (_, length) = rest.split_once("  def __len__").unwrap();
    archive.set_source(list, format!("{head}  def __len__{length}"));
    let picked = Reason::UsedElsewhere {
        class: "__torch__.Basic".into(),
        method: "forward".into(),
        otherwise: OtherUse::PicksByNumber,
    };
    let mut analysis = analysed(&archive);
    for block in &analysis.blocks {
        match block.path.as_str() {
            "stage2.1" | "stage2.2" => assert_eq!(block.obstacle, Some(picked.clone())),
            "stage2.0" | "stage3.0" => assert!(!block.is_removable()),
            _ => assert_eq!(block.obstacle, None, "{}", block.path),
        }
    }
    analysis.blocks.retain(|b| b.path.starts_with("stage2"));
    let why = why_nothing_is_removable(&analysis);
    let told = "stage2.1, stage2.2: `forward` of Basic picks it by its number among others";
    assert!(why.ends_with(told), "{why}");
}
