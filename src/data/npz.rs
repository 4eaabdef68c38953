//! NumPy archives: a zip of arrays under the names the common data sets use.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use ndarray::{Array4, ArrayD, Axis, Ix3, Ix4};
use zip::ZipArchive;
use zip::result::ZipError;

use super::Found;
use super::error::{Problem, Result};
use super::npy::{self, Npy};
use super::part::{Part, Pixels, Store};

/// Images and labels of a part, by the names of their arrays; upper and lower case are the same.
type Names = [(&'static str, &'static str); 2];
const TRAIN: Names = [("x_train", "y_train"), ("train_images", "train_labels")];
const VALIDATION: Names = [("x_val", "y_val"), ("val_images", "val_labels")];
const TEST: Names = [("x_test", "y_test"), ("test_images", "test_labels")];
const ONE_PART: Names = [("images", "labels"), ("x", "y")];

const IMAGE_SHAPES: &str = "images x height x width, with 1 to 4 channels last (or second)";

pub(super) fn open(path: &Path) -> Result<Found> {
    let mut arrays = Arrays::open(path)?;
    let train = match arrays.part(TRAIN)? {
        Some(train) => Some(train),
        None => arrays.part(ONE_PART)?,
    };
    let found = Found {
        train,
        validation: arrays.part(VALIDATION)?,
        test: arrays.part(TEST)?,
        classes: None,
        notes: Vec::new(),
    };
    if found.train.is_none() && found.validation.is_none() && found.test.is_none() {
        let names = &arrays.entries[..arrays.entries.len().min(8)];
        let found = format!("an .npz file of {}", names.join(", "));
        return Err(Problem::Unrecognised { found }.at(path));
    }
    Ok(found)
}

struct Arrays<'a, R> {
    path: &'a Path,
    zip: ZipArchive<R>,
    entries: Vec<String>,
}

impl<'a> Arrays<'a, BufReader<File>> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Problem::from(e).at(path))?;
        let located = |e: ZipError| zip_problem(e).at(path);
        let zip = ZipArchive::new(BufReader::new(file)).map_err(located)?;
        let names = zip.file_names().map(|name| name.map(Into::into));
        let entries = names.collect::<Result<_, _>>().map_err(located)?;
        Ok(Self { path, zip, entries })
    }
}

impl<R: Read + Seek> Arrays<'_, R> {
    fn part(&mut self, names: Names) -> Result<Option<Part>> {
        for (images, labels) in names {
            if let Some(images) = self.read(images)? {
                let labels = self.read(labels)?;
                return self.assemble(images, labels).map(Some);
            }
        }
        Ok(None)
    }

    fn assemble(&self, images: (String, Npy), labels: Option<(String, Npy)>) -> Result<Part> {
        let (name, images) = images;
        let located = |problem: Problem| problem.at(self.path.join(&name));
        let (count, shape, pixels) = match images {
            Npy::Bytes(images) => {
                let images = channels_first(images).map_err(located)?;
                let (count, shape) = sizes(&images);
                (count, shape, Pixels::Bytes(flat(images)))
            }
            Npy::Floats(images) => {
                let images = channels_first(images).map_err(located)?;
                let (count, shape) = sizes(&images);
                for (image, pixels) in images.axis_iter(Axis(0)).enumerate() {
                    if let Some(&bad) = pixels.iter().find(|v| !(0.0..=1.0).contains(*v)) {
                        return Err(Problem::PixelRange(bad).at_image(self.path.join(&name), image));
                    }
                }
                (count, shape, Pixels::Unit(flat(images)))
            }
            Npy::Integers(_) => {
                let what =
                    "images of a wide integer type; save them as uint8, or as float32 in 0..1";
                return Err(located(Problem::Malformed(what.to_owned())));
            }
        };
        let labels = match labels {
            Some((name, labels)) => {
                let labels = one_each(labels).map_err(|p| p.at(self.path.join(name)))?;
                Some(labels)
            }
            None => None,
        };
        if shape.contains(&0) {
            return Err(located(Problem::Empty));
        }
        let path = self.path.to_owned();
        Part::new(
            Store {
                path,
                shape,
                pixels,
            },
            count,
            labels,
        )
    }

    /// The array called `name` and the name of its entry.
    fn read(&mut self, name: &str) -> Result<Option<(String, Npy)>> {
        let is_it = |entry: &&String| {
            let stem = entry.strip_suffix(".npy").unwrap_or(entry);
            stem.eq_ignore_ascii_case(name)
        };
        let Some(entry) = self.entries.iter().find(is_it).cloned() else {
            return Ok(None);
        };
        let array = match self.zip.by_name(&entry) {
            Ok(file) => npy::read(BufReader::new(file)),
            Err(e) => Err(zip_problem(e)),
        };
        match array {
            Ok(array) => Ok(Some((entry, array))),
            Err(problem) => Err(problem.at(self.path.join(entry))),
        }
    }
}

fn zip_problem(error: ZipError) -> Problem {
    match error {
        ZipError::Io(e) => e.into(),
        e => Problem::Malformed(format!("not a readable .npz archive: {e}")),
    }
}

/// N × C × H × W of what may be N × H × W, N × H × W × C or N × C × H × W. Grey and colour go before 2 and 4
/// channels; where both places could still be meant the channels are last, as in the data sets of Keras.
fn channels_first<T>(images: ArrayD<T>) -> Result<Array4<T>, Problem> {
    let shape = images.shape().to_vec();
    let channels_last = match shape[..] {
        [_, _, _, 1 | 3] => Some(true),
        [_, 1 | 3, _, _] => Some(false),
        [_, _, _, 2 | 4] => Some(true),
        [_, 2 | 4, _, _] => Some(false),
        _ => None,
    };
    let images = match channels_last {
        Some(true) => images
            .into_dimensionality::<Ix4>()
            .map(|last| last.permuted_axes([0, 3, 1, 2])),
        Some(false) => images.into_dimensionality::<Ix4>(),
        None => images
            .into_dimensionality::<Ix3>()
            .map(|grey| grey.insert_axis(Axis(1))),
    };
    images.map_err(|_| Problem::Shape {
        what: "the array of images".to_owned(),
        found: shape,
        expected: IMAGE_SHAPES,
    })
}

fn sizes<T>(images: &Array4<T>) -> (usize, [usize; 3]) {
    let (count, channels, height, width) = images.dim();
    (count, [channels, height, width])
}

fn flat<T: Clone>(images: Array4<T>) -> Vec<T> {
    if images.is_standard_layout() {
        images.into_raw_vec_and_offset().0
    } else {
        images.iter().cloned().collect()
    }
}

/// Labels of shape N or N × 1.
fn one_each(labels: Npy) -> Result<Vec<i64>, Problem> {
    let (shape, labels): (_, Vec<i64>) = match labels {
        Npy::Bytes(labels) => (
            labels.shape().to_vec(),
            labels.iter().map(|&b| b.into()).collect(),
        ),
        Npy::Integers(labels) => (labels.shape().to_vec(), labels.into_iter().collect()),
        Npy::Floats(_) => {
            let what = "labels of a floating-point type; save class numbers as integers";
            return Err(Problem::Malformed(what.to_owned()));
        }
    };
    match shape[..] {
        [_] | [_, 1] => Ok(labels),
        _ => Err(Problem::Shape {
            what: "the array of labels".to_owned(),
            found: shape,
            expected: "one class number an image",
        }),
    }
}
