//! NumPy archives: a zip of arrays.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::Contents;
use super::arrays::{self, Arrays};
use super::error::{Problem, Result};
use super::npy::{self, Npy};

pub(super) fn open(path: &Path) -> Result<Contents> {
    let mut arrays = Archive::open(path)?;
    match arrays::parts(&mut arrays, path)? {
        Some(found) => Ok(found),
        None => {
            let shown = arrays::shown(&mut arrays);
            let found = format!(
                "an .npz file of {shown}; name its arrays with np.savez(\"data.npz\", x_train=..., y_train=..., \
                 x_test=..., y_test=...)"
            );
            Err(Problem::Unrecognised { found }.at(path))
        }
    }
}

struct Archive<'a, R> {
    path: &'a Path,
    zip: ZipArchive<R>,
    entries: Vec<String>,
}

impl<'a> Archive<'a, BufReader<File>> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Problem::from(e).at(path))?;
        let located = |e: ZipError| zip_problem(e).at(path);
        let zip = ZipArchive::new(BufReader::new(file)).map_err(located)?;
        let names = zip.file_names().map(|name| name.map(Into::into));
        let entries = names.collect::<Result<_, _>>().map_err(located)?;
        Ok(Self { path, zip, entries })
    }
}

fn stem(entry: &str) -> &str {
    entry.strip_suffix(".npy").unwrap_or(entry)
}

impl<R: Read + Seek> Archive<'_, R> {
    fn entry(&self, name: &str) -> String {
        let entry = self.entries.iter().find(|entry| stem(entry) == name);
        entry.map_or(name, String::as_str).to_owned()
    }

    /// What `read` makes of the bytes of an array.
    fn with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut dyn Read) -> Result<T, Problem>,
    ) -> Result<T> {
        let place = self.place(name);
        let entry = self.entry(name);
        let result = match self.zip.by_name(&entry) {
            Ok(file) => read(&mut BufReader::new(file)),
            Err(e) => Err(zip_problem(e)),
        };
        result.map_err(|problem| problem.at(place))
    }
}

impl<R: Read + Seek> Arrays for Archive<'_, R> {
    fn names(&self) -> Vec<String> {
        let names = self.entries.iter().map(|entry| stem(entry).to_owned());
        names.collect()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.path.join(self.entry(name))
    }

    fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        self.with(name, |bytes| npy::shape(bytes))
    }

    fn read(&mut self, name: &str) -> Result<Npy> {
        self.with(name, |bytes| npy::read(bytes))
    }
}

fn zip_problem(error: ZipError) -> Problem {
    match error {
        ZipError::Io(e) => e.into(),
        e => Problem::Malformed(format!("not a readable .npz archive: {e}")),
    }
}
