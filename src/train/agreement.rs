//! How alike two networks answer: what a network is judged by where there are no labels.

use anyhow::Result;
use serde::{Deserialize, Deserializer, Serialize};
use tch::{Kind, TchError, Tensor};

use crate::data::Images;
use crate::run::distance::{self, distance, drawn};
use crate::run::torch::{Module, explain};

/// How a network answers images beside another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Fraction of images to which both give the same class; absent of networks that give no class scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_class: Option<f64>,
    /// Kullback-Leibler divergence of the class probabilities from the other network's, in nats, negative: more is closer.
    /// Of networks that give no class scores: the mean squared difference over the variance, negative. Of a network that
    /// gives no numbers it is none, which is null in JSON.
    #[serde(deserialize_with = "number_or_null")]
    pub closeness: f64,
}

impl Agreement {
    /// Whether this network answers more like the other than the network of `before` does. The divergence decides: of few
    /// images, classes are too coarse a measure.
    #[must_use]
    pub fn is_closer_than(self, before: Agreement) -> bool {
        let (before, after) = (before.closeness, self.closeness);
        after.is_finite() && (!before.is_finite() || after > before)
    }
}

fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let number: Option<f64> = Deserialize::deserialize(from)?;
    Ok(number.unwrap_or(f64::NAN))
}

/// What a network answers to some images, for others to be held against it.
#[derive(Debug)]
pub struct Answers {
    images: Images,
    expected: Expected,
}

#[derive(Debug)]
enum Expected {
    /// Log-probabilities, in f64: images × classes.
    Probabilities(Tensor),
    /// Numbers of each image's answer (images × numbers), those at these places in it.
    Numbers { answers: Tensor, places: Tensor },
}

impl Answers {
    /// Of this network.
    ///
    /// # Errors
    /// If it cannot run.
    pub fn of(module: &Module, images: Images) -> Result<Self> {
        let expected = match module.gives_scores() {
            true => Expected::Probabilities(log_probabilities(module, &images)?),
            false => {
                let places = drawn(module, &images)?;
                Expected::Numbers {
                    answers: numbers(module, &images, &places)?,
                    places,
                }
            }
        };
        Ok(Answers { images, expected })
    }

    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Whether they are class scores.
    #[must_use]
    pub fn are_scores(&self) -> bool {
        matches!(self.expected, Expected::Probabilities(_))
    }

    /// How alike another network answers them once its class scores are multiplied by the number that suits best, and that
    /// number: what is sure of everything a little less than it should be may well be right. Of what gives no class scores it
    /// is 1.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn agreement_scaled(&self, module: &Module) -> Result<(Agreement, f64)> {
        let Expected::Probabilities(expected) = &self.expected else {
            return Ok((self.agreement(module)?, 1.));
        };
        let found = log_probabilities(module, &self.images)?;
        let scale = best_scale(&found, expected).map_err(explain)?;
        let scaled = scaled(&found, scale).map_err(explain)?;
        let agreement = of_probabilities(&scaled, expected).map_err(explain)?;
        Ok((agreement, scale))
    }

    /// How alike another network answers them.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn agreement(&self, module: &Module) -> Result<Agreement> {
        match &self.expected {
            Expected::Probabilities(expected) => {
                let found = log_probabilities(module, &self.images)?;
                of_probabilities(&found, expected).map_err(explain)
            }
            Expected::Numbers { answers, places } => {
                let found = numbers(module, &self.images, places)?;
                let distance = distance(&found, answers, 1, Kind::Double);
                let distance = distance.and_then(|d| d.f_double_value(&[]));
                Ok(Agreement {
                    same_class: None,
                    closeness: -distance.map_err(explain)?,
                })
            }
        }
    }
}

/// The factor of class scores, of which these are the log-probabilities, with which they diverge least from what is expected.
/// In the factor the divergence is convex, so that a golden section finds it.
fn best_scale(found: &Tensor, expected: &Tensor) -> Result<f64, TchError> {
    const WIDEST: [f64; 2] = [0.25, 4.];
    const SHARE: f64 = 0.618_033_988_749_895;
    const STEPS: usize = 20;
    let divergence = |scale: f64| {
        let scaled = scaled(found, scale)?;
        let sum = scaled.f_kl_div(expected, tch::Reduction::Sum, true)?;
        sum.f_double_value(&[])
    };
    let [mut low, mut high] = WIDEST;
    let inner = |low: f64, high: f64| [high - SHARE * (high - low), low + SHARE * (high - low)];
    for _ in 0..STEPS {
        let [left, right] = inner(low, high);
        match divergence(left)? <= divergence(right)? {
            true => high = right,
            false => low = left,
        }
    }
    let best = f64::midpoint(low, high);
    let pays = divergence(best)? < divergence(1.)?;
    Ok(if pays { best } else { 1. })
}

/// The log-probabilities once the class scores are multiplied.
fn scaled(found: &Tensor, scale: f64) -> Result<Tensor, TchError> {
    found.f_mul_scalar(scale)?.f_log_softmax(-1, Kind::Double)
}

fn of_probabilities(found: &Tensor, expected: &Tensor) -> Result<Agreement, TchError> {
    let same = found
        .f_argmax(1, false)?
        .f_eq_tensor(&expected.f_argmax(1, false)?)?;
    let same = same.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?;
    let divergence = found.f_kl_div(expected, tch::Reduction::Sum, true)?;
    let images = expected.size()[0] as f64;
    Ok(Agreement {
        same_class: Some(same.f_double_value(&[])?),
        closeness: -divergence.f_double_value(&[])? / images,
    })
}

fn numbers(module: &Module, images: &Images, places: &Tensor) -> Result<Tensor> {
    answered(module, images, |answer| distance::numbers(answer, places))
}

fn log_probabilities(module: &Module, images: &Images) -> Result<Tensor> {
    answered(module, images, |scores| {
        scores.f_log_softmax(-1, Kind::Double)
    })
}

/// What is made of the answers to all images.
fn answered(
    module: &Module,
    images: &Images,
    make: impl Fn(&Tensor) -> Result<Tensor, TchError>,
) -> Result<Tensor> {
    let predictor = module.predictor_for(images)?;
    let mut answers = Vec::new();
    for batch in images.suiting(predictor.batch()).batches(0)? {
        let answer = predictor.scores(&module.images(&batch?.images)?)?;
        answers.push(make(&answer).map_err(explain)?);
    }
    Tensor::f_cat(&answers, 0).map_err(explain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores() -> Tensor {
        let scores = Tensor::arange(60, (Kind::Float, tch::Device::Cpu)).view([12, 5]);
        ((scores * 7.3).sin() * 3.).to_kind(Kind::Double)
    }

    #[test]
    fn scores_that_came_out_too_small_or_too_large_are_known_by_their_scale() {
        let expected = scores().log_softmax(-1, Kind::Double);
        for factor in [0.4, 0.9, 2.5] {
            let found = (scores() * factor).log_softmax(-1, Kind::Double);
            let scale = best_scale(&found, &expected).unwrap();
            assert!((scale * factor - 1.).abs() < 1e-3, "{factor}: {scale}");
        }
    }

    #[test]
    fn scores_of_the_right_size_are_not_scaled_at_all() {
        let expected = scores().log_softmax(-1, Kind::Double);
        assert_eq!(best_scale(&expected, &expected).unwrap(), 1.);
    }
}
