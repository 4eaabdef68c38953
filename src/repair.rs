//! Repair without labels and without training: what a removal put out of step is brought back in step.
//!
//! Batch normalisation keeps mean and variance of what it saw in training. Behind a removed block it sees something
//! else, and both are taken again from calibration images.

use std::ops::Range;

use anyhow::{Result, bail};
use tch::{Device, Kind, TchError, Tensor};

use crate::analysis::Analysis;
use crate::archive::Archive;
use crate::data::{Loader, Part};
use crate::finetune::{State, trainable};
use crate::interface::Interface;
use crate::program::{ModuleId, Operand};
use crate::progress::Progress;
use crate::segments::with_tensor_list;
use crate::torch::{self, Module, explain};

/// Part of the calibration images that decides whether a repair is kept; the others are repaired on.
const HELD_BACK: f64 = 0.2;

/// How a network answers images beside another: what labels are not needed for.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Agreement {
    /// Fraction of images to which both give the same class.
    pub same_class: f64,
    /// Kullback-Leibler divergence of the class probabilities from the other network's, in nats, negative: more is closer.
    pub closeness: f64,
}

/// A repair that brought the network closer to the unpruned one.
#[derive(Clone, Debug)]
pub struct Repaired {
    pub archive: Archive,
    pub before: Agreement,
    pub after: Agreement,
}

/// Repairs networks in the course of a run.
pub struct Workshop<'a> {
    interface: &'a Interface,
    loader: &'a Loader,
    device: Device,
    progress: Progress,
    learned_from: Part,
    held_back: Part,
    /// Log-probabilities that the unpruned network gives the images held back.
    expected: Tensor,
}

impl<'a> Workshop<'a> {
    /// For networks made of `original`.
    ///
    /// # Errors
    /// If the original cannot run.
    pub fn new(
        original: &Archive,
        interface: &'a Interface,
        (calibration, loader): (&Part, &'a Loader),
        device: Device,
        progress: Progress,
    ) -> Result<Self> {
        let count = calibration.len();
        let held_back = ((count as f64 * HELD_BACK) as usize).clamp(1, count);
        // Any run of calibration images has as many of each class.
        let part = |range: Range<usize>| calibration.subset(&range.collect::<Vec<_>>());
        let mut workshop = Workshop {
            interface,
            loader,
            device,
            progress,
            learned_from: part(0..count - held_back),
            held_back: part(count - held_back..count),
            expected: Tensor::new(),
        };
        workshop.expected = workshop.answers(original)?;
        Ok(workshop)
    }

    /// Takes the statistics of batch normalisation anew; `None` if the network has none, or they are worse.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn normalisation(
        &self,
        archive: &Archive,
        analysis: &Analysis,
    ) -> Result<Option<Repaired>> {
        let Some(repaired) = self.restated(archive, analysis)? else {
            return Ok(None);
        };
        let (before, after) = (self.agreement(archive)?, self.agreement(&repaired)?);
        Ok((after > before).then_some(Repaired {
            archive: repaired,
            before,
            after,
        }))
    }

    fn agreement(&self, archive: &Archive) -> Result<Agreement> {
        let found = self.answers(archive)?;
        let compare = || -> Result<Agreement, TchError> {
            let same = found
                .f_argmax(1, false)?
                .f_eq_tensor(&self.expected.f_argmax(1, false)?)?;
            let same = same.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?;
            let divergence = found.f_kl_div(&self.expected, tch::Reduction::Sum, true)?;
            Ok(Agreement {
                same_class: same.f_double_value(&[])?,
                closeness: -divergence.f_double_value(&[])? / self.held_back.len() as f64,
            })
        };
        compare().map_err(explain)
    }

    /// Log-probabilities of the images held back.
    fn answers(&self, archive: &Archive) -> Result<Tensor> {
        let module = Module::load(archive, self.device, self.interface)?;
        let mut answers = Vec::new();
        for batch in self.loader.batches(&self.held_back, 0)? {
            let images = module.images(&batch?.images)?;
            let scores = tch::no_grad(|| module.forward(&images))?;
            answers.push(scores.f_log_softmax(-1, Kind::Float).map_err(explain)?);
        }
        Tensor::f_cat(&answers, 0).map_err(explain)
    }

    /// The archive with statistics of the images that are learned from.
    fn restated(&self, archive: &Archive, analysis: &Analysis) -> Result<Option<Archive>> {
        // Frozen networks have none: theirs are folded into weights.
        if statistics(analysis).is_empty() || self.learned_from.len() < 2 {
            return Ok(None);
        }
        let (mut repaired, network) = trainable(archive, self.progress)?;
        let state = State::of_buffers(statistics(&Analysis::of(&repaired, &analysis.request)?));
        let instrumented = with_tensor_list(&repaired, &network, &state.operands());
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
fn statistics(analysis: &Analysis) -> Vec<(ModuleId, String)> {
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
