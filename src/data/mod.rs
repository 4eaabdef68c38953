//! Labelled images: readers by format, batches, augmentation.
//!
//! [`open`] recognises what lies at a path and gives a [`DataSet`] of one to three [`Part`]s. A [`Loader`]
//! turns a part into normalised [`Batch`]es. All of it is deterministic for a seed.

#![forbid(unsafe_code)]

mod annotations;
mod arrays;
mod augment;
mod bounded;
mod cifar;
mod classes;
pub mod corruptions;
mod decode;
mod error;
mod folder;
mod idx;
mod images;
mod in_file;
mod in_memory;
mod jpeg;
mod loader;
mod normalisation;
mod npy;
mod npy_files;
mod npz;
mod part;
mod resample;
mod resizing;
mod sizes;
mod survey;
mod transform;
mod walk;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

pub use augment::Augment;
pub use augment::stream as random_stream;
pub use classes::{ClassNames, Labelling, Numbered};
pub use error::{DataError, Problem};
pub use images::Images;
pub use in_memory::size_in_memory;
pub use loader::{Batch, Batches, Loader, ahead};
pub use normalisation::{Normalisation, PixelRange};
pub use part::{Part, Samples, synthetic};
pub use resample::Interpolation;
pub use resizing::{ResizeTo, Resizing};
pub use survey::Survey;
pub use transform::{InputSize, Transform};

use classes::MOST_CLASSES;
use error::Result;

/// The layouts on disk that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `data_batch_*.bin`, `test_batch.bin`: a label byte and 3 × 32 × 32 pixel bytes a record.
    Cifar10,
    /// `train.bin`, `test.bin`: a coarse and a fine label byte and the pixels; the fine label is used.
    Cifar100,
    /// `train-images-idx3-ubyte` and its kin, as the MNIST family has them, plain or gzipped.
    Idx,
    /// NumPy arrays in one file.
    Npz,
    /// NumPy arrays in files of their own.
    Npy,
    /// Encoded images, a folder for each class, or unlabelled in one folder.
    ImageFolder,
}

impl Format {
    const KNOWN: &'static str = "a folder of CIFAR-10 or CIFAR-100 in its binary version \
        (data_batch_1.bin, or train.bin and test.bin), a folder of the MNIST family \
        (train-images-idx3-ubyte[.gz]), an .npz file (x_train, y_train, ..., or images and labels) or such arrays as .npy files, \
        a folder of images with a folder for each class, below train/ and test/ or directly";
}

impl Format {
    /// Where the numbers of its classes come from.
    fn numbered(self) -> Numbered {
        match self {
            Format::Cifar10 | Format::Cifar100 => Numbered::ByFormat,
            Format::Idx | Format::Npz | Format::Npy => Numbered::ByLabel,
            Format::ImageFolder => Numbered::ByFolder,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Cifar10 => "CIFAR-10 (binary)",
            Format::Cifar100 => "CIFAR-100 (binary)",
            Format::Idx => "IDX",
            Format::Npz => "npz",
            Format::Npy => "npy",
            Format::ImageFolder => "image folder",
        })
    }
}

/// A data set as found on disk.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The layout it was found in.
    pub format: Format,
    /// What to calibrate, score, tune and pick on. Data that does not say what its one part is for has it here.
    pub train: Option<Part>,
    /// A validation part beside a test part.
    pub validation: Option<Part>,
    /// What to report on. A validation part takes its place where
    /// there is no test part with labels.
    pub test: Option<Part>,
    /// The classes' names in the order of their numbers; their numbers where the data names none. Empty
    /// without labels.
    pub classes: Vec<String>,
    /// Where their numbers come from.
    pub numbered: Numbered,
    /// The only folder of a class among image folders, which most often is one of unlabelled images inside another:
    /// the labels were left out.
    pub only_class: Option<String>,
    /// Notes on what is not used, and on what was guessed: a sentence each.
    pub notes: Vec<String>,
}

/// What a reader found at a path; [`open`] checks it as a whole.
struct Contents {
    train: Option<Part>,
    validation: Option<Part>,
    test: Option<Part>,
    /// Names, where the format has a place for them.
    classes: Option<Vec<String>>,
    /// As in [`DataSet`].
    notes: Vec<String>,
}

