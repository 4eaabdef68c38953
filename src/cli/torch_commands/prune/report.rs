//! What `prune` reports, for programs and for people.

use std::fmt::Write as _;

use serde::Serialize;

use crate::blocks::value::{Per, Value};
use crate::program::interface::Scale;
use crate::prune::{Figures, Iteration, Stop};
use crate::report::page::{Column, Table};
use crate::report::yardstick::Yardstick;
use crate::report::{
    bar, change, counted, in_percent, is_zero, milliseconds, percent, text_of, thousands,
};
use crate::score::criteria;
use crate::train::finetune::Tuning;

#[derive(Serialize)]
pub(super) struct PruneReport {
    pub schema: u32,
    pub command: &'static str,
    pub model: String,
    pub output: String,
    pub input_shape: Vec<i64>,
    /// How many calibration images there were.
    pub samples: usize,
    /// Places of each of them that were compared; absent where images were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub places: Option<usize>,
    /// What the network gives in place of scores before softmax; absent where it gives those.
    #[serde(skip_serializing_if = "Scale::is_usual")]
    pub scores: Scale,
    pub criterion: criteria::Name,
    /// What its values are weighed against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Per>,
    /// What takes accuracy's place; absent where nothing does.
    #[serde(skip_serializing_if = "Yardstick::is_accuracy")]
    pub measure: Yardstick,
    /// The calibration images were random noise.
    pub synthetic: bool,
    pub seed: u64,
    /// Paths of the blocks that the exported network lacks, in the order of removal.
    pub removed: Vec<String>,
    /// The figures of the network that the first block is taken from: as given, or pretrained.
    pub before: Figures,
    /// The figures of the exported file, which is read back for that.
    pub after: Figures,
    /// The figures of the unpruned network after the same number of fine-tuning epochs.
    pub baseline: Option<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretraining: Option<Tuning>,
    pub stopped_by: Stop,
    /// The iteration whose network was exported; 0 for the network before any removal.
    pub picked: usize,
    pub iterations: Vec<Iteration>,
    /// Removals that cost too much accuracy and were undone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rolled_back: Vec<Iteration>,
    /// The fine-tuning of the exported network that came after the last removal and its own fine-tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_tuning: Option<Tuning>,
    /// In how many epochs the exported network was fine-tuned.
    #[serde(skip)]
    pub epochs: usize,
    /// Why the figures may not be what they seem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Image files that could not be used and were left out.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub skipped: usize,
}

