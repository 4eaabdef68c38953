//! Images and labels from named arrays, in an archive or in files.

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::{Array4, ArrayD, ArrayViewD, Axis, Ix3, Ix4};

use super::Contents;
use super::error::{Problem, Result, listed};
use super::in_file::InFile;
use super::npy::{Bytes, Npy};
use super::part::{Part, Pixels, Store};

/// Images and labels of a part, by the names of their arrays; upper and lower case are the same.
type Names = [(&'static str, &'static str); 2];
const TRAIN: Names = [("x_train", "y_train"), ("train_images", "train_labels")];
const VALIDATION: Names = [("x_val", "y_val"), ("val_images", "val_labels")];
const TEST: Names = [("x_test", "y_test"), ("test_images", "test_labels")];
const ONE_PART: Names = [("images", "labels"), ("x", "y")];
/// How many arrays are looked at to find out what they hold.
const MOST: usize = 64;

const IMAGE_SHAPES: &str = "images x height x width, with the channels last or second; save it as \
    np.savez(\"data.npz\", images=x, labels=y) with x of n x height x width x channels";

/// Arrays that are found by their names.
pub(super) trait Arrays {
    /// The names of all arrays, without `.npy`.
    fn names(&self) -> Vec<String>;
    /// Where an array lies, for messages.
    fn place(&self, name: &str) -> PathBuf;
    fn shape(&mut self, name: &str) -> Result<Vec<usize>>;
    fn read(&mut self, name: &str) -> Result<Npy>;
    /// The bytes of an array, and the file that they lie in as they are; `None` of an array that has to be read.
    fn in_file(&mut self, name: &str) -> Result<Option<(File, Bytes)>>;

