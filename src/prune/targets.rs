//! When a run has removed enough.

use serde::Serialize;

use super::Figures;

/// Where a run stops: at the first of these that is met.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Targets {
    pub iterations: Option<usize>,
    /// Part of the original's MACs that may be left.
    pub macs: Option<f64>,
    /// Part of the original's parameters that may be left.
    pub params: Option<f64>,
}

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    Iterations,
    TargetMacs,
    TargetParams,
    /// No target was met, and no block may go any more.
    NoCandidates,
}

impl Stop {
    /// The option of the target that was met, other than the number of removals.
    #[must_use]
    pub fn target(self) -> Option<&'static str> {
        match self {
            Stop::TargetMacs => Some("--target-macs"),
            Stop::TargetParams => Some("--target-params"),
            Stop::Iterations | Stop::NoCandidates => None,
        }
    }
}

impl Targets {
    /// The target that a network with these figures meets after so many removals.
    #[must_use]
    pub fn met(&self, removals: usize, original: &Figures, now: &Figures) -> Option<Stop> {
        let within = |part: Option<f64>, of: i64, now: i64| {
            part.is_some_and(|part| now as f64 <= part * of as f64)
        };
        if self.iterations.is_some_and(|n| removals >= n) {
            Some(Stop::Iterations)
        } else if within(self.macs, original.macs, now.macs) {
            Some(Stop::TargetMacs)
        } else if within(self.params, original.params, now.params) {
            Some(Stop::TargetParams)
        } else {
            None
        }
    }
}
