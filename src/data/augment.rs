//! Random crop and flip, the usual augmentation of small images, and the writing of an image at its place.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random changes to training images. What happens to an image depends on the seed, the epoch and the image
/// alone, not on the order of images or on threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augment {
    /// Moves the image by up to this many pixels each way. What moves in is black: pixel value 0 before
    /// normalisation, as in torchvision's `RandomCrop`.
    pub crop_padding: u16,
    /// Mirrors every second image, left to right.
    pub flip: bool,
}

impl Default for Augment {
    /// What CIFAR networks are trained with: 4 pixels, and flips.
    fn default() -> Self {
        Self {
            crop_padding: 4,
            flip: true,
        }
    }
}

/// Where an image goes in the output of the same size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Placement {
    /// Rows and columns that the content moves up and left.
    up: isize,
    left: isize,
    /// Mirrored after the move.
    flip: bool,
}

impl Augment {
    pub(super) fn place(&self, seed: u64, epoch: u64, image: usize) -> Placement {
        let mut rng = stream(*b"augment ", seed, epoch, image as u64);
        let padding = i32::from(self.crop_padding);
        let mut offset = || rng.random_range(-padding..=padding) as isize;
        Placement {
            up: offset(),
            left: offset(),
            flip: self.flip && rng.random(),
        }
    }
}

/// Random numbers for one purpose, independent for every combination of the arguments.
pub fn stream(purpose: [u8; 8], seed: u64, epoch: u64, item: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (part, bytes) in key.chunks_exact_mut(8).zip([
        purpose,
        seed.to_le_bytes(),
        epoch.to_le_bytes(),
        item.to_le_bytes(),
    ]) {
        part.copy_from_slice(&bytes);
    }
    ChaCha8Rng::from_seed(key)
}

/// One channel of an image, row by row.
pub(super) struct Plane<'a, T> {
    pub pixels: &'a [T],
    /// Pixels in a row.
    pub width: usize,
}

impl<'a, T> Plane<'a, T> {
    /// The row that lies `up` rows below this one, if it lies in the plane.
    fn row(&self, y: usize, up: isize) -> Option<&'a [T]> {
        let start = y.checked_add_signed(up)?.checked_mul(self.width)?;
        self.pixels.get(start..start.checked_add(self.width)?)
    }
}

impl Placement {
    /// Writes a channel to its place in `out`. `value` makes a number of each pixel; `outside` is the number where the
    /// image does not reach.
    pub fn write<T: Copy>(
        self,
        plane: &Plane<T>,
        out: &mut [f32],
        outside: f32,
        value: impl Fn(T) -> f32,
    ) {
        let width = plane.width;
        for (y, out) in out.chunks_exact_mut(width).enumerate() {
            let Some(row) = plane.row(y, self.up) else {
                out.fill(outside);
                continue;
            };
            let shift = self.left.unsigned_abs().min(width);
            // The columns kept, where they come from and where they go.
            let (from, to) = if self.left >= 0 {
                (shift..width, 0..width - shift)
            } else {
                (0..width - shift, shift..width)
            };
            out[..to.start].fill(outside);
            out[to.end..].fill(outside);
            for (out, &pixel) in out[to].iter_mut().zip(&row[from]) {
                *out = value(pixel);
            }
            if self.flip {
                out.reverse();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(up: isize, left: isize, flip: bool) -> Vec<f32> {
        let mut out = [f32::NAN; 9];
        let plane = Plane {
            pixels: &[1_u8, 2, 3, 4, 5, 6, 7, 8, 9],
            width: 3,
        };
        let placement = Placement { up, left, flip };
        placement.write(&plane, &mut out, -1.0, f32::from);
        out.to_vec()
    }

    #[test]
    fn the_image_moves_both_ways_and_what_moves_in_is_filled() {
        assert_eq!(placed(0, 0, false), [1., 2., 3., 4., 5., 6., 7., 8., 9.]);
        assert_eq!(
            placed(1, 1, false),
            [5., 6., -1., 8., 9., -1., -1., -1., -1.]
        );
        assert_eq!(
            placed(-1, -2, false),
            [-1., -1., -1., -1., -1., 1., -1., -1., 4.]
        );
        assert_eq!(placed(0, -7, false), [-1.; 9]);
    }

    #[test]
    fn the_flip_comes_after_the_move() {
        assert_eq!(placed(0, 1, true), [-1., 3., 2., -1., 6., 5., -1., 9., 8.]);
    }

    #[test]
    fn all_offsets_within_the_padding_occur_and_none_beyond() {
        let augment = Augment {
            crop_padding: 1,
            flip: true,
        };
        let places: Vec<_> = (0..1000).map(|image| augment.place(1, 0, image)).collect();
        for offset in -1..=1 {
            assert!(
                places.iter().any(|p| p.up == offset) && places.iter().any(|p| p.left == offset)
            );
        }
        assert!(places.iter().all(|p| p.up.abs() <= 1 && p.left.abs() <= 1));
        let flips = places.iter().filter(|p| p.flip).count();
        assert!((400..600).contains(&flips), "{flips} of 1000");
    }
}