/// Opens the data set at `path`, a file or a folder, in the format it is recognised to have. Image folders
/// are only listed, arrays of bytes that are not compressed stay in their `.npy` or `.npz` file, the rest is read into
/// memory.
///
/// # Errors
///
/// A [`DataError`] that names the file: missing, not recognised, truncated, inconsistent, empty.
pub fn open(path: &Path) -> Result<DataSet> {
    open_labelled(path, &Labelling::default())
}

/// The same, with what the data does not tell of its labels.
///
/// # Errors
///
/// Those of [`open`], and labels that cannot be understood in this way.
pub fn open_labelled(path: &Path, labelling: &Labelling) -> Result<DataSet> {
    let format = recognise(path)?;
    let found = match format {
        Format::Cifar10 => cifar::open_cifar10(path),
        Format::Cifar100 => cifar::open_cifar100(path),
        Format::Idx => idx::open(path),
        Format::Npz => npz::open(path),
        Format::Npy if path.is_dir() => npy_files::open_folder(path),
        Format::Npy => npy_files::open_file(path),
        Format::ImageFolder => folder::open(path, labelling.classes.as_ref()),
    }?;
    DataSet::new(path, format, found, labelling)
}

/// Opens images whose classes need not mean anything: where class folders do not tell the numbers of their classes,
/// they are folders of unlabelled images.
///
/// # Errors
///
/// Those of [`open`] that are not about classes.
pub fn open_foreign(path: &Path) -> Result<DataSet> {
    match open(path) {
        Err(error) if error.is_about_class_folders() => {
            let found = folder::open_unlabelled(path)?;
            DataSet::new(path, Format::ImageFolder, found, &Labelling::default())
        }
        opened => opened,
    }
}

impl DataSet {
    /// Every part it has: training, validation, test.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        [&self.train, &self.validation, &self.test]
            .into_iter()
            .flatten()
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut Part> {
        let parts = [&mut self.train, &mut self.validation, &mut self.test];
        parts.into_iter().flatten()
    }

    fn new(
        path: &Path,
        format: Format,
        mut found: Contents,
        labelling: &Labelling,
    ) -> Result<Self> {
        let labelled = |part: &Option<Part>| part.as_ref().is_some_and(|p| p.labels().is_some());
        // Some data sets come without the labels of their test part.
        if found.test.is_none() || (labelled(&found.validation) && !labelled(&found.test)) {
            found.test = found.validation.take();
        }
        let mut set = Self {
            format,
            train: found.train,
            validation: found.validation,
            test: found.test,
            classes: Vec::new(),
            numbered: format.numbered(),
            only_class: None,
            notes: found.notes,
        };
        let Some(first) = set.parts().next() else {
            return Err(Problem::Empty.at(path));
        };
        // Images in folders may have any size each; arrays of two sizes are a mistake.
        if format != Format::ImageFolder
            && let Some(other) = set.parts().find(|p| p.image_shape() != first.image_shape())
        {
            let problem = Problem::PartsDiffer {
                found: sizes::shown(&other.image_shape()),
                expected: sizes::shown(&first.image_shape()),
            };
            return Err(problem.at(other.path()));
        }
        if labelling.first > 0 {
            set.count_from(labelling.first)
                .map_err(|problem| problem.at(path))?;
        }
        let mut names = found.classes;
        if let Some(given) = &labelling.classes {
            if set.numbered == Numbered::ByFormat
                && let Some(own) = names.as_ref().filter(|own| !are_numbers(own))
            {
                let numbers = given.numbers_of(own).map_err(|problem| problem.at(path))?;
                set.parts_mut().for_each(|part| part.renumber(&numbers));
            }
            set.numbered = Numbered::ByFile(given.file().to_owned());
            names = Some(given.names().to_vec());
        }
        set.classes = set.checked_classes(names)?;
        set.leave_out_an_only_class();
        Ok(set)
    }

    /// Brings labels that are numbers from `first` on to numbers from 0 on.
    fn count_from(&mut self, first: u32) -> Result<(), Problem> {
        if self.numbered != Numbered::ByLabel {
            let what = "--first-class is for labels that are numbers; here the data set itself says which class has number 0";
            return Err(Problem::Malformed(what.to_owned()));
        }
        self.parts_mut().try_for_each(|part| part.count_from(first))
    }

    /// Folders are numbered by the order of their names, so that a single folder tells nothing of its class.
    fn leave_out_an_only_class(&mut self) {
        if self.numbered != Numbered::ByFolder || self.classes.len() != 1 {
            return;
        }
        self.only_class = self.classes.pop();
        self.parts_mut().for_each(Part::forget_labels);
    }

