//! When a run has removed enough, or too much.

use serde::{Deserialize, Serialize};

use super::Figures;
use crate::report::yardstick::Goal;

/// Where a run stops: at the first of these that is met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    pub iterations: Option<usize>,
    /// Part of the original's MACs that may be left.
    pub macs: Option<f64>,
    /// Part of the original's parameters that may be left.
    pub params: Option<f64>,
    /// Seconds that a forward pass of one image may take.
    pub latency: Option<f64>,
}

/// What a removal may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxDrop {
    /// How much of what a run decides by may be lost against the original: a fraction of the validation images, or in the
    /// unit of the user's own measure. What costs more is rolled back.
    pub drop: f64,
    /// Which values of it are better.
    pub goal: Goal,
    /// Next best blocks that are tried after a removal was rolled back.
    pub retries: usize,
}

impl MaxDrop {
    /// Whether a network lost too much against the original.
    #[must_use]
    pub fn exceeded(&self, original: Option<f64>, now: Option<f64>) -> bool {
        // Accuracies are fractions of the same images: what is beyond rounding is an image.
        const ROUNDING: f64 = 1e-9;
        matches!((original, now), (Some(before), Some(now)) if self.goal.gain(now, before) > self.drop + ROUNDING)
    }
}

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    Iterations,
    TargetMacs,
    TargetParams,
    TargetLatency,
    /// The next removal would have cost too much accuracy; it was rolled back.
    MaxDrop,
    /// No target was met, and no block may go any more.
    NoCandidates,
}

impl Stop {
    /// The option that stopped the run, other than the number of iterations.
    #[must_use]
    pub fn option(self) -> Option<&'static str> {
        match self {
            Stop::TargetMacs => Some("--target-macs"),
            Stop::TargetParams => Some("--target-params"),
            Stop::TargetLatency => Some("--target-latency"),
            Stop::MaxDrop => Some("--max-drop"),
            Stop::Iterations | Stop::NoCandidates => None,
        }
    }
}

impl Targets {
    /// Whether as many blocks are removed together as with `other`: all of it but the number of iterations counts.
    #[must_use]
    pub fn choose_like(&self, other: &Targets) -> bool {
        let of = |targets: &Targets| Targets {
            iterations: None,
            ..*targets
        };
        of(self) == of(other)
    }

    /// The target that a network with these figures meets after so many iterations.
    #[must_use]
    pub fn met(&self, iterations: usize, original: &Figures, now: &Figures) -> Option<Stop> {
        if self.iterations.is_some_and(|n| iterations >= n) {
            return Some(Stop::Iterations);
        }
        let mut sizes = self.sizes(original, now).into_iter();
        sizes.find_map(|(stop, within)| (within == Some(true)).then_some(stop))
    }

    /// Whether a network is as small as asked for: within every target there is but the number of iterations.
    #[must_use]
    pub fn all_within(&self, original: &Figures, now: &Figures) -> bool {
        let sizes = self.sizes(original, now);
        sizes.iter().all(|(_, within)| within.unwrap_or(true))
    }

    /// For each target on the network itself, if it was given, whether the network is within.
    fn sizes(&self, original: &Figures, now: &Figures) -> [(Stop, Option<bool>); 3] {
        // A quotient of whole numbers is the number nearest to it, and so equal to a part that names it.
        let within = |part: Option<f64>, of: i64, now: i64| Some(now as f64 / of as f64 <= part?);
        let quick = self
            .latency
            .map(|most| now.latency.is_some_and(|now| now <= most));
        [
            (Stop::TargetMacs, within(self.macs, original.macs, now.macs)),
            (
                Stop::TargetParams,
                within(self.params, original.params, now.params),
            ),
            (Stop::TargetLatency, quick),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(macs: i64, latency: f64) -> Figures {
        Figures {
            params: 10,
            macs,
            latency: Some(latency),
            ..Figures::default()
        }
    }

    #[test]
    fn of_several_targets_the_first_met_stops() {
        let targets = Targets {
            iterations: Some(3),
            macs: Some(0.5),
            latency: Some(0.010),
            ..Targets::default()
        };
        let whole = figures(100, 0.020);
        let met = |done, macs, latency| targets.met(done, &whole, &figures(macs, latency));
        assert_eq!(met(1, 60, 0.015), None);
        assert_eq!(met(3, 60, 0.015), Some(Stop::Iterations));
        assert_eq!(met(1, 50, 0.015), Some(Stop::TargetMacs));
        assert_eq!(met(1, 60, 0.010), Some(Stop::TargetLatency));
        assert!(!targets.all_within(&whole, &figures(50, 0.015)));
        assert!(targets.all_within(&whole, &figures(50, 0.010)));
    }

    #[test]
    fn a_part_that_is_left_exactly_is_within() {
        for left in 0..100 {
            let targets = Targets {
                macs: Some(format!("0.{left:02}").parse().unwrap()),
                ..Targets::default()
            };
            let met = |macs| targets.met(0, &figures(1000, 1.), &figures(macs, 1.));
            assert_eq!(met(10 * left), Some(Stop::TargetMacs), "{left} %");
            assert_eq!(met(10 * left + 1), None, "{left} %");
        }
    }

    #[test]
    fn a_drop_of_exactly_what_is_allowed_is_allowed() {
        let most = MaxDrop {
            drop: 0.01,
            goal: Goal::Max,
            retries: 0,
        };
        assert!(!most.exceeded(Some(0.92), Some(0.91)));
        assert!(most.exceeded(Some(0.92), Some(0.909)));
        assert!(!most.exceeded(None, Some(0.1)));
        let least = MaxDrop {
            goal: Goal::Min,
            ..most
        };
        assert!(!least.exceeded(Some(0.91), Some(0.92)));
        assert!(least.exceeded(Some(0.91), Some(0.9201)));
        assert!(!least.exceeded(Some(0.91), Some(0.1)));
    }
}
