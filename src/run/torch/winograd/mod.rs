//! Convolutions with 3 × 3 kernels by Winograd's minimal filtering, a quarter of the multiplications of the direct way
//! (Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, arXiv 1509.09308, section 4.3: F(4×4, 3×3)).
//!
//! libtorch computes these convolutions directly, at the peak of a CPU's multiplications. Scoring is made of little
//! else. Sums are rounded in another order than there; the error is a few units in the sixth decimal place.

mod kernel;
pub mod operator;

use std::sync::LazyLock;

use kernel::Filter;

/// Side of a tile of the output.
const OUTPUT: usize = 4;
/// Side of the window of the input that a tile depends on.
const WINDOW: usize = OUTPUT + 2;
/// Points at which windows and kernels are multiplied.
const POINTS: usize = WINDOW * WINDOW;

pub use crate::run::inference::CHANNELS;

/// Sizes of a convolution of stride 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub images: usize,
    /// Of the input.
    pub height: usize,
    pub width: usize,
    /// Channels in and out, multiples of [`CHANNELS`].
    pub channels: (usize, usize),
    /// Rows and columns of zeros on each side.
    pub padding: usize,
}

impl Shape {
    /// Height and width of the output; `None` where the input is smaller than the kernel.
    #[must_use]
    pub fn output(&self) -> Option<(usize, usize)> {
        let side = |input: usize| (input + 2 * self.padding).checked_sub(2).filter(|n| *n > 0);
        Some((side(self.height)?, side(self.width)?))
    }
}

/// One convolution. Images and what is added to them lie channels last: n × h × w × c.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    pub shape: Shape,
    pub images: &'a [f32],
    /// As [`weights`] makes them.
    pub weights: &'a [f32],
    /// One for each output channel.
    pub bias: &'a [f32],
    /// Added to the output, whose shape it has.
    pub addend: Option<&'a [f32]>,
    /// Clamp the output at 0 from below.
    pub rectify: bool,
}

impl Convolution<'_> {
    /// Computes the output, channels last.
    ///
    /// # Panics
    /// If the slices are not as long as the shape says.
    pub fn run(&self, output: &mut [f32]) {
        self.run_with(instructions(), output);
    }

    fn run_with(&self, instructions: pulp::Arch, output: &mut [f32]) {
        let size = self.shape.output().unwrap_or_default();
        let (inputs, outputs) = self.shape.channels;
        let area = self.shape.images * size.0 * size.1;
        assert_eq!(output.len(), area * outputs, "the output");
        assert_eq!(
            self.images.len(),
            self.shape.images * self.shape.height * self.shape.width * inputs,
            "the images"
        );
        assert_eq!(self.weights.len(), POINTS * inputs * outputs, "the weights");
        assert!(
            self.addend.is_none_or(|a| a.len() == output.len()),
            "the addend"
        );
        if !output.is_empty() {
            instructions.dispatch(Filter {
                convolution: self,
                size,
                output,
            });
        }
    }
}

/// Whether this machine has the vector instructions that it needs to be quick.
#[must_use]
pub fn is_quick() -> bool {
    !matches!(instructions(), pulp::Arch::Scalar)
}

/// The vector instructions in use: the best of this machine, unless libtorch is told to do without them.
fn instructions() -> pulp::Arch {
    static INSTRUCTIONS: LazyLock<pulp::Arch> = LazyLock::new(|| {
        let cap = std::env::var("ATEN_CPU_CAPABILITY").unwrap_or_default();
        up_to(&cap)
    });
    *INSTRUCTIONS
}

/// The best vector instructions of this machine up to those that libtorch calls `cap`.
fn up_to(cap: &str) -> pulp::Arch {
    #[cfg(target_arch = "x86_64")]
    match cap {
        "default" => return pulp::Arch::Scalar,
        "avx2" => return pulp::x86::V3::try_new().map_or(pulp::Arch::Scalar, pulp::Arch::V3),
        _ => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = cap;
    pulp::Arch::new()
}

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
pub fn weights(taps: &[f64], inputs: usize, outputs: usize) -> Vec<f32> {
    let mut points = vec![0f32; POINTS * inputs * outputs];
    for (kernel, taps) in taps.chunks_exact(9).enumerate() {
        let (output, input) = (kernel / inputs, kernel % inputs);
        let place = (output / CHANNELS * inputs + input) * CHANNELS + output % CHANNELS;
        for point in 0..POINTS {
            let (left, right) = (TO_POINTS[point / WINDOW], TO_POINTS[point % WINDOW]);
            let terms = (0..9).map(|tap| left[tap / 3] * taps[tap] * right[tap % 3]);
            points[point * inputs * outputs + place] = terms.sum::<f64>() as f32;
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// The definition of a convolution, in f64.
    fn direct(c: &Convolution, taps: &[f64]) -> Vec<f64> {
        let Shape {
            images,
            height,
            width,
            channels: (inputs, outputs),
            padding,
        } = c.shape;
        let (rows, columns) = c.shape.output().unwrap();
        let mut output = Vec::new();
        for (image, y, x, o) in (0..images * rows * columns * outputs).map(|i| {
            let (pixel, o) = (i / outputs, i % outputs);
            (
                pixel / columns / rows,
                pixel / columns % rows,
                pixel % columns,
                o,
            )
        }) {
            let mut sum = f64::from(c.bias[o]);
            for (tap, (dy, dx)) in (0..9).map(|tap| (tap, (tap / 3, tap % 3))) {
                let (y, x) = (y + dy, x + dx);
                let inside =
                    y >= padding && x >= padding && y - padding < height && x - padding < width;
                if inside {
                    let pixel = (image * height + y - padding) * width + x - padding;
                    for i in 0..inputs {
                        let weight = taps[(o * inputs + i) * 9 + tap];
                        sum += f64::from(c.images[pixel * inputs + i]) * weight;
                    }
                }
            }
            sum += c.addend.map_or(0., |a| f64::from(a[output.len()]));
            output.push(if c.rectify { sum.max(0.) } else { sum });
        }
        output
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn it_is_the_convolution_that_its_definition_says(
            sides in (1usize..=13, 1usize..=13),
            panels in (1usize..=3, 1usize..=3),
            (images, padding) in (1usize..=3, 0usize..=2),
            (adds, rectify) in any::<(bool, bool)>(),
            seed in any::<u64>(),
        ) {
            let shape = Shape {
                images,
                height: sides.0,
                width: sides.1,
                channels: (panels.0 * CHANNELS, panels.1 * CHANNELS),
                padding,
            };
            prop_assume!(shape.output().is_some());
            let (rows, columns) = shape.output().unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random::<f32>() - 0.5).collect() };
            let (inputs, outputs) = shape.channels;
            let pixels = random(images * sides.0 * sides.1 * inputs);
            let taps: Vec<f64> = random(inputs * outputs * 9).into_iter().map(f64::from).collect();
            let bias = random(outputs);
            let addend = random(images * rows * columns * outputs);
            let convolution = Convolution {
                shape,
                images: &pixels,
                weights: &weights(&taps, inputs, outputs),
                bias: &bias,
                addend: adds.then_some(&addend[..]),
                rectify,
            };
            let expected = direct(&convolution, &taps);
            for cap in ["default", "avx2", "avx512"] {
                let mut output = vec![f32::NAN; addend.len()];
                convolution.run_with(up_to(cap), &mut output);
                for (found, expected) in output.iter().zip(&expected) {
                    prop_assert!((f64::from(*found) - expected).abs() < 1e-4, "{found}, not {expected} ({cap})");
                }
            }
        }
    }
}
