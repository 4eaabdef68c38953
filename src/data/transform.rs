//! From stored pixels to what a network takes: channels, size, normalisation.

use std::borrow::Cow;

use image::imageops::{self, FilterType};
use image::{ImageBuffer, Luma};

use super::error::Problem;
use super::normalisation::Normalisation;
use super::resample::Weighable;
use super::resizing::{Resizing, centre};
use super::sizes;

/// The input a network wants. Images of another size are resized, so that the shorter side (relative to the input)
/// fits, by antialiased bilinear interpolation, and their centre is cut out. Grey becomes colour by three equal
/// channels, colour grey by its luma (ITU-R BT.601).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputSize {
    /// 1 or 3, or what the data has.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// What is done to every image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transform {
    /// Applied last.
    pub normalisation: Normalisation,
    /// Channels of images that are not brought to a size; without them images keep those they have.
    pub channels: Option<usize>,
    /// Without one, images keep the size they are stored in.
    pub size: Option<InputSize>,
    /// How images are brought to that size, where it is not the way that [`InputSize`] tells of.
    pub resizing: Option<Resizing>,
}

/// A pixel that can be mixed with others.
pub(super) trait Sample: image::Primitive + Weighable + 'static {
    fn luma(red: Self, green: Self, blue: Self) -> Self;
}

impl Sample for u8 {
    fn luma(red: u8, green: u8, blue: u8) -> u8 {
        let [red, green, blue] = [red, green, blue].map(u32::from);
        // The weights in 65536ths, as Pillow's convert("L") has them: they sum to 1, so the result fits.
        ((19_595 * red + 38_470 * green + 7_471 * blue + 0x8000) >> 16) as u8
    }
}

impl Sample for f32 {
    fn luma(red: f32, green: f32, blue: f32) -> f32 {
        0.299 * red + 0.587 * green + 0.114 * blue
    }
}

/// An image, channels × height × width.
pub(super) struct Raster<'a, T: Clone> {
    pub shape: [usize; 3],
    pub pixels: Cow<'a, [T]>,
}

