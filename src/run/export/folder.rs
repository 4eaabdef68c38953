//! Folders that are made for files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder, and those above it, that were made where there were none. Unless it is kept, those that are empty go again.
#[derive(Debug)]
pub struct NewFolder {
    /// The innermost first.
    made: Vec<PathBuf>,
}

impl NewFolder {
    /// Makes a folder if there is none.
    ///
    /// # Errors
    /// If it cannot be made; then none is left behind.
    pub fn make(folder: &Path) -> io::Result<Self> {
        let missing = folder
            .ancestors()
            .take_while(|f| !f.as_os_str().is_empty() && !f.exists());
        let new = NewFolder {
            made: missing.map(Path::to_owned).collect(),
        };
        fs::create_dir_all(folder)?;
        Ok(new)
    }

    /// What was made stays.
    pub fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        for folder in &self.made {
            // One that holds something stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_again_unless_it_is_kept_or_holds_something() {
        let place = tempfile::tempdir().unwrap();
        let deep = place.path().join("a/b/c");
        drop(NewFolder::make(&deep).unwrap());
        assert!(!place.path().join("a").exists());
        let new = NewFolder::make(&deep).unwrap();
        fs::write(place.path().join("a/b/file"), "").unwrap();
        drop(new);
        assert!(!deep.exists() && place.path().join("a/b/file").exists());
        NewFolder::make(&deep).unwrap().keep();
        assert!(deep.exists());
        drop(NewFolder::make(&deep).unwrap());
        assert!(deep.exists(), "it was there before");
    }
}
