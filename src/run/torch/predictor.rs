//! The class scores of a network by the quickest form that gives the same, up to rounding, on all cores.

use std::num::NonZeroUsize;

use anyhow::{Context, Result};
use rayon::prelude::*;
use tch::{Device, TchError, Tensor};

use super::kernels;
use super::{Module, PreparedLayers, Workers, channels_last, explain, to_array};
use crate::blocks::analysis::Analysis;
use crate::data::Images;
use crate::program::Op;
use crate::program::dtype::Dtype;
use crate::run::class_scores::{ClassScores, QuickForm};
use crate::run::inference::Kernels;

/// Bytes of the largest tensor in a batch up to which a core's caches help; measured on convolutional networks.
const CACHED: usize = 2 << 20;
/// Of fewer images operators take long to begin.
const FEWEST_IMAGES: usize = 8;
/// More gain nothing.
const MOST_IMAGES: usize = 32;

/// Images on which the forms of a network are compared, whatever the size of a batch.
pub const FIRST_LOOK: NonZeroUsize = NonZeroUsize::new(8).unwrap();
/// Images that keep a GPU busy.
const GPU_BATCH: usize = 256;
/// Bytes of the largest tensor in a batch that all cores work on together.
const SHARED: usize = 32 << 20;
/// Where cores work together, fewer images keep them waiting for each other, and more gain nothing.
const SHARED_IMAGES: (usize, usize) = (8, 128);

/// How many images cores best run at once that work together on each operator, as a network's user lets them.
/// `largest`: bytes of the network's largest tensor, for one image.
#[must_use]
pub fn images_together(largest: usize) -> NonZeroUsize {
    let (fewest, most) = SHARED_IMAGES;
    let images = (SHARED / largest.max(1)).clamp(fewest, most);
    // The next lower power of two.
    NonZeroUsize::new(1 << images.ilog2()).unwrap_or(NonZeroUsize::MIN)
}

/// How many images a worker on a CPU best runs at once; `largest`: bytes of the network's largest tensor, for one image.
#[must_use]
pub fn images_at_once(largest: usize) -> usize {
    (CACHED / largest.max(1)).clamp(FEWEST_IMAGES, MOST_IMAGES)
}

/// The sets of kernels by which this network may run, the quickest first. None: it runs as it is written alone.
#[must_use]
pub fn kernel_sets(analysis: &Analysis, element: Dtype, device: Device) -> &'static [Kernels] {
    let mut statements = analysis.program.statements.iter();
    let writes_attributes = statements.any(|s| matches!(s.op, Op::SetAttribute { .. }));
    match element {
        _ if writes_attributes => &[],
        Dtype::Float32 if device == Device::Cpu => kernels::quickest(),
        Dtype::Float32 | Dtype::Float64 => &[Kernels::Libtorch],
        // Folded weights of half precision would be rounded once more.
        _ => &[],
    }
}

/// The quick forms of a module's network, whose methods it has.
#[derive(Debug)]
pub(super) struct Quick {
    pub scores: ClassScores,
    /// Images that a worker runs at once.
    pub at_once: usize,
}

/// A network that is asked for class scores, with the weights that it had when this was made.
#[derive(Debug)]
pub struct Predictor<'a> {
    module: &'a Module,
    /// `None`: as it is written.
    quick: Option<Ready<'a>>,
}

/// A form that was found to give the same.
#[derive(Debug)]
struct Ready<'a> {
    form: &'a QuickForm,
    layers: PreparedLayers,
    workers: Workers,
    at_once: usize,
}

impl Module {
    /// This module, which has the methods of these forms, and whose largest tensor has so many bytes for one image.
    pub(super) fn with_quick(self, scores: ClassScores, largest: usize) -> Self {
        let quick = (!scores.forms.is_empty()).then(|| Quick {
            scores,
            at_once: images_at_once(largest),
        });
        Module {
            quick,
            together: images_together(largest),
            ..self
        }
    }

