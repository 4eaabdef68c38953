//! Batch normalisation keeps mean and variance of what it saw in training. Behind a removed block it sees something
//! else, and both are taken again from calibration images.

use std::num::NonZeroUsize;

use anyhow::{Context, Result, bail};
use tch::{Kind, TchError, Tensor};

use super::{Attempt, Repairer, Step};
use crate::blocks::analysis::Analysis;
use crate::program::{ModuleId, Operand};
use crate::run::torch::Model;
use crate::run::torch::state_dict::StateDict;
use crate::run::torch::{self, Module, explain};

/// Fewer images in a batch say too little about all of them.
const FEWEST_IMAGES: NonZeroUsize = NonZeroUsize::new(32).unwrap();

impl Attempt<'_> {
    /// Takes the statistics of the images that are learned from.
    pub(super) fn restate_statistics(&mut self) -> Result<()> {
        // Frozen networks have none: theirs are folded into weights.
        if statistics(self.model.analysis()).is_empty() || self.repairer.learned_from.len() < 2 {
            return Ok(());
        }
        match self.model.trainable(self.repairer.progress)? {
            Some(mut switched) => {
                self.repairer.restate(&mut switched)?;
                self.replace(Step::Bn, switched)
            }
            None => self
                .change(Step::Bn, |repairer, model| repairer.restate(model))
                .map(drop),
        }
    }
}

impl Repairer<'_> {
    /// Puts statistics of the images that are learned from in the place of a network's own.
    fn restate(&self, model: &mut Model) -> Result<()> {
        let before = model.weights()?;
        let network = &model.analysis().network;
        let state = StateDict::of(network);
        let named = statistics(model.analysis()).into_iter();
        let places = named.map(|(module, name)| state.place(module, &name));
        let places: Option<Vec<usize>> = places.collect();
        let places = places.context("statistics that are no buffers")?;
        let (module, tensors) = model.in_memory()?;
        let of = |places: &[usize]| -> Vec<Tensor> {
            places.iter().map(|i| tensors[*i].shallow_clone()).collect()
        };
        let statistics = of(&places);
        module.set_training(true)?;
        tch::no_grad(|| self.measure(module, &statistics))?;
        module.set_training(false)?;
        // Training also counts batches.
        let rest = (0..tensors.len()).filter(|i| !places.contains(i));
        tch::no_grad(|| {
            for i in rest {
                let mut tensor = tensors[i].shallow_clone();
                tensor.f_copy_(&before[i]).map_err(explain)?;
            }
            Ok(())
        })
    }

    /// Leaves in each statistic its mean over all batches.
    ///
    /// A batch moves a statistic `s` to `(1 − m) s + m b`. Begun at 0 that is `m b`; the momentum `m` shows where the same
    /// batch begins at 1.
    fn measure(&self, module: &Module, statistics: &[Tensor]) -> Result<()> {
        let moved_from = |value: f64, images: &Tensor| -> Result<Vec<Tensor>> {
            for tensor in statistics {
                let _ = tensor.shallow_clone().f_fill_(value).map_err(explain)?;
            }
            // What is dropped at random has to be the same both times, and in every run.
            torch::set_seed(0);
            // Only what it does to the statistics matters.
            let _ = module.forward(images)?;
            let wide = |t: &Tensor| torch::copy(&t.f_to_kind(Kind::Double).map_err(explain)?);
            statistics.iter().map(wide).collect()
        };
        let mut sums: Option<Vec<Tensor>> = None;
        let mut kept = Vec::new();
        let mut batches = 0;
        let suits = module.batch_together().max(FEWEST_IMAGES);
        for batch in self.learned_from.suiting(suits).batches(0)? {
            let batch = batch?;
            if batch.indices.len() < 2 {
                continue;
            }
            let images = module.images(&batch.images)?;
            let moved = moved_from(0., &images)?;
            batches += 1;
            sums = Some(match sums {
                Some(sums) => paired(&sums, &moved, Tensor::f_add)?,
                None => {
                    kept = paired(&moved_from(1., &images)?, &moved, Tensor::f_sub)?;
                    moved
                }
            });
        }
        let Some(sums) = sums else {
            bail!("no batch of two images to take statistics from");
        };
        for ((tensor, sum), kept) in statistics.iter().zip(sums).zip(kept) {
            let mean = || -> Result<Tensor, TchError> {
                // m = 1 − kept
                let momentum = kept.f_neg()?.f_add_scalar(1.)?;
                sum.f_div(&momentum)?
                    .f_div_scalar(f64::from(batches))?
                    .f_to_kind(tensor.f_kind()?)
            };
            let mean = mean().map_err(explain)?;
            tensor.shallow_clone().f_copy_(&mean).map_err(explain)?;
        }
        Ok(())
    }
}

/// The buffers in which batch normalisation keeps means and variances.
pub(super) fn statistics(analysis: &Analysis) -> Vec<(ModuleId, String)> {
    let mut found = Vec::new();
    let statements = analysis.program.statements.iter();
    for statement in statements.filter(|s| s.operator() == Some("batch_norm")) {
        for operand in [
            statement.arg(3, "running_mean"),
            statement.arg(4, "running_var"),
        ] {
            if let Some(Operand::Attribute { module, name }) = operand {
                let buffer = (*module, name.clone());
                if !found.contains(&buffer) {
                    found.push(buffer);
                }
            }
        }
    }
    found
}

fn paired(
    a: &[Tensor],
    b: &[Tensor],
    operator: impl Fn(&Tensor, &Tensor) -> Result<Tensor, TchError>,
) -> Result<Vec<Tensor>> {
    let each = a
        .iter()
        .zip(b)
        .map(|(a, b)| operator(a, b).map_err(explain));
    each.collect()
}
