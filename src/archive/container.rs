//! The zip file: entries by name under one root folder, each read on demand and within its cap.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use super::exported::error::ExportedError;
use super::{ArchiveError, Limits};

/// Where the bytes come from.
pub(super) trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

/// Archives begin with the file, as libtorch demands. Looking for the beginning instead can go wrong: a zip64 end
/// record is just as long as a directory entry with a name of 30 bytes.
const AT_THE_START: Config = Config {
    archive_offset: ArchiveOffset::Known(0),
};

/// One file in the archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Name without the root folder.
    pub name: String,
    /// Bytes unpacked, as the directory declares them; a read that finds another number fails.
    pub size: u64,
    /// Stored as it is, not compressed.
    pub stored: bool,
    /// Position in the zip directory.
    index: usize,
}

pub(super) struct Container {
    zip: Mutex<zip::ZipArchive<Box<dyn Source>>>,
    root: String,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    limits: Limits,
}

impl Container {
    /// Reads the zip directory. No entry is unpacked.
    pub fn open(mut source: Box<dyn Source>, limits: &Limits) -> Result<Self, ArchiveError> {
        let start = signature(&mut source).map_err(ArchiveError::Io)?;
        match start {
            [b'P', b'K', 3, 4] => {}
            [0x80, 2..=5, ..] => return Err(ArchiveError::LegacyPickle),
            _ => return Err(ArchiveError::NotAnArchive),
        }
        let complete = has_end_record(&mut source).map_err(ArchiveError::Io)?;
        let mut zip =
            zip::ZipArchive::with_config(AT_THE_START, source).map_err(|error| match error {
                ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                    ArchiveError::Io(error)
                }
                _ if !complete => ArchiveError::Truncated,
                error => ArchiveError::CorruptZip {
                    detail: error.to_string(),
                },
            })?;
        let (root, entries) = directory(&zip, limits)?;
        refuse_contradictions(&mut zip)?;
        let by_name = entries
            .iter()
            .enumerate()
            .map(|(place, entry)| (entry.name.clone(), place))
            .collect();
        Ok(Self {
            zip: Mutex::new(zip),
            root,
            entries,
            by_name,
            limits: limits.clone(),
        })
    }

    /// The folder all entries lie in.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// All entries, in the order of the zip directory.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.by_name
            .get(name)
            .and_then(|&place| self.entries.get(place))
    }

    /// Unpacks an entry of at most `cap` bytes.
    pub fn read(&self, entry: &Entry, cap: u64) -> Result<Vec<u8>, ArchiveError> {
        let kind_cap = if entry.stored {
            self.limits.entry_bytes
        } else {
            self.limits.inflated_bytes
        };
        let cap = cap.min(kind_cap);
        // A panic in another thread leaves the reader usable, as each read seeks first.
        let mut zip = self.zip.lock().unwrap_or_else(PoisonError::into_inner);
        let corrupt = |source| ArchiveError::CorruptEntry {
            entry: entry.name.clone(),
            source,
        };
        let file = zip
            .by_index(entry.index)
            .map_err(|error| corrupt(error.into()))?;
        let mut bytes = Vec::new();
        // One byte more than either bound, so that reaching it is noticed.
        file.take(cap.min(entry.size).saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(corrupt)?;
        let found = bytes.len() as u64;
        if found > cap {
            return Err(ArchiveError::EntryTooLarge {
                entry: entry.name.clone(),
                limit: cap,
            });
        }
        if found != entry.size {
            return Err(ArchiveError::EntrySize {
                entry: entry.name.clone(),
                declared: entry.size,
            });
        }
        Ok(bytes)
    }
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("root", &self.root)
            .field("entries", &self.entries.len())
            .finish()
    }
}

/// The first four bytes; zeros where there are fewer.
fn signature(source: &mut dyn Source) -> io::Result<[u8; 4]> {
    let mut start = Vec::with_capacity(4);
    source.seek(SeekFrom::Start(0))?;
    source.take(4).read_to_end(&mut start)?;
    start.resize(4, 0);
    Ok(start.try_into().unwrap_or_default())
}

/// Whether the record that closes a zip is there, as far as its fixed part goes.
fn has_end_record(source: &mut dyn Source) -> io::Result<bool> {
    const RECORD: u64 = 22;
    const LONGEST_COMMENT: u64 = 0xffff;
    let len = source.seek(SeekFrom::End(0))?;
    source.seek(SeekFrom::Start(
        len.saturating_sub(RECORD + LONGEST_COMMENT),
    ))?;
    let mut tail = Vec::new();
    source
        .take(RECORD + LONGEST_COMMENT)
        .read_to_end(&mut tail)?;
    let complete = tail.len().saturating_sub(RECORD as usize - 4);
    Ok(tail
        .get(..complete)
        .unwrap_or_default()
        .windows(4)
        .any(|bytes| bytes == b"PK\x05\x06"))
}