impl PruneReport {
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", text_of(&self.iteration_table(true)));
        let _ = writeln!(out, "{}", text_of(&self.comparison()));
        if let Some(baseline) = &self.baseline
            && let (Some(pruned), Some(full)) = (self.after.quality(), baseline.quality())
        {
            let _ = writeln!(
                out,
                "{} against the unpruned network fine-tuned for the same {} epochs",
                self.measure.change(full, pruned),
                self.epochs
            );
        }
        if let Some(option) = self.stopped_by.option() {
            let _ = writeln!(out, "stopped by {option}");
        }
        if let Some(tuning) = &self.final_tuning {
            let epochs = counted(tuning.train_losses.len().max(tuning.kept_epoch), "epoch");
            let came_of_it = match tuning.kept_epoch {
                0 => "none of which did clearly better than the weights before, which are written",
                _ => "before it was written",
            };
            let _ = writeln!(out, "fine-tuned for {epochs} more, {came_of_it}");
        }
        if self.picked != self.iterations.len() {
            let _ = writeln!(out, "picked iteration {}", self.picked);
        }
        let _ = writeln!(
            out,
            "written to {}, read back and measured again",
            self.output
        );
        out
    }

    /// Every removal in the order in which it was tried, and whether it was rolled back.
    pub fn attempts(&self) -> Vec<(&Iteration, bool)> {
        let undone = self.rolled_back.iter().map(|i| (i, true));
        let kept = self.iterations.iter().map(|i| (i, false));
        let mut all: Vec<_> = undone.chain(kept).collect();
        all.sort_by_key(|(iteration, _)| iteration.iteration);
        all
    }

    /// What the criterion's value is called.
    pub fn word(&self) -> &'static str {
        self.first_value().map_or("CKA", Value::word)
    }

    /// What blocks were chosen by, in a sentence.
    pub fn grounds(&self) -> &'static str {
        self.first_value().map_or("CKA", Value::grounds)
    }

    fn first_value(&self) -> Option<Value> {
        Some(self.attempts().first()?.0.value)
    }

    /// A table with every removal. On a terminal accuracies have `bars`, if they are asked for.
    pub fn iteration_table(&self, bars: bool) -> Table {
        let measured = self.before.quality().is_some();
        let validated = self.before.validation_accuracy.is_some();
        let timed = self.iterations.iter().any(|i| i.after.latency.is_some());
        let bar_of = |after: &Figures| match after.accuracy.or(after.validation_accuracy) {
            // The ends of another measure are not known.
            Some(accuracy) if bars && self.measure.is_accuracy() => bar(accuracy, 1., BAR_WIDTH),
            _ => String::new(),
        };
        let attempts = self.attempts();
        let barred = attempts.iter().any(|(i, _)| !bar_of(&i.after).is_empty());
        let mut columns = vec![
            Column::numbers(""),
            Column::words("removed"),
            Column::numbers(self.word()),
            Column::numbers("MACs left"),
        ];
        columns.extend(timed.then(|| Column::numbers("ms")));
        if measured {
            let steps = [self.measure.name(), "repaired", "fine-tuned"];
            columns.extend(steps.map(Column::numbers));
        }
        let validation = match self.measure.is_accuracy() {
            true => "validation",
            false => "validation accuracy",
        };
        columns.extend(validated.then(|| Column::numbers(validation)));
        columns.extend(barred.then(|| Column::words("")));
        let mut rows = Vec::new();
        for (iteration, undone) in attempts {
            let undone = if undone { " (rolled back)" } else { "" };
            let after = &iteration.after;
            let mut row = vec![
                iteration.iteration.to_string(),
                format!("{}{undone}", iteration.removed.join(", ")),
                format!("{:.6}", iteration.value.number()),
                percent(after.macs, self.before.macs),
            ];
            row.extend(timed.then(|| or_dash(after.latency, milliseconds)));
            if measured {
                let show = |quality| or_dash(quality, |value| self.measure.show(value));
                row.extend(iteration.qualities().map(show));
            }
            row.extend(validated.then(|| or_dash(after.validation_accuracy, in_percent)));
            row.extend(barred.then(|| bar_of(after)));
            rows.push(row);
        }
        Table {
            columns,
            rows,
            ..Table::default()
        }
    }

    /// The network before and after.
    pub fn comparison(&self) -> Table {
        let tuned = self.baseline.is_some();
        let mut columns = vec![Column::words("")];
        columns.extend(["before", "after", "change"].map(Column::numbers));
        columns.extend(tuned.then(|| Column::numbers("unpruned, tuned as long")));
        let sizes = self.sizes().into_iter();
        let rows = sizes.chain(self.quality()).chain(self.speed());
        let rows = rows.map(|row| {
            let mut cells = vec![row.name, row.before, row.after, row.change];
            cells.extend(tuned.then_some(row.full));
            cells
        });
        Table {
            columns,
            rows: rows.collect(),
            ..Table::default()
        }
    }

    /// The unpruned network: fine-tuned as long, if that was asked for, or else as it was given.
    fn full(&self) -> Figures {
        self.baseline.unwrap_or(self.before)
    }

    fn sizes(&self) -> [Compared; 3] {
        let (before, after, full) = (&self.before, &self.after, self.full());
        let counts = |name: &str, of: fn(&Figures) -> i64| Compared {
            name: name.into(),
            before: thousands(of(before)),
            after: thousands(of(after)),
            change: format!("{:+.2} %", change(of(before), of(after))),
            full: thousands(of(&full)),
        };
        let blocks = Compared {
            name: "blocks".into(),
            before: before.blocks.to_string(),
            after: after.blocks.to_string(),
            change: format!("{:+}", after.blocks as i64 - before.blocks as i64),
            full: full.blocks.to_string(),
        };
        [
            blocks,
            counts("parameters", |figures| figures.params),
            counts("MACs", |figures| figures.macs),
        ]
    }

    fn quality(&self) -> Vec<Compared> {
        let (before, after, full) = (&self.before, &self.after, self.full());
        let mut rows = Vec::new();
        if let (Some(a), Some(b)) = (before.quality(), after.quality()) {
            let show = |value| self.measure.show(value);
            rows.push(Compared {
                name: self.measure.name().into(),
                before: show(a),
                after: show(b),
                change: self.measure.change(a, b),
                full: or_dash(full.quality(), show),
            });
        }
        if let (Some(a), Some(b)) = (before.loss, after.loss) {
            let loss = |loss: f64| format!("{loss:.4}");
            rows.push(Compared {
                name: "loss".into(),
                before: loss(a),
                after: loss(b),
                change: format!("{:+.4}", b - a),
                full: or_dash(full.loss, loss),
            });
        }
        rows
    }

    /// The unpruned network is as quick as before: fine-tuning does not change that.
    fn speed(&self) -> Vec<Compared> {
        let (before, after) = (&self.before, &self.after);
        let mut rows = Vec::new();
        let mut row = |name: &str, values: [Option<f64>; 2], show: fn(f64) -> String| {
            if let [Some(a), Some(b)] = values {
                rows.push(Compared {
                    name: name.into(),
                    before: show(a),
                    after: show(b),
                    change: format!("×{:.2}", b / a),
                    full: show(a),
                });
            }
        };
        row("ms an image", [before.latency, after.latency], milliseconds);
        row(
            "images/s",
            [before.images_per_second, after.images_per_second],
            |images| format!("{images:.0}"),
        );
        rows
    }
}

/// One figure of the network before and after, and of the unpruned one.
struct Compared {
    name: String,
    before: String,
    after: String,
    change: String,
    full: String,
}

/// Width of the bar for an accuracy, in characters.
const BAR_WIDTH: usize = 12;

/// The value in words, or a dash where nothing was measured.
fn or_dash(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".into(), show)
}
