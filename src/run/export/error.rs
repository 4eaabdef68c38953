//! Why a file could not be written, in words that say what to do.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::folder_of;

/// A file that could not be written. Nothing of it is left behind, and what stood under its name still does.
#[derive(Debug)]
pub struct WriteError {
    path: PathBuf,
    cause: io::Error,
    /// What to do once the cause is mended; another file may be named if nothing is said.
    then: Option<String>,
}

impl WriteError {
    pub(super) fn new(path: &Path, cause: io::Error) -> Self {
        WriteError {
            path: path.to_owned(),
            cause,
            then: None,
        }
    }

    /// What is wrong, and what mends it.
    fn story(&self) -> (String, &'static str) {
        match self.cause.kind() {
            ErrorKind::StorageFull => ("no space is left on its disk".into(), "free some"),
            ErrorKind::QuotaExceeded => (
                "the quota of its disk is used up".into(),
                "free some space there",
            ),
            ErrorKind::FileTooLarge => (
                "its file system takes no file of this size".into(),
                "raise the limit (`ulimit -f`)",
            ),
            ErrorKind::ReadOnlyFilesystem => (
                "its file system is read-only".into(),
                "mount it for writing",
            ),
            ErrorKind::PermissionDenied => (
                format!(
                    "no file may be written into {}",
                    folder_of(&self.path).display()
                ),
                "change its permissions",
            ),
            ErrorKind::NotFound | ErrorKind::NotADirectory => (
                format!("there is no folder {}", folder_of(&self.path).display()),
                "make it",
            ),
            ErrorKind::AlreadyExists => ("exists already".into(), "replace it with --force"),
            ErrorKind::IsADirectory => ("this is a folder".into(), "move it away"),
            kind => {
                // An error that carries another one may quote the name of a temporary file.
                let cause = match self.cause.get_ref() {
                    None => self.cause.to_string(),
                    Some(_) => kind.to_string(),
                };
                (format!("cannot be written ({cause})"), "see to its disk")
            }
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, mend) = self.story();
        write!(f, "{}: {what}; {mend}", self.path.display())?;
        match &self.then {
            Some(then) => write!(f, ", {then}"),
            None => f.write_str(", or name a file elsewhere"),
        }
    }
}

impl std::error::Error for WriteError {}

/// Says what to do once there is room for the file again (`then`, after a comma), if that is what `error` is about.
#[must_use]
pub fn advise(mut error: anyhow::Error, then: impl FnOnce() -> String) -> anyhow::Error {
    if let Some(error) = error.downcast_mut::<WriteError>() {
        error.then.get_or_insert_with(then);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: ErrorKind) -> String {
        WriteError::new(Path::new("run/out.pt"), kind.into()).to_string()
    }

    #[test]
    fn every_cause_has_a_remedy() {
        assert_eq!(
            said(ErrorKind::StorageFull),
            "run/out.pt: no space is left on its disk; free some, or name a file elsewhere"
        );
        assert_eq!(
            said(ErrorKind::NotFound),
            "run/out.pt: there is no folder run; make it, or name a file elsewhere"
        );
        assert!(said(ErrorKind::TimedOut).contains("cannot be written (timed out); see to"));
    }

    #[test]
    fn a_temporary_file_is_never_named() {
        let inner = io::Error::other("trouble at .ckaprune-x1y2z3");
        let text = WriteError::new(Path::new("out.pt"), inner).to_string();
        assert!(!text.contains(".ckaprune-"), "{text}");
    }

    #[test]
    fn advice_takes_the_place_of_the_usual_one() {
        let full = WriteError::new(Path::new("out.pt"), ErrorKind::StorageFull.into());
        let advised = advise(full.into(), || "then add `--resume`".into());
        assert_eq!(
            advised.to_string(),
            "out.pt: no space is left on its disk; free some, then add `--resume`"
        );
    }
}
