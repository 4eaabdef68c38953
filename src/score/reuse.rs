//! What one scoring leaves for the next, where only a block went in between: the tensors in front of that block.

use std::num::NonZeroUsize;

use tch::Tensor;

use crate::run::segments::Pieces;

/// The tensors at all boundaries of the network, batch after batch, while they fit.
#[derive(Debug, Default)]
pub struct Reuse {
    /// Bytes that the tensors may take.
    memory: u64,
    earlier: Option<Boundaries>,
    /// What is being kept for the next scoring.
    now: Option<Boundaries>,
    /// Pieces at the start of the network that compute what they did for `earlier`.
    common: usize,
}

#[derive(Debug)]
struct Boundaries {
    pieces: Pieces,
    batch: NonZeroUsize,
    /// Place of the first image of each batch, and the tensors at its boundaries.
    batches: Vec<(usize, Vec<Tensor>)>,
    bytes: u64,
}

impl Reuse {
    /// Keeps tensors up to so many bytes.
    #[must_use]
    pub fn new(memory: u64) -> Self {
        Reuse {
            memory,
            ..Reuse::default()
        }
    }

    /// Another network is scored from now on, on the same images in the same batches; the weights it shares with the
    /// one before have to be the same.
    pub fn begin(&mut self, pieces: &Pieces, batch: NonZeroUsize) {
        self.earlier = self.now.take().filter(|kept| kept.batch == batch);
        self.common = self
            .earlier
            .as_ref()
            .map_or(0, |earlier| pieces.common_prefix(&earlier.pieces));
        if let Some(earlier) = &mut self.earlier {
            for (_, tensors) in &mut earlier.batches {
                tensors.truncate(self.common + 1);
            }
        }
        self.now = Some(Boundaries {
            pieces: pieces.clone(),
            batch,
            batches: Vec::new(),
            bytes: 0,
        });
    }

    /// The tensors at the first boundaries of the batch whose first image is at place `start`: as many as there are.
    pub fn known(&mut self, start: usize) -> Vec<Tensor> {
        let known = self.earlier.as_mut().and_then(|kept| {
            let place = kept.batches.iter().position(|(at, _)| *at == start)?;
            Some(kept.batches.swap_remove(place).1)
        });
        known.unwrap_or_default()
    }

    /// Keeps the tensors at the boundaries of a batch for the next scoring, if they fit.
    pub fn keep(&mut self, start: usize, tensors: Vec<Tensor>) {
        let Some(now) = &mut self.now else { return };
        let size = |t: &Tensor| t.numel() as u64 * t.kind().elt_size_in_bytes() as u64;
        let bytes: u64 = tensors.iter().map(size).sum();
        let is_kept = now.batches.iter().any(|(at, _)| *at == start);
        if !is_kept && now.bytes + bytes <= self.memory {
            now.bytes += bytes;
            now.batches.push((start, tensors));
        }
    }
}
