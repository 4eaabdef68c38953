//! Accuracy, or what takes its place, over MACs: what each removal cost and saved.

use super::PruneReport;
use crate::prune::{Figures, Iteration};
use crate::report::page::Content;
use crate::report::page::charts::{Axis, Frontier, Level, Point, Series, Shape, Tone, Unit};

/// The chart, or why there is none.
pub(super) fn content(report: &PruneReport) -> Content {
    let tested = report.before.quality().is_some();
    if !tested && report.before.validation_accuracy.is_none() {
        return "There are no labelled images, so no accuracy was measured.".into();
    }
    Chart { report, tested }.frontier().into()
}

/// The networks of a run as points.
struct Chart<'a> {
    report: &'a PruneReport,
    /// Values are those of test images, or of the user's own measure. Otherwise there are none, and they are accuracies on
    /// images set aside.
    tested: bool,
}

impl Chart<'_> {
    fn frontier(&self) -> Frontier {
        let measure = &self.report.measure;
        let what = match (measure.is_accuracy(), self.tested) {
            (true, true) => "Accuracy on test images",
            (true, false) => "Accuracy on training images set aside",
            (false, _) => measure.name(),
        };
        let level = self.quality(&self.report.before).map(|y| Level {
            name: "original".into(),
            y,
        });
        let mut series = self.series();
        series.retain(|one| !one.points.is_empty());
        Frontier {
            title: format!("{what}, over what is left of the network"),
            x: Axis {
                label: "MACs".into(),
                unit: Unit::Count,
            },
            y: Axis {
                label: measure.name().into(),
                unit: measure.unit(),
            },
            series,
            levels: level.into_iter().collect(),
            before: "before repair and fine-tuning".into(),
            chosen: "written".into(),
        }
    }

    fn quality(&self, figures: &Figures) -> Option<f64> {
        if self.tested {
            figures.quality()
        } else {
            figures.validation_accuracy
        }
    }

    fn series(&self) -> Vec<Series> {
        let report = self.report;
        let alone = |name: &str, shape, tone, figures: Option<&Figures>| Series {
            name: name.into(),
            shape,
            tone,
            points: figures.and_then(|f| self.point(f)).into_iter().collect(),
            ..Series::default()
        };
        let last = report.final_tuning.is_some().then_some(&report.after);
        vec![
            Series {
                name: "iteration".into(),
                joined: true,
                points: self.removals(false),
                ..Series::default()
            },
            alone("original", Shape::Diamond, Tone::Blue, Some(&report.before)),
            alone(
                "original, fine-tuned as long",
                Shape::Square,
                Tone::Orange,
                report.baseline.as_ref(),
            ),
            alone(
                "written, after the last fine-tuning",
                Shape::Triangle,
                Tone::Blue,
                last,
            ),
            Series {
                name: "rolled back".into(),
                shape: Shape::Cross,
                tone: Tone::Orange,
                points: self.removals(true),
                ..Series::default()
            },
        ]
    }

    /// The networks after removals: those that were undone, or those that stayed.
    fn removals(&self, undone: bool) -> Vec<Point> {
        let attempts = self.report.attempts().into_iter();
        let attempts = attempts.filter(|(_, was_undone)| *was_undone == undone);
        let point = |(iteration, _): (&Iteration, bool)| {
            let [untuned, ..] = iteration.qualities();
            Some(Point {
                label: iteration.iteration.to_string(),
                note: told(iteration),
                from: untuned.filter(|_| self.tested && untuned != iteration.after.quality()),
                chosen: !undone && iteration.iteration == self.report.picked,
                ..self.point(&iteration.after)?
            })
        };
        attempts.filter_map(point).collect()
    }

    fn point(&self, figures: &Figures) -> Option<Point> {
        Some(Point {
            x: figures.macs as f64,
            y: self.quality(figures)?,
            ..Point::default()
        })
    }
}

/// What an iteration's point says.
fn told(iteration: &Iteration) -> String {
    format!(
        "removed {}\n{} {:.6}",
        iteration.removed.join(", "),
        iteration.value.word(),
        iteration.value.number()
    )
}
