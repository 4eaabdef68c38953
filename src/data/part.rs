//! A part of a data set: images and labels, and the ways to take fewer of them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::error::{DataError, Problem, Result};
use super::in_file::InFile;
use super::sizes;

/// Where pixels come from, image after image, each channels × height × width.
#[derive(Debug)]
pub(super) enum Pixels {
    Bytes(Vec<u8>),
    /// Bytes that are not in memory.
    InFile(InFile),
    /// In 0..1.
    Unit(Vec<f32>),
    /// Standard normal noise, made anew whenever it is read. The network sees it as it is, without normalisation.
    Noise {
        seed: u64,
    },
    /// One encoded image a file.
    Files(Vec<PathBuf>),
}

/// The stored images that every [`Part`] taken from them shares.
#[derive(Debug)]
pub(super) struct Store {
    pub path: PathBuf,
    /// Channels, height, width; of the first image where every file has its own.
    pub shape: [usize; 3],
    pub pixels: Pixels,
}

/// Some images of a data set with their labels. A clone or a [`subset`](Part::subset) shares the pixels.
#[derive(Clone, Debug)]
pub struct Part {
    pub(super) store: Arc<Store>,
    /// Position in the store of every image.
    pub(super) rows: Arc<[usize]>,
    labels: Option<Arc<[i64]>>,
}

/// How many images to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// This many, or all if there are not as many.
    N(NonZeroUsize),
    /// Every image.
    All,
}

impl FromStr for Samples {
    type Err = String;

    /// A number of images, or `all`. One image alone cannot be compared with any.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "all" => Ok(Samples::All),
            _ => text
                .parse::<NonZeroUsize>()
                .ok()
                .filter(|n| n.get() >= 2)
                .map(Samples::N)
                .ok_or_else(|| "expected a number of images, at least 2, or all".into()),
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Samples::All => f.write_str("all"),
            Samples::N(n) => n.fmt(f),
        }
    }
}

/// Refuses an image, channels × height × width, without pixels.
pub(super) fn check_size([_, height, width]: [usize; 3]) -> Result<(), Problem> {
    match height.min(width) {
        0 => Err(Problem::NoPixels(sizes::shown(&[height, width]))),
        _ => Ok(()),
    }
}

impl Part {
    /// All `count` images of a store; `labels`, where given, in 0..`classes`.
    pub(super) fn new(store: Store, count: usize, labels: Option<Vec<i64>>) -> Result<Self> {
        check_size(store.shape).map_err(|problem| problem.at(&store.path))?;
        if count == 0 {
            return Err(Problem::Empty.at(&store.path));
        }
        if let Some(labels) = &labels
            && labels.len() != count
        {
            let problem = Problem::CountMismatch {
                images: count,
                labels: labels.len(),
            };
            return Err(problem.at(&store.path));
        }
        Ok(Self {
            store: Arc::new(store),
            rows: (0..count).collect(),
            labels: labels.map(Into::into),
        })
    }

    /// Number of images; never 0 for a part as it was opened.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is left, as after an empty [`subset`](Part::subset).
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Drops the labels of all images.
    pub fn forget_labels(&mut self) {
        self.labels = None;
    }

    /// Changes labels that count from `first` into labels that count from 0.
    pub(super) fn count_from(&mut self, first: u32) -> Result<(), Problem> {
        let first = i64::from(first);
        let Some(labels) = &self.labels else {
            return Ok(());
        };
        if let Some(&label) = labels.iter().find(|label| **label < first) {
            return Err(Problem::LabelBeforeFirst { label, first });
        }
        self.labels = Some(labels.iter().map(|label| label - first).collect());
        Ok(())
    }

    /// Changes the number of each class `n` into `numbers[n]`.
    pub(super) fn renumber(&mut self, numbers: &[i64]) {
        let number = |label: &i64| {
            let at = usize::try_from(*label).ok();
            at.and_then(|at| numbers.get(at)).copied().unwrap_or(*label)
        };
        let labels = self.labels.as_ref();
        self.labels = labels.map(|labels| labels.iter().map(number).collect());
    }

    /// Whether its labels are those of the folders that its images lie in.
    pub fn is_labelled_by_folders(&self) -> bool {
        matches!(self.store.pixels, Pixels::Files(_)) && self.labels.is_some()
    }

    /// The class of all images, where it is one alone.
    pub fn only_label(&self) -> Option<i64> {
        let (first, rest) = self.labels()?.split_first()?;
        rest.iter().all(|label| label == first).then_some(*first)
    }

    /// One class number an image, in 0..classes; `None` when the data has no labels.
    pub fn labels(&self) -> Option<&[i64]> {
        self.labels.as_deref()
    }

    /// Channels, height and width as stored. In a folder of images this is the first image's; the others may differ.
    pub fn image_shape(&self) -> [usize; 3] {
        self.store.shape
    }