    /// Every label is the number of a class; without names there are as many classes as the largest label says.
    fn checked_classes(&self, names: Option<Vec<String>>) -> Result<Vec<String>> {
        let limit = names.as_ref().map_or(MOST_CLASSES, Vec::len);
        let mut classes = 0;
        for part in self.parts() {
            for (image, &label) in part.labels().unwrap_or_default().iter().enumerate() {
                match usize::try_from(label) {
                    Ok(label) if label < limit => classes = classes.max(label + 1),
                    _ => {
                        let problem = Problem::LabelOutOfRange {
                            label,
                            classes: limit,
                        };
                        return Err(problem.at_image(part.path(), image));
                    }
                }
            }
        }
        Ok(names.unwrap_or_else(|| (0..classes).map(|class| class.to_string()).collect()))
    }
}

/// Whether classes are called by their numbers.
fn are_numbers(names: &[String]) -> bool {
    let is_number = |(at, name): (usize, &String)| *name == at.to_string();
    names.iter().enumerate().all(is_number)
}

fn recognise(path: &Path) -> Result<Format> {
    let meta = fs::metadata(path).map_err(|e| Problem::from(e).at(path))?;
    if meta.is_file() {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        return match extension.to_str().unwrap_or_default() {
            "npz" => Ok(Format::Npz),
            "npy" => Ok(Format::Npy),
            extension => {
                let instead = instead_of(extension);
                let found = format!("a single file that is neither .npz nor .npy; {instead}");
                Err(Problem::Unrecognised { found }.at(path))
            }
        };
    }
    if let Some(format) = recognise_folder(path)? {
        return Ok(format);
    }
    let found = describe(path)?;
    Err(Problem::Unrecognised { found }.at(path))
}

/// What to do with a file of a kind that is not read.
fn instead_of(extension: &str) -> &'static str {
    match extension {
        "zip" | "tar" | "tgz" | "gz" | "xz" | "bz2" | "7z" | "rar" => {
            "unpack it and name the folder"
        }
        "pkl" | "pickle" | "pt" | "pth" | "mat" | "h5" | "hdf5" | "parquet" | "arrow" | "lmdb"
        | "tfrecord" => {
            "save its arrays with np.savez(\"data.npz\", x_train=..., y_train=..., x_test=..., y_test=...)"
        }
        _ => "name the folder that holds it",
    }
}

fn recognise_folder(path: &Path) -> Result<Option<Format>> {
    let names = file_names(path)?;
    Ok(if cifar::is_cifar10(&names) {
        Some(Format::Cifar10)
    } else if cifar::is_cifar100(&names) {
        Some(Format::Cifar100)
    } else if idx::is_idx(&names) {
        Some(Format::Idx)
    } else if folder::is_image_folder(path)? {
        Some(Format::ImageFolder)
    } else if npy_files::is_npy_folder(&names) {
        Some(Format::Npy)
    } else {
        None
    })
}

/// What lies in a folder that is no data set: a data set one level down, or the first few names.
fn describe(path: &Path) -> Result<String> {
    let entries = entries(path)?;
    for inner in entries.iter().filter(|entry| entry.is_dir()) {
        if let Ok(Some(format)) = recognise_folder(inner) {
            return Ok(format!(
                "a data set ({format}) in {}: name that folder",
                inner.display()
            ));
        }
    }
    let names: Vec<_> = entries.iter().take(5).map(|entry| name_of(entry)).collect();
    if cifar::is_pickled(&names) {
        return Ok("CIFAR in its Python version (pickles); get the binary version".to_owned());
    }
    Ok(match entries.len() {
        0 => "an empty folder".to_owned(),
        n if n > names.len() => format!("{} and {} more", names.join(", "), n - names.len()),
        _ => names.join(", "),
    })
}

/// Everything in a folder but hidden entries, sorted by name.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Problem::from(e).at(path);
    let mut entries = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.insert(entry.path());
        }
    }
    Ok(entries.into_iter().collect())
}

/// The names of the files in a folder, sorted.
fn file_names(path: &Path) -> Result<Vec<String>> {
    let files = entries(path)?.into_iter().filter(|entry| entry.is_file());
    Ok(files.map(|file| name_of(&file)).collect())
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
