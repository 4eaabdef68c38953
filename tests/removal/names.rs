//! Blocks keep their names while others leave, and what a run removed can be done again by these.

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::lineage::Lineage;

use crate::common::{FIXTURE_INPUT, open, tests};
use crate::{input, load, run};

fn nested(export: &str) -> (Archive, Analysis) {
    let archive = open(&tests().join(format!("archives/field/nested_{export}.pt")));
    let analysis = Analysis::of(&archive, &Request::shape(&FIXTURE_INPUT)).unwrap();
    (archive, analysis)
}

fn names(analysis: &Analysis) -> Vec<&str> {
    analysis.blocks.iter().map(|b| b.path.as_str()).collect()
}

/// The names that blocks have after these removals, one after another.
fn names_without(export: &str, removed: &[&str]) -> Vec<String> {
    let (archive, began) = nested(export);
    let steps: Vec<Vec<String>> = removed.iter().map(|path| vec![(*path).into()]).collect();
    let (archive, mut lineage) = Lineage::replay(&archive, &began, &steps).unwrap();
    let mut analysis = Analysis::of(&archive, &began.request).unwrap();
    lineage.name(&mut analysis);
    names(&analysis).into_iter().map(String::from).collect()
}

#[test]
fn a_larger_block_does_not_inherit_the_name_of_one_in_it() {
    let (_, began) = nested("scripted");
    assert_eq!(
        names(&began),
        ["outer.0.h1", "outer.0.h2", "outer.1.h1", "outer.1.h2"]
    );
    assert_eq!(
        names_without("scripted", &["outer.0.h1"]),
        ["outer.0", "outer.1.h1", "outer.1.h2"]
    );
    assert_eq!(
        names_without("scripted", &["outer.1.h2", "outer.0.h1", "outer.1"]),
        ["outer.0"]
    );
}

#[test]
fn names_by_place_stay_with_their_blocks() {
    let (_, began) = nested("frozen");
    let first = [
        "stage1.block1",
        "stage1.block2",
        "stage1.block3",
        "stage1.block4",
    ];
    assert_eq!(names(&began), first);
    let after = names_without("frozen", &["stage1.block1"]);
    assert_eq!(after, ["stage1.block1_2", "stage1.block3", "stage1.block4"]);
    let after = names_without("frozen", &["stage1.block1", "stage1.block1_2"]);
    assert_eq!(after, ["stage1.block3", "stage1.block4"]);
    let after = names_without("frozen", &["stage1.block4", "stage1.block1"]);
    assert_eq!(after, ["stage1.block1_2", "stage1.block3_2"]);
}

#[test]
fn steps_do_the_same_to_the_original_again() {
    for (export, steps) in [
        ("scripted", ["outer.0.h2", "outer.0", "outer.1.h1"]),
        (
            "frozen",
            ["stage1.block2", "stage1.block1_2", "stage1.block3"],
        ),
    ] {
        let (original, began) = nested(export);
        let mut lineage = Lineage::of(&began);
        let mut archive = original.clone();
        for step in steps {
            let mut analysis = Analysis::of(&archive, &began.request).unwrap();
            lineage.name(&mut analysis);
            let path = [step.to_owned()];
            archive = crate::Patch::remove(&analysis, &path)
                .unwrap()
                .apply(&archive, &analysis)
                .unwrap();
            lineage.follow(&analysis, &path);
        }
        let steps: Vec<Vec<String>> = steps.iter().map(|path| vec![(*path).into()]).collect();
        let (again, _) = Lineage::replay(&original, &began, &steps).unwrap();
        assert!(
            again.to_bytes().unwrap() == archive.to_bytes().unwrap(),
            "{export}"
        );
        let input = input();
        assert_eq!(run(&load(&again), &input), run(&load(&archive), &input));
    }
}
