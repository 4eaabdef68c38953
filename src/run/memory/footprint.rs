//! What a run of a network takes, by the shapes of its tensors.

use crate::blocks::analysis::Analysis;
use crate::program::dtype::Dtype;
use crate::program::{Statement, ValueId, is_view};

/// Bytes of a network and of what it makes of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Of all parameters.
    pub weights: u64,
    /// Of one image, as it is given to the network.
    pub input: u64,
    /// Of the largest tensor inside, for one image.
    pub largest: u64,
    /// Of all tensors inside, for one image.
    pub all: u64,
}

/// What is done with a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It runs.
    Forward,
    /// It runs, and gradients run back to its input.
    Backward,
    /// It is trained, with so many numbers for each parameter beside its gradient.
    Training { states: u64 },
}

/// Tensors of the largest size that are alive at once: what a layer takes, what it gives, and a copy in another layout.
const ALIVE: u64 = 4;
/// Of all tensors gradients need at least this part: others are changed in place, or kept in half the precision.
const KEPT: u64 = 2;

impl Footprint {
    /// As far as the shapes are known.
    #[must_use]
    pub fn of(analysis: &Analysis) -> Self {
        let element = match &analysis.interface {
            // Layers may give a byte for each number.
            Ok(interface) if interface.quantised => Dtype::UInt8,
            Ok(interface) => interface.element,
            Err(_) => Dtype::Float32,
        };
        let element = element.size();
        let bytes = |shape: &[i64]| {
            let side = |d: &i64| u64::try_from(*d).unwrap_or(0);
            shape.iter().map(side).fold(element, u64::saturating_mul)
        };
        let program = &analysis.program;
        let of_value = |id: &ValueId| program.sample_shape(*id).map_or(0, |shape| bytes(&shape));
        let takes_memory = |s: &&Statement| s.operator().is_some_and(|name| !is_view(name));
        let made = program.statements.iter().filter(takes_memory);
        let made = made.flat_map(|s| &s.outputs);
        let sizes: Vec<u64> = made.map(of_value).collect();
        Footprint {
            weights: u64::try_from(analysis.params())
                .unwrap_or(0)
                .saturating_mul(element),
            input: bytes(&analysis.input_shape),
            largest: sizes.iter().copied().max().unwrap_or(0),
            all: sizes.iter().copied().fold(0, u64::saturating_add),
        }
    }

    /// Bytes that are taken at the very least: whoever has fewer need not begin.
    #[must_use]
    pub fn least(&self, work: Work, images: u64) -> u64 {
        let image = match work {
            Work::Forward => self.largest,
            Work::Backward | Work::Training { .. } => self.largest.max(self.all / KEPT),
        };
        self.fixed(work)
            .saturating_add(images.saturating_mul(self.input.saturating_add(image)))
    }

    /// Bytes that are taken as a rule; within a tenth of what training ResNet-20 and ResNet-56 takes on a CPU.
    #[must_use]
    pub fn usual(&self, work: Work, images: u64) -> u64 {
        let alive = self.largest.saturating_mul(ALIVE);
        let image = match work {
            Work::Forward => alive,
            Work::Backward | Work::Training { .. } => self.all.saturating_add(alive),
        };
        // The images as they were read, and on their way to the network.
        let input = self.input.saturating_mul(2);
        self.fixed(work)
            .saturating_mul(2)
            .saturating_add(images.saturating_mul(input.saturating_add(image)))
    }

    /// Images in a batch that takes no more than `memory`, by [`least`](Self::least) or [`usual`](Self::usual).
    #[must_use]
    pub fn most_images(memory: u64, bytes: impl Fn(u64) -> u64) -> u64 {
        let fixed = bytes(0);
        let image = bytes(1).saturating_sub(fixed).max(1);
        memory.saturating_sub(fixed) / image
    }

    fn fixed(&self, work: Work) -> u64 {
        let copies = match work {
            Work::Forward | Work::Backward => 1,
            Work::Training { states } => 2 + states,
        };
        self.weights.saturating_mul(copies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: Footprint = Footprint {
        weights: 1000,
        input: 10,
        largest: 50,
        all: 800,
    };

    #[test]
    fn training_keeps_what_a_forward_pass_forgets() {
        assert_eq!(NETWORK.least(Work::Forward, 4), 1000 + 4 * 60);
        assert_eq!(NETWORK.least(Work::Backward, 4), 1000 + 4 * 410);
        let training = Work::Training { states: 1 };
        assert_eq!(NETWORK.least(training, 4), 3000 + 4 * 410);
        for work in [Work::Forward, Work::Backward, training] {
            assert!(NETWORK.usual(work, 4) >= NETWORK.least(work, 4));
        }
    }

    #[test]
    fn as_many_images_fit_as_take_no_more_than_there_is() {
        let least = |images| NETWORK.least(Work::Forward, images);
        assert_eq!(Footprint::most_images(1600, least), 10);
        assert_eq!(Footprint::most_images(1599, least), 9);
        assert_eq!(Footprint::most_images(999, least), 0);
    }

    #[test]
    fn sizes_beyond_all_numbers_are_only_large() {
        let endless = Footprint {
            weights: u64::MAX,
            input: u64::MAX,
            largest: u64::MAX,
            all: u64::MAX,
        };
        assert_eq!(endless.usual(Work::Training { states: 2 }, 1000), u64::MAX);
        assert_eq!(
            Footprint::most_images(1 << 40, |n| endless.least(Work::Forward, n)),
            0
        );
    }
}