/// Refuses a file that another reader may read otherwise: an entry whose own header says something else than the
/// directory, entries that share bytes, an entry that the directory leaves out.
fn refuse_contradictions(zip: &mut zip::ZipArchive<Box<dyn Source>>) -> Result<(), ArchiveError> {
    zip.validate_header_consistency().map_err(|error| {
        let detail = match error {
            ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return ArchiveError::Io(error);
            }
            ZipError::InvalidArchive(detail) => detail.into_owned(),
            error => error.to_string(),
        };
        ArchiveError::Contradiction {
            detail: detail
                .trim_start_matches("header inconsistency detected: ")
                .to_owned(),
        }
    })
}

/// The entries, checked; and the root folder they lie in.
fn directory(
    zip: &zip::ZipArchive<Box<dyn Source>>,
    limits: &Limits,
) -> Result<(String, Vec<Entry>), ArchiveError> {
    if zip.len() > limits.entries {
        return Err(ArchiveError::TooManyEntries {
            found: zip.len(),
            limit: limits.entries,
        });
    }
    if zip.has_duplicate_names() {
        return Err(ArchiveError::DuplicateNames);
    }
    let mut names = Vec::with_capacity(zip.len());
    for raw in zip.file_names_raw() {
        names.push(safe_name(raw)?);
    }
    refuse_other_layouts(&names)?;

    let mut root: Option<&str> = None;
    let mut entries = Vec::with_capacity(names.len());
    let mut total = 0_u64;
    for (index, full_name) in names.iter().enumerate() {
        let Some((folder, name)) = full_name.split_once('/') else {
            return Err(ArchiveError::OutsideRoot {
                name: full_name.clone(),
            });
        };
        if *root.get_or_insert(folder) != folder {
            let first = root.unwrap_or_default().to_owned();
            return Err(ArchiveError::SeveralRoots {
                first,
                second: folder.to_owned(),
            });
        }
        // Tools that zip a folder list the folders as well.
        if full_name.ends_with('/') {
            continue;
        }
        let entry = checked_entry(zip, index, name, limits)?;
        total = total.saturating_add(entry.size);
        if total > limits.total_bytes {
            return Err(ArchiveError::ArchiveTooLarge {
                limit: limits.total_bytes,
            });
        }
        entries.push(entry);
    }
    Ok((root.unwrap_or_default().to_owned(), entries))
}

fn checked_entry(
    zip: &zip::ZipArchive<Box<dyn Source>>,
    index: usize,
    name: &str,
    limits: &Limits,
) -> Result<Entry, ArchiveError> {
    let header = zip
        .by_index_data(index)
        .map_err(|error| ArchiveError::CorruptZip {
            detail: error.to_string(),
        })?;
    let entry = || name.to_owned();
    if header.encrypted() {
        return Err(ArchiveError::Encrypted { entry: entry() });
    }
    let stored = match header.compression() {
        CompressionMethod::Stored => true,
        CompressionMethod::Deflated => false,
        other => {
            return Err(ArchiveError::UnsupportedCompression {
                entry: entry(),
                method: other.to_string(),
            });
        }
    };
    let limit = if stored {
        limits.entry_bytes
    } else {
        limits.inflated_bytes
    };
    if header.size() > limit {
        return Err(ArchiveError::EntryTooLarge {
            entry: entry(),
            limit,
        });
    }
    Ok(Entry {
        name: entry(),
        size: header.size(),
        stored,
        index,
    })
}

/// A name that stays below the root and means the same to every reader.
fn safe_name(raw: &[u8]) -> Result<String, ArchiveError> {
    let unsafe_name = || ArchiveError::UnsafeName {
        name: String::from_utf8_lossy(raw).into_owned(),
    };
    let name = std::str::from_utf8(raw).map_err(|_| unsafe_name())?;
    let path = name.strip_suffix('/').unwrap_or(name);
    let harmless = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    // Control characters would steer the terminal that a name is shown on.
    if harmless && !name.contains(|c: char| c == '\\' || c.is_control()) {
        Ok(name.to_owned())
    } else {
        Err(unsafe_name())
    }
}

/// Tells apart the other kinds of zip that carry a model's name, each of which some reader would half-load.
fn refuse_other_layouts(names: &[String]) -> Result<(), ArchiveError> {
    let inside = |name: &str| {
        name.split_once('/')
            .map_or(name, |(_, inside)| inside)
            .to_owned()
    };
    let inside: Vec<String> = names.iter().map(|name| inside(name)).collect();
    let has = |wanted: &str| {
        names.iter().any(|name| name == wanted) || inside.iter().any(|name| name == wanted)
    };
    if has("serialized_exported_program.json") {
        return Err(ExportedError::OldLayout.into());
    }
    if has("model.json") {
        return Err(ArchiveError::OldLayout);
    }
    if has("data.pkl") && !inside.iter().any(|name| name.starts_with("code/")) {
        return Err(ArchiveError::WeightsOnly);
    }
    Ok(())
}
