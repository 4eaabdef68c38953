//! Archives: verified bytes in, a small inert model of them out.
//!
//! A TorchScript archive is a zip with one folder that holds
//!
//! | entry | content |
//! |---|---|
//! | `data.pkl` | the tree of modules, a [`Pickle`] |
//! | `constants.pkl` | a tuple of tensors that the code calls `CONSTANTS.cN` |
//! | `data/N`, `constants/N` | storages: the bytes of their tensors |
//! | `code/**.py` | source text of the classes, and a `.debug_pkl` of source positions beside each |
//! | `version`, `byteorder`, … | a few words on the format |
//!
//! A program of `torch.export` is another zip, [`exported`], and here the TorchScript archive of the same network.
//!
//! [`Archive::open`] reads everything but the storages, within [`Limits`], and calls nothing. What it accepts
//! holds together: every tensor lies within a storage that is there and as long as claimed.

#![forbid(unsafe_code)]

mod constants;
mod container;
mod error;
pub mod exported;
mod focus;
mod limits;
pub mod network;
pub mod pickle;
mod tensor;
pub mod weights;
mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

pub use constants::Adoption;
use container::{Container, Source};
pub use error::ArchiveError;
use exported::{Cut, ExportedProgram};
pub use focus::Focus;
pub use limits::Limits;
pub use network::NetworkError;
pub use pickle::{Node, NodeId, Pickle, PickleError};
pub use tensor::TensorRef;

/// Which pickle a storage belongs to, and so the folder it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// `data.pkl`: parameters and buffers
    Data,
    /// `constants.pkl`: tensors that the code refers to
    Constants,
}

impl Section {
    const ALL: [Self; 2] = [Self::Data, Self::Constants];

    fn folder(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Constants => "constants",
        }
    }

    fn pickle_entry(self) -> &'static str {
        match self {
            Self::Data => "data.pkl",
            Self::Constants => "constants.pkl",
        }
    }

    fn storage_entry(self, key: &str) -> String {
        format!("{}/{key}", self.folder())
    }

    /// Section and key of the storage that an entry holds; `None` for other entries.
    fn of_storage(entry: &str) -> Option<(Self, &str)> {
        let (folder, key) = entry.split_once('/')?;
        Self::ALL
            .into_iter()
            .find(|section| section.folder() == folder)
            .map(|section| (section, key))
    }
}

/// An archive: read once, edited in memory, written as a whole.
///
/// Storages stay in the file, which is kept open, until [`storage`](Self::storage) or a write asks for them.
/// A clone shares the file and is edited on its own.
#[derive(Debug, Clone)]
pub struct Archive {
    container: Arc<Container>,
    version: u64,
    sources: IndexMap<String, SourceFile>,
    sources_edited: bool,
    data: Pickle,
    constants: Pickle,
    /// Storages that are not, or not as they are, in the file under their own name.
    new_storages: BTreeMap<(Section, String), NewStorage>,
    /// What it was derived from, if it is no TorchScript archive itself.
    exported: Option<Arc<ExportedProgram>>,
    /// What it is a module of, if it is one.
    surroundings: Option<Arc<focus::Surroundings>>,
}

#[derive(Debug, Clone)]
enum NewStorage {
    Bytes(Arc<[u8]>),
    /// The bytes of this entry of the file: they stay there until they are asked for.
    Entry(String),
}

#[derive(Debug, Clone)]
struct SourceFile {
    text: String,
    edited: bool,
}

