//! The archive as bytes again: what was not touched comes through as it was.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Cursor, Seek, SeekFrom, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::container::Entry;
use super::exported::{self, ExportedProgram};
use super::{Archive, ArchiveError, NO_CONSTANTS, Section, is_source};

/// Where libtorch aligns tensors to, so that a file can be mapped.
const ALIGNMENT: u16 = 64;

/// Entries besides code, pickles and storages that libtorch needs to run an archive: words about the format.
const WORDS: [&str; 3] = ["version", ".data/version", "byteorder"];

/// Entries that say something about the others which an edit makes untrue: the id derived from all checksums, and the
/// byte code a mobile interpreter would run in place of the source.
const DERIVED: [&str; 3] = [
    ".data/serialization_id",
    "bytecode.pkl",
    "mobile_debug_handles.pkl",
];

impl Archive {
    /// The whole archive in memory. See [`write_to`](Self::write_to).
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to).
    pub fn to_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Cursor::new(Vec::new());
        self.write_to(&mut bytes)?;
        Ok(bytes.into_inner())
    }

    /// What libtorch needs to run the archive, and nothing that [`open`](Self::open) has not read and checked: no byte
    /// code, no positions in sources that are gone, no files of others.
    ///
    /// # Errors
    /// As [`write_to`](Self::write_to).
    pub fn to_runnable_bytes(&self) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Cursor::new(Vec::new());
        self.write(&Plan::of(self, Scope::Runnable)?, &mut bytes)?;
        Ok(bytes.into_inner())
    }

    /// Writes the whole archive, of which this may be a module, starting where `out` stands, which should be its beginning.
    ///
    /// Entries keep their order and the root folder its name; new source files follow the old ones, new storages stand
    /// before `data.pkl`. Storages that no tensor uses any more are left out. Equal archives give equal bytes: nothing
    /// depends on the time.
    ///
    /// # Errors
    /// [`ArchiveError::Write`] from `out`; [`ArchiveError::Pickle`] for a graph that edits made unwritable; and
    /// what [`storage`](Self::storage) gives for entries that cannot be read.
    pub fn write_to(&self, out: impl Write + Seek) -> Result<(), ArchiveError> {
        let whole = self.whole();
        whole.write(&Plan::of(&whole, Scope::All)?, out)
    }

    fn write(&self, plan: &Plan<'_>, out: impl Write + Seek) -> Result<(), ArchiveError> {
        let given_up = Cell::new(false);
        let out = Abandonable {
            out,
            given_up: &given_up,
            position: 0,
            end: 0,
        };
        let mut zip = ZipWriter::new(out);
        let put = match (&self.exported, plan.scope) {
            (None, _) => self.put_entries(plan, &mut zip),
            (Some(program), Scope::All) => self.put_program(program, plan, &mut zip),
            (Some(_), Scope::Runnable) => self.put_carrier(plan, &mut zip),
        };
        if let Err(error) = put {
            given_up.set(true);
            return Err(error);
        }
        zip.finish().map_err(write_error)?;
        Ok(())
    }

    fn put_entries(
        &self,
        plan: &Plan<'_>,
        zip: &mut ZipWriter<impl Write + Seek>,
    ) -> Result<(), ArchiveError> {
        let entries = self.container.entries();
        let last_code = entries
            .iter()
            .rposition(|entry| entry.name.starts_with("code/"));
        for (place, entry) in entries.iter().enumerate() {
            if entry.name == Section::Data.pickle_entry() {
                self.put_new_storages(plan, zip)?;
            }
            if let Some(content) = plan.content(entry)? {
                self.put(zip, &entry.name, entry.stored, &content)?;
            }
            if Some(place) == last_code {
                self.put_new_sources(zip)?;
            }
        }
        if last_code.is_none() {
            self.put_new_sources(zip)?;
        }
        let name = Section::Constants.pickle_entry();
        match &plan.constants {
            Some(constants) if self.container.entry(name).is_none() => {
                self.put(zip, name, true, constants)
            }
            _ => Ok(()),
        }
    }

    /// An exported program: its documents as they are now, the storages that are left, and whatever else the file holds.
    fn put_program(
        &self,
        program: &ExportedProgram,
        plan: &Plan<'_>,
        zip: &mut ZipWriter<impl Write + Seek>,
    ) -> Result<(), ArchiveError> {
        for entry in self.container.entries() {
            let name = entry.name.as_str();
            let content = match (program.document(name), Section::of_storage(name)) {
                (Some(document), _) => document,
                (None, Some((section, key))) if plan.used.contains(name) => {
                    self.storage(section, key)?
                }
                (None, Some(_)) if exported::is_storage(name) => continue,
                _ if plan.changed && DERIVED.contains(&name) => continue,
                _ => self.container.read(entry, u64::MAX)?,
            };
            self.put(zip, name, entry.stored, &content)?;
        }
        Ok(())
    }

    /// The TorchScript archive that an exported program was made: nothing of the file but storages.
    fn put_carrier(
        &self,
        plan: &Plan<'_>,
        zip: &mut ZipWriter<impl Write + Seek>,
    ) -> Result<(), ArchiveError> {
        let mut names: Vec<&String> = plan.used.iter().collect();
        names.sort();
        for name in names {
            // libtorch asks for no entry when there is nothing in it.
            if let Some((section, key)) = Section::of_storage(name)
                && self.storage_bytes(section, key).is_some()
            {
                self.put(zip, name, true, &self.storage(section, key)?)?;
            }
        }
        self.put(zip, Section::Data.pickle_entry(), true, &plan.data)?;
        for (name, file) in &self.sources {
            self.put(zip, name, false, file.text.as_bytes())?;
        }
        self.put(zip, Section::Constants.pickle_entry(), true, NO_CONSTANTS)?;
        self.put(
            zip,
            "version",
            true,
            format!("{}\n", self.version).as_bytes(),
        )?;
        self.put(zip, "byteorder", true, b"little")
    }

    /// Storages that the file has no entry for, in the order of their numbers, before the pickle that names them: as
    /// libtorch does.
    fn put_new_storages(
        &self,
        plan: &Plan<'_>,
        zip: &mut ZipWriter<impl Write + Seek>,
    ) -> Result<(), ArchiveError> {
        let mut keys: Vec<&(Section, String)> = self
            .new_storages
            .keys()
            .filter(|(section, key)| {
                let name = section.storage_entry(key);
                plan.used.contains(&name) && self.container.entry(&name).is_none()
            })
            .collect();
        keys.sort_by_key(|(section, key)| (*section, key.parse::<u64>().ok(), key));
        for (section, key) in keys {
            let bytes = self.storage(*section, key)?;
            self.put(zip, &section.storage_entry(key), true, &bytes)?;
        }
        Ok(())
    }

    fn put_new_sources(&self, zip: &mut ZipWriter<impl Write + Seek>) -> Result<(), ArchiveError> {
        for (name, file) in &self.sources {
            if self.container.entry(name).is_none() {
                self.put(zip, name, false, file.text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn put(
        &self,
        zip: &mut ZipWriter<impl Write + Seek>,
        name: &str,
        stored: bool,
        content: &[u8],
    ) -> Result<(), ArchiveError> {
        let storage = Section::of_storage(name).is_some();
        let method = if stored || storage {
            CompressionMethod::Stored
        } else {
            CompressionMethod::Deflated
        };
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(0o644)
            .large_file(content.len() >= u32::MAX as usize)
            .with_alignment(if storage { ALIGNMENT } else { 1 });
        zip.start_file(format!("{}/{name}", self.container.root()), options)
            .map_err(write_error)?;
        zip.write_all(content).map_err(ArchiveError::Write)
    }
}

/// Takes no more bytes after an error, or once the archive is given up. Without this a zip writer that is dropped would
/// finish its file as if it were whole, and report on stderr if that fails too.
struct Abandonable<'a, W> {
    out: W,
    given_up: &'a Cell<bool>,
    /// Where the zip writer believes to be, and the furthest that it came.
    position: u64,
    end: u64,
}

impl<W> Abandonable<'_, W> {
    /// Does this; gives `instead` once the archive is given up.
    fn unless_given_up<T>(
        &mut self,
        instead: T,
        act: impl FnOnce(&mut W) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.given_up.get() {
            return Ok(instead);
        }
        let done = act(&mut self.out);
        // An interrupted write is tried again.
        let failed = |error: &io::Error| error.kind() != io::ErrorKind::Interrupted;
        self.given_up.set(done.as_ref().err().is_some_and(failed));
        done
    }
}

impl<W: Write> Write for Abandonable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.unless_given_up(bytes.len(), |out| out.write(bytes))?;
        self.position += written as u64;
        self.end = self.end.max(self.position);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_given_up((), Write::flush)
    }
}

