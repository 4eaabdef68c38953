//! NumPy archives: a zip of arrays.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::Contents;
use super::arrays::{self, Arrays};
use super::error::{Problem, Result};
use super::npy::{self, Bytes, Npy};

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

/// Bytes of an archive's arrays that stay in it; none of what cannot be read.
pub(super) fn size_in_file(path: &Path) -> u64 {
    let Ok(mut arrays) = Archive::open(path) else {
        return 0;
    };
    let sizes = arrays.names().into_iter().map(|name| {
        let place = arrays.with(&name, place);
        place.map_or(0, |place| place.as_ref().map_or(0, arrays::stays_in_file))
    });
    sizes.fold(0, u64::saturating_add)
}

struct Archive<'a> {
    path: &'a Path,
    file: File,
    zip: ZipArchive<BufReader<File>>,
    entries: Vec<String>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Problem::from(e).at(path))?;
        let located = |e: ZipError| zip_problem(e).at(path);
        let own = file.try_clone().map_err(|e| Problem::from(e).at(path))?;
        let zip = ZipArchive::new(BufReader::new(own)).map_err(located)?;
        let names = zip.file_names().map(|name| name.map(Into::into));
        let entries = names.collect::<Result<_, _>>().map_err(located)?;
        Ok(Self {
            path,
            file,
            zip,
            entries,
        })
    }

    fn entry(&self, name: &str) -> String {
        let entry = self.entries.iter().find(|entry| stem(entry) == name);
        entry.map_or(name, String::as_str).to_owned()
    }

    /// What `read` makes of the bytes of an array.
    fn with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(ZipFile<BufReader<File>>) -> Result<T, Problem>,
    ) -> Result<T> {
        let place = self.place(name);
        let entry = self.entry(name);
        let result = match self.zip.by_name(&entry) {
            Ok(entry) => read(entry),
            Err(e) => Err(zip_problem(e)),
        };
        result.map_err(|problem| problem.at(place))
    }
}

fn stem(entry: &str) -> &str {
    entry.strip_suffix(".npy").unwrap_or(entry)
}

/// Where an entry's bytes begin in the archive's file, where they lie there as they are.
fn place(entry: ZipFile<BufReader<File>>) -> Result<Option<Bytes>, Problem> {
    Ok(stored(entry)?.map(|(bytes, _)| bytes))
}

/// The same. All of them are read once, which checks their sum.
fn checked(entry: ZipFile<BufReader<File>>) -> Result<Option<Bytes>, Problem> {
    let Some((bytes, mut rest)) = stored(entry)? else {
        return Ok(None);
    };
    let expected = bytes.size();
    match io::copy(&mut rest, &mut io::sink())? {
        found if found < expected => Err(Problem::Truncated { expected, found }),
        _ => Ok(Some(bytes)),
    }
}

type Entry<'a> = ZipFile<'a, BufReader<File>>;

fn stored(entry: Entry) -> Result<Option<(Bytes, BufReader<Entry>)>, Problem> {
    /// Read at once: larger than what the archive's own reader takes, which then reads into it without a copy.
    const CHUNK: usize = 1 << 18;
    let is_stored = entry.compression() == CompressionMethod::Stored;
    let (Some(start), true) = (entry.data_start(), is_stored) else {
        return Ok(None);
    };
    let size = entry.size();
    let mut entry = BufReader::with_capacity(CHUNK, entry);
    let found = npy::bytes(&mut entry, size)?;
    Ok(found.map(|found| {
        let start = start + found.start;
        (Bytes { start, ..found }, entry)
    }))
}

impl Arrays for Archive<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.entries.iter().map(|entry| stem(entry).to_owned());
        names.collect()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.path.join(self.entry(name))
    }

    fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        self.with(name, |entry| npy::shape(BufReader::new(entry)))
    }

    fn read(&mut self, name: &str) -> Result<Npy> {
        self.with(name, |entry| npy::read(BufReader::new(entry)))
    }

    fn in_file(&mut self, name: &str) -> Result<Option<(File, Bytes)>> {
        let Some(bytes) = self.with(name, checked)? else {
            return Ok(None);
        };
        let file = self.file.try_clone();
        let file = file.map_err(|e| Problem::from(e).at(self.path))?;
        Ok(Some((file, bytes)))
    }
}

fn zip_problem(error: ZipError) -> Problem {
    match error {
        ZipError::Io(e) => e.into(),
        e => Problem::Malformed(format!("not a readable .npz archive: {e}")),
    }
}
