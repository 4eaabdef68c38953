//! Resampling as Pillow does it, bit for bit: a separable convolution whose filter grows with the reduction, with
//! fixed-point weights, and rounded to bytes between its two passes.
//!
//! The algorithm is that of Pillow's documentation ("Concepts: Filters") and of its `Resample.c`, which says how
//! weights are rounded; the order of the passes is that of Pillow 13 (python-pillow/Pillow#9549).

use std::ops::Range;

use serde::Serialize;

/// How values between pixels are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    #[default]
    Bilinear,
    Bicubic,
}

impl Interpolation {
    /// In the order in which they are listed.
    pub const ALL: [Interpolation; 2] = [Interpolation::Bilinear, Interpolation::Bicubic];

    /// As options have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
        }
    }

    /// How far the filter reaches, in pixels.
    fn support(self) -> f64 {
        match self {
            Interpolation::Bilinear => 1.0,
            Interpolation::Bicubic => 2.0,
        }
    }

    /// The filter's weight at this distance.
    fn weight(self, distance: f64) -> f64 {
        /// Keys' parameter; OpenCV and PyTorch without antialiasing have -0.75.
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Interpolation::Bilinear if x < 1.0 => 1.0 - x,
            Interpolation::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Bits behind the point of a weight. Of 32 bits, eight are for the pixel, and two for larger sums and the sign.
const PRECISION: u32 = 32 - 8 - 2;

/// Elements that can be weighed and summed.
pub(super) trait Weighable: Copy + Default {
    type Weight: Copy;
    fn weight(of: f64) -> Self::Weight;
    fn sum(pixels: impl Iterator<Item = Self>, weights: &[Self::Weight]) -> Self;
}

impl Weighable for u8 {
    type Weight = i64;

    fn weight(of: f64) -> i64 {
        let scaled = of * f64::from(1 << PRECISION);
        // Truncated, as C converts: halves go away from zero.
        (scaled + 0.5_f64.copysign(scaled)) as i64
    }

    fn sum(pixels: impl Iterator<Item = u8>, weights: &[i64]) -> u8 {
        let half = 1 << (PRECISION - 1);
        let sum: i64 = pixels.zip(weights).map(|(p, w)| i64::from(p) * w).sum();
        ((sum + half) >> PRECISION).clamp(0, 255) as u8
    }
}

impl Weighable for f32 {
    type Weight = f64;

    fn weight(of: f64) -> f64 {
        of
    }

    fn sum(pixels: impl Iterator<Item = f32>, weights: &[f64]) -> f32 {
        let sum: f64 = pixels.zip(weights).map(|(p, w)| f64::from(p) * w).sum();
        sum as f32
    }
}

/// The old pixels and their weights that make one new pixel.
struct Mixture<W> {
    /// The number of the first old pixel.
    first: usize,
    weights: Vec<W>,
}

impl<W> Mixture<W> {
    fn range(&self) -> Range<usize> {
        self.first..self.first + self.weights.len()
    }
}

/// The mixtures of the new pixels in `window`, of `new` that a row of `old` becomes.
fn mixtures<T: Weighable>(
    old: usize,
    new: usize,
    window: &Range<usize>,
    interpolation: Interpolation,
) -> Vec<Mixture<T::Weight>> {
    let scale = old as f64 / new as f64;
    let reduction = scale.max(1.0);
    let support = interpolation.support() * reduction;
    let mixture = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(old);
        let weight = |x: usize| interpolation.weight((x as f64 - centre + 0.5) * (1.0 / reduction));
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let normalised = |w: f64| if sum == 0.0 { w } else { w / sum };
        Mixture {
            first,
            weights: weights
                .into_iter()
                .map(|w| T::weight(normalised(w)))
                .collect(),
        }
    };
    window.clone().map(mixture).collect()
}

/// The part of a resized plane that lies in `window`, rows and columns of `new` height and width. Only that part is
/// computed, so that the cost does not grow with what is cut off.
pub(super) fn resampled<T: Weighable>(
    plane: &[T],
    own: [usize; 2],
    new: [usize; 2],
    window: [Range<usize>; 2],
    interpolation: Interpolation,
) -> Vec<T> {
    let [height, width] = own;
    let mut down = mixtures::<T>(height, new[0], &window[0], interpolation);
    let mut across = mixtures::<T>(width, new[1], &window[1], interpolation);
    let (rows, columns) = (reach(&down), reach(&across));
    if is_down_first(own, new) {
        let lowered = mixed_down(plane, width, &down, columns.clone());
        move_back(&mut across, columns.start);
        return mixed_across(&lowered, columns.len(), &across, 0..down.len());
    }
    let narrowed = mixed_across(plane, width, &across, rows.clone());
    move_back(&mut down, rows.start);
    mixed_down(&narrowed, across.len(), &down, 0..across.len())
}

/// Whether rows are mixed before columns: where far more rows than columns go.
fn is_down_first([height, width]: [usize; 2], [new_height, new_width]: [usize; 2]) -> bool {
    let rows = height as i128 - new_height as i128;
    let columns = width as i128 - new_width as i128;
    rows > 0 && rows > 2 * columns
}

/// The old pixels that any of the mixtures needs.
fn reach<W>(mixtures: &[Mixture<W>]) -> Range<usize> {
    let start = mixtures.iter().map(|m| m.first).min().unwrap_or(0);
    let end = mixtures.iter().map(|m| m.range().end).max().unwrap_or(0);
    start..end
}

/// Makes the mixtures fit a plane that lacks so many of the old pixels at its start.
fn move_back<W>(mixtures: &mut [Mixture<W>], lacking: usize) {
    for mixture in mixtures {
        mixture.first -= lacking;
    }
}

/// New columns of these rows.
fn mixed_across<T: Weighable>(
    plane: &[T],
    width: usize,
    mixtures: &[Mixture<T::Weight>],
    rows: Range<usize>,
) -> Vec<T> {
    let mut mixed = Vec::with_capacity(rows.len() * mixtures.len());
    for row in rows {
        let row = &plane[row * width..][..width];
        let pixel = |m: &Mixture<T::Weight>| T::sum(row[m.range()].iter().copied(), &m.weights);
        mixed.extend(mixtures.iter().map(pixel));
    }
    mixed
}

/// New rows of these columns.
fn mixed_down<T: Weighable>(
    plane: &[T],
    width: usize,
    mixtures: &[Mixture<T::Weight>],
    columns: Range<usize>,
) -> Vec<T> {
    let mut mixed = Vec::with_capacity(mixtures.len() * columns.len());
    for mixture in mixtures {
        let from = mixture.first * width;
        for column in columns.clone() {
            let old = plane[from + column..].iter().step_by(width).copied();
            mixed.push(T::sum(old, &mixture.weights));
        }
    }
    mixed
}
