//! What can be wrong with a data set: always a file, sometimes an image in it, and one problem.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Format;

/// Why data cannot be read or used; the message is complete, so nothing need be put around it.
#[derive(Debug, Error)]
pub enum DataError {
    /// Something on disk.
    #[error("{}: {}{problem}", path.display(), image.map(|i| format!("image {i}: ")).unwrap_or_default())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Index of the image in that file, from 0, where one image is at fault.
        image: Option<usize>,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Settings that do not fit the data or each other.
    #[error("{0}")]
    Setting(String),
}

impl DataError {
    /// Whether class folders do not tell the numbers of their classes.
    pub(super) fn is_about_class_folders(&self) -> bool {
        matches!(
            self,
            DataError::File {
                problem: Problem::EmptyClass(_)
                    | Problem::UnknownClass(_)
                    | Problem::OneLevelDown { .. },
                ..
            }
        )
    }
}

/// What is wrong with a file or folder of data.
#[derive(Debug, Error)]
pub enum Problem {
    /// There is nothing at the path.
    #[error("no such file or folder; --data names the data set")]
    Missing,
    /// No reader recognises it.
    #[error(
        "not a data set of a known format: found {found}. Known are: {}",
        Format::KNOWN
    )]
    Unrecognised {
        /// What is there instead.
        found: String,
    },
    /// Two data sets in one folder.
    #[error("{first} and {second} could both be meant; keep one of them in this folder")]
    Ambiguous {
        /// One candidate's name.
        first: String,
        /// Another's.
        second: String,
    },
    /// Images without their labels' file.
    #[error("its labels are missing: there is no {wanted} beside it")]
    LabelsMissing {
        /// The name looked for.
        wanted: String,
    },
    /// An error of the operating system or of a decompressor.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
    /// Not the kind of file its name promises.
    #[error("{0}")]
    Malformed(String),
    /// Fewer bytes than announced.
    #[error("truncated: {expected} bytes of data are announced, {found} are there")]
    Truncated {
        /// Bytes announced.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// More bytes than announced.
    #[error("bytes are left over behind the {expected} bytes of data announced")]
    TrailingBytes {
        /// Bytes announced.
        expected: u64,
    },
    /// A file of fixed-size records that ends inside one.
    #[error(
        "{found} bytes are not a whole number of records of {record} bytes: truncated, or another format"
    )]
    PartialRecord {
        /// Bytes in one record.
        record: usize,
        /// Bytes in the file.
        found: u64,
    },
    /// A size for which no computer has the memory.
    #[error("announces an impossible size: {0}")]
    TooLarge(String),
    /// No image at all.
    #[error("holds no images")]
    Empty,
    /// An array or a header of a shape that is no set of images or labels.
    #[error("{what} has shape {found:?}; {expected} is needed")]
    Shape {
        /// Which array.
        what: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shapes understood, in words.
        expected: &'static str,
    },
    /// Labels for another number of images.
    #[error("{images} images but {labels} labels; every image needs one")]
    CountMismatch {
        /// Number of images.
        images: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Labels of images that show several classes, or none.
    #[error(
        "the labels name {ones} classes for image {image}: several classes an image (multi-label) are another task than \
         choosing one, which is what is trained and measured here; save one class number an image"
    )]
    SeveralClasses {
        /// Number of the image.
        image: usize,
        /// Classes that it is said to have.
        ones: usize,
    },
    /// A folder of arrays that are each a set of images.
    #[error("holds several arrays of images ({names}): name one of them, as in --data {}", example.display())]
    SeveralArrays {
        /// Their names.
        names: String,
        /// The first one's file.
        example: PathBuf,
    },
    /// A label no class has.
    #[error("label {label} is outside 0..{classes}")]
    LabelOutOfRange {
        /// The label.
        label: i64,
        /// Number of classes.
        classes: usize,
    },
    /// A label that comes before the one that was said to be the first.
    #[error("label {label} is less than --first-class {first}; name the least label that there is")]
    LabelBeforeFirst {
        /// The label.
        label: i64,
        /// The first class's.
        first: i64,
    },
    /// Classes that the list of the network's classes does not have.
    #[error("class {classes} is not among those that {} names (--classes)", file.display())]
    UnnamedClass {
        /// Their names.
        classes: String,
        /// The list.
        file: PathBuf,
    },
    /// Classes that the training part does not have.
    #[error("class {0} does not exist in the training part")]
    UnknownClass(String),
    /// Class folders without any image: whether they count decides the numbers of all behind them.
    #[error(
        "class folder {0} holds no images, so it is not known whether it counts as a class; put its images there, remove \
         it if it never was one, or name all classes in the network's order with --classes FILE"
    )]
    EmptyClass(String),
    /// A data set inside the one folder there is.
    #[error("all images lie in folders of {inner}: name that folder")]
    OneLevelDown {
        /// The folder.
        inner: String,
    },
    /// A class folder that looks like a whole data set.
    #[error(
        "{class} holds parts of its own ({parts}); name that folder, or put the class folders into the parts, not the parts \
         into the class folders"
    )]
    PartsInside {
        /// The folder.
        class: String,
        /// Names of its folders.
        parts: String,
    },
    /// A folder that links lead to from two places, or from inside itself.
    #[error("a link leads to the same folder again; remove one of the two")]
    MetTwice,
    /// Folders that nest too deep.
    #[error("lies more than {0} folders deep; name a folder further down")]
    TooDeep(usize),
    /// More than any data set has.
    #[error(
        "more than {0} files and folders lie below what --data names; name a folder further down"
    )]
    TooManyEntries(usize),
    /// Parts whose images differ in size, so that one network cannot take both.
    #[error("its images are {found} (channels x height x width), those of another part {expected}")]
    PartsDiffer {
        /// Size in this part.
        found: String,
        /// Size in the part before.
        expected: String,
    },
    /// Images that do not fit in one batch.
    #[error(
        "is {found} (height x width) where the first image is {expected}: name one size with --input-size"
    )]
    MixedSizes {
        /// Size of this one.
        found: String,
        /// Size of the others.
        expected: String,
    },
    /// An image one side of which is 0.
    #[error("is {0} (height x width): there are no pixels")]
    NoPixels(String),
    /// An image that announces more pixels than memory is set aside for.
    #[error("is {0} (height x width): more than 64 million pixels; make it smaller")]
    TooManyPixels(String),
    /// An image that resizing would blow up beyond reason.
    #[error("is {found} (height x width): too long and narrow for an input of {expected}")]
    TooElongated {
        /// Size of the image.
        found: String,
        /// Size wanted.
        expected: String,
    },
    /// An image whose file ends too early.
    #[error("is cut off: the file ends before its image does")]
    CutOff,
    /// A decoder's refusal.
    #[error("cannot be decoded: {0}")]
    Undecodable(#[source] image::ImageError),
    /// NaN, infinity, or pixels on another scale.
    #[error(
        "pixel value {0}; floating-point pixels must lie in 0..1: divide those of 0..255 by 255, undo a normalisation before \
         saving (x * std + mean, clipped) and name it with --mean and --std"
    )]
    PixelRange(f32),
}

impl Problem {
    pub(super) fn at(self, path: impl AsRef<Path>) -> DataError {
        DataError::File {
            path: path.as_ref().to_owned(),
            image: None,
            problem: self,
        }
    }

    pub(super) fn at_image(self, path: impl AsRef<Path>, image: usize) -> DataError {
        DataError::File {
            path: path.as_ref().to_owned(),
            image: Some(image),
            problem: self,
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Problem::Missing,
            _ => Problem::Io(error),
        }
    }
}

pub(super) type Result<T, E = DataError> = std::result::Result<T, E>;

/// The first few names, and how many there are beyond.
pub(super) fn listed(names: impl IntoIterator<Item = String>) -> String {
    const MOST: usize = 8;
    let names: Vec<_> = names.into_iter().collect();
    let first = names[..names.len().min(MOST)].join(", ");
    match names.len().saturating_sub(MOST) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
