//! How long networks take, measured in turn so that a machine that slows down slows all of them.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::run::torch::{Module, explain};

/// How many passes are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    Exactly(usize),
    /// As many as fit into a time for each network, within bounds.
    For(Duration),
}

impl Passes {
    /// Of passes that fit into a time: fewer say nothing of the spread, more say nothing new.
    const FEWEST: usize = 9;
    const MOST: usize = 200;

    fn enough(self, done: usize, spent: Duration) -> bool {
        match self {
            Passes::Exactly(n) => done >= n,
            Passes::For(time) => done >= Self::MOST || (done >= Self::FEWEST && spent >= time),
        }
    }
}

/// Passes that are not timed: libtorch optimises a network while it runs for the first times.
pub(super) const WARM_UP: usize = 3;

/// Seconds of every timed pass of each network over its images; in each round every network takes its turn.
///
/// # Errors
/// If a network cannot run.
pub fn in_turn(runs: &[(&Module, &Tensor)], passes: Passes) -> Result<Vec<Vec<f64>>> {
    for _ in 0..WARM_UP {
        for (module, images) in runs {
            time_forward(module, images)?;
        }
    }
    let mut seconds = vec![Vec::new(); runs.len()];
    let begun = Instant::now();
    let mut rounds = 0;
    while !passes.enough(rounds, begun.elapsed() / runs.len().max(1) as u32) {
        for ((module, images), seconds) in runs.iter().zip(&mut seconds) {
            seconds.push(time_forward(module, images)?.as_secs_f64());
        }
        rounds += 1;
    }
    Ok(seconds)
}

/// Rounds of [`throughput`].
const ROUNDS: usize = 15;

/// Images per second of several networks on one batch: the median of rounds in which each takes its turn.
///
/// # Errors
/// If a network cannot run.
pub fn throughput<const N: usize>(modules: [&Module; N], images: &Tensor) -> Result<[f64; N]> {
    let seconds = in_turn(&modules.map(|m| (m, images)), Passes::Exactly(ROUNDS))?;
    let count = images.size().first().copied().unwrap_or_default() as f64;
    let mut paces = [0.; N];
    for (pace, seconds) in paces.iter_mut().zip(seconds) {
        *pace = count / Spread::of(seconds).median.max(f64::MIN_POSITIVE);
    }
    Ok(paces)
}

fn time_forward(module: &Module, images: &Tensor) -> Result<Duration> {
    let begun = Instant::now();
    let scores = tch::no_grad(|| module.output(images))?;
    // Reading a number waits for the device.
    scores
        .f_sum(Kind::Float)
        .and_then(|t| t.f_double_value(&[]))
        .map_err(explain)?;
    Ok(begun.elapsed())
}

/// Seconds of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Images in the pass.
    pub batch_size: usize,
    #[serde(flatten)]
    pub spread: Spread,
    /// At the median.
    pub images_per_second: f64,
}

impl Latency {
    /// From the seconds of each pass over so many images.
    #[must_use]
    pub fn of(batch_size: usize, seconds: Vec<f64>) -> Self {
        let spread = Spread::of(seconds);
        Latency {
            batch_size,
            images_per_second: batch_size as f64 / spread.median.max(f64::MIN_POSITIVE),
            spread,
        }
    }
}

/// How one network's time relates to another's, both measured in turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Images in a pass.
    pub batch_size: usize,
    /// Of the rounds' ratios; below 1 the network is quicker than the one it is compared with.
    #[serde(flatten)]
    pub spread: Spread,
}

impl Ratio {
    /// Of the seconds of each round.
    #[must_use]
    pub fn of(batch_size: usize, seconds: &[f64], reference: &[f64]) -> Self {
        let pairs = seconds.iter().zip(reference);
        Ratio {
            batch_size,
            spread: Spread::of(pairs.map(|(own, other)| own / other).collect()),
        }
    }
}

/// The middle of several measurements and how far they scatter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    /// Holds the true median with a confidence of at least 95 %, whatever the distribution (of fewer than six
    /// measurements: their range).
    pub interval: [f64; 2],
    /// First and third.
    pub quartiles: [f64; 2],
    pub passes: usize,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else {
            return Spread::default();
        };
        let at = |part: f64| {
            let place = part * last as f64;
            let (low, high) = (
                values[place.floor() as usize],
                values[place.ceil() as usize],
            );
            low + (high - low) * place.fract()
        };
        let outermost = certain_place(values.len());
        Spread {
            median: at(0.5),
            interval: [values[outermost], values[last - outermost]],
            quartiles: [at(0.25), at(0.75)],
            passes: values.len(),
        }
    }
}

/// The place from either end, counted from 0, such that the values there enclose the median with 95 % confidence: the
/// number of values below the median follows the binomial distribution of n fair coins.
fn certain_place(n: usize) -> usize {
    const MISSED: f64 = 0.025;
    // The logarithm: half to the power of n underflows for many values.
    let mut log_term = n as f64 * 0.5f64.ln();
    let mut below = 0.;
    for heads in 0..n {
        below += log_term.exp();
        if below > MISSED {
            return heads.saturating_sub(1);
        }
        log_term += ((n - heads) as f64 / (heads + 1) as f64).ln();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_lies_in_its_interval_and_an_outlier_moves_neither() {
        let mut values: Vec<f64> = (1..=21).map(f64::from).collect();
        values[20] = 1e9;
        let spread = Spread::of(values);
        assert_eq!(spread.median, 11.);
        assert_eq!(spread.quartiles, [6., 16.]);
        // Table of order statistics: of 21 values the 6th and the 16th.
        assert_eq!(spread.interval, [6., 16.]);
    }

    #[test]
    fn few_values_give_their_range() {
        assert_eq!(Spread::of(vec![3., 1., 2.]).interval, [1., 3.]);
        assert_eq!(Spread::of(vec![2.]).median, 2.);
        assert_eq!(Spread::of(Vec::new()).passes, 0);
    }

    #[test]
    fn the_interval_holds_the_median_as_often_as_it_says() {
        // Places of tables of order statistics (Conover, Practical Nonparametric Statistics), counted from 1.
        for (n, place) in [(6, 1), (9, 2), (15, 4), (30, 10), (100, 40)] {
            assert_eq!(certain_place(n) + 1, place, "of {n}");
        }
        assert!(certain_place(5000) > 2400);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine is three times slower in the second round; the ratio stays.
        let ratio = Ratio::of(1, &[1., 3., 1.], &[2., 6., 2.]);
        assert_eq!(ratio.spread.interval, [0.5, 0.5]);
    }

    #[test]
    fn a_slow_network_is_timed_a_few_times_and_a_quick_one_not_for_ever() {
        let passes = Passes::For(Duration::from_secs(1));
        assert!(!passes.enough(8, Duration::from_secs(9)));
        assert!(passes.enough(9, Duration::from_secs(9)));
        assert!(passes.enough(200, Duration::ZERO));
    }
}
