//! The page of a pruning run.

mod accuracy;
mod repairs;
#[cfg(test)]
mod tests;

use super::report::PruneReport;
use crate::blocks::show_shape;
use crate::cli::torch_commands::file_name;
use crate::cli::torch_commands::measure_page::warned;
use crate::cli::torch_commands::report_files::Document;
use crate::prune::Iteration;
use crate::report::page::charts::{
    Bar, Bars, Block, BlockKind, Group, HeatMap, Mark, Stage, Stages, Unit,
};
use crate::report::page::{Beside, Headline, Page, Section, how_to_repeat};
use crate::report::{BlockReport, calibration_images, change, milliseconds, thousands, true_minus};
use crate::score::criteria::{Score, Value};

/// The report as a page.
pub(super) fn page(document: &Document<PruneReport>) -> Page {
    let report = document.result;
    let mut sections = vec![
        at_a_glance(report, document.blocks),
        blocks(report, document.blocks),
        Section::new("Iterations").with(report.iteration_table(false)),
        Section::new("Before and after").with(report.comparison()),
    ];
    sections.extend(repairs::section(report));
    sections.extend(speed(report));
    sections.extend(how_to_repeat(document.invocation));
    Page {
        title: format!("Pruning of {}", file_name(&report.model)),
        subtitle: subtitle(report),
        headlines: headlines(report),
        sections,
    }
}

/// The network as it was and is beside what each step cost and gave back.
fn at_a_glance(report: &PruneReport, blocks: &[BlockReport]) -> Section {
    let network = stages(report, blocks).into();
    let steps = accuracy::content(report);
    Section::new("What went, and what it cost").with(Beside(vec![network, steps]))
}

fn subtitle(report: &PruneReport) -> String {
    let PruneReport {
        removed,
        before,
        samples,
        ..
    } = report;
    let images = calibration_images(*samples, report.synthetic);
    let stopped = match report.stopped_by.option() {
        Some(option) => format!(" The run was stopped by {option}."),
        None => String::new(),
    };
    format!(
        "{} of {} blocks removed, chosen by {} on {images}. Written to {}.{stopped}{}",
        removed.len(),
        before.blocks,
        report.grounds(),
        report.output,
        warned(&report.warnings)
    )
}

fn headlines(report: &PruneReport) -> Vec<Headline> {
    let (before, after) = (&report.before, &report.after);
    let count = |x: i64| Unit::Count.show(x as f64, 0.);
    let size = |label: &str, a: i64, b: i64| Headline {
        label: label.into(),
        value: count(b),
        note: format!(
            "{} % of {}",
            true_minus(&format!("{:+.1}", change(a, b))),
            count(a)
        ),
    };
    let mut headlines = Vec::new();
    if let (Some(a), Some(b)) = (before.quality(), after.quality()) {
        let measure = &report.measure;
        headlines.push(Headline {
            label: measure.name().into(),
            value: measure.show(b),
            note: format!(
                "{} of {}",
                true_minus(&measure.change(a, b)),
                measure.show(a)
            ),
        });
    }
    headlines.push(size("MACs", before.macs, after.macs));
    headlines.push(size("parameters", before.params, after.params));
    if let (Some(a), Some(b)) = (before.latency, after.latency) {
        headlines.push(Headline {
            label: "an image takes".into(),
            value: format!("{} ms", milliseconds(b)),
            note: format!("×{:.2} of {} ms", b / a, milliseconds(a)),
        });
    } else if let (Some(a), Some(b)) = (before.images_per_second, after.images_per_second) {
        headlines.push(Headline {
            label: "images per second".into(),
            value: thousands(b.round() as i64),
            note: format!("×{:.2} of {}", b / a, thousands(a.round() as i64)),
        });
    }
    headlines
}

fn blocks(report: &PruneReport, blocks: &[BlockReport]) -> Section {
    let section = Section::new("Blocks")
        .with(meaning(report))
        .with(scores(report, blocks));
    let raced = report
        .iterations
        .iter()
        .flat_map(|i| &i.candidates)
        .any(|score| score.samples < report.samples);
    if raced {
        section.with(
            "Blocks that were surely behind were dropped early from the comparison: their values rest on fewer images.",
        )
    } else {
        section
    }
}

/// How to read the criterion's values.
fn meaning(report: &PruneReport) -> String {
    let word = capital(report.word());
    let value = report.iterations.first().map(|i| i.value);
    let first = match value.is_some_and(|value| value.highest_goes_first()) {
        true => "highest",
        false => "lowest",
    };
    let told = match value {
        Some(Value::Cka(_) | Value::CkaDebiased(_)) => format!(
            "{word} compares what the network makes of the images with a block and without it: 1 means that nothing \
             changes. "
        ),
        Some(Value::Recoverability(_)) => {
            "Recoverable is the part of the representation that is left without a block \
            once the linear map in front of the gap is fitted anew: 1 is all of it. "
                .into()
        }
        Some(Value::Agreement(_)) => {
            "Closeness is how far the network's answers move without a block, below 0: class \
            probabilities by a divergence in nats, other answers by the squared difference over \
            their variance; 0 means not at all. "
                .into()
        }
        _ => String::new(),
    };
    match report.per {
        None => format!(
            "{told}The block with the {first} value of {} goes first.",
            report.word()
        ),
        Some(per) => format!(
            "{told}The block whose removal costs least of that for the {} that it saves goes first.",
            per.word()
        ),
    }
}