    /// The quickest way to this network's class scores that gives the same for these images, up to rounding.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn predictor(&self, sample: &Tensor) -> Result<Predictor<'_>> {
        let mut predictor = Predictor {
            module: self,
            quick: None,
        };
        let Some(quick) = &self.quick else {
            return Ok(predictor);
        };
        let expected = tch::no_grad(|| self.output(sample))?;
        for form in &quick.scores.forms {
            // What libtorch cannot run in this form it may well run as it is written.
            let Ok(ready) = self.ready(quick, form) else {
                continue;
            };
            let scores = self.run_quick(&ready, sample);
            if scores.is_ok_and(|scores| self.agree(&scores, &expected).unwrap_or(false)) {
                predictor.quick = Some(ready);
                break;
            }
        }
        Ok(predictor)
    }

    /// Images that are best given at once where all cores work together on each operator.
    #[must_use]
    pub fn batch_together(&self) -> NonZeroUsize {
        self.together
    }

    /// The same, checked on the first of these images.
    ///
    /// # Errors
    /// If there are none, or the network cannot run.
    pub fn predictor_for(&self, images: &Images) -> Result<Predictor<'_>> {
        let first = images.in_batches_of(FIRST_LOOK).first_batch()?;
        let first = first.context("no images to ask the network for")?;
        self.predictor(&self.images(&first.images)?)
    }

    fn ready<'a>(&self, quick: &'a Quick, form: &'a QuickForm) -> Result<Ready<'a>> {
        let scores = &quick.scores;
        let tensors = self.sources()?;
        let sources: Vec<_> = scores.sources.iter().cloned().zip(&tensors).collect();
        Ok(Ready {
            form,
            layers: PreparedLayers::of(&form.layers, &sources, self.device == Device::Cpu)?,
            workers: Workers::of(self.device)?,
            at_once: quick.at_once,
        })
    }

    /// Class scores as the network gives them.
    fn run_quick(&self, ready: &Ready, images: &Tensor) -> Result<Tensor> {
        let method = &ready.form.method;
        let weights = ready.layers.tensors(&method.layers);
        let images = match self.device {
            Device::Cpu => channels_last(images)?,
            _ => images.shallow_clone(),
        };
        let scores = tch::no_grad(|| self.method(&method.name, &images, weights));
        kernels::operator::check()?;
        scores
    }

    /// Whether two tensors are the same up to the rounding of this network's numbers.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn agree(&self, found: &Tensor, expected: &Tensor) -> Result<bool> {
        let (found, expected) = (to_array(found)?, to_array(expected)?);
        let scale = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
        let tolerance = self.rounding() * scale;
        let close =
            |a: &f32, b: &f32| a == b || (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan());
        let mut pairs = found.iter().zip(&expected);
        Ok(found.shape() == expected.shape() && pairs.all(|(a, b)| close(a, b)))
    }
}

impl Predictor<'_> {
    #[must_use]
    pub fn module(&self) -> &Module {
        self.module
    }

    /// Whether the network runs in a quicker form than it is written in.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.quick.is_some()
    }

    /// Images that are best given at once.
    #[must_use]
    pub fn batch(&self) -> NonZeroUsize {
        let images = match &self.quick {
            _ if self.module.device != Device::Cpu => GPU_BATCH,
            Some(quick) => quick.at_once * quick.workers.count(),
            None => return self.module.together,
        };
        NonZeroUsize::new(images).unwrap_or(NonZeroUsize::MIN)
    }

    /// The same as [`Module::forward`], up to rounding, without gradients.
    ///
    /// # Errors
    /// Those of [`Module::forward`].
    pub fn scores(&self, images: &Tensor) -> Result<Tensor> {
        let Some(quick) = &self.quick else {
            return tch::no_grad(|| self.module.forward(images));
        };
        let scores = tch::no_grad(|| self.divided(quick, images))?;
        self.module.on_scale(scores)
    }

    /// Divides images among the workers.
    fn divided(&self, quick: &Ready, images: &Tensor) -> Result<Tensor> {
        let all = images.size().first().copied().unwrap_or_default() as usize;
        let workers = quick.workers.count();
        if self.module.device != Device::Cpu {
            return self.module.run_quick(quick, images);
        }
        let share = all.div_ceil(workers).clamp(1, quick.at_once);
        let parts: Result<Vec<Tensor>, TchError> = (0..all)
            .step_by(share)
            .map(|start| images.f_narrow(0, start as i64, share.min(all - start) as i64))
            .collect();
        let parts = parts.map_err(explain)?;
        let scores: Result<Vec<Tensor>> = quick.workers.run(|| {
            let run = |part: Tensor| self.module.run_quick(quick, &part);
            parts.into_par_iter().map(run).collect()
        });
        Tensor::f_cat(&scores?, 0).map_err(explain)
    }
}