impl<T: Sample> Raster<'_, T> {
    /// The image in exactly the shape `target`.
    pub fn fit(self, target: [usize; 3], resizing: Option<Resizing>) -> Result<Self, Problem> {
        let image = self.with_channels(target[0])?;
        match resizing {
            None => image.resized(target[1], target[2]),
            Some(resizing) => image.prepared(target[1], target[2], resizing),
        }
    }

    fn prepared(self, height: usize, width: usize, resizing: Resizing) -> Result<Self, Problem> {
        let [channels, own_height, own_width] = self.shape;
        let mut pixels = Vec::with_capacity(channels * height * width);
        for plane in self.pixels.chunks_exact(own_height * own_width) {
            pixels.extend(resizing.apply(plane, [own_height, own_width], [height, width])?);
        }
        Ok(Self {
            shape: [channels, height, width],
            pixels: Cow::Owned(pixels),
        })
    }

    fn with_channels(self, channels: usize) -> Result<Self, Problem> {
        let [own, height, width] = self.shape;
        let plane = height * width;
        let pixels = match (own, channels) {
            _ if own == channels => return Ok(self),
            (1, 3) => self.pixels.repeat(3),
            (3, 1) => {
                let (red, rest) = self.pixels.split_at(plane);
                let (green, blue) = rest.split_at(plane);
                let colours = red.iter().zip(green).zip(blue);
                colours
                    .map(|((&red, &green), &blue)| T::luma(red, green, blue))
                    .collect()
            }
            _ => {
                let message = format!("{own} channels cannot be made {channels}");
                return Err(Problem::Malformed(message));
            }
        };
        Ok(Self {
            shape: [channels, height, width],
            pixels: Cow::Owned(pixels),
        })
    }

    fn resized(self, height: usize, width: usize) -> Result<Self, Problem> {
        let [channels, own_height, own_width] = self.shape;
        if [own_height, own_width] == [height, width] {
            return Ok(self);
        }
        let (scaled_height, scaled_width) = self.covering(height, width)?;
        let top = centre(scaled_height as usize, height);
        let left = centre(scaled_width as usize, width);
        let mut pixels = Vec::with_capacity(channels * height * width);
        for plane in self.pixels.chunks_exact(own_height * own_width) {
            let plane =
                ImageBuffer::<Luma<T>, _>::from_raw(own_width as u32, own_height as u32, plane)
                    .ok_or(Problem::Empty)?;
            let scaled =
                imageops::resize(&plane, scaled_width, scaled_height, FilterType::Triangle);
            let rows = scaled.as_raw().chunks_exact(scaled_width as usize);
            for row in rows.skip(top).take(height) {
                pixels.extend_from_slice(&row[left..left + width]);
            }
        }
        Ok(Self {
            shape: [channels, height, width],
            pixels: Cow::Owned(pixels),
        })
    }

    /// Height and width after scaling so that the image just covers `height` × `width`.
    fn covering(&self, height: usize, width: usize) -> Result<(u32, u32), Problem> {
        /// Beyond this the part that is cut off would take most of the time and memory.
        const LONGEST: u64 = 64;
        let [_, own_height, own_width] = self.shape.map(|side| side as u64);
        let (h, w) = (height as u64, width as u64);
        let (scaled_height, scaled_width) = if h * own_width >= w * own_height {
            (h, h * own_width / own_height)
        } else {
            (w * own_height / own_width, w)
        };
        let sides = (u32::try_from(scaled_height), u32::try_from(scaled_width));
        match sides {
            (Ok(tall), Ok(wide))
                if scaled_height <= LONGEST * h
                    && scaled_width <= LONGEST * w
                    && own_height.max(own_width) <= u32::MAX.into() =>
            {
                Ok((tall, wide))
            }
            _ => Err(Problem::TooElongated {
                found: sizes::shown(&[own_height, own_width]),
                expected: sizes::shown(&[height, width]),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raster<T: Sample>(shape: [usize; 3], pixels: &[T]) -> Raster<'_, T> {
        Raster {
            shape,
            pixels: Cow::Borrowed(pixels),
        }
    }

    #[test]
    fn grey_and_colour_convert_into_each_other() {
        let colour = raster([3, 1, 1], &[255_u8, 0, 0])
            .fit([1, 1, 1], None)
            .unwrap();
        assert_eq!(colour.pixels[..], [76]);
        // Pillow's convert("L"), where the three weights in thousandths would round up.
        let colour = raster([3, 1, 1], &[176_u8, 30, 169])
            .fit([1, 1, 1], None)
            .unwrap();
        assert_eq!(colour.pixels[..], [89]);
        let white = raster([3, 1, 1], &[255_u8; 3])
            .fit([1, 1, 1], None)
            .unwrap();
        assert_eq!(white.pixels[..], [255]);
        let grey = raster([1, 1, 2], &[0.25_f32, 0.5])
            .fit([3, 1, 2], None)
            .unwrap();
        assert_eq!(grey.pixels[..], [0.25, 0.5, 0.25, 0.5, 0.25, 0.5]);
    }

    #[test]
    fn channels_that_do_not_convert_are_refused() {
        assert!(raster([4, 1, 1], &[0_u8; 4]).fit([3, 1, 1], None).is_err());
    }

    #[test]
    fn a_wide_image_loses_its_sides_and_not_its_height() {
        // Columns 0..8 by two rows, each pixel its column: half the size covers 1 x 2, the middle.
        let pixels: Vec<f32> = (0..16).map(|at| (at % 8) as f32 / 8.0).collect();
        let fitted = raster([1, 2, 8], &pixels).fit([1, 1, 2], None).unwrap();
        assert_eq!(fitted.shape, [1, 1, 2]);
        let [left, right] = fitted.pixels[..] else {
            panic!("{:?}", fitted.pixels);
        };
        // The middle of columns 2 and 3, and of 4 and 5, smoothed alike to both sides.
        assert!(
            (left - 2.5 / 8.0).abs() < 1e-6 && (right - 4.5 / 8.0).abs() < 1e-6,
            "{left} {right}"
        );
    }

    #[test]
    fn every_channel_is_resized_on_its_own() {
        let mut pixels = vec![10_u8; 16];
        pixels.extend([200; 16]);
        let fitted = raster([2, 4, 4], &pixels).fit([2, 2, 2], None).unwrap();
        assert_eq!(fitted.pixels[..], [10, 10, 10, 10, 200, 200, 200, 200]);
    }

    #[test]
    fn an_image_like_a_thread_is_refused_not_blown_up() {
        let thread = vec![0_u8; 100_000];
        let problem = raster([1, 1, 100_000], &thread)
            .fit([1, 224, 224], None)
            .err();
        assert!(matches!(problem, Some(Problem::TooElongated { .. })));
    }
}
