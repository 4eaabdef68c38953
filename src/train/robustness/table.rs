//! Robustness as tables for people.

use std::fmt::Write as _;

use comfy_table::{Cell, Table};

use super::{Condition, Corruption, Robustness, Severity};
use crate::report::{self, in_percent, number, points, render, thousands};

impl Condition {
    /// In words, as a table or a message has it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Condition::Attack(attack) => attack.to_string(),
            Condition::Corruption { name, severity } => format!("{name}, severity {severity}"),
        }
    }
}

impl Robustness {
    /// All of it: a line of what was measured, then a table each for attacks, corruptions and foreign images.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!(
            "robustness on {} images, of which {} are recognised as they are\n",
            thousands(self.clean.images as i64),
            in_percent(self.clean.accuracy)
        );
        let tables = [self.attacks(), self.corruption_table(), self.foreign()];
        for table in tables.into_iter().flatten() {
            out += "\n";
            out += &render(&table);
        }
        if let Some(ood) = &self.ood {
            let _ = writeln!(
                out,
                "\nconfidence tells the two apart with an AUROC of {:.4} (0.5 is chance)",
                ood.auroc
            );
        }
        let blind = self
            .rows
            .iter()
            .filter(|row| row.without_gradient > Some(0));
        for row in blind {
            let _ = writeln!(
                out,
                "\n{}: at {} images the gradient is 0 everywhere, so that the attack has no direction there",
                row.condition.text(),
                row.without_gradient.unwrap_or_default()
            );
        }
        out
    }

    fn attacks(&self) -> Option<Table> {
        let mut table = report::table(&["attack", "accuracy", "change"]);
        for row in &self.rows {
            if let Condition::Attack(attack) = row.condition {
                table.add_row([
                    attack.to_string().into(),
                    percent(row.hits.accuracy),
                    self.change(row.hits.accuracy),
                ]);
            }
        }
        (!table.is_empty()).then_some(table)
    }

    /// Severities side by side.
    fn corruption_table(&self) -> Option<Table> {
        let severities: Vec<Severity> = Severity::ALL
            .into_iter()
            .filter(|severity| {
                self.corruptions()
                    .any(|c| self.under(c, *severity).is_some())
            })
            .collect();
        let named: Vec<String> = severities.iter().map(|s| format!("severity {s}")).collect();
        let mut header = vec!["corruption"];
        header.extend(named.iter().map(String::as_str));
        header.extend(["mean", "change"]);
        let mut table = report::table(&header);
        let mut row = |name: &str, accuracies: Vec<Option<f64>>, mean: f64| {
            let mut cells: Vec<Cell> = vec![name.into()];
            cells.extend(accuracies.into_iter().map(|a| a.map_or("".into(), percent)));
            cells.extend([percent(mean), self.change(mean)]);
            table.add_row(cells);
        };
        for corruption in self.corruptions() {
            let accuracies = severities.iter().map(|s| self.under(corruption, *s));
            let mean = Robustness::mean_accuracy(&self.rows, Some(corruption))?;
            row(corruption.name(), accuracies.collect(), mean);
        }
        let all = self.mean_corruption_accuracy?;
        if self.corruptions().nth(1).is_some() {
            let means = severities.iter().map(|s| self.mean_at(*s));
            row("all", means.collect(), all);
        }
        Some(table)
    }

    /// Mean accuracy of all corruptions at one severity.
    fn mean_at(&self, severity: Severity) -> Option<f64> {
        let under = |corruption: Corruption| self.under(corruption, severity);
        let accuracies: Vec<f64> = self.corruptions().filter_map(under).collect();
        (!accuracies.is_empty()).then(|| accuracies.iter().sum::<f64>() / accuracies.len() as f64)
    }

    fn foreign(&self) -> Option<Table> {
        let ood = self.ood.as_ref()?;
        let mut table = report::table(&["images", "", "accuracy", "mean confidence"]);
        let mut row = |name: &str, images: usize, accuracy: Option<f64>, confidence: f64| {
            table.add_row([
                name.into(),
                number(thousands(images as i64)),
                accuracy.map_or("".into(), percent),
                number(format!("{confidence:.4}")),
            ]);
        };
        row(
            "as they are",
            self.clean.images,
            Some(self.clean.accuracy),
            ood.clean_confidence,
        );
        let name = format!("{} ({})", ood.data, ood.part);
        row(&name, ood.images, ood.accuracy, ood.confidence);
        Some(table)
    }

    /// Points of accuracy against the images as they are.
    fn change(&self, accuracy: f64) -> Cell {
        number(points(accuracy - self.clean.accuracy))
    }
}

fn percent(accuracy: f64) -> Cell {
    number(in_percent(accuracy))
}
