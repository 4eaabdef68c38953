//! A network on its way from stop to stop, with the tensor at the stop for every batch of images.

use anyhow::{Result, bail};
use tch::Tensor;

use crate::data::Images;
use crate::run::stops::Stops;
use crate::run::torch::{Module, explain};

/// Bytes of the tensors at a stop, of both networks and all images.
const MEMORY: usize = 1 << 30;

/// The images of a regression, batch by batch: those that are learned from, each batch with its mirror images, then those
/// held back.
pub(super) struct Batches {
    images: Vec<Tensor>,
    learned: usize,
}

impl Batches {
    /// As many of the images that are learned from, and of those held back, as memory is there for on these ways, in the
    /// same proportion. Mirror images, which the unpruned network answers as well, come where there is room for all.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of(parts: [&Images; 2], ways: &[Stops; 2], module: &Module) -> Result<Self> {
        let largest = |stops: &Stops| {
            let elements = stops.stops().iter().filter_map(|stop| stop.elements);
            elements.max().unwrap_or(0) as usize
        };
        let image: usize = parts[0].shape()?.iter().product();
        let elements = image + ways.iter().map(largest).sum::<usize>();
        let all = parts.iter().map(|images| images.len()).sum::<usize>();
        let room = MEMORY / (elements * size_of::<f32>()).max(1);
        let are_mirrored = all + parts[0].len() <= room;
        let fit = room.min(all);
        let mut batches = Batches {
            images: Vec::new(),
            learned: 0,
        };
        for (number, images) in parts.into_iter().enumerate() {
            let share = (images.len() * fit).div_ceil(all.max(1)).max(1);
            let part: Vec<usize> = (0..share.min(images.len())).collect();
            let part = images.subset(&part).suiting(module.batch_together());
            for batch in part.batches(0)? {
                let images = module.images(&batch?.images)?;
                if number == 0 && are_mirrored {
                    batches.images.push(images.f_flip([-1]).map_err(explain)?);
                }
                batches.images.push(images);
            }
            if number == 0 {
                batches.learned = batches.images.len();
            }
        }
        Ok(batches)
    }

    /// How many images are learned from.
    pub fn learned_from(&self) -> i64 {
        self.images[..self.learned]
            .iter()
            .map(|batch| batch.size()[0])
            .sum()
    }

    /// Whether a batch is held back.
    pub fn is_held(&self, batch: usize) -> bool {
        batch >= self.learned
    }
}

/// A network, and where it is.
pub(super) struct Track<'a> {
    module: &'a Module,
    stops: &'a Stops,
    /// Batch by batch.
    states: Vec<Tensor>,
}

impl<'a> Track<'a> {
    /// At the images.
    pub fn begin(module: &'a Module, stops: &'a Stops, batches: &Batches) -> Self {
        Track {
            module,
            stops,
            states: batches.images.iter().map(Tensor::shallow_clone).collect(),
        }
    }

    pub fn batches(&self) -> usize {
        self.states.len()
    }

    /// Goes on to a stop from the one in front of it.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn advance(&mut self, stop: usize) -> Result<()> {
        let Some(lead) = &self.stops.stops()[stop].lead else {
            return Ok(());
        };
        for state in &mut self.states {
            *state = self.module.method(lead, state, Vec::new())?;
        }
        Ok(())
    }

    /// The values to look at from a stop.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn look<const N: usize>(&self, stop: usize, batch: usize) -> Result<[Tensor; N]> {
        let look = &self.stops.stops()[stop].look;
        match self.module.list(look, &self.states[batch])?.try_into() {
            Ok(values) => Ok(values),
            Err(_) => bail!("a look that gives other values than were asked for"),
        }
    }
}
