//! Threads that run a network side by side.
//!
//! libtorch divides each operator among threads, which wait for each other, spinning, at the end of every one. Work of
//! several batches and candidates needs no such division: each worker runs operators alone.

use anyhow::{Context, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tch::Device;

use super::{set_threads, threads};

/// As many as libtorch has threads; one alone for a GPU, which is filled by large batches.
#[derive(Debug)]
pub struct Workers(ThreadPool);

impl Workers {
    /// # Errors
    /// If the system refuses threads.
    pub fn of(device: Device) -> Result<Self> {
        let all = threads();
        let count = match device {
            Device::Cpu => all,
            _ => 1,
        };
        let pool = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("worker {i}"))
            .build()
            .context("cannot start threads that run networks")?;
        pool.broadcast(|_| {
            // Asked for the first time libtorch sets a thread up, which later would undo what is set here.
            if threads() > 1 {
                set_threads(1);
            }
        });
        set_threads(all);
        Ok(Workers(pool))
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Runs what may divide itself among the workers.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.0.install(work)
    }
}
