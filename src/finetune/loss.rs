//! What training makes small.

use std::collections::HashMap;

use anyhow::{Context, Result};
use tch::{Kind, Reduction, Tensor};

use crate::data::{Batch, Loader};
use crate::torch::{self, Module, explain};

/// Mean cross-entropy in nats. With smoothing each label is that part sure, and the rest is spread over all classes
/// (Szegedy et al., arXiv 1512.00567, section 7).
pub fn cross_entropy(scores: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let no_weights: Option<&Tensor> = None;
    scores
        .f_cross_entropy_loss(labels, no_weights, Reduction::Mean, -100, smoothing)
        .map_err(explain)
}

/// How much of a teacher there is in the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// By which scores are divided: above 1 the classes beside the best one count more.
    pub temperature: f64,
    /// The labels have the rest.
    pub weight: f64,
}

/// A network to learn from: its class scores are targets (Hinton et al., arXiv 1503.02531).
pub struct Teacher {
    module: Module,
    pub distillation: Distillation,
    /// Scores of images that are always the same, by their numbers.
    known: Option<HashMap<usize, Vec<f32>>>,
}

impl Teacher {
    /// Where the loader gives the same images in every epoch, each is shown to the teacher once.
    #[must_use]
    pub fn new(module: Module, distillation: Distillation, loader: &Loader) -> Self {
        let known = (!loader.is_augmented()).then(HashMap::new);
        Teacher {
            module,
            distillation,
            known,
        }
    }

    /// How far scores are from the teacher's: Kullback-Leibler divergence of the softened distributions, times the
    /// squared temperature, which gives its gradient the size of cross-entropy's.
    ///
    /// # Errors
    /// If the teacher cannot run.
    pub fn divergence(
        &mut self,
        batch: &Batch,
        images: &Tensor,
        scores: &Tensor,
    ) -> Result<Tensor> {
        let targets = self.scores(batch, images)?;
        let temperature = self.distillation.temperature;
        let soft = |t: &Tensor| t.f_to_kind(Kind::Float)?.f_div_scalar(temperature);
        let divergence = || -> Result<Tensor, tch::TchError> {
            let targets = soft(&targets)?.f_softmax(-1, Kind::Float)?;
            let sum = soft(scores)?.f_log_softmax(-1, Kind::Float)?.f_kl_div(
                &targets,
                Reduction::Sum,
                false,
            )?;
            let images = batch.indices.len().max(1) as f64;
            sum.f_mul_scalar(temperature * temperature / images)
        };
        divergence().map_err(explain)
    }

    fn scores(&mut self, batch: &Batch, images: &Tensor) -> Result<Tensor> {
        let run = |module: &Module| tch::no_grad(|| module.forward(images));
        let Some(known) = &mut self.known else {
            return run(&self.module);
        };
        if !batch.indices.iter().all(|i| known.contains_key(i)) {
            let scores = torch::to_array(&run(&self.module)?)?;
            for (index, row) in batch.indices.iter().zip(scores.outer_iter()) {
                known.insert(*index, row.iter().copied().collect());
            }
        }
        let rows: Option<Vec<&[f32]>> = batch
            .indices
            .iter()
            .map(|i| known.get(i).map(Vec::as_slice))
            .collect();
        let rows = rows
            .context("a teacher that gives fewer rows than images")?
            .concat();
        Tensor::f_from_slice(&rows)
            .and_then(|t| t.f_reshape([batch.indices.len() as i64, -1]))
            .and_then(|t| t.f_to_device(self.module.device()))
            .map_err(explain)
    }
}