impl<W: Seek> Seek for Abandonable<'_, W> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        let believed = match place {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.end.saturating_add_signed(by),
            SeekFrom::Current(by) => self.position.saturating_add_signed(by),
        };
        self.position = self.unless_given_up(believed, |out| out.seek(place))?;
        self.end = self.end.max(self.position);
        Ok(self.position)
    }
}

/// Which entries are written.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    All,
    /// Those that the reader has checked.
    Runnable,
}

/// What becomes of the entries.
struct Plan<'a> {
    archive: &'a Archive,
    scope: Scope,
    changed: bool,
    /// Names of the storages to keep.
    used: HashSet<String>,
    data: Vec<u8>,
    /// `None` when the archive came without and still has none.
    constants: Option<Vec<u8>>,
}

impl<'a> Plan<'a> {
    fn of(archive: &'a Archive, scope: Scope) -> Result<Self, ArchiveError> {
        let mut used = HashSet::new();
        for section in Section::ALL {
            let storages = archive.pickle(section).storages()?;
            used.extend(
                storages
                    .into_iter()
                    .map(|(key, _)| section.storage_entry(key)),
            );
        }
        let orphaned = |entry: &Entry| is_orphan(&entry.name, &used);
        let entries = archive.container.entries();
        let keep_constants = archive.constants.is_edited()
            || archive
                .container
                .entry(Section::Constants.pickle_entry())
                .is_some();
        Ok(Self {
            archive,
            scope,
            changed: archive.sources_edited
                || archive.data.is_edited()
                || archive.constants.is_edited()
                || !archive.new_storages.is_empty()
                || entries.iter().any(orphaned),
            data: pickle_bytes(archive, Section::Data)?,
            constants: keep_constants
                .then(|| pickle_bytes(archive, Section::Constants))
                .transpose()?,
            used,
        })
    }

