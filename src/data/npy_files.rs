//! NumPy arrays in files of their own: of the parts of a data set, or of images under several names that share their
//! labels, as the corruptions of CIFAR-10-C.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::arrays::{self, Arrays, Kinds};
use super::error::{Problem, Result, listed};
use super::npy::{self, Bytes, Npy};
use super::part::Part;
use super::{Contents, file_names};

const ENDING: &str = ".npy";

/// What labels are called beside images of any name.
const LABELS: [&str; 2] = ["labels", "y"];
/// Words in the names of arrays of images, and those in the names of the arrays of their labels.
const WORDS: [(&str, &str); 4] = [
    ("images", "labels"),
    ("image", "label"),
    ("data", "labels"),
    ("x", "y"),
];

pub(super) fn is_npy_folder(names: &[String]) -> bool {
    names.iter().any(|name| name.ends_with(ENDING))
}

/// A folder of arrays of one data set.
pub(super) fn open_folder(folder: &Path) -> Result<Contents> {
    let mut files = Files::of(folder)?;
    if let Some(found) = arrays::parts(&mut files, folder)? {
        return Ok(found);
    }
    let several = Kinds::of(&mut files).images;
    match several.as_slice() {
        [] => {
            let found = format!("arrays: {}", arrays::shown(&mut files));
            Err(Problem::Unrecognised { found }.at(folder))
        }
        [(only, _)] => open_file(&files.place(only)),
        [(first, _), ..] => {
            let example = files.place(first);
            let names = listed(several.iter().map(|(name, _)| name.clone()));
            Err(Problem::SeveralArrays { names, example }.at(folder))
        }
    }
}

/// Bytes of a file's array that stay in it; none of what cannot be read.
pub(super) fn size_in_file(path: &Path) -> u64 {
    let bytes = File::open(path).map_err(Problem::from).and_then(bytes);
    bytes.map_or(0, |found| {
        found.map_or(0, |(_, bytes)| arrays::stays_in_file(&bytes))
    })
}

fn bytes(file: File) -> Result<Option<(File, Bytes)>, Problem> {
    let size = file.metadata()?.len();
    let bytes = npy::bytes(BufReader::new(&file), size)?;
    Ok(bytes.map(|bytes| (file, bytes)))
}

/// One array of images, with the labels that lie beside it.
pub(super) fn open_file(path: &Path) -> Result<Contents> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut files = Files::of(folder)?;
    let (count, store) = arrays::read_images(&mut files, path, &stem)?;
    let mut notes = Vec::new();
    let beside = companions(&stem)
        .into_iter()
        .find_map(|name| files.spelled(&name));
    let labels = match beside.filter(|name| **name != *stem) {
        Some(name) => {
            let labels = arrays::read_labels(&mut files, &name)?;
            let place = files.place(&name);
            Some(repeated(labels, count, &mut notes, &place))
        }
        None => {
            let wanted: Vec<_> = companions(&stem)
                .iter()
                .map(|name| format!("{name}{ENDING}"))
                .collect();
            notes.push(format!(
                "{}: there is no {} beside it, so its images are taken as unlabelled",
                path.display(),
                wanted.join(" or ")
            ));
            None
        }
    };
    let part = Some(Part::new(store, count, labels)?);
    let (train, test) = if arrays::is_test(&stem) {
        (None, part)
    } else {
        (part, None)
    };
    Ok(Contents {
        train,
        validation: None,
        test,
        classes: None,
        notes,
    })
}

/// What the labels of images of this name may be called, the likeliest first.
fn companions(stem: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (images, labels) in WORDS {
        let mut found = false;
        let words = stem.split_inclusive(['_', '-', '.']).map(|word| {
            let (bare, end) = match word.strip_suffix(['_', '-', '.']) {
                Some(bare) => (bare, &word[bare.len()..]),
                None => (word, ""),
            };
            found |= bare.eq_ignore_ascii_case(images);
            if bare.eq_ignore_ascii_case(images) {
                format!("{labels}{end}")
            } else {
                word.to_owned()
            }
        });
        let name: String = words.collect();
        if found {
            names.push(name);
        }
    }
    names.extend(LABELS.map(str::to_owned));
    names.dedup();
    names
}

/// One label for each image, where a file has the labels of one block of images and there are several such blocks.
fn repeated(labels: Vec<i64>, images: usize, notes: &mut Vec<String>, place: &Path) -> Vec<i64> {
    let count = labels.len();
    if count == 0 || count >= images || !images.is_multiple_of(count) {
        return labels;
    }
    let times = images / count;
    notes.push(format!(
        "{}: {count} labels for {images} images: they are repeated {times} times, as for the severities of CIFAR-10-C",
        place.display()
    ));
    labels.repeat(times)
}

/// Files of arrays in a folder.
struct Files<'a> {
    folder: &'a Path,
    names: Vec<String>,
}

impl<'a> Files<'a> {
    fn of(folder: &'a Path) -> Result<Self> {
        let names = file_names(folder)?;
        let stems = names.iter().filter_map(|name| name.strip_suffix(ENDING));
        let names = stems.map(str::to_owned).collect();
        Ok(Files { folder, names })
    }

    fn with<T>(&self, name: &str, read: impl FnOnce(File) -> Result<T, Problem>) -> Result<T> {
        let place = self.place(name);
        let file = File::open(&place).map_err(Problem::from);
        file.and_then(read).map_err(|problem| problem.at(place))
    }
}

impl Arrays for Files<'_> {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{ENDING}"))
    }

    fn shape(&mut self, name: &str) -> Result<Vec<usize>> {
        self.with(name, |file| npy::shape(BufReader::new(file)))
    }

    fn read(&mut self, name: &str) -> Result<Npy> {
        self.with(name, |file| npy::read(BufReader::new(file)))
    }

    fn in_file(&mut self, name: &str) -> Result<Option<(File, Bytes)>> {
        self.with(name, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::companions;

    #[test]
    fn labels_are_called_as_their_images_are() {
        for (images, labels) in [
            ("x_test", "y_test"),
            ("cifar10.1_v6_data", "cifar10.1_v6_labels"),
            ("train_images", "train_labels"),
            ("images", "labels"),
            ("brightness", "labels"),
            ("X", "y"),
        ] {
            assert_eq!(companions(images)[0], labels, "{images}");
        }
    }
}
