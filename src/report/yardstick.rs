//! What networks are measured by, and how its values are written.

use serde::Serialize;

use super::page::charts::Unit;
use super::{in_percent, points};

/// Which values of a measure are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    #[default]
    Max,
    Min,
}

impl Goal {
    pub const ALL: [Goal; 2] = [Goal::Max, Goal::Min];

    /// As options and documents call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Goal::Max => "max",
            Goal::Min => "min",
        }
    }

    /// How much better `now` is than `before`; negative where it is worse.
    #[must_use]
    pub fn gain(self, before: f64, now: f64) -> f64 {
        match self {
            Goal::Max => now - before,
            Goal::Min => before - now,
        }
    }
}

/// Accuracy, or a measure of the user's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Yardstick {
    #[default]
    Accuracy,
    Own {
        name: String,
        goal: Goal,
    },
}

impl Yardstick {
    #[must_use]
    pub fn is_accuracy(&self) -> bool {
        *self == Yardstick::Accuracy
    }

    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Yardstick::Accuracy => "accuracy",
            Yardstick::Own { name, .. } => name,
        }
    }

    /// The same at the beginning of a title; a name of the user's own stays as it is.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Yardstick::Accuracy => "Accuracy",
            Yardstick::Own { name, .. } => name,
        }
    }

    #[must_use]
    pub fn goal(&self) -> Goal {
        match self {
            Yardstick::Accuracy => Goal::Max,
            Yardstick::Own { goal, .. } => *goal,
        }
    }

    /// Of values in charts.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match self {
            Yardstick::Accuracy => Unit::Percent,
            Yardstick::Own { .. } => Unit::Plain,
        }
    }

    /// A value: `93.26 %`, or `0.8123`.
    #[must_use]
    pub fn show(&self, value: f64) -> String {
        match self {
            Yardstick::Accuracy => in_percent(value),
            Yardstick::Own { .. } => plain(value),
        }
    }

    /// What is added to one value in another: `-0.53 points`, or `-0.0123`.
    #[must_use]
    pub fn change(&self, before: f64, after: f64) -> String {
        match self {
            Yardstick::Accuracy => format!("{} points", points(after - before)),
            Yardstick::Own { .. } if after < before => format!("-{}", plain(before - after)),
            Yardstick::Own { .. } => format!("+{}", plain(after - before)),
        }
    }

    /// How much is lost: `0.53 points`, or `0.0123`. Accuracy is given in points.
    #[must_use]
    pub fn loss(&self, lost: f64) -> String {
        match self {
            Yardstick::Accuracy => format!("{lost:.2} points"),
            Yardstick::Own { .. } => plain(lost),
        }
    }
}

/// A number of unknown kind: four decimals tell most from each other.
fn plain(value: f64) -> String {
    match value.abs() {
        size if size > 0. && !(1e-3..1e7).contains(&size) => format!("{value:.3e}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_measure_has_its_own_way_to_write_a_value() {
        let own = Yardstick::Own {
            name: "loss".into(),
            goal: Goal::Min,
        };
        let accuracy = Yardstick::Accuracy;
        assert_eq!(accuracy.show(0.93256), "93.26 %");
        assert_eq!(accuracy.change(0.93, 0.92), "-1.00 points");
        assert_eq!(own.show(0.93256), "0.9326");
        assert_eq!(own.show(-2.5e-6), "-2.500e-6");
        assert_eq!(own.change(0.5, 0.25), "-0.2500");
        assert_eq!(own.change(0.25, 0.5), "+0.2500");
        assert_eq!(own.loss(0.), "0.0000");
        assert_eq!(
            [accuracy.loss(1.5), own.loss(1.5)],
            ["1.50 points", "1.5000"]
        );
    }

    #[test]
    fn better_is_more_or_less() {
        assert_eq!(Goal::Max.gain(1., 3.), 2.);
        assert_eq!(Goal::Min.gain(1., 3.), -2.);
    }
}
