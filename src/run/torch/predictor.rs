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
use crate::run::inference::Kernels;
use crate::run::quick_forms::{QuickForm, QuickForms};

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

/// A network that is asked for class scores, with the weights that it had when this was made.
#[derive(Debug)]
pub struct Predictor<'a> {
    module: &'a Module,
    /// `None`: as it is written.
    quick: Option<Quickest<'a>>,
}

/// The quickest form of a span of a network that was found to give the same, with the weights that the network had then.
#[derive(Debug)]
pub struct Quickest<'a> {
    module: &'a Module,
    form: &'a QuickForm,
    layers: PreparedLayers,
    workers: Workers,
    /// Images that a worker runs at once.
    at_once: usize,
}

impl Module {
    /// This module, which has the methods of these forms, and whose largest tensor has so many bytes for one image.
    pub(super) fn with_quick(self, quick: QuickForms, largest: usize) -> Self {
        Module {
            quick,
            largest,
            ..self
        }
    }

    /// The quickest way to this network's class scores that gives the same for these images, up to rounding.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn predictor(&self, sample: &Tensor) -> Result<Predictor<'_>> {
        Ok(Predictor {
            module: self,
            quick: self.quickest(&self.quick, sample, |sample| self.output(sample))?,
        })
    }

    /// The quickest form of a span, whose methods this module has, that gives the same for these images up to rounding;
    /// `None` where none does.
    ///
    /// # Errors
    /// If the span cannot run as it is written.
    pub fn quickest<'a>(
        &'a self,
        forms: &'a QuickForms,
        sample: &Tensor,
        as_written: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Option<Quickest<'a>>> {
        if forms.forms.is_empty() {
            return Ok(None);
        }
        let expected = tch::no_grad(|| as_written(sample))?;
        Ok(forms.forms.iter().find_map(|form| {
            // What libtorch cannot run in this form it may well run as it is written.
            let quickest = self.prepared(forms, form).ok()?;
            let found = quickest.run_at_once(sample).ok()?;
            let is_same = self.agree(&found, &expected).unwrap_or(false);
            is_same.then_some(quickest)
        }))
    }

    /// Images that are best given at once where all cores work together on each operator.
    #[must_use]
    pub fn batch_together(&self) -> NonZeroUsize {
        images_together(self.largest)
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

    fn prepared<'a>(&'a self, forms: &QuickForms, form: &'a QuickForm) -> Result<Quickest<'a>> {
        let tensors = self.tensors_of(&forms.sources_method, &[])?;
        let sources: Vec<_> = forms.sources.iter().cloned().zip(&tensors).collect();
        Ok(Quickest {
            module: self,
            form,
            layers: PreparedLayers::of(&form.layers, &sources, self.device == Device::Cpu)?,
            workers: Workers::of(self.device)?,
            at_once: images_at_once(self.largest),
        })
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
            None => return self.module.batch_together(),
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
        let scores = tch::no_grad(|| quick.run(images))?;
        self.module.on_scale(scores)
    }
}

impl Quickest<'_> {
    /// What the span gives for these images, which are divided among the workers.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn run(&self, images: &Tensor) -> Result<Tensor> {
        let all = images.size().first().copied().unwrap_or_default() as usize;
        let workers = self.workers.count();
        if self.module.device != Device::Cpu {
            return self.run_at_once(images);
        }
        let share = all.div_ceil(workers).clamp(1, self.at_once);
        let parts: Result<Vec<Tensor>, TchError> = (0..all)
            .step_by(share)
            .map(|start| images.f_narrow(0, start as i64, share.min(all - start) as i64))
            .collect();
        let parts = parts.map_err(explain)?;
        let found: Result<Vec<Tensor>> = self.workers.run(|| {
            let run = |part: Tensor| self.run_at_once(&part);
            parts.into_par_iter().map(run).collect()
        });
        Tensor::f_cat(&found?, 0).map_err(explain)
    }

    fn run_at_once(&self, images: &Tensor) -> Result<Tensor> {
        let method = &self.form.method;
        let weights = self.layers.tensors(&method.layers);
        let images = match self.module.device {
            Device::Cpu => channels_last(images)?,
            _ => images.shallow_clone(),
        };
        let found = tch::no_grad(|| self.module.method(&method.name, &images, weights));
        kernels::operator::check()?;
        found
    }
}
