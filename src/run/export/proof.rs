//! That a file which is about to get its name can be loaded.

use std::path::Path;

use anyhow::{Context, Result};

use crate::archive::Archive;
use crate::program::resolution::resolve;
use crate::run::admission::admit;

/// Everything that the code in this file names is in it.
///
/// # Errors
/// The first name that is not.
pub(super) fn resolves(file: &Path) -> Result<()> {
    let network = Archive::open(file)?.network()?;
    resolve(&network).context("libtorch could not load the network that would be written")
}

/// libtorch loads this file, if it may be given to it; else the module in it that `written` is.
///
/// # Errors
/// What libtorch has against it.
pub(super) fn loads(file: &Path, written: &Archive) -> Result<()> {
    let mut archive = Archive::open(file)?;
    if admit(&archive).is_err() {
        archive = archive.like(written)?;
    }
    // What is not admitted is never given to libtorch, here no more than anywhere.
    if admit(&archive).is_ok() {
        #[cfg(feature = "torch")]
        crate::run::torch::check_loads(&archive)?;
    }
    Ok(())
}
