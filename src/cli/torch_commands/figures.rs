//! Networks side by side: a column for each network, a row for each figure. `compare` prints this table, and the pages show
//! it.

use super::measure::{Profile, Versus};
use super::measure_page::Measurements;
use crate::report::page::{Column, Table};
use crate::report::{in_percent, milliseconds, points, thousands};
use crate::run::memory::Memory;
use crate::train::eval::{Latency, Ratio};

impl Measurements<'_> {
    /// Every figure that was measured of at least one network.
    pub fn figures(&self) -> Table {
        let mut columns = vec![Column::words("")];
        columns.extend(self.names.iter().map(|name| Column::numbers(name)));
        let first = self.names.first().map(String::as_str).unwrap_or_default();
        let mut rows = Vec::new();
        self.accuracy(&mut rows, first);
        self.size(&mut rows, first);
        self.time(&mut rows, first);
        let some = |(_, cells): &(String, Cells)| cells.iter().any(Option::is_some);
        let shown = |(word, cells): (String, Cells)| {
            let cells = cells.into_iter().map(|cell| cell.unwrap_or("-".into()));
            std::iter::once(word).chain(cells).collect()
        };
        Table {
            title: String::new(),
            columns,
            rows: rows.into_iter().filter(some).map(shown).collect(),
        }
    }

    fn accuracy(&self, rows: &mut Vec<(String, Cells)>, first: &str) {
        let mut row = |word: &str, cells| rows.push((word.to_owned(), cells));
        if !self.measure.is_accuracy() {
            let show = |value| self.measure.show(value);
            row(self.measure.name(), self.each(|p| Some(show(p.measured?))));
            row(
                &format!("  more than {first}"),
                self.others(|v| Some(self.measure.change(0., v.measured_difference?))),
            );
        }
        row(
            "accuracy",
            self.each(|p| Some(in_percent(p.quality.as_ref()?.rate.accuracy))),
        );
        row(
            &format!("  points more than {first}"),
            self.others(|v| Some(points(v.accuracy_difference?))),
        );
        row(
            "  95 %",
            self.others(|v| {
                let [low, high] = v.accuracy_difference_interval?;
                Some(format!("{} to {}", points(low), points(high)))
            }),
        );
        row(
            "top 5",
            self.each(|p| Some(in_percent(p.quality.as_ref()?.top5?.accuracy))),
        );
        row(
            "loss",
            self.each(|p| Some(format!("{:.4}", p.quality.as_ref()?.loss))),
        );
        row(
            "calibration error",
            self.each(|p| Some(in_percent(p.quality.as_ref()?.calibration_error))),
        );
        row(
            &format!("same class as {first}"),
            self.others(|v| Some(in_percent(v.agreement?))),
        );
        row(
            &format!("CKA with {first}"),
            self.others(|v| Some(format!("{:.4}", v.cka?))),
        );
        for (at, condition) in self.conditions().into_iter().enumerate() {
            let under = |p: &Profile| {
                Some(in_percent(
                    p.robustness.as_ref()?.rows.get(at)?.hits.accuracy,
                ))
            };
            row(&condition, self.each(under));
        }
    }

    fn size(&self, rows: &mut Vec<(String, Cells)>, first: &str) {
        let mut row = |word: &str, cells| rows.push((word.to_owned(), cells));
        row("parameters", self.each(|p| Some(thousands(p.params))));
        row("MACs", self.each(|p| Some(thousands(p.macs))));
        row(
            &format!("  of {first}'s"),
            self.others(|v| Some(v.macs_text())),
        );
        row("blocks", self.each(|p| Some(p.blocks.to_string())));
        row("file", self.each(|p| Some(Memory(p.file_size).to_string())));
        row(
            "peak memory",
            self.each(|p| Some(Memory(p.peak_memory?).to_string())),
        );
        row(
            "J an image",
            self.each(|p| Some(format!("{:.3}", p.energy?.joules_per_image))),
        );
    }

    fn time(&self, rows: &mut Vec<(String, Cells)>, first: &str) {
        let mut row = |word: &str, cells| rows.push((word.to_owned(), cells));
        let sizes = self.profiles.iter().map(|p| p.latency.len()).max();
        for at in 0..sizes.unwrap_or(0) {
            let latency = |p: &Profile| -> Option<Latency> { p.latency.get(at).copied() };
            let sizes = self.profiles.iter().find_map(|p| latency(p));
            let size = sizes.map_or(0, |l| l.batch_size);
            row(
                &format!("ms, batch of {size}"),
                self.each(|p| Some(milliseconds(latency(p)?.spread.median))),
            );
            row(
                &format!("  of {first}'s"),
                self.others(|v| {
                    let ratio: &Ratio = v.latency_ratio.get(at)?;
                    Some(format!("×{:.3}", ratio.spread.median))
                }),
            );
            row(
                "  95 %",
                self.others(|v| {
                    let [low, high] = v.latency_ratio.get(at)?.spread.interval;
                    Some(format!("{low:.3} to {high:.3}"))
                }),
            );
        }
    }

    /// The attacks and corruptions in words. They are the same for every network.
    fn conditions(&self) -> Vec<String> {
        let first = self.profiles.iter().find_map(|p| p.robustness.as_ref());
        let rows = first.iter().flat_map(|r| &r.rows);
        rows.map(|row| row.condition.text()).collect()
    }

    fn each(&self, cell: impl Fn(&Profile) -> Option<String>) -> Cells {
        self.profiles.iter().map(|p| cell(p)).collect()
    }

    fn others(&self, cell: impl Fn(&Versus) -> Option<String>) -> Cells {
        let others = self.versus.iter().map(|v| cell(v));
        std::iter::once(None).chain(others).collect()
    }
}

/// One cell for each network; `None` where it has no such figure.
type Cells = Vec<Option<String>>;
