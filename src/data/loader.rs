//! Batches of normalised images, in order or shuffled.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::mpsc;
use std::thread;

use ndarray::Array4;
use rand::seq::SliceRandom;

use super::augment::{Augment, Placement, Plane, stream};
use super::decode::decode;
use super::error::{DataError, Problem, Result};
use super::normalisation::Tables;
use super::part::{Part, Pixels, noise};
use super::resizing::Resizing;
use super::sizes;
use super::transform::{InputSize, Raster, Sample, Transform};

/// Makes batches of a [`Part`]: how many at a time, in which order, and what is done to every image.
#[derive(Clone, Debug)]
pub struct Loader {
    /// `None`: nobody named a size.
    batch_size: Option<NonZeroUsize>,
    transform: Transform,
    shuffle: Option<u64>,
    augment: Option<(Augment, u64)>,
    threads: NonZeroUsize,
}

/// Images ready for a network.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Images × channels × height × width, normalised, in standard layout.
    pub images: Array4<f32>,
    /// One class number an image, where the data has labels.
    pub labels: Option<Vec<i64>>,
    /// Number of every image in the data as it was opened, whatever part of it this is.
    pub indices: Vec<usize>,
}

/// Images in a batch where nobody says otherwise, as in the code of the method's authors.
const USUAL_BATCH: NonZeroUsize = NonZeroUsize::new(128).unwrap();

impl Loader {
    /// Batches of `batch_size`, or of a usual size, in the part's order, the last one as short as it comes.
    pub fn new(batch_size: impl Into<Option<NonZeroUsize>>, transform: Transform) -> Self {
        Self {
            batch_size: batch_size.into(),
            transform,
            shuffle: None,
            augment: None,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }

    /// Images in a batch; the last one of an epoch may have fewer.
    #[must_use]
    pub fn batch_size(&self) -> NonZeroUsize {
        self.batch_size.unwrap_or(USUAL_BATCH)
    }

    /// The same with batches of another size.
    #[must_use]
    pub fn with_batch_size(&self, batch_size: NonZeroUsize) -> Self {
        Self {
            batch_size: Some(batch_size),
            ..self.clone()
        }
    }

    /// The same with batches of a size that suits the work, where nobody named one. Only for work whose result does not
    /// depend on it.
    #[must_use]
    pub fn suiting(&self, batch_size: NonZeroUsize) -> Self {
        self.with_batch_size(self.batch_size.unwrap_or(batch_size))
    }

    /// The same for images of this shape, channels × height × width.
    #[must_use]
    pub fn with_shape(&self, [channels, height, width]: [usize; 3]) -> Self {
        let mut loader = self.clone();
        loader.transform.size = Some(InputSize {
            channels,
            height,
            width,
        });
        loader
    }

    /// Mean and standard deviation that every channel is normalised with: a network sees `(pixel - mean) / std` of
    /// pixels in 0..1.
    ///
    /// # Errors
    ///
    /// If there are neither as many of them as channels, nor one for all.
    pub fn normalisation(&self, channels: usize) -> Result<Vec<(f32, f32)>> {
        self.transform.normalisation.of_unit_pixels(channels)
    }

    /// Every epoch in another order.
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// Every epoch with other random changes to the images.
    pub fn augmented(mut self, augment: Augment, seed: u64) -> Self {
        self.augment = Some((augment, seed));
        self
    }

    /// Whether an image differs from epoch to epoch.
    #[must_use]
    pub fn is_augmented(&self) -> bool {
        self.augment
            .is_some_and(|(augment, _)| augment.crop_padding > 0 || augment.flip)
    }

    /// Decodes image files on so many threads, instead of one for each core; the batches are the same.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// The batches of one pass over `part`. Without shuffling and augmentation every `epoch` is the same.
    ///
    /// # Errors
    ///
    /// Settings that do not fit the images. Reading an image may fail later, in its batch.
    pub fn batches<'a>(&'a self, part: &'a Part, epoch: u64) -> Result<Batches<'a>> {
        let mut order: Vec<usize> = (0..part.len()).collect();
        if let Some(seed) = self.shuffle {
            order.shuffle(&mut stream(*b"shuffle ", seed, epoch, 0));
        }
        let painter = self.painter(part, self.augment, epoch)?;
        Ok(Batches {
            painter,
            batch_size: self.batch_size().get(),
            threads: self.threads.get(),
            order,
            next: 0,
        })
    }

    fn painter<'a>(
        &self,
        part: &'a Part,
        augment: Option<(Augment, u64)>,
        epoch: u64,
    ) -> Result<Painter<'a>> {
        let shape = self.output_shape(part)?;
        let has_size = self.transform.size.is_some();
        Ok(Painter {
            part,
            shape,
            resizes: has_size,
            resizing: self.transform.resizing.filter(|_| has_size),
            tables: self.transform.normalisation.tables(shape[0])?,
            augment,
            epoch,
        })
    }

    /// A painter that changes nothing at random.
    pub(super) fn plain_painter<'a>(&self, part: &'a Part) -> Result<Painter<'a>> {
        self.painter(part, None, 0)
    }

    pub(super) fn thread_count(&self) -> usize {
        self.threads.get()
    }

    /// Channels × height × width of the images this makes of `part`.
    ///
    /// # Errors
    ///
    /// An input size that is empty, or that the images cannot be brought to.
    pub fn output_shape(&self, part: &Part) -> Result<[usize; 3]> {
        /// One image of 16,384 × 16,384; larger is a typing error, and would end the process.
        const LARGEST: usize = 1 << 28;
        let stored = part.image_shape();
        let shape = match (self.transform.size, self.transform.channels) {
            (Some(size), _) => [size.channels, size.height, size.width],
            (None, Some(channels)) => [channels, stored[1], stored[2]],
            (None, None) => return Ok(stored),
        };
        let values = sizes::product(&shape);
        let refuse = |why: &str| {
            let size = sizes::shown(&shape);
            Err(DataError::Setting(format!("input size {size} {why}")))
        };
        match (&part.store.pixels, stored[0], shape[0]) {
            _ if !values.is_some_and(|values| (1..=LARGEST).contains(&values)) => {
                refuse("is not the size of an image")
            }
            (Pixels::Noise { .. }, ..) if shape != stored => {
                refuse("is not that of the synthetic images")
            }
            (_, has, wants) if has != wants && !matches!((has, wants), (1, 3) | (3, 1)) => {
                refuse(&format!("does not fit images of {has} channels"))
            }
            _ => Ok(shape),
        }
    }
}