    /// The name as it is spelled here.
    fn spelled(&self, name: &str) -> Option<String> {
        let names = self.names();
        names.into_iter().find(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Whether an array of this name belongs to a part.
pub(super) fn is_of_a_part(name: &str) -> bool {
    [TRAIN, VALIDATION, TEST, ONE_PART]
        .as_flattened()
        .iter()
        .any(|(images, labels)| {
            [images, labels]
                .iter()
                .any(|n| name.eq_ignore_ascii_case(n))
        })
}

/// Whether an array of this name holds the images to report on.
pub(super) fn is_test(name: &str) -> bool {
    TEST.iter()
        .any(|(images, _)| name.eq_ignore_ascii_case(images))
}

/// The parts that the arrays of the data set at `path` make: by their names, or of one or two arrays by their shapes.
pub(super) fn parts(arrays: &mut impl Arrays, path: &Path) -> Result<Option<Contents>> {
    let mut part = |names: Names| -> Result<Option<Part>> {
        let mut names = names.into_iter();
        let Some((images, labels)) = names.find_map(|(images, labels)| {
            let images = arrays.spelled(images)?;
            Some((images, arrays.spelled(labels)))
        }) else {
            return Ok(None);
        };
        assemble(arrays, path, &images, labels.as_deref()).map(Some)
    };
    let train = match part(TRAIN)? {
        Some(train) => Some(train),
        None => part(ONE_PART)?,
    };
    let found = Contents {
        train,
        validation: part(VALIDATION)?,
        test: part(TEST)?,
        classes: None,
        notes: Vec::new(),
    };
    if [&found.train, &found.validation, &found.test]
        .into_iter()
        .any(Option::is_some)
    {
        return Ok(Some(found));
    }
    by_shape(arrays, path)
}

fn by_shape(arrays: &mut impl Arrays, path: &Path) -> Result<Option<Contents>> {
    let kinds = Kinds::of(arrays);
    let (images, labels) = match (kinds.images.as_slice(), kinds.labels.as_slice()) {
        ([(images, n)], [(labels, m)]) if n == m && kinds.others.is_empty() => {
            (images, Some(labels))
        }
        ([(images, _)], []) if kinds.others.is_empty() => (images, None),
        _ => return Ok(None),
    };
    let labels = labels.map(String::as_str);
    let taken = match labels {
        Some(labels) => format!("{images} for the images and {labels} for their labels"),
        None => format!("{images} for images without labels"),
    };
    Ok(Some(Contents {
        train: Some(assemble(arrays, path, images, labels)?),
        validation: None,
        test: None,
        classes: None,
        notes: vec![format!(
            "{}: by their shapes, {taken} are taken",
            path.display()
        )],
    }))
}

/// Arrays, sorted by what they may be according to their shapes.
#[derive(Default)]
pub(super) struct Kinds {
    /// Names, with the number of images.
    pub images: Vec<(String, usize)>,
    /// Names, with the number of labels.
    pub labels: Vec<(String, usize)>,
    pub others: Vec<String>,
}

impl Kinds {
    pub fn of(arrays: &mut impl Arrays) -> Self {
        let mut kinds = Kinds::default();
        for name in arrays.names() {
            let looked_at = kinds.images.len() + kinds.labels.len() < MOST;
            let shape = looked_at.then(|| arrays.shape(&name).ok()).flatten();
            match shape.as_deref() {
                Some([n, ..]) if shape.as_deref().and_then(channels).is_some() => {
                    kinds.images.push((name, *n));
                }
                Some([n] | [n, _]) => kinds.labels.push((name, *n)),
                _ => kinds.others.push(name),
            }
        }
        kinds
    }
}

/// The names and shapes of arrays, for a message.
pub(super) fn shown(arrays: &mut impl Arrays) -> String {
    let names = arrays.names().into_iter().take(MOST);
    listed(names.map(|name| match arrays.shape(&name) {
        Ok(shape) => format!("{name} of shape {shape:?}"),
        Err(_) => name,
    }))
}

fn assemble(
    arrays: &mut impl Arrays,
    path: &Path,
    images: &str,
    labels: Option<&str>,
) -> Result<Part> {
    let (count, store) = read_images(arrays, path, images)?;
    let labels = match labels {
        Some(labels) => Some(read_labels(arrays, labels)?),
        None => None,
    };
    Part::new(store, count, labels)
}

/// The images of an array, and their number.
pub(super) fn read_images(
    arrays: &mut impl Arrays,
    path: &Path,
    name: &str,
) -> Result<(usize, Store)> {
    let place = arrays.place(name);
    let located = |problem: Problem| problem.at(&place);
    let (count, shape, pixels) = match arrays.in_file(name)? {
        Some((file, bytes)) => in_file(file, &bytes).map_err(located)?,
        None => in_memory(arrays.read(name)?, &place)?,
    };
    if shape.contains(&0) {
        return Err(located(Problem::Empty));
    }
    let store = Store {
        path: path.to_owned(),
        shape,
        pixels,
    };
    Ok((count, store))
}

/// Bytes of an array that need not be in memory: those of images, but for what numbers them.
pub(super) fn stays_in_file(bytes: &Bytes) -> u64 {
    const NUMBERS: u64 = 2 * size_of::<usize>() as u64;
    match (channels(&bytes.shape), bytes.shape.first()) {
        (Some(_), Some(&count)) => {
            let numbers = NUMBERS.saturating_mul(count as u64);
            bytes.size().saturating_sub(numbers)
        }
        _ => 0,
    }
}

/// The number of images, the shape of one, and their pixels.
type Images = (usize, [usize; 3], Pixels);

fn in_file(file: File, bytes: &Bytes) -> Result<Images, Problem> {
    let (channels, sides) = match (channels(&bytes.shape), &bytes.shape[..]) {
        (Some(Channels::One), &[n, h, w]) => (Channels::One, [n, 1, h, w]),
        (Some(Channels::First), &[n, c, h, w]) => (Channels::First, [n, c, h, w]),
        (Some(Channels::Last), &[n, h, w, c]) => (Channels::Last, [n, c, h, w]),
        _ => return Err(not_images(bytes.shape.clone())),
    };
    let [count, shape @ ..] = sides;
    let pixels = InFile {
        file,
        start: bytes.start,
        channels_last: channels == Channels::Last,
    };
    Ok((count, shape, Pixels::InFile(pixels)))
}

fn in_memory(images: Npy, place: &Path) -> Result<Images> {
    let located = |problem: Problem| problem.at(place);
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
                    return Err(Problem::PixelRange(bad).at_image(place, image));
                }
            }
            (count, shape, Pixels::Unit(flat(images)))
        }
        Npy::Integers(_) => {
            let what = "images of a wide integer type; save them as uint8, or as float32 in 0..1: divided by the largest \
                        value that a pixel can have";
            return Err(located(Problem::Malformed(what.to_owned())));
        }
    };
    Ok((count, shape, pixels))
}

