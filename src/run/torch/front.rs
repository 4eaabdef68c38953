//! The network around a module, which makes the module's input of images.

use anyhow::{Context, Result, bail};
use ndarray::Array4;
use tch::Tensor;

use super::Module;
use crate::blocks::analysis::Analysis;
use crate::run::segments::with_root_methods;

/// The whole network, loaded to be run as far as a module's call.
#[derive(Debug)]
pub(super) struct Front {
    whole: Module,
    method: String,
    /// Shape of what it gives for one image.
    given: Vec<i64>,
}

impl Module {
    /// This module, which is given what the network around it makes of images, where the analysis found that.
    ///
    /// # Errors
    /// If libtorch refuses the network around it.
    pub fn behind(self, analysis: &Analysis) -> Result<Self> {
        let Ok(Some(front)) = &analysis.front else {
            return Ok(self);
        };
        let methods = [front.method.clone()];
        let instrumented = with_root_methods(&front.archive, &front.network, &methods);
        let whole = Module::load(&instrumented, self.device, &front.interface);
        Ok(Module {
            front: Some(Box::new(Front {
                whole: whole.context("the network around the module")?,
                method: front.method.name.clone(),
                given: front.given_shape.clone(),
            })),
            ..self
        })
    }

    /// Whether its input is made of images by a network around it.
    #[must_use]
    pub fn has_front(&self) -> bool {
        self.front.is_some()
    }
}

impl Front {
    /// What the module is given for a batch of images (n × channels × height × width).
    pub(super) fn run(&self, images: &Array4<f32>) -> Result<Tensor> {
        let given = tch::no_grad(|| {
            let images = self.whole.images(images)?;
            self.whole.method(&self.method, &images, Vec::new())
        })?;
        let expected: Vec<i64> = std::iter::once(images.dim().0 as i64)
            .chain(self.given.iter().copied())
            .collect();
        if given.size() != expected {
            bail!(
                "the network around the module gives it {:?} where its code tells {expected:?}",
                given.size()
            );
        }
        Ok(given)
    }
}
