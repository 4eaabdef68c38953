//! Writing results: a file appears whole or not at all.
//!
//! Each is written beside its place under a name of its own, brought to the disk, and then given its name, which the
//! folder is brought to the disk with. Files that belong together are given their names when all of them are written.

mod error;
mod folder;
mod proof;
mod staged;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::archive::Archive;
use crate::run::interrupt::undisturbed;

/// How the names of files begin that are being written.
pub const TEMPORARY: &str = ".ckaprune-";

pub use error::{WriteError, advise};
pub use folder::NewFolder;
pub use staged::Staged;

/// From now on a file beyond the largest size that this process may write is an error of its writing; left to itself, the
/// system ends the process, and what it was writing stays behind.
pub fn survive_size_limits() {
    #[cfg(unix)]
    // SAFETY: sets what becomes of one signal that nothing else here handles; no code of ours runs in its stead.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// How the name of a program of `torch.export` ends.
pub const EXPORTED: &str = "pt2";

/// `<model>.pruned.pt` beside the model; of a `.pt2` another.
#[must_use]
pub fn default_output(model: &Path, word: &str, is_exported: bool) -> PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    model.with_file_name(format!("{stem}.{word}.{}", ending(is_exported)))
}

/// How the name of a network's file ends.
#[must_use]
pub fn ending(is_exported: bool) -> &'static str {
    if is_exported { EXPORTED } else { "pt" }
}

/// Whether a network in this file is one of `torch.export`, by its name.
#[must_use]
pub fn is_named_exported(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == EXPORTED)
}

/// Refuses an output that exists already (unless `force`) or whose folder cannot take it; called before hours of work.
///
/// # Errors
/// One message that names the file and what to do.
pub fn check_output(path: &Path, force: bool) -> Result<()> {
    check_file(path, force, "--output")
}

/// The same for a file that `option` names.
///
/// # Errors
/// One message that names the file and what to do.
pub fn check_file(path: &Path, force: bool, option: &str) -> Result<()> {
    if path.is_dir() {
        bail!(
            "{}: this is a folder; name a file with {option}",
            path.display()
        );
    }
    // A device or a pipe would be gone, and a file in its place.
    if path.exists() && !path.is_file() {
        bail!(
            "{}: this is no ordinary file; name another with {option}",
            path.display()
        );
    }
    if path.exists() && !force {
        bail!(
            "{}: exists already; name another file with {option}, or replace it with --force",
            path.display()
        );
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        let (file, folder_name) = (path.display(), folder.display());
        if folder.exists() {
            bail!("{file}: {folder_name} is no folder; name another file with {option}");
        }
        bail!(
            "{file}: there is no folder {folder_name}; make it first or name another with {option}"
        );
    }
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "{}: cannot write into {} ({}); name a file elsewhere with {option}",
            path.display(),
            folder.display(),
            // Not the error itself, which names a temporary file.
            error.kind()
        ),
    }
}

/// Writes an archive. The file at `path` is the old one or the new one at every moment.
///
/// # Errors
/// If the file exists and `force` is not given, or cannot be written: then nothing is left behind.
pub fn save_archive(archive: &Archive, path: &Path, force: bool) -> Result<()> {
    write_all(|| Ok(vec![Staged::archive(path, archive)?]), force)
}

/// Writes bytes. The file at `path` is the old one or the new one at every moment.
///
/// # Errors
/// Those of [`save_archive`].
pub fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    write_all(|| Ok(vec![Staged::bytes(path, bytes)?]), force)
}

/// Writes files that belong together: they get their names, in this order, when all of them are on the disk. A first
/// signal waits for that.
///
/// # Errors
/// Those of [`save_archive`].
pub fn write_all(stage: impl FnOnce() -> Result<Vec<Staged>>, force: bool) -> Result<()> {
    undisturbed(|| staged::keep_all(stage()?, force))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