/// One class number an image.
pub(super) fn read_labels(arrays: &mut impl Arrays, name: &str) -> Result<Vec<i64>> {
    let labels = arrays.read(name)?;
    numbers(labels).map_err(|problem| problem.at(arrays.place(name)))
}

/// N × C × H × W of what may be N × H × W, N × H × W × C or N × C × H × W.
fn channels_first<T>(images: ArrayD<T>) -> Result<Array4<T>, Problem> {
    let shape = images.shape().to_vec();
    let images = match channels(&shape) {
        Some(Channels::Last) => images
            .into_dimensionality::<Ix4>()
            .map(|last| last.permuted_axes([0, 3, 1, 2])),
        Some(Channels::First) => images.into_dimensionality::<Ix4>(),
        Some(Channels::One) => images
            .into_dimensionality::<Ix3>()
            .map(|grey| grey.insert_axis(Axis(1))),
        None => return Err(not_images(shape)),
    };
    images.map_err(|_| not_images(shape))
}

fn not_images(found: Vec<usize>) -> Problem {
    Problem::Shape {
        what: "the array of images".to_owned(),
        found,
        expected: IMAGE_SHAPES,
    }
}

/// Where an array of images has its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channels {
    First,
    Last,
    /// Nowhere: there is one.
    One,
}

/// Where the channels are, by their number: 1 and 3 are likelier than 2 and 4, and where both places are possible the
/// channels are last, as in the data sets of Keras. Otherwise the channels are the side that differs from two equal
/// sides, or the least of three.
fn channels(shape: &[usize]) -> Option<Channels> {
    match *shape {
        [_, _, _] => Some(Channels::One),
        [_, _, _, 1 | 3] => Some(Channels::Last),
        [_, 1 | 3, _, _] => Some(Channels::First),
        [_, _, _, 2 | 4] => Some(Channels::Last),
        [_, 2 | 4, _, _] => Some(Channels::First),
        [_, a, b, c] if a == b && b != c => Some(Channels::Last),
        [_, a, b, c] if b == c && a != b => Some(Channels::First),
        [_, a, b, c] if c < a && c < b => Some(Channels::Last),
        [_, a, b, c] if a < b && a < c => Some(Channels::First),
        _ => None,
    }
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

/// Labels of shape N or N × 1, or N rows with a one at the place of the class.
fn numbers(labels: Npy) -> Result<Vec<i64>, Problem> {
    let rows = match labels {
        Npy::Bytes(labels) => labels.mapv(i64::from),
        Npy::Integers(labels) => labels,
        Npy::Floats(labels) if labels.ndim() == 2 && labels.shape()[1] > 1 => {
            labels.mapv(|value| match value {
                0. => 0,
                1. => 1,
                _ => -1,
            })
        }
        Npy::Floats(_) => {
            let what = "labels of a floating-point type; save class numbers as integers: labels.astype(np.int64)";
            return Err(Problem::Malformed(what.to_owned()));
        }
    };
    match *rows.shape() {
        [_] | [_, 1] => Ok(rows.into_iter().collect()),
        [_, columns] if columns > 1 => {
            let rows = rows.outer_iter().enumerate();
            rows.map(|(image, row)| one_hot(image, row)).collect()
        }
        _ => Err(Problem::Shape {
            what: "the array of labels".to_owned(),
            found: rows.shape().to_vec(),
            expected: "one class number an image",
        }),
    }
}

/// The class that the labels of an image name: the place of the only 1 among zeros.
fn one_hot(image: usize, row: ArrayViewD<i64>) -> Result<i64, Problem> {
    let ones = row.iter().filter(|value| **value == 1).count();
    let zeros = row.iter().filter(|value| **value == 0).count();
    match row.iter().position(|value| *value == 1) {
        Some(class) if ones == 1 && zeros + 1 == row.len() => Ok(class as i64),
        _ if zeros + ones == row.len() => Err(Problem::SeveralClasses { image, ones }),
        _ => Err(Problem::Malformed(format!(
            "the labels of image {image} are {} numbers that are no row of one 1 and zeros; save one class number an \
             image: labels.argmax(axis=1)",
            row.len()
        ))),
    }
}