    /// The file or folder the images come from.
    pub fn path(&self) -> &Path {
        &self.store.path
    }

    /// The images at `positions` (0..[`len`](Part::len)), in that order; none is copied.
    ///
    /// # Panics
    ///
    /// At a position outside the part, as slices do.
    pub fn subset(&self, positions: &[usize]) -> Self {
        Self {
            store: Arc::clone(&self.store),
            rows: positions.iter().map(|&at| self.rows[at]).collect(),
            labels: self
                .labels
                .as_ref()
                .map(|labels| positions.iter().map(|&at| labels[at]).collect()),
        }
    }

    /// The images that are not among those of `other`, which comes of the same part.
    pub fn apart_from(&self, other: &Part) -> Self {
        let gone: HashSet<usize> = other.rows.iter().copied().collect();
        let stay: Vec<usize> = (0..self.len())
            .filter(|at| !gone.contains(&self.rows[*at]))
            .collect();
        self.subset(&stay)
    }

    /// Splits every class at `fraction`, so that both sides keep the classes' proportions; unlabelled
    /// images count as one class. Both sides keep the stored order. The same seed gives the same split.
    ///
    /// # Errors
    ///
    /// When `fraction` leaves one side without an image.
    pub fn split_stratified(&self, fraction: f64, seed: u64) -> Result<(Part, Part)> {
        let mut first = vec![false; self.len()];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for mut class in self.shuffled_classes(&mut rng) {
            class.truncate((class.len() as f64 * fraction).round() as usize);
            class.into_iter().for_each(|at| first[at] = true);
        }
        let side =
            |wanted| -> Vec<usize> { (0..self.len()).filter(|&at| first[at] == wanted).collect() };
        let (first, second) = (side(true), side(false));
        if first.is_empty() || second.is_empty() {
            return Err(DataError::Setting(format!(
                "{}: {} images cannot be split at {fraction}: one side would be empty",
                self.path().display(),
                self.len()
            )));
        }
        Ok((self.subset(&first), self.subset(&second)))
    }

    /// Draws images at random, as evenly from all classes as there are images; the classes take turns, so
    /// any run of consecutive images is balanced too. The same seed gives the same draw, and a smaller draw
    /// is the beginning of a larger one. [`Samples::All`] draws as many as there are.
    pub fn draw(&self, samples: Samples, seed: u64) -> Part {
        let wanted = match samples {
            Samples::N(n) => n.get().min(self.len()),
            Samples::All => self.len(),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut classes = self.shuffled_classes(&mut rng);
        // The first classes get the remainder, so their order is random too: it must not always be class 0.
        classes.shuffle(&mut rng);
        let mut drawn = Vec::with_capacity(wanted);
        while drawn.len() < wanted {
            let turn = classes.iter_mut().filter_map(Vec::pop);
            drawn.extend(turn.take(wanted - drawn.len()));
        }
        self.subset(&drawn)
    }

    /// The positions of every class, each in random order.
    fn shuffled_classes(&self, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        let mut classes = BTreeMap::<i64, Vec<usize>>::new();
        for at in 0..self.len() {
            let class = self.labels.as_ref().map_or(0, |labels| labels[at]);
            classes.entry(class).or_default().push(at);
        }
        let mut classes: Vec<_> = classes.into_values().collect();
        classes.iter_mut().for_each(|class| class.shuffle(rng));
        classes
    }
}

/// `n` unlabelled images of standard normal noise, shape channels × height × width: what calibration uses
/// without data. They are already on the scale of normalised pixels, so a loader passes them on as they are.
///
/// # Errors
///
/// When an image would have no value at all, or more than memory can address.
pub fn synthetic(shape: [usize; 3], n: NonZeroUsize, seed: u64) -> Result<Part> {
    let addressable = 1..=isize::MAX as usize / size_of::<f32>();
    if !sizes::product(&shape).is_some_and(|values| addressable.contains(&values)) {
        let problem = format!("synthetic images of {shape:?} cannot be made");
        return Err(DataError::Setting(problem));
    }
    let store = Store {
        path: PathBuf::from("synthetic images"),
        shape,
        pixels: Pixels::Noise { seed },
    };
    Part::new(store, n.get(), None)
}

/// The noise image at place `index`: the same whenever it is made.
pub(super) fn noise(seed: u64, index: usize, values: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index as u64);
    let mut noise = Vec::with_capacity(values + 1);
    while noise.len() < values {
        noise.extend(normal_pair(&mut rng));
    }
    noise.truncate(values);
    noise
}

/// Two independent standard normal values, by Box and Muller's transform.
fn normal_pair(rng: &mut ChaCha8Rng) -> [f32; 2] {
    // 1 - [0, 1) is never 0, whose logarithm is infinite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
    [(radius * cos) as f32, (radius * sin) as f32]
}
