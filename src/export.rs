//! Writing results: a file appears whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::archive::Archive;
use crate::interrupt::undisturbed;

/// How the names of files begin that are being written.
pub const TEMPORARY: &str = ".ckaprune-";

/// `<model>.pruned.pt` beside the model.
#[must_use]
pub fn default_output(model: &Path, word: &str) -> PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    model.with_file_name(format!("{stem}.{word}.pt"))
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
    write_whole(path, &archive.to_bytes()?, force)
}

/// Writes bytes through a temporary file in the same folder, synced before it takes the name.
pub fn write_whole(path: &Path, bytes: &[u8], force: bool) -> Result<()> {
    let folder = folder_of(path);
    let write = || -> std::io::Result<()> {
        let mut file = temporary_file(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        match force {
            true => file.persist(path)?,
            false => file.persist_noclobber(path)?,
        };
        // The name itself lives in the folder.
        File::open(folder)?.sync_all()
    };
    undisturbed(write).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Temporary files are for their owner only; a result has the permissions of any new file (0666 less the umask).
fn temporary_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
