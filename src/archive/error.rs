use std::io;

use super::exported::error::ExportedError;
use super::pickle::PickleError;

/// Why a file cannot be read as, or written to, a TorchScript archive.
///
/// A message says what is wrong and what to do; the path is for the caller to add.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The operating system would not let the file be read.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// The archive could not be written out.
    #[error("the archive cannot be written: {0}")]
    Write(#[source] io::Error),

    // Other kinds of file.
    /// Neither a zip nor a pickle.
    #[error(
        "this is neither a TorchScript archive nor a .pt2; export the network with torch.jit.script(model).save(\"model.pt\") or \
         torch.export.save(torch.export.export(model, (images,)), \"model.pt2\")"
    )]
    NotAnArchive,
    /// A bare pickle, as `torch.save` wrote before PyTorch 1.6.
    #[error(
        "this is a pickle in the format torch.save had before PyTorch 1.6: weights or a Python object, not a network; \
         load it in Python and export the network with torch.jit.script(model).save(\"model.pt\")"
    )]
    LegacyPickle,
    /// A zip written by `torch.save`.
    #[error(
        "this was written by torch.save and holds weights only (a state dict) or a pickled Python object, not a network; \
         export it with torch.jit.script(model).save(\"model.pt\")"
    )]
    WeightsOnly,
    /// A `torch.export` program that is not taken.
    #[error(transparent)]
    Exported(#[from] ExportedError),
    /// The layout PyTorch 1.0 to 1.2 wrote.
    #[error(
        "this archive is in the layout of PyTorch 1.2 and older; load it with torch.jit.load and save it again with PyTorch 1.6 or newer"
    )]
    OldLayout,

    // A module inside.
    /// A program of `torch.export` is one graph.
    #[error(
        "--inside names a module of a TorchScript archive; a program of torch.export has none: export the module alone"
    )]
    InsideExported,
    /// Something is wrong with what `forward` is to be given beside images.
    #[error(transparent)]
    Argument(crate::program::interface::arguments::ArgumentError),
    /// There is no module at a path.
    #[error("--inside: there is no module {path}; {within} has {modules}")]
    NoModule {
        /// The path.
        path: String,
        /// The module that is there as far as the path goes.
        within: String,
        /// What hangs in that.
        modules: String,
    },

    // The zip container.
    /// The file begins like a zip and ends before the central directory does.
    #[error("the file is cut short: its zip directory is missing; copy or download it again")]
    Truncated,
    /// The central directory is there and makes no sense.
    #[error("the zip directory is damaged ({detail}); copy or download the file again")]
    CorruptZip {
        /// What the zip reader objected to.
        detail: String,
    },
    /// More entries than [`Limits::entries`](super::Limits::entries).
    #[error("the zip has {found} entries, more than the {limit} allowed; is this a model?")]
    TooManyEntries {
        /// Entries in the directory.
        found: usize,
        /// The cap.
        limit: usize,
    },
    /// An entry is or unpacks to more than its cap.
    #[error(
        "entry {entry} holds more than the {limit} bytes allowed for it; the file is damaged or not a model"
    )]
    EntryTooLarge {
        /// The entry.
        entry: String,
        /// The cap in bytes.
        limit: u64,
    },
    /// All entries together are more than [`Limits::total_bytes`](super::Limits::total_bytes).
    #[error(
        "the entries together hold more than the {limit} bytes allowed; the file is damaged or not a model"
    )]
    ArchiveTooLarge {
        /// The cap in bytes.
        limit: u64,
    },
    /// The source files together are more than [`Limits::source_bytes`](super::Limits::source_bytes).
    #[error(
        "the source files together hold more than the {limit} bytes allowed; the file is damaged or not a model"
    )]
    SourcesTooLarge {
        /// The cap in bytes.
        limit: u64,
    },
    /// A name that is absolute, climbs out of the archive, or is not text.
    #[error(
        "entry name {name:?} is absolute, leaves the archive or is not plain text; export the model again"
    )]
    UnsafeName {
        /// The name, with undecodable bytes replaced.
        name: String,
    },
    /// Two entries of one name: readers would disagree on which one counts.
    #[error(
        "two entries have the same name, so readers would disagree on the content; export the model again"
    )]
    DuplicateNames,
    /// The zip directory and the entries' own headers say different things, or entries share bytes.
    #[error(
        "the zip contradicts itself ({detail}), so readers would disagree on the content; export the model again"
    )]
    Contradiction {
        /// What the zip reader objected to.
        detail: String,
    },
    /// An entry beside the root folder.
    #[error(
        "entry {name} lies outside a root folder; a TorchScript archive keeps everything in one: export the model again"
    )]
    OutsideRoot {
        /// The entry.
        name: String,
    },
    /// More than one root folder.
    #[error("the archive has several root folders ({first} and {second}); export the model again")]
    SeveralRoots {
        /// The folder of the first entry.
        first: String,
        /// Another folder.
        second: String,
    },
    /// An entry is encrypted.
    #[error(
        "entry {entry} is encrypted; unpack the archive with its password and zip it again without one"
    )]
    Encrypted {
        /// The entry.
        entry: String,
    },
    /// An entry is compressed by something else than deflate.
    #[error(
        "entry {entry} is compressed with {method}, which libtorch cannot read; export the model again"
    )]
    UnsupportedCompression {
        /// The entry.
        entry: String,
        /// The method's name or number.
        method: String,
    },
    /// An entry unpacks to another size than its header says.
    #[error(
        "entry {entry} does not have the {declared} bytes its header declares; copy or download the file again"
    )]
    EntrySize {
        /// The entry.
        entry: String,
        /// Bytes the header declares.
        declared: u64,
    },
    /// An entry cannot be unpacked, or its checksum is wrong.
    #[error("entry {entry} is damaged ({source}); copy or download the file again")]
    CorruptEntry {
        /// The entry.
        entry: String,
        /// What the zip reader objected to.
        source: io::Error,
    },

    // The archive inside it.
    /// An entry that every archive has is not there.
    #[error(
        "entry {entry} is missing, so this is not a complete TorchScript archive; export the model again"
    )]
    MissingEntry {
        /// The entry, without the root folder.
        entry: String,
    },
    /// The `version` entry is not a number.
    #[error("the archive's version is {found:?}, not a number; export the model again")]
    BadVersion {
        /// The entry's text.
        found: String,
    },
    /// Weights are stored with the high byte first.
    #[error(
        "the weights are stored in big-endian order, which is not supported; load and save the model on a little-endian machine"
    )]
    BigEndian,
    /// A source file is not UTF-8.
    #[error("source file {entry} is not UTF-8 text; export the model again")]
    SourceNotText {
        /// The entry.
        entry: String,
    },
    /// A pickle cannot be read or written.
    #[error("{entry}: {source}")]
    Pickle {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        source: PickleError,
    },
    /// `data.pkl` holds something else than a module.
    #[error(
        "data.pkl does not hold a module; export the network with torch.jit.script(model).save(\"model.pt\")"
    )]
    RootNotModule,

    /// More modules, or longer paths to them, than any network has.
    #[error(
        "data.pkl holds more than the {limit} modules allowed, or deeper ones; is this a model?"
    )]
    TooManyModules {
        /// The cap.
        limit: usize,
    },

    // Tensors.
    /// A tensor's description does not have the form libtorch writes.
    #[error("a tensor is not described the way libtorch does ({what}); export the model again")]
    MalformedTensor {
        /// The part that is wrong.
        what: &'static str,
    },
    /// A tensor reaches past the end of its storage.
    #[error(
        "a tensor of shape {shape:?} reaches past the {len} elements of its storage {storage}; the file is damaged: export the model again"
    )]
    TensorOutOfBounds {
        /// Key of the storage.
        storage: String,
        /// The tensor's shape.
        shape: Vec<i64>,
        /// Elements in the storage.
        len: u64,
    },
    /// A tensor's storage is not in the archive.
    #[error("the weights {entry} are missing; copy, download or export the model again")]
    StorageMissing {
        /// The entry, without the root folder.
        entry: String,
    },
    /// A storage is not as long as a tensor, or a caller, says.
    #[error(
        "the weights {entry} have {actual} bytes instead of {expected}; export the model again"
    )]
    StorageSize {
        /// The entry, without the root folder.
        entry: String,
        /// Bytes asked for.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
}
