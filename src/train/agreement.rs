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
    /// Log-probabilities: images × classes.
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
        scores.f_log_softmax(-1, Kind::Float)
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
