//! How the learning rate changes while a network is trained.

use std::f64::consts::PI;

/// A trainee of the learning rate over all epochs. Places in it are fractions, so that it scales with their number.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub shape: Shape,
    /// Epochs at the start in which the rate rises from 0.
    pub warm_up: f64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    Constant,
    /// Multiplied by `factor` at each of these fractions of the epochs.
    Steps {
        at: Vec<f64>,
        factor: f64,
    },
    /// Half a cosine from the full rate to 0 (Loshchilov and Hutter, arXiv 1608.03983, without restarts).
    Cosine,
}

impl Schedule {
    /// The part of the learning rate to take after `done` of `epochs` epochs; both may be fractions.
    #[must_use]
    pub fn factor(&self, done: f64, epochs: f64) -> f64 {
        if done < self.warm_up {
            return done / self.warm_up;
        }
        match &self.shape {
            Shape::Constant => 1.,
            Shape::Steps { at, factor } => {
                let passed = at.iter().filter(|place| done >= *place * epochs).count();
                factor.powi(passed as i32)
            }
            Shape::Cosine => {
                let left = (epochs - self.warm_up).max(f64::MIN_POSITIVE);
                let place = ((done - self.warm_up) / left).min(1.);
                (1. + (PI * place).cos()) / 2.
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(shape: Shape, warm_up: f64, places: &[f64]) -> Vec<f64> {
        let schedule = Schedule { shape, warm_up };
        let rounded = |x: f64| (x * 1e6).round() / 1e6;
        places
            .iter()
            .map(|done| rounded(schedule.factor(*done, 200.)))
            .collect()
    }

    #[test]
    fn steps_of_the_paper_come_at_epochs_100_and_150_of_200() {
        let shape = Shape::Steps {
            at: vec![0.5, 0.75],
            factor: 0.1,
        };
        assert_eq!(
            factors(shape, 0., &[0., 99.9, 100., 149., 150.]),
            [1., 1., 0.1, 0.1, 0.01]
        );
    }

    #[test]
    fn a_cosine_falls_from_the_end_of_the_warm_up_to_nothing() {
        let found = factors(Shape::Cosine, 10., &[0., 5., 10., 105., 200.]);
        assert_eq!(found, [0., 0.5, 1., 0.5, 0.]);
    }

    #[test]
    fn a_constant_rate_warms_up_too() {
        assert_eq!(
            factors(Shape::Constant, 4., &[1., 3., 4., 200.]),
            [0.25, 0.75, 1., 1.]
        );
    }
}
