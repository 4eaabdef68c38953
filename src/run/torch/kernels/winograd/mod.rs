//! Convolutions with 3 × 3 kernels by Winograd's minimal filtering, a quarter of the multiplications of the direct way
//! (Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, arXiv 1509.09308, section 4.3: F(4×4, 3×3)).
//!
//! libtorch computes these convolutions directly, at the peak of a CPU's multiplications. Scoring is made of little
//! else. Sums are rounded in another order than there; the error is a few units in the sixth decimal place.

mod kernel;

pub(super) use kernel::Winograd;

use super::CHANNELS;

/// Side of a tile of the output.
const OUTPUT: usize = 4;
/// Side of the window of the input that a tile depends on.
const WINDOW: usize = OUTPUT + 2;
/// Points at which windows and kernels are multiplied.
pub const POINTS: usize = WINDOW * WINDOW;

/// Lavin and Gray's G: from the taps of a kernel to the points.
const TO_POINTS: [[f64; 3]; WINDOW] = [
    [1. / 4., 0., 0.],
    [-1. / 6., -1. / 6., -1. / 6.],
    [-1. / 6., 1. / 6., -1. / 6.],
    [1. / 24., 1. / 12., 1. / 6.],
    [1. / 24., -1. / 12., 1. / 6.],
    [0., 0., 1.],
];

/// Brings the weights of a convolution (out × in × 3 × 3) to the form in which it runs: point × panel × in × channel of
/// the panel, where a panel is [`CHANNELS`] output channels.
#[must_use]
pub fn weights(taps: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let mut points = vec![0f32; POINTS * inputs * outputs];
    for (kernel, taps) in taps.chunks_exact(9).enumerate() {
        let (output, input) = (kernel / inputs, kernel % inputs);
        let place = (output / CHANNELS * inputs + input) * CHANNELS + output % CHANNELS;
        for point in 0..POINTS {
            let (left, right) = (TO_POINTS[point / WINDOW], TO_POINTS[point % WINDOW]);
            let terms = (0..9).map(|tap| left[tap / 3] * f64::from(taps[tap]) * right[tap % 3]);
            points[point * inputs * outputs + place] = terms.sum::<f64>() as f32;
        }
    }
    points
}
