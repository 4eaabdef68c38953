//! A page of a made-up run.

use crate::prune::{Figures, Stop};
use crate::report::Invocation;
use crate::report::SCHEMA;
use crate::report::page::Content;
use crate::report::yardstick::Yardstick;
use crate::score::criteria;
use crate::train::agreement::Agreement;
use crate::train::repair::{Repair, Step};

use super::*;

const BLOCKS: usize = 27;

/// Three stages of nine; the first block of a stage but the first changes the shape.
fn block(i: usize) -> BlockReport {
    let stage = i / 9;
    let changes = i > 0 && i.is_multiple_of(9);
    let shape = |stage: usize| Some(vec![16 << stage, 32 >> stage, 32 >> stage]);
    BlockReport {
        path: format!("layer{}.{}", stage + 1, i % 9),
        stage: stage + 1,
        removable: !changes,
        reason: changes.then(|| "it changes the shape".to_owned()),
        input_shape: shape(if changes { stage - 1 } else { stage }),
        output_shape: shape(stage),
        stride: None,
        receptive_field: None,
        params: 4_672 << (2 * stage),
        params_share: None,
        macs: 4_718_592,
        macs_share: None,
        value: None,
        rank: None,
        samples: None,
        saves: None,
    }
}

fn figures(gone: usize) -> Figures {
    Figures {
        params: 855_770 - 20_000 * gone as i64,
        macs: 125_485_696 - 4_718_592 * gone as i64,
        blocks: BLOCKS - gone,
        accuracy: Some(0.9326 - 0.0002 * (gone * gone) as f64),
        latency: Some(0.004 - 0.0001 * gone as f64),
        images_per_second: Some(300. + 12. * gone as f64),
        ..Figures::default()
    }
}

/// Block 3 n + 1 goes in iteration n.
fn iteration(number: usize) -> Iteration {
    let left = (1..BLOCKS).filter(|i| !i.is_multiple_of(9) && (i % 3 != 1 || i / 3 + 1 >= number));
    let score = |i: usize| Score {
        path: block(i).path,
        value: Value::Cka(if i == 3 * number - 2 {
            0.9999
        } else {
            0.999 - 0.002 * i as f64
        }),
        rank: 1,
        samples: 1024,
        saves: None,
    };
    let removed = block(3 * number - 2).path;
    Iteration {
        accuracy_before_finetuning: Some(0.9 - 0.01 * number as f64),
        after: figures(number),
        ..Iteration::of(number, &[removed], left.map(score).collect())
    }
}

fn report() -> PruneReport {
    let iterations: Vec<Iteration> = (1..=8).map(iteration).collect();
    PruneReport {
        places: None,
        measure: Yardstick::Accuracy,
        schema: SCHEMA,
        command: "prune",
        model: "models/<b>resnet56.pt".into(),
        output: "pruned.pt".into(),
        input_shape: vec![3, 32, 32],
        scores: crate::program::interface::Scale::default(),
        samples: 1024,
        criterion: criteria::Name::Cka,
        per: None,
        synthetic: false,
        seed: 0,
        removed: iterations[..7]
            .iter()
            .flat_map(|i| i.removed.clone())
            .collect(),
        before: figures(0),
        after: figures(7),
        baseline: Some(figures(0)),
        pretraining: None,
        stopped_by: Stop::MaxDrop,
        picked: 7,
        iterations,
        rolled_back: vec![iteration(9)],
        final_tuning: None,
        epochs: 7,
        warnings: Vec::new(),
        skipped: 0,
    }
}

fn chart<'a, T>(page: &'a Page, is: impl Fn(&'a Content) -> Option<&'a T>) -> &'a T {
    let contents = page.sections.iter().flat_map(|s| &s.contents);
    let mut single = contents.flat_map(|content| match content {
        Content::Beside(beside) => beside.0.as_slice(),
        content => std::slice::from_ref(content),
    });
    single.find_map(is).unwrap()
}