fn stages(report: &PruneReport, blocks: &[BlockReport]) -> Stages {
    let exported = &report.iterations[..report.picked.min(report.iterations.len())];
    let block = |b: &BlockReport| Block {
        name: b.path.clone(),
        kind: if b.removable {
            BlockKind::Removable
        } else if b.input_shape != b.output_shape {
            BlockKind::ChangesShape
        } else {
            BlockKind::Fixed
        },
        macs: b.macs as f64,
        removed: exported
            .iter()
            .find(|i| i.removed.contains(&b.path))
            .map(|i| i.iteration),
        note: b.reason.clone().unwrap_or_default(),
    };
    let in_stages = blocks.chunk_by(|a, b| a.stage == b.stage);
    let stage = |blocks: &[BlockReport]| {
        let shape = blocks.last().and_then(|b| b.output_shape.as_deref());
        let number = blocks.first().map_or(0, |b| b.stage);
        Stage {
            name: match shape {
                Some(shape) => format!("stage {number}, {}", show_shape(shape)),
                None => format!("stage {number}"),
            },
            blocks: blocks.iter().map(block).collect(),
        }
    };
    Stages {
        title: "The network's blocks in the order in which they run".into(),
        stages: in_stages.map(stage).collect(),
    }
}

/// The criterion's value of each block in each iteration.
fn scores(report: &PruneReport, blocks: &[BlockReport]) -> HeatMap {
    let mut columns: Vec<&Iteration> = report.iterations.iter().collect();
    // The removals that ended the run have an iteration of their own.
    columns.extend(
        report
            .rolled_back
            .iter()
            .find(|i| i.iteration > columns.len()),
    );
    let scored = |b: &&BlockReport| {
        let mut candidates = columns.iter().flat_map(|i| &i.candidates);
        candidates.any(|score| score.path == b.path)
    };
    let rows: Vec<&BlockReport> = blocks.iter().filter(scored).collect();
    let number = |path: &str, i: &Iteration| {
        let score = i.candidates.iter().find(|score| score.path == path);
        score.map(Score::number)
    };
    let marks = report
        .iterations
        .iter()
        .enumerate()
        .flat_map(|(column, i)| {
            let row = |path: &String| rows.iter().position(|b| b.path == *path);
            let removed = i.removed.iter().filter_map(row).collect::<Vec<_>>();
            removed.into_iter().map(move |row| Mark { row, column })
        });
    let places = 1..rows.len();
    HeatMap {
        title: format!("{} of each block in each iteration", capital(report.word())),
        value: report.word().into(),
        unit: Unit::Plain,
        row: "block".into(),
        column: "iteration".into(),
        rows: rows.iter().map(|b| b.path.clone()).collect(),
        columns: columns.iter().map(|i| i.iteration.to_string()).collect(),
        values: rows
            .iter()
            .map(|b| columns.iter().map(|i| number(&b.path, i)).collect())
            .collect(),
        range: range(columns.iter().flat_map(|i| &i.candidates)),
        marks: marks.collect(),
        marked: "removed".into(),
        row_groups: places
            .filter(|&i| rows[i].stage != rows[i - 1].stage)
            .collect(),
        ..HeatMap::default()
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars
        .next()
        .map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
}

/// The range of the values, without the twentieth of them that is farthest from removal. Otherwise a single block that the
/// network cannot do without would leave no colours for the others.
fn range<'a>(scores: impl Iterator<Item = &'a Score>) -> Option<[f64; 2]> {
    let mut scores: Vec<&Score> = scores.filter(|s| s.number().is_finite()).collect();
    scores.sort_by(|a, b| a.value.order(&b.value));
    let most = scores.first()?;
    let least = scores[(scores.len() - 1) * 19 / 20];
    Some(match most.value.highest_goes_first() {
        true => [least.number(), most.number()],
        false => [most.number(), least.number()],
    })
}

/// The times, if they were taken.
fn speed(report: &PruneReport) -> Option<Section> {
    let group = |label: String, value: Option<f64>| {
        Some(Group {
            label,
            bars: vec![Some(Bar::of(value?))],
        })
    };
    let mut section = Section::new("Speed");
    let (before, after) = (&report.before, &report.after);
    if before.latency.is_some() {
        let iterations = report.iterations.iter();
        let each = iterations.map(|i| group(format!("iteration {}", i.iteration), i.after.latency));
        let all = [group("original".into(), before.latency)]
            .into_iter()
            .chain(each);
        section = section.with(Bars {
            title: "A forward pass of one image".into(),
            value: "latency".into(),
            unit: Unit::Milliseconds,
            series: Vec::new(),
            groups: all.flatten().collect(),
        });
    }
    if before.images_per_second.is_some() {
        let both = [("before", before), ("after", after)];
        section = section.with(Bars {
            title: "Images per second, both networks measured in turn".into(),
            value: "images per second".into(),
            unit: Unit::Count,
            series: Vec::new(),
            groups: both
                .into_iter()
                .filter_map(|(label, f)| group(label.into(), f.images_per_second))
                .collect(),
        });
    }
    (!section.contents.is_empty()).then_some(section)
}
