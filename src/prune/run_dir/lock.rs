//! One run at a time in a folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Result, bail};

/// The folder, locked: the system lets go of it when the process ends, however it ends.
pub(super) fn lock(folder: &Path) -> Result<Option<File>> {
    // Some network file systems have no locks, and other systems none of folders; nothing is lost there but the check.
    let Ok(handle) = File::open(folder) else {
        return Ok(None);
    };
    match handle.try_lock() {
        Ok(()) => Ok(Some(handle)),
        Err(TryLockError::WouldBlock) => bail!(
            "{}: another run is at work in this folder; wait for its end, or name another --run-dir",
            folder.display()
        ),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
