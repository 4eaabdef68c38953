//! CIFAR in its binary version: records of label bytes and 3 × 32 × 32 pixel bytes, channel after channel.
//! Any number of files of any number of records; see <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{Problem, Result};
use super::part::{Part, Pixels, Store};
use super::{Contents, file_names};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// What differs between the two.
struct Layout {
    /// Label bytes before the pixels; the last is the class.
    label_bytes: usize,
    classes: usize,
    names: &'static str,
    is_train: fn(&str) -> bool,
    is_test: fn(&str) -> bool,
}

const CIFAR10: Layout = Layout {
    label_bytes: 1,
    classes: 10,
    names: "batches.meta.txt",
    is_train: |name| name.starts_with("data_batch_") && name.ends_with(".bin"),
    is_test: |name| name == "test_batch.bin",
};

const CIFAR100: Layout = Layout {
    label_bytes: 2,
    classes: 100,
    names: "fine_label_names.txt",
    is_train: |name| name == "train.bin",
    is_test: |name| name == "test.bin",
};

pub(super) fn is_cifar10(names: &[String]) -> bool {
    CIFAR10.matches(names)
}

pub(super) fn is_cifar100(names: &[String]) -> bool {
    CIFAR100.matches(names)
}

/// What is downloaded as the Python version: pickles, which are programs.
pub(super) fn is_pickled(names: &[String]) -> bool {
    let is = |wanted| names.iter().any(|name| name == wanted);
    is("data_batch_1") || (is("train") && is("test") && is("meta"))
}

pub(super) fn open_cifar10(folder: &Path) -> Result<Contents> {
    CIFAR10.open(folder)
}

pub(super) fn open_cifar100(folder: &Path) -> Result<Contents> {
    CIFAR100.open(folder)
}

impl Layout {
    fn matches(&self, names: &[String]) -> bool {
        names
            .iter()
            .any(|name| (self.is_train)(name) || (self.is_test)(name))
    }

    fn open(&self, folder: &Path) -> Result<Contents> {
        let classes = self.class_names(folder)?;
        let files = file_names(folder)?;
        let part = |wanted: fn(&str) -> bool| {
            let files = files.iter().filter(|name| wanted(name));
            let files: Vec<_> = files.map(|name| folder.join(name)).collect();
            self.read_part(folder, &files, classes.len())
        };
        Ok(Contents {
            train: part(self.is_train)?,
            validation: None,
            test: part(self.is_test)?,
            classes: Some(classes),
            notes: Vec::new(),
        })
    }

    fn class_names(&self, folder: &Path) -> Result<Vec<String>> {
        let path = folder.join(self.names);
        if !path.exists() {
            return Ok((0..self.classes).map(|class| class.to_string()).collect());
        }
        let text = fs::read_to_string(&path).map_err(|e| Problem::from(e).at(&path))?;
        let names = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(names.map(str::to_owned).collect())
    }

    fn read_part(&self, folder: &Path, files: &[PathBuf], classes: usize) -> Result<Option<Part>> {
        if files.is_empty() {
            return Ok(None);
        }
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for path in files {
            self.read_file(path, classes, &mut pixels, &mut labels)?;
        }
        let store = Store {
            // A part of one file is named by that file in errors.
            path: if let [file] = files { file } else { folder }.to_owned(),
            shape: SHAPE,
            pixels: Pixels::Bytes(pixels),
        };
        Part::new(store, labels.len(), Some(labels)).map(Some)
    }

    fn read_file(
        &self,
        path: &Path,
        classes: usize,
        pixels: &mut Vec<u8>,
        labels: &mut Vec<i64>,
    ) -> Result<()> {
        let bytes = fs::read(path).map_err(|e| Problem::from(e).at(path))?;
        let record = self.label_bytes + PIXELS;
        if bytes.is_empty() {
            return Err(Problem::Empty.at(path));
        }
        if bytes.len() % record != 0 {
            let found = bytes.len() as u64;
            return Err(Problem::PartialRecord { record, found }.at(path));
        }
        pixels.reserve(bytes.len());
        for (image, record) in bytes.chunks_exact(record).enumerate() {
            let (label, image_pixels) = record.split_at(self.label_bytes);
            let label = label.last().copied().unwrap_or_default();
            if usize::from(label) >= classes {
                let label = label.into();
                return Err(Problem::LabelOutOfRange { label, classes }.at_image(path, image));
            }
            labels.push(label.into());
            pixels.extend_from_slice(image_pixels);
        }
        Ok(())
    }
}
