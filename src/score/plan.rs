//! From a memory budget to the size of batches and the number of candidates at a time.

use std::num::NonZeroUsize;

use super::tally::Space;

/// How scoring divides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Images that run through the network together.
    pub batch: NonZeroUsize,
    /// Candidates whose statistics are kept at a time; each such group is a pass over the images.
    pub candidates: NonZeroUsize,
}

/// What there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub samples: usize,
    pub candidates: usize,
    /// Of the representation.
    pub features: usize,
    /// Bytes of the largest tensor inside the network, for one image.
    pub largest: usize,
}

/// Tensors of the largest size that are alive at once: a block's input, what it computes, and a copy in another layout.
const ALIVE: usize = 4;
/// Bytes of one tensor in a batch up to which a CPU's caches help; measured on convolutional networks.
const CACHED: usize = 4 << 20;
/// Fewer images leave the cores idle between operators, more gain nothing.
const BATCH: std::ops::RangeInclusive<usize> = 8..=64;
/// The same for a GPU, which is to be filled.
const GPU_BATCH: usize = 1024;

impl Plan {
    /// Divides the work so that it takes about `memory` bytes beyond the network itself. An explicit `batch` is kept.
    #[must_use]
    pub fn of(work: Work, memory: u64, is_gpu: bool, batch: Option<NonZeroUsize>) -> Self {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let image = (work.largest * ALIVE).max(1);
        let best = if is_gpu {
            GPU_BATCH
        } else {
            (CACHED / work.largest.max(1)).clamp(*BATCH.start(), *BATCH.end())
        };
        let batch = batch.map_or(best.min(memory / 2 / image), NonZeroUsize::get);
        let one = Space::of(work.samples, work.features).bytes(work.samples, work.features);
        // The reference is kept beside the candidates.
        let kept = (memory / 2 / one.max(1)).saturating_sub(1);
        Plan {
            batch: NonZeroUsize::new(batch).unwrap_or(NonZeroUsize::MIN),
            candidates: NonZeroUsize::new(kept.min(work.candidates)).unwrap_or(NonZeroUsize::MIN),
        }
    }
}
