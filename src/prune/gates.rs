//! Limits a network has to keep, for scripts that go by the exit code.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::report::yardstick::Yardstick;
use crate::report::{in_percent, thousands};

/// What must hold, as far as anything was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// A fraction.
    pub min_accuracy: Option<f64>,
    /// Points of accuracy less than the baseline, on the same images; or by how much worse it is by the user's own measure.
    pub max_drop: Option<f64>,
    pub max_macs: Option<f64>,
    pub max_params: Option<f64>,
    /// Time of a pass of one image, as a multiple of the baseline's.
    pub max_latency_ratio: Option<f64>,
    /// Under each attack, and on average under corruptions; a fraction.
    pub min_robust_accuracy: Option<f64>,
    /// By the user's own measure.
    pub min_metric: Option<f64>,
    pub max_metric: Option<f64>,
}

/// One kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    MinAccuracy,
    MaxDrop,
    MaxMacs,
    MaxParams,
    MaxLatencyRatio,
    MinRobustAccuracy,
    MinMetric,
    MaxMetric,
}

impl Gate {
    /// As options and policies call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Gate::MinAccuracy => "min-accuracy",
            Gate::MaxDrop => "max-drop",
            Gate::MaxMacs => "max-macs",
            Gate::MaxParams => "max-params",
            Gate::MaxLatencyRatio => "max-latency-ratio",
            Gate::MinRobustAccuracy => "min-robust-accuracy",
            Gate::MinMetric => "min-metric",
            Gate::MaxMetric => "max-metric",
        }
    }

    /// A value of its kind, for people; networks were measured by `yardstick`.
    #[must_use]
    pub fn show(self, value: f64, yardstick: &Yardstick) -> String {
        match self {
            Gate::MinAccuracy | Gate::MinRobustAccuracy => in_percent(value),
            Gate::MaxDrop => yardstick.loss(value),
            Gate::MinMetric | Gate::MaxMetric => yardstick.show(value),
            Gate::MaxMacs | Gate::MaxParams => thousands(value.round() as i64),
            Gate::MaxLatencyRatio => format!("×{value:.3}"),
        }
    }

    /// Whether what it is about means nothing if labels have other numbers than the network's classes.
    #[must_use]
    pub fn rests_on_labels(self, yardstick: &Yardstick) -> bool {
        match self {
            Gate::MinAccuracy | Gate::MinRobustAccuracy => true,
            Gate::MaxDrop => yardstick.is_accuracy(),
            _ => false,
        }
    }

    fn is_least(self) -> bool {
        matches!(
            self,
            Gate::MinAccuracy | Gate::MinRobustAccuracy | Gate::MinMetric
        )
    }
}

/// A limit beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub gate: Gate,
    pub limit: f64,
    pub measured: f64,
    pub met: bool,
    /// How far on the right side of the limit; negative where it was missed.
    pub margin: f64,
}

impl Limits {
    /// The limits that were asked for.
    pub fn asked(&self) -> impl Iterator<Item = (Gate, f64)> {
        let all = [
            (Gate::MinAccuracy, self.min_accuracy),
            (Gate::MaxDrop, self.max_drop),
            (Gate::MaxMacs, self.max_macs),
            (Gate::MaxParams, self.max_params),
            (Gate::MaxLatencyRatio, self.max_latency_ratio),
            (Gate::MinRobustAccuracy, self.min_robust_accuracy),
            (Gate::MinMetric, self.min_metric),
            (Gate::MaxMetric, self.max_metric),
        ];
        all.into_iter()
            .filter_map(|(gate, limit)| Some((gate, limit?)))
    }

    /// Refuses limits whose `obstacle` is known before anything is measured.
    ///
    /// # Errors
    /// One message that names the gate and what to do.
    pub fn require(&self, obstacle: impl Fn(Gate) -> Option<&'static str>) -> Result<()> {
        match self
            .asked()
            .find_map(|(gate, _)| Some((gate, obstacle(gate)?)))
        {
            Some((gate, reason)) => bail!(unmeasured(gate, reason)),
            None => Ok(()),
        }
    }

    /// Holds every limit against what `measured` says, which gives the reason where it has no number.
    ///
    /// # Errors
    /// If something was not measured that a limit is about.
    pub fn check(&self, measured: impl Fn(Gate) -> Result<f64, String>) -> Result<Vec<Verdict>> {
        let verdict = |(gate, limit): (Gate, f64)| {
            let measured = match measured(gate) {
                Ok(number) if number.is_finite() => number,
                Ok(number) => bail!(unmeasured(gate, &format!("what was measured is {number}"))),
                Err(reason) => bail!(unmeasured(gate, &reason)),
            };
            let margin = match gate.is_least() {
                true => measured - limit,
                false => limit - measured,
            };
            Ok(Verdict {
                gate,
                limit,
                measured,
                met: margin >= 0.,
                margin,
            })
        };
        self.asked().map(verdict).collect()
    }
}

fn unmeasured(gate: Gate, reason: &str) -> String {
    format!("the gate {} cannot be checked: {reason}", gate.name())
}
