//! One batch on its way through the network and around each candidate.

use std::sync::{Mutex, PoisonError};
use std::vec::IntoIter;

use anyhow::Result;
use ndarray::Array2;
use rayon::prelude::*;
use tch::Tensor;

use super::engine::Engine;
use crate::data::Batch;
use crate::run::segments::Detour;

/// The way of batches through a network and around candidates.
pub struct BatchRun<'a> {
    pub engine: &'a Engine,
    pub detours: &'a [&'a Detour],
    /// What batches are filled up to.
    pub batch_size: usize,
    /// Keep the tensors at all boundaries.
    pub keep: bool,
}

/// What a batch gives.
pub struct BatchFeatures {
    /// Samples × p each: of the network, and of those without each candidate in turn.
    pub features: Vec<Array2<f32>>,
    /// The tensors at the boundaries, if they are kept.
    pub boundaries: Vec<Tensor>,
}

/// A representation, and the place of the candidate that it is without.
type Found = (Option<usize>, Tensor);

impl BatchRun<'_> {
    /// Runs a batch from the last of the boundaries whose tensors are `known`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn run(&self, batch: &Batch, known: Vec<Tensor>) -> Result<BatchFeatures> {
        let (representations, boundaries) = self.representations(batch, known)?;
        Ok(BatchFeatures {
            features: self.engine.rows(&representations, batch.indices.len())?,
            boundaries,
        })
    }

    /// The same with the representations themselves, of a batch that was filled up; and the tensors at the boundaries.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn representations(
        &self,
        batch: &Batch,
        known: Vec<Tensor>,
    ) -> Result<(Vec<Tensor>, Vec<Tensor>)> {
        let mut known = known.into_iter();
        let input = match known.next() {
            Some(input) => input,
            None => self.engine.input(batch, self.batch_size)?,
        };
        let kept = Mutex::default();
        let mut found = self.behind(0, input, known, &kept)?;
        found.sort_by_key(|(place, _)| *place);
        let representations = found.into_iter().map(|(_, tensor)| tensor).collect();
        let boundaries = kept.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((representations, boundaries))
    }

    /// All representations that come of the tensor at a boundary. Workers with nothing to do take up the network's own
    /// way while this one is on the detours that begin here: so few boundaries are alive at a time.
    fn behind(
        &self,
        boundary: usize,
        tensor: Tensor,
        mut known: IntoIter<Tensor>,
        kept: &Mutex<Vec<Tensor>>,
    ) -> Result<Vec<Found>> {
        if boundary == self.engine.pieces().segments.len() {
            return Ok(vec![(None, tensor)]);
        }
        if self.keep {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(tensor.shallow_clone());
        }
        let places = 0..self.detours.len();
        let here: Vec<(usize, Tensor)> = places
            .filter(|place| self.detours[*place].from == boundary)
            .map(|place| (place, tensor.shallow_clone()))
            .collect();
        let (around, through) = rayon::join(
            || {
                let detours = here.into_par_iter().map(|(place, tensor)| {
                    let without = self.engine.detour(self.detours[place], &tensor)?;
                    Ok((Some(place), without))
                });
                detours.collect::<Result<Vec<Found>>>()
            },
            || {
                let next = match known.next() {
                    Some(next) => next,
                    None => self.engine.segment(boundary, &tensor)?,
                };
                drop(tensor);
                self.behind(boundary + 1, next, known, kept)
            },
        );
        let mut found = around?;
        found.append(&mut through?);
        Ok(found)
    }
}
