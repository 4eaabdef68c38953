//! Which iteration's network a run exports.

use anyhow::{Result, bail};

use super::{Figures, Iteration, Targets};
use crate::report::yardstick::Goal;
use crate::run::pick::Pick;

impl Pick {
    /// The number of the iteration, counted from 1; 0 for the original, where nothing was removed. `goal` says which
    /// values are better of what the run decides by.
    ///
    /// # Errors
    /// If there is no such iteration.
    pub fn of(
        self,
        iterations: &[Iteration],
        original: &Figures,
        targets: &Targets,
        goal: Goal,
    ) -> Result<usize> {
        match self {
            Pick::Last => Ok(iterations.len()),
            Pick::Number(n) if n.get() <= iterations.len() => Ok(n.get()),
            Pick::Number(n) => bail!(
                "--pick {n}: the run has {} iterations; name one of them, best or last",
                iterations.len()
            ),
            Pick::Best => {
                let within: Vec<&Iteration> = iterations
                    .iter()
                    .filter(|i| targets.all_within(original, &i.after))
                    .collect();
                let eligible = match within.is_empty() {
                    true => iterations.iter().collect(),
                    false => within,
                };
                // Of equal ones `max_by` takes the last, which is the smallest.
                let worth = |i: &Iteration| {
                    let decisive = i.after.decisive();
                    decisive.map_or(f64::NEG_INFINITY, |decisive| goal.gain(0., decisive))
                };
                let best = eligible
                    .into_iter()
                    .max_by(|a, b| worth(a).total_cmp(&worth(b)));
                Ok(best.map_or(0, |i| i.iteration))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(of: &[(i64, f64)]) -> Vec<Iteration> {
        let iteration = |(i, (macs, accuracy)): (usize, &(i64, f64))| {
            let mut iteration = Iteration::of(i + 1, &[], Vec::new());
            iteration.after.macs = *macs;
            iteration.after.validation_accuracy = Some(*accuracy);
            iteration
        };
        of.iter().enumerate().map(iteration).collect()
    }

    fn best(of: &[(i64, f64)], macs: f64) -> usize {
        let original = Figures {
            macs: 100,
            ..Figures::default()
        };
        let targets = Targets {
            macs: Some(macs),
            ..Targets::default()
        };
        Pick::Best
            .of(&run(of), &original, &targets, Goal::Max)
            .unwrap()
    }

    #[test]
    fn the_best_is_the_most_accurate_within_the_targets() {
        let of = [(90, 0.9), (70, 0.95), (50, 0.8), (40, 0.85)];
        assert_eq!(best(&of, 0.5), 4);
        assert_eq!(best(&of, 0.7), 2);
        // None is within: all count.
        assert_eq!(best(&of, 0.1), 2);
    }

    #[test]
    fn of_equally_accurate_ones_the_smallest_is_best() {
        assert_eq!(best(&[(90, 0.9), (70, 0.9), (50, 0.8)], 1.), 2);
    }

    #[test]
    fn of_a_measure_that_is_to_be_low_the_lowest_is_best() {
        let mut run = run(&[(90, 0.9), (70, 0.9), (50, 0.9)]);
        for (iteration, measured) in run.iter_mut().zip([3., 2., 4.]) {
            iteration.after.measured = Some(measured);
        }
        let best = |goal| {
            let (whole, targets) = (Figures::default(), Targets::default());
            Pick::Best.of(&run, &whole, &targets, goal).unwrap()
        };
        assert_eq!([best(Goal::Min), best(Goal::Max)], [2, 3]);
    }

    #[test]
    fn an_iteration_that_was_not_reached_cannot_be_picked() {
        let pick: Pick = "3".parse().unwrap();
        let error = pick
            .of(
                &run(&[(90, 0.9)]),
                &Figures::default(),
                &Targets::default(),
                Goal::Max,
            )
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "--pick 3: the run has 1 iterations; name one of them, best or last"
        );
    }
}