    /// What an entry of the old archive holds in the new one; `None` when it is left out.
    fn content(&self, entry: &Entry) -> Result<Option<Cow<'_, [u8]>>, ArchiveError> {
        let name = entry.name.as_str();
        if name == Section::Data.pickle_entry() {
            return Ok(Some(Cow::Borrowed(&self.data)));
        }
        if name == Section::Constants.pickle_entry() {
            return Ok(self.constants.as_deref().map(Cow::Borrowed));
        }
        if is_source(name) {
            let file = self.archive.sources.get(name);
            return Ok(file.map(|file| Cow::Borrowed(file.text.as_bytes())));
        }
        let storage = Section::of_storage(name);
        if self.scope == Scope::Runnable && storage.is_none() && !WORDS.contains(&name) {
            return Ok(None);
        }
        let stale = self.changed && DERIVED.contains(&name);
        if stale || is_orphan(name, &self.used) || self.describes_edited_source(name) {
            return Ok(None);
        }
        let bytes = match storage {
            Some((section, key)) => self.archive.storage(section, key)?,
            None => self.archive.container.read(entry, u64::MAX)?,
        };
        Ok(Some(Cow::Owned(bytes)))
    }

    /// Whether this is the `.debug_pkl` of a source that was edited or removed.
    fn describes_edited_source(&self, name: &str) -> bool {
        let source = name
            .strip_suffix(".debug_pkl")
            .filter(|source| is_source(source));
        source.is_some_and(|source| {
            self.archive
                .sources
                .get(source)
                .is_none_or(|file| file.edited)
        })
    }
}

fn is_orphan(name: &str, used: &HashSet<String>) -> bool {
    Section::of_storage(name).is_some() && !used.contains(name)
}

fn pickle_bytes(archive: &Archive, section: Section) -> Result<Vec<u8>, ArchiveError> {
    let bytes = archive.pickle(section).to_bytes();
    bytes.map_err(|source| ArchiveError::Pickle {
        entry: section.pickle_entry().into(),
        source,
    })
}

fn write_error(error: zip::result::ZipError) -> ArchiveError {
    ArchiveError::Write(io::Error::from(error))
}
