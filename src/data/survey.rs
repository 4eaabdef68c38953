//! A check of all image files before they are needed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::error::{DataError, Problem, Result};
use super::loader::{Loader, Painter};
use super::part::{Part, Pixels};

/// The image files of some parts, each once.
#[derive(Debug)]
pub struct Survey<'a> {
    painters: Vec<Painter<'a>>,
    /// For each file, its painter and its number there.
    files: Vec<(usize, usize)>,
    threads: usize,
}

impl<'a> Survey<'a> {
    /// Of all image files among these parts, as `loader` prepares them; other data is checked when it is opened.
    ///
    /// # Errors
    ///
    /// Settings that do not fit the images.
    pub fn of(loader: &'a Loader, parts: &[&'a Part]) -> Result<Self> {
        let mut known = HashSet::<&Path>::new();
        let mut survey = Survey {
            painters: Vec::new(),
            files: Vec::new(),
            threads: loader.thread_count(),
        };
        for part in parts {
            let Pixels::Files(paths) = &part.store.pixels else {
                continue;
            };
            let new = |row: &&usize| known.insert(&paths[**row]);
            let rows: Vec<usize> = part.rows.iter().filter(new).copied().collect();
            let painter = survey.painters.len();
            survey.painters.push(loader.plain_painter(part)?);
            survey
                .files
                .extend(rows.into_iter().map(|row| (painter, row)));
        }
        Ok(survey)
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file to look at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Decodes every file, and gives what is wrong with those that cannot be used. `done` is called after each.
    ///
    /// # Errors
    ///
    /// If files have several sizes and no size was named: then the files are not at fault.
    pub fn unusable(&self, done: impl Fn() + Sync) -> Result<Vec<DataError>> {
        let next = AtomicUsize::new(0);
        let look = || {
            let mut found = Vec::new();
            while let Some(&(painter, row)) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.extend(self.painters[painter].check(row).err());
                done();
            }
            found
        };
        let mut found: Vec<DataError> = thread::scope(|scope| {
            let threads = self.threads.min(self.files.len());
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(look)).collect();
            let ended = workers.into_iter().map(|worker| match worker.join() {
                Ok(found) => found,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            ended.flatten().collect()
        });
        let of_sizes = |error: &DataError| {
            let DataError::File { problem, .. } = error else {
                return true;
            };
            matches!(problem, Problem::MixedSizes { .. })
        };
        // Sorted, as threads end in any order, and the same error must be reported every time.
        found.sort_by(|a, b| a.path().cmp(&b.path()));
        match found.iter().position(of_sizes) {
            Some(at) => Err(found.swap_remove(at)),
            None => Ok(found),
        }
    }
}

impl DataError {
    /// The file that is at fault.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            DataError::File { path, .. } => Some(path),
            DataError::Setting(_) => None,
        }
    }
}

impl Part {
    /// The images whose files are not among these.
    #[must_use]
    pub fn without(&self, files: &HashSet<PathBuf>) -> Self {
        let Pixels::Files(paths) = &self.store.pixels else {
            return self.clone();
        };
        let is_left = |at: &usize| !files.contains(&paths[self.rows[*at]]);
        let left: Vec<usize> = (0..self.len()).filter(is_left).collect();
        self.subset(&left)
    }
}
