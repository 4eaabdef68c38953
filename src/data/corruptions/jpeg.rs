//! What JPEG compression (ITU-T T.81) takes from an image, without writing a file.
//!
//! Three channels become luma and two chroma channels (JFIF: Y = 0.299 R + 0.587 G + 0.114 B,
//! Cb = (B − Y) / 1.772, Cr = (R − Y) / 1.402), in full resolution; other numbers of channels are luma each. Values are
//! 255·x, luma less 128. Blocks of 8 × 8, the last ones filled by repeating the edge, go through the orthonormal cosine
//! transform (T.81, A.3.3), and coefficient k becomes q·round(k / q). The steps q are those of T.81, Annex K.1, for luma
//! and for chroma, scaled by quality as the Independent JPEG Group's library does:
//! q = clamp(⌊(table·p + 50) / 100⌋, 1, 255), p = 5000 / quality below 50, else 200 − 2·quality.

use std::f64::consts::PI;

const SIDE: usize = 8;

/// T.81, table K.1.
#[rustfmt::skip]
const LUMA: [u16; 64] = [
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
];

/// T.81, table K.2.
#[rustfmt::skip]
const CHROMA: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
];

/// Compresses and decompresses one image, pixels in 0..1; quality from 1 to 100. The result may lie a little outside
/// 0..1.
pub(super) fn compress(pixels: &mut [f32], [channels, height, width]: [usize; 3], quality: f64) {
    let transform = Transform::new();
    let size = height * width;
    if channels != 3 {
        let steps = steps(&LUMA, quality);
        for plane in pixels.chunks_exact_mut(size) {
            let mut values: Vec<f64> = plane.iter().map(|x| 255. * f64::from(*x) - 128.).collect();
            transform.quantise(&mut values, [height, width], &steps);
            for (pixel, value) in plane.iter_mut().zip(values) {
                *pixel = ((value + 128.) / 255.) as f32;
            }
        }
        return;
    }
    let mut planes = [const { Vec::new() }; 3];
    for at in 0..size {
        let [r, g, b] = [0, 1, 2].map(|c| 255. * f64::from(pixels[c * size + at]));
        let y = 0.299 * r + 0.587 * g + 0.114 * b;
        planes[0].push(y - 128.);
        planes[1].push((b - y) / 1.772);
        planes[2].push((r - y) / 1.402);
    }
    let (luma, chroma) = (steps(&LUMA, quality), steps(&CHROMA, quality));
    for (plane, steps) in planes.iter_mut().zip([&luma, &chroma, &chroma]) {
        transform.quantise(plane, [height, width], steps);
    }
    for at in 0..size {
        let [y, cb, cr] = [planes[0][at] + 128., planes[1][at], planes[2][at]];
        let (r, b) = (y + 1.402 * cr, y + 1.772 * cb);
        let g = (y - 0.299 * r - 0.114 * b) / 0.587;
        for (channel, value) in [r, g, b].into_iter().enumerate() {
            pixels[channel * size + at] = (value / 255.) as f32;
        }
    }
}

/// Quantisation steps of a quality.
fn steps(table: &[u16; 64], quality: f64) -> [f64; 64] {
    let percent = if quality < 50. {
        5000. / quality
    } else {
        200. - 2. * quality
    };
    table.map(|step| {
        ((f64::from(step) * percent + 50.) / 100.)
            .floor()
            .clamp(1., 255.)
    })
}

/// The cosine transform of 8 values: `basis[k][n]`.
struct Transform {
    basis: [[f64; SIDE]; SIDE],
}

impl Transform {
    fn new() -> Self {
        let side = SIDE as f64;
        let cosine = |k: usize, n: usize| {
            let scale = if k == 0 { 1. / side } else { 2. / side };
            scale.sqrt() * (PI * (2 * n + 1) as f64 * k as f64 / (2. * side)).cos()
        };
        Transform {
            basis: std::array::from_fn(|k| std::array::from_fn(|n| cosine(k, n))),
        }
    }

