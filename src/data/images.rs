//! Images, and how they become batches.

use std::num::NonZeroUsize;

use super::error::Result;
use super::loader::{Batch, Batches, Loader};
use super::part::{Part, Samples};

/// A part of a data set with what makes batches of it.
#[derive(Clone, Debug)]
pub struct Images {
    pub part: Part,
    pub loader: Loader,
}

impl Images {
    #[must_use]
    pub fn new(part: Part, loader: Loader) -> Self {
        Images { part, loader }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.part.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.part.is_empty()
    }

    /// Whether each image has its class.
    #[must_use]
    pub fn is_labelled(&self) -> bool {
        self.part.labels().is_some()
    }

    /// The batches of one pass; where nothing is random every `epoch` is the same.
    ///
    /// # Errors
    /// Those of [`Loader::batches`].
    pub fn batches(&self, epoch: u64) -> Result<Batches<'_>> {
        self.loader.batches(&self.part, epoch)
    }

    /// The first batch; `None` if there is no image.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn first_batch(&self) -> Result<Option<Batch>> {
        self.batches(0)?.next().transpose()
    }

    /// Channels × height × width of each image as the network is given it.
    ///
    /// # Errors
    /// Those of [`Loader::output_shape`].
    pub fn shape(&self) -> Result<[usize; 3]> {
        self.loader.output_shape(&self.part)
    }

    /// The images at these places.
    #[must_use]
    pub fn subset(&self, places: &[usize]) -> Self {
        Images {
            part: self.part.subset(places),
            loader: self.loader.clone(),
        }
    }

    /// So many of them, of each class as large a part.
    #[must_use]
    pub fn draw(&self, samples: Samples, seed: u64) -> Self {
        Images {
            part: self.part.draw(samples, seed),
            loader: self.loader.clone(),
        }
    }

    /// The same images in batches of a size that suits the work, where nobody named one ([`Loader::suiting`]).
    #[must_use]
    pub fn suiting(&self, size: NonZeroUsize) -> Self {
        Images {
            part: self.part.clone(),
            loader: self.loader.suiting(size),
        }
    }

    /// The same images in batches of another size.
    #[must_use]
    pub fn in_batches_of(&self, size: NonZeroUsize) -> Self {
        Images {
            part: self.part.clone(),
            loader: self.loader.with_batch_size(size),
        }
    }
}