fn page_of(report: &PruneReport) -> Page {
    page(&Document {
        result: report,
        blocks: &(0..BLOCKS).map(block).collect::<Vec<_>>(),
        invocation: &Invocation::default(),
    })
}

#[test]
fn a_page_shows_the_run() {
    let page = page_of(&report());
    let frontier = chart(&page, |c| match c {
        Content::Frontier(frontier) => Some(frontier),
        _ => None,
    });
    let points: Vec<_> = frontier
        .series
        .iter()
        .map(|s| (s.name.as_str(), s.points.len()))
        .collect();
    assert_eq!(
        points,
        [
            ("iteration", 8),
            ("original", 1),
            ("original, fine-tuned as long", 1),
            ("rolled back", 1)
        ]
    );
    let chosen = frontier.series[0].points.iter().filter(|p| p.chosen);
    assert_eq!(chosen.map(|p| p.label.as_str()).collect::<Vec<_>>(), ["7"]);
    assert_eq!(frontier.series[0].points[0].from, Some(0.89));
    let stages = chart(&page, |c| match c {
        Content::Stages(stages) => Some(stages),
        _ => None,
    });
    let names: Vec<&str> = stages.stages.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        ["stage 1, 16×32×32", "stage 2, 32×16×16", "stage 3, 64×8×8"]
    );
    let all = || stages.stages.iter().flat_map(|s| &s.blocks);
    assert_eq!(
        all().filter(|b| b.kind == BlockKind::ChangesShape).count(),
        2
    );
    let gone: Vec<_> = all().filter_map(|b| b.removed).collect();
    assert_eq!(
        gone,
        [1, 2, 3, 4, 5, 6, 7],
        "what the exported network lacks"
    );
}

#[test]
fn the_map_has_a_column_for_what_was_rolled_back_at_the_end() {
    let page = page_of(&report());
    let map = chart(&page, |c| match c {
        Content::HeatMap(map) => Some(map),
        _ => None,
    });
    assert_eq!((map.rows.len(), map.columns.len()), (24, 9));
    assert_eq!(map.marks.len(), 8, "removals that were kept");
    let row = map.rows.iter().position(|r| r == "layer1.1").unwrap();
    let values = &map.values[row];
    assert!(values[0].is_some() && values[1..].iter().all(Option::is_none));
    assert_eq!(map.row_groups.len(), 2);
}

#[test]
fn without_labels_no_accuracy_is_drawn() {
    let mut report = report();
    report.before.accuracy = None;
    report.after.accuracy = None;
    let html = page_of(&report).html();
    assert!(html.contains("no accuracy was measured"));
    assert!(!html.contains("<b>resnet56"), "names are text");
}

#[test]
fn each_step_of_repair_is_shown_with_what_it_gave() {
    let agreement = |same_class, closeness| Agreement {
        same_class: Some(same_class),
        closeness,
    };
    let mut report = report();
    report.iterations[1].repairs = vec![
        Repair {
            step: Step::Refit,
            before: agreement(0.8, -0.5),
            after: agreement(0.9, -0.25),
        },
        Repair {
            step: Step::Bn,
            before: agreement(0.9, -0.25),
            after: agreement(0.95, -0.375),
        },
    ];
    let page = page_of(&report);
    let section = page.sections.iter().find(|s| s.title == "Repair").unwrap();
    let table = section.contents.iter().find_map(|c| match c {
        Content::Table(table) => Some(table),
        _ => None,
    });
    let rows: Vec<String> = table.unwrap().rows.iter().map(|r| r.join(" | ")).collect();
    assert_eq!(
        rows,
        [
            "2 | linear maps fitted anew | 80.00 % | 90.00 % | 0.5000 | 0.2500 | ",
            "2 | statistics of batch norm | 90.00 % | 95.00 % | 0.2500 | 0.3750 | undone",
        ]
    );
    report.iterations[1].repairs.clear();
    assert!(
        page_of(&report)
            .sections
            .iter()
            .all(|s| s.title != "Repair")
    );
}
