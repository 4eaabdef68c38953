//! How alike two networks answer: what a network is judged by where there are no labels.

use anyhow::Result;
use serde::{Deserialize, Deserializer, Serialize};
use tch::{Kind, TchError, Tensor};

use crate::data::Images;
use crate::run::torch::{Module, explain};

/// How a network answers images beside another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Fraction of images to which both give the same class.
    pub same_class: f64,
    /// Kullback-Leibler divergence of the class probabilities from the other network's, in nats, negative: more is closer.
    /// Of a network that gives none it is no number, which is null in JSON.
    #[serde(deserialize_with = "number_or_null")]
    pub closeness: f64,
}

fn number_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let number: Option<f64> = Deserialize::deserialize(from)?;
    Ok(number.unwrap_or(f64::NAN))
}

/// What a network answers to some images, for others to be held against it.
#[derive(Debug)]
pub struct Answers {
    images: Images,
    /// Log-probabilities: images × classes.
    expected: Tensor,
}

impl Answers {
    /// Of this network.
    ///
    /// # Errors
    /// If it cannot run.
    pub fn of(module: &Module, images: Images) -> Result<Self> {
        let expected = log_probabilities(module, &images)?;
        Ok(Answers { images, expected })
    }

    #[must_use]
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// How alike another network answers them.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn agreement(&self, module: &Module) -> Result<Agreement> {
        let found = log_probabilities(module, &self.images)?;
        let compare = || -> Result<Agreement, TchError> {
            let same = found
                .f_argmax(1, false)?
                .f_eq_tensor(&self.expected.f_argmax(1, false)?)?;
            let same = same.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?;
            let divergence = found.f_kl_div(&self.expected, tch::Reduction::Sum, true)?;
            Ok(Agreement {
                same_class: same.f_double_value(&[])?,
                closeness: -divergence.f_double_value(&[])? / self.images.len() as f64,
            })
        };
        compare().map_err(explain)
    }
}

fn log_probabilities(module: &Module, images: &Images) -> Result<Tensor> {
    let predictor = module.predictor_for(images)?;
    let mut answers = Vec::new();
    for batch in images.suiting(predictor.batch()).batches(0)? {
        let scores = predictor.scores(&module.images(&batch?.images)?)?;
        answers.push(scores.f_log_softmax(-1, Kind::Float).map_err(explain)?);
    }
    Tensor::f_cat(&answers, 0).map_err(explain)
}
