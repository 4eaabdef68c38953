//! Whether a run fits the memory: refused before it begins if it cannot, and in smaller batches where that changes
//! nothing but the time.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Result, bail};
use tch::Device;

use crate::blocks::analysis::Analysis;
use crate::blocks::show_shape;
use crate::data;
use crate::report::counted;
use crate::report::progress::Progress;
use crate::run::memory::{Footprint, Memory, Work, available, known};
use crate::run::torch;

/// Bytes that are free where a network runs.
pub(super) fn free(device: Device) -> u64 {
    torch::free_gpu_memory(device).unwrap_or_else(available)
}

/// A run that is to begin.
#[derive(Clone, Copy)]
pub(super) struct MemoryFit<'a> {
    pub analysis: &'a Analysis,
    pub work: Work,
    pub device: Device,
    /// Bytes that are free there.
    free: u64,
    /// Batches at a time.
    batches: usize,
}

impl<'a> MemoryFit<'a> {
    pub fn new(analysis: &'a Analysis, work: Work, device: Device) -> Self {
        let free = match device {
            Device::Cpu => known(),
            _ => torch::free_gpu_memory(device),
        };
        MemoryFit {
            analysis,
            work,
            device,
            // Nothing is refused for a guess.
            free: free.unwrap_or(u64::MAX),
            batches: 1,
        }
    }

    /// With so many batches at a time.
    pub fn side_by_side(self, batches: usize) -> Self {
        MemoryFit { batches, ..self }
    }

    /// Refuses batches of so many images if they cannot fit, and warns if they may not.
    ///
    /// # Errors
    /// One sentence with the numbers, and the option to change.
    pub fn check(&self, batch: usize, progress: Progress) -> Result<()> {
        /// As few as `--batch-size` takes.
        const FEWEST: u64 = 2;
        let footprint = Footprint::of(self.analysis);
        let least = |images| footprint.least(self.work, images);
        let batch = batch.saturating_mul(self.batches);
        let needed = Memory(least(batch as u64));
        let free = Memory(self.free);
        let images = counted(batch, "image");
        let shape = show_shape(&self.analysis.input_shape);
        let of_the = match self.device {
            Device::Cpu => "memory",
            _ => "the GPU's memory",
        };
        let what = match self.work {
            Work::Training { .. } => "training on",
            Work::Forward | Work::Backward => "running",
        };
        if needed.0 > free.0 {
            let fits = Footprint::most_images(self.free, least) / self.batches as u64;
            let instead = match (fits >= FEWEST, self.device) {
                (true, _) => {
                    format!("name a --batch-size of at most {fits}, or a smaller --input-size")
                }
                (false, Device::Cpu) => "name a smaller --input-size".into(),
                (false, _) => "name a smaller --input-size, or run with --device cpu".into(),
            };
            bail!(
                "{what} {images} of {shape} at a time takes {needed} of {of_the} at least, and {free} are free; \
                 {instead}"
            );
        }
        let usual = Memory(footprint.usual(self.work, batch as u64));
        if usual.0 > free.0 {
            progress.warn(format_args!(
                "{what} {images} of {shape} at a time may take {usual} of {of_the}, and {free} are free; a smaller \
                 --batch-size or --input-size takes less"
            ));
        }
        Ok(())
    }

    /// Warns of a budget (`--memory`) that is not there.
    pub fn check_budget(&self, memory: Option<Memory>, progress: Progress) {
        if let Some(memory) = memory.filter(|memory| memory.0 > self.free) {
            let free = Memory(self.free);
            progress.warn(format_args!(
                "--memory {memory} is more than the {free} that are free"
            ));
        }
    }

    /// The batch that nobody named: the usual one, or what fits half of the memory. Only for work whose result does
    /// not depend on it.
    pub fn batch(&self, usual: NonZeroUsize) -> NonZeroUsize {
        let footprint = Footprint::of(self.analysis);
        let fits = Footprint::most_images(self.free / 2, |n| footprint.usual(self.work, n));
        let fits = usize::try_from(fits).unwrap_or(usize::MAX);
        NonZeroUsize::new(fits).map_or(NonZeroUsize::MIN, |fits| usual.min(fits))
    }
}

/// Refuses a data set that is read into memory and is larger than that.
///
/// # Errors
/// One sentence that names it.
pub(super) fn check_data(path: &Path) -> Result<()> {
    let size = Memory(data::size_in_memory(path));
    let free = Memory(known().unwrap_or(u64::MAX));
    if size.0 > free.0 {
        bail!(
            "{}: a data set of this format is read into memory as a whole, which takes {size} at least, and {free} are \
             free; name a smaller one, or an image folder or an array of uint8 that is not compressed, which are read \
             image by image",
            path.display()
        );
    }
    Ok(())
}

/// Refuses more images of noise than can be numbered.
///
/// # Errors
/// One sentence that names the option.
pub(super) fn check_count(images: usize) -> Result<()> {
    // Each has a place in the data, and one in the order of a pass.
    let size = Memory((images as u64).saturating_mul(2 * size_of::<usize>() as u64));
    let free = Memory(known().unwrap_or(u64::MAX));
    if size.0 > free.0 {
        bail!(
            "--samples {images}: to number so many images alone takes {size} of memory, and {free} are free; name fewer"
        );
    }
    Ok(())
}
