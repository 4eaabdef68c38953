//! Common corruptions of photographs, at five severities, in the spirit of Hendrycks and Dietterich (arXiv 1903.12261).
//! The formulas are our own, so accuracies under them are not those of CIFAR-10-C or ImageNet-C.
//!
//! An image is x, channels × height × width, pixels in 0..1; s is its shorter side in pixels. Every result is clamped to
//! 0..1. The parameters at severity 1 to 5:
//!
//! | corruption | formula | parameter | 1 | 2 | 3 | 4 | 5 |
//! |---|---|---|---|---|---|---|---|
//! | `noise` | x + σ·n, n standard normal, drawn for every value | σ | 0.04 | 0.06 | 0.08 | 0.12 | 0.18 |
//! | `blur` | x ∗ Gaussian of standard deviation k·s pixels, cut off at 4 of them, edges repeated | k | 0.0125 | 0.0175 | 0.0225 | 0.03 | 0.04 |
//! | `contrast` | m + c·(x − m), m the channel's mean | c | 0.75 | 0.6 | 0.45 | 0.3 | 0.15 |
//! | `brightness` | x + b | b | 0.1 | 0.15 | 0.2 | 0.3 | 0.4 |
//! | `jpeg` | 8 × 8 blocks, their cosine transform quantised, see [`jpeg`] | quality | 80 | 60 | 40 | 25 | 10 |
//! | `pixelate` | each pixel the mean of its cell: row y is in cell ⌊y·h′/h⌋ of h′ = max(1, round(f·h)), columns alike | f | 0.85 | 0.7 | 0.6 | 0.5 | 0.35 |
//!
//! `blur` and `pixelate` go by the image's size: the one by a part of its side, the other by a part of its resolution.
//! All but `noise` are functions of the image alone. The noise is drawn from a stream of its own for every seed, image
//! (its number in the data), corruption and severity, so batches and their order change nothing.

mod blur;
mod epsilon;
pub mod jpeg;

use std::fmt;

use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::data::random_stream;

pub use epsilon::Epsilon;

/// What is done to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corruption {
    Noise,
    Blur,
    Contrast,
    Brightness,
    Jpeg,
    Pixelate,
}

impl Corruption {
    /// In the order in which they are listed.
    pub const ALL: [Corruption; 6] = [
        Corruption::Noise,
        Corruption::Blur,
        Corruption::Contrast,
        Corruption::Brightness,
        Corruption::Jpeg,
        Corruption::Pixelate,
    ];

    /// The corruption's name, as options and results have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Corruption::Noise => "noise",
            Corruption::Blur => "blur",
            Corruption::Contrast => "contrast",
            Corruption::Brightness => "brightness",
            Corruption::Jpeg => "jpeg",
            Corruption::Pixelate => "pixelate",
        }
    }

    /// The parameter of each severity: the table of this module.
    fn parameters(self) -> [f32; 5] {
        match self {
            Corruption::Noise => [0.04, 0.06, 0.08, 0.12, 0.18],
            Corruption::Blur => [0.0125, 0.0175, 0.0225, 0.03, 0.04],
            Corruption::Contrast => [0.75, 0.6, 0.45, 0.3, 0.15],
            Corruption::Brightness => [0.1, 0.15, 0.2, 0.3, 0.4],
            Corruption::Jpeg => [80., 60., 40., 25., 10.],
            Corruption::Pixelate => [0.85, 0.7, 0.6, 0.5, 0.35],
        }
    }

    /// Corrupts one image in place. `number` is the image's in the data; pixels are in 0..1 before and after.
    ///
    /// # Panics
    ///
    /// Where there are not as many pixels as the shape (channels, height, width) says.
    pub fn apply(
        self,
        severity: Severity,
        pixels: &mut [f32],
        shape: [usize; 3],
        seed: u64,
        number: usize,
    ) {
        assert_eq!(pixels.len(), shape.iter().product::<usize>());
        if pixels.is_empty() {
            return;
        }
        let parameter = self.parameters()[severity.place()];
        match self {
            Corruption::Noise => {
                let item = [seed, severity.place() as u64, number as u64];
                add_noise(pixels, parameter, item);
            }
            Corruption::Blur => {
                let side = shape[1].min(shape[2]) as f64;
                blur::gaussian(pixels, shape, f64::from(parameter) * side);
            }
            Corruption::Contrast => lower_contrast(pixels, shape, parameter),
            Corruption::Brightness => pixels.iter_mut().for_each(|x| *x += parameter),
            Corruption::Jpeg => jpeg::compress(pixels, shape, parameter.into()),
            Corruption::Pixelate => pixelate(pixels, shape, parameter.into()),
        }
        pixels.iter_mut().for_each(|x| *x = x.clamp(0., 1.));
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How strong a corruption is: 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub struct Severity(u8);

impl Severity {
    /// From the weakest to the strongest.
    pub const ALL: [Severity; 5] = [
        Severity(1),
        Severity(2),
        Severity(3),
        Severity(4),
        Severity(5),
    ];

    /// Counted from 0.
    fn place(self) -> usize {
        usize::from(self.0) - 1
    }
}

impl TryFrom<u8> for Severity {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            1..=5 => Ok(Severity(number)),
            _ => Err(format!("{number} is no severity: they go from 1 to 5")),
        }
    }
}

impl From<Severity> for u8 {
    fn from(severity: Severity) -> u8 {
        severity.0
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn add_noise(pixels: &mut [f32], deviation: f32, [seed, severity, number]: [u64; 3]) {
    let mut random = random_stream(*b"noise   ", seed, severity, number);
    for pixel in pixels {
        let normal: f32 = StandardNormal.sample(&mut random);
        *pixel += deviation * normal;
    }
}

fn lower_contrast(pixels: &mut [f32], [_, height, width]: [usize; 3], factor: f32) {
    for plane in pixels.chunks_exact_mut(height * width) {
        let mean = mean(plane.iter().copied());
        plane
            .iter_mut()
            .for_each(|x| *x = mean + factor * (*x - mean));
    }
}

fn pixelate(pixels: &mut [f32], [_, height, width]: [usize; 3], resolution: f64) {
    let (rows, columns) = (cells(height, resolution), cells(width, resolution));
    for plane in pixels.chunks_exact_mut(height * width) {
        for (top, bottom) in rows.windows(2).map(|w| (w[0], w[1])) {
            for (left, right) in columns.windows(2).map(|w| (w[0], w[1])) {
                let places = (top..bottom).flat_map(|y| (left..right).map(move |x| y * width + x));
                let mean = mean(places.clone().map(|at| plane[at]));
                places.for_each(|at| plane[at] = mean);
            }
        }
    }
}

/// Where each cell of a side begins, and where the last one ends.
fn cells(side: usize, resolution: f64) -> Vec<usize> {
    let count = ((resolution * side as f64).round() as usize).max(1);
    // The first place whose ⌊place·count/side⌋ is the cell's number.
    (0..=count)
        .map(|cell| (cell * side).div_ceil(count))
        .collect()
}

fn mean(values: impl Iterator<Item = f32>) -> f32 {
    let (sum, count) = values.fold((0., 0_usize), |(sum, count), x| {
        (sum + f64::from(x), count + 1)
    });
    (sum / count.max(1) as f64) as f32
}
