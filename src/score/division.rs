//! From a memory budget to the size of batches and the number of candidates at a time.

use std::num::NonZeroUsize;

use super::tally::Space;
use crate::run::torch::images_at_once;

/// How scoring divides its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Images that run through the network together.
    pub batch: NonZeroUsize,
    /// Candidates whose statistics are kept at a time; each such group is a pass over the images.
    pub candidates: NonZeroUsize,
}

/// What there is to do.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Where candidates are compared.
    pub space: Space,
    pub images: usize,
    /// As many as images, or their places.
    pub samples: usize,
    pub candidates: usize,
    /// Of the representation.
    pub features: usize,
    /// Batches at a time.
    pub workers: usize,
    /// Bytes of the largest tensor inside the network, for one image.
    pub largest: usize,
}

/// Tensors of the largest size that are alive at once: a block's input, what it computes, and a copy in another layout.
const ALIVE: usize = 4;
/// Images that fill a GPU.
const GPU_BATCH: usize = 1024;

impl Division {
    /// Divides the work so that it takes about `memory` bytes beyond the network itself. An explicit `batch` is kept.
    #[must_use]
    pub fn of(work: Workload, memory: u64, is_gpu: bool, batch: Option<NonZeroUsize>) -> Self {
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let image = (work.largest * ALIVE * work.workers).max(1);
        let best = if is_gpu {
            GPU_BATCH
        } else {
            images_at_once(work.largest)
        };
        let batch = batch.map_or_else(
            || evenly(work.images, best.min(memory / 2 / image)),
            |batch| batch.get().min(work.images),
        );
        let one = work.space.bytes(work.samples, work.features);
        // The reference is kept beside the candidates.
        let kept = (memory / 2 / one.max(1)).saturating_sub(1);
        Division {
            batch: NonZeroUsize::new(batch).unwrap_or(NonZeroUsize::MIN),
            candidates: NonZeroUsize::new(kept.min(work.candidates)).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// The size of batches of at most `most` images, where there are no more of them than need be: the last one is filled up
/// to that size, which is work for nothing.
fn evenly(images: usize, most: usize) -> usize {
    images.div_ceil(images.div_ceil(most.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Workload = Workload {
        space: Space::Features,
        images: 4096,
        samples: 4096,
        candidates: 25,
        features: 64,
        workers: 2,
        largest: 64 << 10,
    };

    fn divided(work: Workload, memory: u64) -> (usize, usize) {
        let division = Division::of(work, memory, false, None);
        (division.batch.get(), division.candidates.get())
    }

    #[test]
    fn with_memory_to_spare_batches_fit_the_caches_and_all_candidates_go_together() {
        assert_eq!(divided(WORK, 4 << 30), (32, 25));
        let large = Workload {
            largest: 3 << 20,
            ..WORK
        };
        assert_eq!(divided(large, 4 << 30), (8, 25));
    }

    #[test]
    fn little_memory_makes_batches_small_and_passes_many() {
        assert_eq!(divided(WORK, 8 << 20), (8, 25));
        let wide = Workload {
            features: 2048,
            ..WORK
        };
        // 64 MiB a candidate, in half of 1 GiB, the reference beside them.
        assert_eq!(divided(wide, 1 << 30), (32, 7));
        assert_eq!(divided(wide, 1), (1, 1));
    }

    #[test]
    fn the_number_of_images_decides_nothing_once_it_is_large() {
        let more = Workload {
            images: 1 << 30,
            samples: 1 << 30,
            ..WORK
        };
        assert_eq!(divided(more, 4 << 30), divided(WORK, 4 << 30));
    }

    #[test]
    fn images_are_divided_evenly_over_as_few_batches_as_possible() {
        for (images, most, batch) in [(12, 8, 6), (64, 8, 8), (17, 8, 6), (3, 8, 3), (0, 8, 0)] {
            assert_eq!(evenly(images, most), batch);
        }
    }

    #[test]
    fn a_batch_that_was_asked_for_is_kept() {
        let asked = NonZeroUsize::new(200);
        assert_eq!(Division::of(WORK, 1, false, asked).batch, asked.unwrap());
    }
}
