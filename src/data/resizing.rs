//! The usual evaluation transform: resize, then cut out the centre, as torchvision does on Pillow's images.

use std::fmt;
use std::ops::Range;

use super::error::Problem;
use super::resample::{Interpolation, Weighable, resampled};
use super::sizes;

/// What an image is brought to before its centre is cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeTo {
    /// The shorter side has so many pixels, the other as many as the proportions give, rounded down.
    Shorter(usize),
    /// Height and width, whatever becomes of the proportions.
    Exactly(usize, usize),
    /// The smallest size that covers the input.
    Covering,
    /// Its own size.
    Itself,
}

impl fmt::Display for ResizeTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResizeTo::Shorter(side) => side.fmt(f),
            ResizeTo::Exactly(height, width) => f.write_str(&sizes::shown(&[height, width])),
            ResizeTo::Covering => f.write_str("covering"),
            ResizeTo::Itself => f.write_str("itself"),
        }
    }
}

/// How images become inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resizing {
    pub to: ResizeTo,
    pub interpolation: Interpolation,
}

impl Resizing {
    /// The centre, `size` high and wide, of the resized plane; black where the image does not reach.
    pub(super) fn apply<T: Weighable>(
        self,
        plane: &[T],
        own: [usize; 2],
        size: [usize; 2],
    ) -> Result<Vec<T>, Problem> {
        let new = self.resized(own, size)?;
        let [rows, columns] = [0, 1].map(|axis| Cut::centre(new[axis], size[axis]));
        let window = [rows.of_image.clone(), columns.of_image.clone()];
        let inner = resampled(plane, own, new, window, self.interpolation);
        if rows.is_whole(size[0]) && columns.is_whole(size[1]) {
            return Ok(inner);
        }
        let mut padded = vec![T::default(); size[0] * size[1]];
        let width = columns.of_image.len();
        let lines = padded.chunks_exact_mut(size[1]).skip(rows.padding);
        for (line, row) in lines.zip(inner.chunks_exact(width)) {
            line[columns.padding..columns.padding + width].copy_from_slice(row);
        }
        Ok(padded)
    }

    /// Height and width of the whole image after resizing.
    fn resized(self, own: [usize; 2], size: [usize; 2]) -> Result<[usize; 2], Problem> {
        let scaled = |side: usize, by: usize, of: usize| {
            let scaled = side as u128 * by as u128 / of as u128;
            usize::try_from(scaled)
                .ok()
                // Beyond this the places of pixels are not exact.
                .filter(|side| *side <= u32::MAX as usize)
                .ok_or_else(|| Problem::TooElongated {
                    found: sizes::shown(&own),
                    expected: sizes::shown(&size),
                })
        };
        let [height, width] = own;
        let high = |height: usize| Ok([height, scaled(height, own[1], own[0])?]);
        let wide = |width: usize| Ok([scaled(width, own[0], own[1])?, width]);
        match self.to {
            ResizeTo::Itself => Ok(own),
            ResizeTo::Exactly(height, width) => Ok([height, width]),
            ResizeTo::Shorter(side) if width <= height => wide(side),
            ResizeTo::Shorter(side) => high(side),
            ResizeTo::Covering if size[0] * width >= size[1] * height => high(size[0]),
            ResizeTo::Covering => wide(size[1]),
        }
    }
}

/// What is cut out of one axis.
struct Cut {
    of_image: Range<usize>,
    /// Black pixels before it.
    padding: usize,
}

impl Cut {
    fn centre(outer: usize, inner: usize) -> Self {
        if outer < inner {
            return Cut {
                of_image: 0..outer,
                padding: (inner - outer) / 2,
            };
        }
        let start = centre(outer, inner);
        Cut {
            of_image: start..start + inner,
            padding: 0,
        }
    }

    fn is_whole(&self, size: usize) -> bool {
        self.of_image.len() == size
    }
}

/// Where a window begins that lies in the middle; a half is rounded to even, as torchvision's centre crop does.
pub(super) fn centre(outer: usize, inner: usize) -> usize {
    ((outer - inner) as f64 / 2.0).round_ties_even() as usize
}