impl Archive {
    /// Opens an archive with the default [`Limits`].
    ///
    /// # Errors
    /// An [`ArchiveError`] that says what the file is instead, or what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        Self::open_with(path, &Limits::default())
    }

    /// Opens an archive.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, limits: &Limits) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(ArchiveError::Io)?;
        Self::from_source(Box::new(BufReader::new(file)), limits)
    }

    /// Opens an archive that is in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: Vec<u8>, limits: &Limits) -> Result<Self, ArchiveError> {
        Self::from_source(Box::new(Cursor::new(bytes)), limits)
    }

    /// Opens an archive in memory that others read as well.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_shared(bytes: &Arc<Vec<u8>>, limits: &Limits) -> Result<Self, ArchiveError> {
        let bytes = Shared(Arc::clone(bytes));
        Self::from_source(Box::new(Cursor::new(bytes)), limits)
    }

    fn from_source(source: Box<dyn Source>, limits: &Limits) -> Result<Self, ArchiveError> {
        let container = Container::open(source, limits)?;
        refuse_big_endian(&container)?;
        if exported::is_exported(container.entries()) {
            let program = ExportedProgram::read(&container, limits)?;
            return Self::of_exported(Arc::new(container), program, BTreeMap::new());
        }
        let version = read_version(&container)?;
        let sources = read_sources(&container, limits)?;
        let data = read_pickle(&container, Section::Data, limits)?;
        if !matches!(data.get(data.root()), Node::Object { .. }) {
            return Err(ArchiveError::RootNotModule);
        }
        let constants = read_pickle(&container, Section::Constants, limits)?;
        check_tensors(&container, Section::Data, &data)?;
        check_tensors(&container, Section::Constants, &constants)?;
        Ok(Self {
            container: Arc::new(container),
            version,
            sources,
            sources_edited: false,
            data,
            constants,
            new_storages: BTreeMap::new(),
            exported: None,
            surroundings: None,
        })
    }

    fn of_exported(
        container: Arc<Container>,
        program: ExportedProgram,
        new_storages: BTreeMap<(Section, String), NewStorage>,
    ) -> Result<Self, ArchiveError> {
        let carrier = program.carrier(&container)?;
        check_tensors(&container, Section::Data, &carrier.data)?;
        let source = SourceFile {
            text: carrier.source,
            edited: false,
        };
        let none = |pickle: &mut Pickle| Ok::<_, ArchiveError>(pickle.add(Node::Tuple(Vec::new())));
        let constants = Pickle::of(none)?;
        Ok(Self {
            container,
            version: carrier.version,
            sources: IndexMap::from([(exported::SOURCE_FILE.to_owned(), source)]),
            sources_edited: false,
            data: carrier.data,
            constants,
            new_storages,
            exported: Some(Arc::new(program)),
            surroundings: None,
        })
    }

    /// Whether it is a program of `torch.export`, and is written as one.
    pub fn is_exported(&self) -> bool {
        self.exported.is_some()
    }

    /// The shape `[channels, height, width]` of an image that a program of `torch.export` was made for; `None` where it says
    /// nothing of it.
    #[must_use]
    pub fn example_shape(&self) -> Option<Vec<i64>> {
        self.exported.as_ref()?.example_shape()
    }

    /// A program of `torch.export` without these blocks; `None` for a TorchScript archive.
    ///
    /// # Errors
    /// If something else needs what is inside a block.
    pub fn without(&self, cuts: &[Cut]) -> Option<Result<Self, ArchiveError>> {
        let program = self.exported.as_ref()?;
        let container = Arc::clone(&self.container);
        let storages = self.new_storages.clone();
        let cut = || Self::of_exported(container, program.without(cuts)?, storages);
        Some(cut())
    }

    /// The TorchScript archive of the same network, which knows of no program any more.
    ///
    /// # Errors
    /// If a storage cannot be read.
    pub fn to_torchscript(&self) -> Result<Self, ArchiveError> {
        match self.exported {
            None => Ok(self.clone()),
            // It was checked against the limits when it was read.
            Some(_) => Self::from_bytes(self.whole().to_runnable_bytes()?, &Limits::unbounded()),
        }
    }

    /// The version of the archive format that the file names.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The source files in archive order: name without the root folder, e.g. `code/__torch__/net.py`, and text.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources
            .iter()
            .map(|(name, file)| (name.as_str(), file.text.as_str()))
    }

    /// The text of one source file.
    pub fn source(&self, file: &str) -> Option<&str> {
        self.sources.get(file).map(|file| file.text.as_str())
    }

    /// Adds or replaces a source file, named as in [`sources`](Self::sources). The positions in its
    /// `.debug_pkl` no longer hold, so that is left out of what is written.
    pub fn set_source(&mut self, file: &str, text: String) {
        debug_assert!(is_source(file), "{file} is not the name of a source file");
        if self.source(file) == Some(text.as_str()) {
            return;
        }
        self.sources_edited = true;
        self.sources
            .insert(file.to_owned(), SourceFile { text, edited: true });
    }

    /// Takes a source file and its `.debug_pkl` out. Says whether there was one.
    pub fn remove_source(&mut self, file: &str) -> bool {
        let removed = self.sources.shift_remove(file).is_some();
        self.sources_edited |= removed;
        removed
    }

    /// `data.pkl`, the tree of modules. Its root is an object.
    pub fn data(&self) -> &Pickle {
        &self.data
    }

    /// `data.pkl`, to edit.
    pub fn data_mut(&mut self) -> &mut Pickle {
        &mut self.data
    }

    /// `constants.pkl`, a tuple of tensors; an empty one when the archive has no such entry.
    pub fn constants(&self) -> &Pickle {
        &self.constants
    }

    /// `constants.pkl`, to edit.
    pub fn constants_mut(&mut self) -> &mut Pickle {
        &mut self.constants
    }

    /// The bytes of a storage, low byte first. `key` is [`TensorRef::storage`].
    ///
    /// # Errors
    /// [`ArchiveError::StorageMissing`]; or [`ArchiveError::EntrySize`], [`ArchiveError::EntryTooLarge`] and
    /// [`ArchiveError::CorruptEntry`] when what is unpacked is not what the file promised.
    pub fn storage(&self, section: Section, key: &str) -> Result<Vec<u8>, ArchiveError> {
        let name = match self.new_storages.get(&(section, key.to_owned())) {
            Some(NewStorage::Bytes(bytes)) => return Ok(bytes.to_vec()),
            Some(NewStorage::Entry(name)) => name.clone(),
            None => section.storage_entry(key),
        };
        match self.container.entry(&name) {
            Some(entry) => self.container.read(entry, u64::MAX),
            None => Err(ArchiveError::StorageMissing { entry: name }),
        }
    }

    /// Replaces the bytes of a storage by as many others: trained weights, say.
    ///
    /// # Errors
    /// [`ArchiveError::StorageMissing`] and [`ArchiveError::StorageSize`].
    pub fn set_storage(
        &mut self,
        section: Section,
        key: &str,
        bytes: Vec<u8>,
    ) -> Result<(), ArchiveError> {
        let actual = bytes.len() as u64;
        let entry = section.storage_entry(key);
        match self.storage_bytes(section, key) {
            Some(expected) if expected == actual => {}
            Some(expected) => {
                return Err(ArchiveError::StorageSize {
                    entry,
                    expected,
                    actual,
                });
            }
            None => return Err(ArchiveError::StorageMissing { entry }),
        }
        self.new_storages
            .insert((section, key.to_owned()), NewStorage::Bytes(bytes.into()));
        Ok(())
    }

    /// Bytes of a storage, without reading it; `None` where there is none.
    fn storage_bytes(&self, section: Section, key: &str) -> Option<u64> {
        let name = match self.new_storages.get(&(section, key.to_owned())) {
            Some(NewStorage::Bytes(bytes)) => return Some(bytes.len() as u64),
            Some(NewStorage::Entry(name)) => name.clone(),
            None => section.storage_entry(key),
        };
        self.container.entry(&name).map(|entry| entry.size)
    }

    fn pickle(&self, section: Section) -> &Pickle {
        match section {
            Section::Data => &self.data,
            Section::Constants => &self.constants,
        }
    }
}

struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An empty tuple, for archives whose code has no constants and that leave the entry out.
const NO_CONSTANTS: &[u8] = b"\x80\x02).";

fn is_source(name: &str) -> bool {
    name.starts_with("code/") && name.ends_with(".py")
}

/// A line of text about the format; a file that needs more than this for one is damaged.
const WORD_BYTES: u64 = 1024;

fn read_word(container: &Container, name: &str) -> Result<Option<String>, ArchiveError> {
    let Some(entry) = container.entry(name) else {
        return Ok(None);
    };
    let bytes = container.read(entry, WORD_BYTES)?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}

fn read_version(container: &Container) -> Result<u64, ArchiveError> {
    // Archives of PyTorch 1.3 to 1.5 have it under the second name only.
    for name in ["version", ".data/version"] {
        if let Some(found) = read_word(container, name)? {
            return found
                .parse()
                .map_err(|_| ArchiveError::BadVersion { found });
        }
    }
    Err(ArchiveError::MissingEntry {
        entry: "version".into(),
    })
}

fn refuse_big_endian(container: &Container) -> Result<(), ArchiveError> {
    match read_word(container, "byteorder")?.as_deref() {
        Some("big") => Err(ArchiveError::BigEndian),
        _ => Ok(()),
    }
}

fn read_sources(
    container: &Container,
    limits: &Limits,
) -> Result<IndexMap<String, SourceFile>, ArchiveError> {
    let mut sources = IndexMap::new();
    let mut left = limits.source_bytes;
    for entry in container
        .entries()
        .iter()
        .filter(|entry| is_source(&entry.name))
    {
        let bytes = match container.read(entry, left) {
            Err(ArchiveError::EntryTooLarge { limit, .. }) if limit == left => {
                return Err(ArchiveError::SourcesTooLarge {
                    limit: limits.source_bytes,
                });
            }
            read => read?,
        };
        left = left.saturating_sub(bytes.len() as u64);
        let text = String::from_utf8(bytes).map_err(|_| ArchiveError::SourceNotText {
            entry: entry.name.clone(),
        })?;
        sources.insert(
            entry.name.clone(),
            SourceFile {
                text,
                edited: false,
            },
        );
    }
    Ok(sources)
}

