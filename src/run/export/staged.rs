//! Files in the making.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use super::error::WriteError;
use super::{TEMPORARY, folder_of, is_named_exported, proof};
use crate::archive::{Archive, ArchiveError};

/// A file that is whole and on the disk, but not yet under its name. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    file: NamedTempFile,
}

impl Staged {
    /// A file of these bytes.
    ///
    /// # Errors
    /// [`WriteError`], for lack of space among others.
    pub fn bytes(path: &Path, bytes: &[u8]) -> Result<Self> {
        Staged::with(path, |file| Ok(file.write_all(bytes)?))
    }

    /// An archive, as its name says a program of `torch.export` or TorchScript, which goes to the disk piece by piece and is never in memory as a whole. What was written is read
    /// again, and everything that its code names is found in it.
    ///
    /// # Errors
    /// [`WriteError`], or what is wrong with the archive.
    pub fn archive(path: &Path, archive: &Archive) -> Result<Self> {
        let archive = &match archive.is_exported() && !is_named_exported(path) {
            true => Cow::Owned(archive.to_torchscript()?),
            false => Cow::Borrowed(archive),
        };
        let staged = Staged::with(path, |file| {
            let mut out = BufWriter::new(file);
            archive.write_to(&mut out).map_err(|error| match error {
                ArchiveError::Write(cause) => cause.into(),
                other => anyhow::Error::from(other),
            })?;
            Ok(out.flush()?)
        })?;
        proof::resolves(staged.file.path()).with_context(|| path.display().to_string())?;
        Ok(staged)
    }

    /// The same, which libtorch has loaded as well, if it may: nothing of the network runs.
    ///
    /// # Errors
    /// Those of [`Staged::archive`], and if libtorch refuses it.
    pub fn loaded_archive(path: &Path, archive: &Archive) -> Result<Self> {
        let staged = Staged::archive(path, archive)?;
        proof::loads(staged.file.path(), archive).with_context(|| path.display().to_string())?;
        Ok(staged)
    }

    fn with(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<Self> {
        let failed = |error: anyhow::Error| match error.downcast::<io::Error>() {
            Ok(cause) => WriteError::new(path, cause).into(),
            Err(other) => other,
        };
        let mut file = temporary_file(folder_of(path)).map_err(|e| failed(e.into()))?;
        // The plain file: the other one names itself in its errors.
        fill(file.as_file_mut()).map_err(failed)?;
        file.as_file().sync_all().map_err(|e| failed(e.into()))?;
        Ok(Staged {
            path: path.to_owned(),
            file,
        })
    }

    fn keep(self, force: bool) -> io::Result<()> {
        let kept = match force {
            true => self.file.persist(&self.path),
            false => self.file.persist_noclobber(&self.path),
        };
        kept.map(drop).map_err(|error| error.error)
    }
}

/// Gives files their names, in this order. All of them were written before, so that for lack of space either all
/// are new or none is.
///
/// # Errors
/// If there is a file of such a name (unless `force`), or a folder is gone.
pub(super) fn keep_all(files: impl IntoIterator<Item = Staged>, force: bool) -> Result<()> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for file in files {
        let path = file.path.clone();
        let named = file.keep(force);
        if named.is_ok() {
            kept.push(path.clone());
        }
        // One after another, so that after a power failure none is there without those before it.
        if let Err(cause) = named.and_then(|()| sync_name(&path)) {
            // Without `force` no other file stood there before.
            if !force {
                for path in kept {
                    let _ = fs::remove_file(path);
                }
            }
            return Err(WriteError::new(&path, cause).into());
        }
    }
    Ok(())
}

/// The name of a file lives in its folder. Where a folder cannot be read, or the file system knows no such thing, the
/// name gets to the disk when the system takes it there.
fn sync_name(path: &Path) -> io::Result<()> {
    let synced = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    match synced.as_ref().map_err(io::Error::kind) {
        Err(ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Ok(())
        }
        _ => synced,
    }
}

/// Temporary files are for their owner only; a result has the permissions of any new file (0666 less the umask).
fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        entries.map(|e| name(e).to_string_lossy().into()).collect()
    }

    #[test]
    fn a_folder_that_vanished_meanwhile_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run");
        let file = folder.join("out.json");
        fs::create_dir(&folder).unwrap();
        let staged = Staged::bytes(&file, b"new").unwrap();
        fs::remove_dir_all(&folder).unwrap();
        for result in [
            keep_all([staged], true),
            Staged::bytes(&file, b"new").map(drop),
        ] {
            let error = result.unwrap_err().to_string();
            let what = format!("there is no folder {}; make it", folder.display());
            assert!(error.contains(&what), "{error}");
        }
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn files_that_belong_together_are_all_there_or_none_is() {
        let place = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| place.path().join(name));
        let both = || [&one, &two].map(|path| Staged::bytes(path, b"new").unwrap());
        fs::write(&two, "old").unwrap();
        let error = keep_all(both(), false).unwrap_err().to_string();
        assert!(
            error.contains("two: exists already; replace it with --force"),
            "{error}"
        );
        assert_eq!(names(place.path()), ["two"]);
        keep_all(both(), true).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        assert_eq!(names(place.path()).len(), 2, "nothing is left behind");
    }

    #[test]
    fn what_is_not_kept_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        drop(Staged::bytes(&place.path().join("file"), b"new").unwrap());
        assert!(names(place.path()).is_empty());
    }
}
