//! Batch normalisation keeps mean and variance of what it saw in training. Behind a removed block it sees something
//! else, and both are taken again from calibration images.

use anyhow::{Result, bail};
use tch::{Kind, TchError, Tensor};

use super::Workshop;
use crate::archive::Archive;
use crate::blocks::analysis::Analysis;
use crate::blocks::patch::{unmoved_statistics, with_usual_momentum};
use crate::program::{ModuleId, Operand};
use crate::run::segments::with_tensor_list;
use crate::run::torch::{self, Module, explain};
use crate::train::finetune::{State, trainable};

impl Workshop<'_> {
    /// The archive with statistics of the images that are learned from.
    pub(super) fn restated(
        &self,
        archive: &Archive,
        analysis: &Analysis,
    ) -> Result<Option<Archive>> {
        // Frozen networks have none: theirs are folded into weights.
        if statistics(analysis).is_empty() || self.learned_from.len() < 2 {
            return Ok(None);
        }
        let (mut repaired, network) = trainable(archive, self.progress)?;
        let retrained = Analysis::of(&repaired, &analysis.request)?;
        let state = State::of_tensors(statistics(&retrained));
        let mut instrumented = with_tensor_list(&repaired, &network, &state.operands());
        if unmoved_statistics(&retrained.program) > 0 {
            with_usual_momentum(&mut instrumented)?;
        }
        let mut module = Module::load(&instrumented, self.device, self.interface)?;
        module.set_training(true)?;
        let tensors = module.tensors()?;
        tch::no_grad(|| self.measure(&module, &tensors))?;
        state.write_back(&network, &tensors, &mut repaired)?;
        Ok(Some(repaired))
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
            // Only what it does to the statistics matters.
            let _ = module.forward(images)?;
            let wide = |t: &Tensor| torch::copy(&t.f_to_kind(Kind::Double).map_err(explain)?);
            statistics.iter().map(wide).collect()
        };
        let mut sums: Option<Vec<Tensor>> = None;
        let mut kept = Vec::new();
        let mut batches = 0;
        for batch in self.loader.batches(&self.learned_from, 0)? {
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