fn read_pickle(
    container: &Container,
    section: Section,
    limits: &Limits,
) -> Result<Pickle, ArchiveError> {
    let name = section.pickle_entry();
    let bytes = match (container.entry(name), section) {
        (Some(entry), _) => container.read(entry, limits.pickle_bytes)?,
        (None, Section::Constants) => NO_CONSTANTS.to_vec(),
        (None, Section::Data) => return Err(ArchiveError::MissingEntry { entry: name.into() }),
    };
    Pickle::parse(&bytes, limits).map_err(|source| ArchiveError::Pickle {
        entry: name.into(),
        source,
    })
}

/// Checks every tensor of a pickle against its storage, and every storage against the file.
fn check_tensors(
    container: &Container,
    section: Section,
    pickle: &Pickle,
) -> Result<(), ArchiveError> {
    for (key, bytes) in pickle.storages()? {
        // libtorch asks for no entry when there is nothing in it.
        if bytes > 0 || container.entry(&section.storage_entry(key)).is_some() {
            check_storage(container, section, key, bytes)?;
        }
    }
    pickle
        .reachable()
        .into_iter()
        .filter_map(|id| pickle.tensor(id))
        .try_for_each(|tensor| tensor.map(|_| ()))
}

fn check_storage(
    container: &Container,
    section: Section,
    key: &str,
    expected: u64,
) -> Result<(), ArchiveError> {
    let name = section.storage_entry(key);
    match container.entry(&name) {
        None => Err(ArchiveError::StorageMissing { entry: name }),
        Some(entry) if entry.size != expected => Err(ArchiveError::StorageSize {
            entry: name,
            expected,
            actual: entry.size,
        }),
        Some(_) => Ok(()),
    }
}