    /// Quantises one channel, block by block.
    fn quantise(&self, plane: &mut [f64], [height, width]: [usize; 2], steps: &[f64; 64]) {
        for top in (0..height).step_by(SIDE) {
            for left in (0..width).step_by(SIDE) {
                let place = |y: usize, x: usize| {
                    (top + y).min(height - 1) * width + (left + x).min(width - 1)
                };
                let mut block = [[0.; SIDE]; SIDE];
                for (y, row) in block.iter_mut().enumerate() {
                    for (x, value) in row.iter_mut().enumerate() {
                        *value = plane[place(y, x)];
                    }
                }
                // Columns of the one are rows of the next, so that both directions are transformed.
                let mut spectrum = self.forward(&self.forward(&block));
                for (value, step) in spectrum.as_flattened_mut().iter_mut().zip(steps) {
                    *value = step * (*value / step).round();
                }
                let block = self.backward(&self.backward(&spectrum));
                for (y, row) in block.iter().enumerate().take(height - top) {
                    for (x, value) in row.iter().enumerate().take(width - left) {
                        plane[place(y, x)] = *value;
                    }
                }
            }
        }
    }

    /// Every column transformed, and written as a row.
    fn forward(&self, block: &[[f64; SIDE]; SIDE]) -> [[f64; SIDE]; SIDE] {
        std::array::from_fn(|column| {
            std::array::from_fn(|k| (0..SIDE).map(|n| self.basis[k][n] * block[n][column]).sum())
        })
    }

    /// The inverse, as columns to rows too.
    fn backward(&self, block: &[[f64; SIDE]; SIDE]) -> [[f64; SIDE]; SIDE] {
        std::array::from_fn(|column| {
            std::array::from_fn(|n| (0..SIDE).map(|k| self.basis[k][n] * block[k][column]).sum())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_the_independent_jpeg_group() {
        // Quality 50 leaves the tables as they are; cjpeg writes these for 75 and 10.
        assert_eq!(steps(&LUMA, 50.)[..3], [16., 11., 10.]);
        assert_eq!(steps(&LUMA, 75.)[..8], [8., 6., 5., 8., 12., 20., 26., 31.]);
        assert_eq!(steps(&CHROMA, 10.)[..4], [85., 90., 120., 235.]);
        assert_eq!(steps(&CHROMA, 10.)[63], 255.);
        assert_eq!(steps(&LUMA, 100.), [1.; 64]);
    }

    #[test]
    fn a_cosine_along_one_side_is_one_coefficient() {
        let transform = Transform::new();
        // Row y, column x: the basis function 2 along x, 0 along y, with amplitude 40.
        let block: [[f64; SIDE]; SIDE] =
            std::array::from_fn(|_| std::array::from_fn(|x| 40. * transform.basis[2][x]));
        let spectrum = transform.forward(&transform.forward(&block));
        let expected = 40. * 8_f64.sqrt();
        for (at, value) in spectrum.as_flattened().iter().enumerate() {
            let wanted = if at == 2 { expected } else { 0. };
            assert!((value - wanted).abs() < 1e-9, "{at}: {value}");
        }
    }

    #[test]
    fn coefficients_are_quantised_where_they_stand() {
        // Frequency 1 along x and frequency 7 along x have the steps 11 and 61: 10 becomes 11, 30 becomes 0.
        let transform = Transform::new();
        let wave = |k: usize, amplitude: f64| -> Vec<f64> {
            let row = transform.basis[k].map(|b| amplitude * transform.basis[0][0] * b);
            row.repeat(SIDE)
        };
        let steps = steps(&LUMA, 50.);
        for (k, amplitude, kept) in [(1, 10., 11.), (7, 30., 0.)] {
            let mut plane = wave(k, amplitude);
            transform.quantise(&mut plane, [SIDE, SIDE], &steps);
            for (value, wanted) in plane.iter().zip(wave(k, kept)) {
                assert!((value - wanted).abs() < 1e-9, "{k}: {value} {wanted}");
            }
        }
    }

    #[test]
    fn a_plain_colour_comes_back_whatever_the_size() {
        // Off by half a step at most: at quality 80 the first step is 6 for luma, 7 for chroma, over 8 pixels a side.
        let colour = [0.8_f32, 0.3, 0.55];
        let mut pixels: Vec<f32> = colour.iter().flat_map(|c| [*c; 9 * 5]).collect();
        compress(&mut pixels, [3, 9, 5], 80.);
        for (plane, wanted) in pixels.chunks(45).zip(colour) {
            for value in plane {
                assert!((value - plane[0]).abs() < 1e-6);
                assert!((value - wanted).abs() < 0.01, "{value} {wanted}");
            }
        }
    }
}
