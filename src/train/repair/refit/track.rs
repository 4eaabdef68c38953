//! A network on its way from stop to stop, with the tensor at the stop for every batch of images.

use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use tch::Tensor;

use crate::data::Images;
use crate::run::quick_forms::QuickForms;
use crate::run::stops::{Stop, Stops};
use crate::run::torch::{FIRST_LOOK, Model, Module, explain, images_together};

/// Bytes of the tensors that both networks have on their ways. How many images are learned from follows from it, so that it
/// has to be the same on every machine.
const MEMORY: usize = 2 << 30;

/// The images of a regression, batch by batch: those that are learned from, each batch with its mirror images, then those
/// held back.
pub(super) struct Batches {
    images: Vec<Tensor>,
    pub learned: Learned,
}

/// What is learned from.
#[derive(Clone, Copy, Default)]
pub(super) struct Learned {
    /// The first of all batches; the others are held back.
    pub batches: usize,
    pub images: i64,
}

impl Batches {
    /// As many of the images that are learned from, and of those held back, as memory is there for on these ways, in the
    /// same proportion. Mirror images, which the unpruned network answers as well, come where there is room for all.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn of(parts: [&Images; 2], ways: &[Way; 2], module: &Module) -> Result<Self> {
        let image: usize = parts[0].shape()?.iter().product();
        // The images are there until both are at their first stop; there one pair stays while another goes on.
        let at_stop: usize = ways.iter().map(Way::largest).sum();
        let elements = at_stop + image.max(at_stop);
        let all = parts.iter().map(|images| images.len()).sum::<usize>();
        let room = MEMORY / (elements * size_of::<f32>()).max(1);
        let are_mirrored = all + parts[0].len() <= room;
        let fit = room.min(all);
        let largest = ways.iter().map(|way| way.largest_behind).max();
        let together = images_together(largest.unwrap_or(0) * size_of::<f32>());
        let mut batches = Batches {
            images: Vec::new(),
            learned: Learned::default(),
        };
        for (number, images) in parts.into_iter().enumerate() {
            let share = (images.len() * fit).div_ceil(all.max(1)).max(1);
            let part: Vec<usize> = (0..share.min(images.len())).collect();
            let part = images.subset(&part).suiting(together);
            for batch in part.batches(0)? {
                let images = module.images(&batch?.images)?;
                if number == 0 && are_mirrored {
                    batches.images.push(images.f_flip([-1]).map_err(explain)?);
                }
                batches.images.push(images);
            }
            if number == 0 {
                batches.learned = Learned {
                    batches: batches.images.len(),
                    images: batches.images.iter().map(|batch| batch.size()[0]).sum(),
                };
            }
        }
        Ok(batches)
    }
}

/// The way through a network from stop to stop.
pub(super) struct Way {
    stops: Stops,
    /// From the images to the first stop: nothing in front of that changes.
    begin: QuickForms,
    /// Elements of the largest tensor behind the first stop, for one image.
    largest_behind: usize,
}

impl Way {
    /// Past these stops; the network is loaded with the methods for it.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub fn of(model: &mut Model, stops: Stops) -> Result<Self> {
        let begin = stops.quick_begin(model.analysis(), model.kernel_sets());
        model.load_with_quick(stops.functions(), &begin)?;
        let program = &model.analysis().program;
        Ok(Way {
            largest_behind: program.largest_tensor_from(stops.begin_at()),
            stops,
            begin,
        })
    }

    /// Elements of the largest tensor at a stop, for one image.
    fn largest(&self) -> usize {
        let elements = self.stops.stops().iter().filter_map(|stop| stop.elements);
        elements.max().unwrap_or(0) as usize
    }
}

/// A network, and where it is.
pub(super) struct Track<'a> {
    module: &'a Module,
    stops: &'a [Stop],
    /// Number of the stop.
    at: usize,
    /// Batch by batch: the tensor at the stop, or the value that was looked at from it where the way goes on from that.
    states: Vec<Tensor>,
    /// So many batches, the first ones, are at the value that was looked at.
    looked_at: usize,
}

impl Clone for Track<'_> {
    /// At the same stop, with the same memory.
    fn clone(&self) -> Self {
        Track {
            states: self.states.iter().map(Tensor::shallow_clone).collect(),
            ..*self
        }
    }
}

impl<'a> Track<'a> {
    /// At the first stop.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn begin(module: &'a Module, way: &'a Way, batches: &Batches) -> Result<Self> {
        let mut track = Track {
            module,
            stops: way.stops.stops(),
            at: 0,
            states: batches.images.iter().map(Tensor::shallow_clone).collect(),
            looked_at: 0,
        };
        let lead = track.stops.first().and_then(|stop| stop.lead.as_ref());
        let (Some(lead), Some(first)) = (lead, track.states.first()) else {
            return Ok(track);
        };
        let as_written = |images: &Tensor| module.method(lead, images, Vec::new());
        let sample = first.f_narrow(0, 0, first.size()[0].min(FIRST_LOOK.get() as i64));
        let quickest = module.quickest(&way.begin, &sample.map_err(explain)?, as_written)?;
        for state in &mut track.states {
            *state = match &quickest {
                // What follows is written for channels one after another.
                Some(quickest) => quickest.run(state)?.f_contiguous().map_err(explain)?,
                None => tch::no_grad(|| in_parts(state, module.batch_together(), as_written))?,
            };
        }
        Ok(track)
    }

    pub fn batches(&self) -> usize {
        self.states.len()
    }

    /// Goes on to a stop.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn advance_to(&mut self, stop: usize) -> Result<()> {
        while self.at < stop {
            if self.stops[self.at].goes_on_from_look {
                for batch in self.looked_at..self.batches() {
                    let _: [Tensor; 1] = self.look(batch)?;
                }
            }
            (self.at, self.looked_at) = (self.at + 1, 0);
            let Some(lead) = &self.stops[self.at].lead else {
                continue;
            };
            for state in &mut self.states {
                *state = self.module.method(lead, state, Vec::new())?;
            }
        }
        Ok(())
    }

    /// The values to look at from where it is, of one batch after another, once each.
    ///
    /// # Errors
    /// If the network cannot run.
    pub fn look<const N: usize>(&mut self, batch: usize) -> Result<[Tensor; N]> {
        let stop = &self.stops[self.at];
        let values = self.module.list(&stop.look, &self.states[batch])?;
        if let ([value], true) = (&values[..], stop.goes_on_from_look) {
            self.states[batch] = value.shallow_clone();
            self.looked_at = batch + 1;
        }
        match values.try_into() {
            Ok(values) => Ok(values),
            Err(_) => bail!("a look that gives other values than were asked for"),
        }
    }
}

/// What a network gives for these images, of which it takes so many at once.
fn in_parts(
    images: &Tensor,
    at_once: NonZeroUsize,
    run: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let parts = images.f_split(at_once.get() as i64, 0).map_err(explain)?;
    let found: Result<Vec<Tensor>> = parts.iter().map(run).collect();
    Tensor::f_cat(&found?, 0).map_err(explain)
}