/// An iterator over the batches of one epoch.
#[derive(Debug)]
pub struct Batches<'a> {
    painter: Painter<'a>,
    batch_size: usize,
    threads: usize,
    /// Positions in the part.
    order: Vec<usize>,
    next: usize,
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self
            .next
            .saturating_add(self.batch_size)
            .min(self.order.len());
        if self.next == end {
            return None;
        }
        let batch = self.batch(self.next..end);
        self.next = end;
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.order.len() - self.next).div_ceil(self.batch_size);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches<'_> {}

/// How many batches are prepared ahead.
const AHEAD: usize = 2;

/// Gives `work` the batches in turn. Another thread prepares them while `work` handles those before.
pub fn ahead<T>(
    batches: Batches<'_>,
    work: impl FnOnce(&mut dyn Iterator<Item = Result<Batch>>) -> T,
) -> T {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(AHEAD);
        scope.spawn(move || {
            for batch in batches {
                // The receiver is gone: no batch is wanted any more.
                if sender.send(batch).is_err() {
                    break;
                }
            }
        });
        work(&mut receiver.into_iter())
    })
}

/// Room for the pixels of a batch.
fn zeros(images: usize, [channels, height, width]: [usize; 3]) -> Result<Vec<f32>> {
    let count = sizes::product(&[images, channels, height, width]);
    // `vec!` would end the process if there is not enough memory.
    let there_is_room = |count: &usize| Vec::<f32>::new().try_reserve_exact(*count).is_ok();
    match count.filter(there_is_room) {
        Some(count) => Ok(vec![0.0; count]),
        None => Err(DataError::Setting(format!(
            "a batch of {images} images of {} does not fit the memory: lower --batch-size, or name a smaller --input-size",
            sizes::shown(&[height, width])
        ))),
    }
}

impl Batches<'_> {
    /// Leaves out the batches before the one of this number, counted from 0, without making them.
    #[must_use]
    pub fn starting_at(self, batch: usize) -> Self {
        Self {
            next: batch.saturating_mul(self.batch_size).min(self.order.len()),
            ..self
        }
    }

    fn batch(&self, range: Range<usize>) -> Result<Batch> {
        let positions = &self.order[range];
        let part = self.painter.part;
        let indices: Vec<usize> = positions.iter().map(|&at| part.rows[at]).collect();
        let [channels, height, width] = self.painter.shape;
        let image = channels * height * width;
        let mut pixels = zeros(indices.len(), self.painter.shape)?;
        self.paint(&indices, &mut pixels, image)?;
        let shape = (indices.len(), channels, height, width);
        Ok(Batch {
            images: Array4::from_shape_vec(shape, pixels)
                .map_err(|e| DataError::Setting(e.to_string()))?,
            labels: part
                .labels()
                .map(|labels| positions.iter().map(|&at| labels[at]).collect()),
            indices,
        })
    }

    /// Only files are worth a thread: pixels in memory are copied faster than threads start.
    fn paint(&self, indices: &[usize], pixels: &mut [f32], image: usize) -> Result<()> {
        let all = |indices: &[usize], pixels: &mut [f32]| {
            let mut images = indices.iter().zip(pixels.chunks_exact_mut(image));
            images.try_for_each(|(&index, out)| self.painter.paint(index, out))
        };
        let threads = match self.painter.part.store.pixels {
            Pixels::Files(_) => self.threads.min(indices.len()),
            _ => 1,
        };
        if threads == 1 {
            return all(indices, pixels);
        }
        let share = indices.len().div_ceil(threads);
        thread::scope(|scope| {
            let shares = indices.chunks(share).zip(pixels.chunks_mut(share * image));
            let workers: Vec<_> = shares
                .map(|(indices, pixels)| scope.spawn(move || all(indices, pixels)))
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(result) => result,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })
    }
}

/// Brings single images to their final form.
#[derive(Debug)]
pub(super) struct Painter<'a> {
    part: &'a Part,
    /// The shape of the output.
    shape: [usize; 3],
    /// Whether a size was asked for; otherwise the shape is that of the first image.
    resizes: bool,
    resizing: Option<Resizing>,
    tables: Tables,
    augment: Option<(Augment, u64)>,
    epoch: u64,
}

impl Painter<'_> {
    /// Whether the stored image `index` can be brought to its final form.
    pub(super) fn check(&self, index: usize) -> Result<()> {
        self.paint(index, &mut zeros(1, self.shape)?)
    }

    /// Writes the stored image `index` to `out`.
    fn paint(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let store = &self.part.store;
        let size: usize = store.shape.iter().product();
        let range = index * size..(index + 1) * size;
        let byte = |channel: usize, byte: u8| self.tables.byte(channel, byte);
        let stored = |problem: Problem| problem.at_image(&store.path, index);
        match &store.pixels {
            Pixels::Bytes(bytes) => {
                let image = borrowed(store.shape, &bytes[range])
                    .fit(self.shape, self.resizing)
                    .map_err(stored)?;
                self.write(index, &image, out, byte);
            }
            Pixels::InFile(bytes) => {
                let pixels = bytes.image(index, store.shape);
                let image = Raster {
                    shape: store.shape,
                    pixels: Cow::Owned(pixels.map_err(|e| stored(e.into()))?),
                };
                let image = image.fit(self.shape, self.resizing).map_err(stored)?;
                self.write(index, &image, out, byte);
            }
            Pixels::Unit(floats) => {
                let image = borrowed(store.shape, &floats[range])
                    .fit(self.shape, self.resizing)
                    .map_err(stored)?;
                let unit = |channel: usize, pixel: f32| self.tables.unit(channel, pixel);
                self.write(index, &image, out, unit);
            }
            Pixels::Noise { seed } => {
                let image = Raster {
                    shape: store.shape,
                    pixels: Cow::Owned(noise(*seed, index, size)),
                };
                self.write(index, &image, out, |_, pixel| self.tables.noise(pixel));
            }
            Pixels::Files(files) => {
                let path = &files[index];
                let (shape, bytes) = decode(path)?;
                // Without an input size the first image sets it, and resizing would be a surprise.
                if shape[1..] != self.shape[1..] && !self.resizes {
                    let problem = Problem::MixedSizes {
                        found: sizes::shown(&shape[1..]),
                        expected: sizes::shown(&self.shape[1..]),
                    };
                    return Err(problem.at(path));
                }
                let image = Raster {
                    shape,
                    pixels: Cow::Owned(bytes),
                };
                let image = image
                    .fit(self.shape, self.resizing)
                    .map_err(|problem| problem.at(path))?;
                self.write(index, &image, out, byte);
            }
        }
        Ok(())
    }

    fn write<T: Sample>(
        &self,
        index: usize,
        image: &Raster<'_, T>,
        out: &mut [f32],
        value: impl Fn(usize, T) -> f32,
    ) {
        let placement = match self.augment {
            Some((augment, seed)) => augment.place(seed, self.epoch, index),
            None => Placement::default(),
        };
        let [_, height, width] = self.shape;
        let planes = image.pixels.chunks_exact(height * width);
        let planes = planes.zip(out.chunks_exact_mut(height * width));
        for (channel, (pixels, out)) in planes.enumerate() {
            let plane = Plane { pixels, width };
            let black = value(channel, T::DEFAULT_MIN_VALUE);
            placement.write(&plane, out, black, |pixel| value(channel, pixel));
        }
    }
}

fn borrowed<T: Sample>(shape: [usize; 3], pixels: &[T]) -> Raster<'_, T> {
    Raster {
        shape,
        pixels: Cow::Borrowed(pixels),
    }
}
