//! Convolutions of each channel by itself: a kernel for each.

use pulp::{Simd, WithSimd};

use super::simd::load_all;
use super::{Convolution, Job, Shape, Sink};

/// Brings the weights of a convolution (channel × 1 × k × k) to the form in which it runs: k × k × channel.
#[must_use]
pub fn weights(taps: &[f32], channels: usize) -> Vec<f32> {
    let area = taps.len() / channels;
    let places = (0..taps.len()).map(|i| i % channels * area + i / channels);
    places.map(|place| taps[place]).collect()
}

pub(super) fn run(job: Job, instructions: pulp::Arch) {
    let Shape { kernel, stride, .. } = job.convolution.shape;
    // Most maps are as wide as a multiple of 7. So many sums, and the taps of a row, fit the registers.
    match (kernel, stride) {
        (3, 1) => instructions.dispatch(Depthwise::<3, 1, 7, 9>(job)),
        (3, 2) => instructions.dispatch(Depthwise::<3, 2, 4, 9>(job)),
        (5, 1) => instructions.dispatch(Depthwise::<5, 1, 7, 11>(job)),
        (5, 2) => instructions.dispatch(Depthwise::<5, 2, 4, 11>(job)),
        (7, 1) => instructions.dispatch(Depthwise::<7, 1, 7, 13>(job)),
        (7, 2) => instructions.dispatch(Depthwise::<7, 2, 4, 13>(job)),
        _ => unreachable!("no code for {kernel} x {kernel}, stride {stride}"),
    }
}

/// Computes strips of `COLUMNS` pixels, which see `WINDOW` columns of the input.
struct Depthwise<
    'a,
    const KERNEL: usize,
    const STRIDE: usize,
    const COLUMNS: usize,
    const WINDOW: usize,
>(Job<'a>);

impl<const KERNEL: usize, const STRIDE: usize, const COLUMNS: usize, const WINDOW: usize> WithSimd
    for Depthwise<'_, KERNEL, STRIDE, COLUMNS, WINDOW>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (convolution, sink) = self.0.begin(simd);
        let shape = &convolution.shape;
        let (rows, columns) = shape.output().unwrap_or_default();
        let padding = vec![0.; shape.inputs];
        let mut filter = Filter::<S, STRIDE, COLUMNS> { convolution, sink };
        for row in 0..shape.images * rows {
            for column in (0..columns).step_by(COLUMNS) {
                let mut pixels = [[&padding[..]; WINDOW]; KERNEL];
                for (i, pixels) in pixels.iter_mut().enumerate() {
                    for (j, pixel) in pixels.iter_mut().enumerate() {
                        let (image, row) = (row / rows, row % rows * STRIDE + i);
                        if let Some(place) = shape.place(image, row, column * STRIDE + j) {
                            *pixel = &convolution.images[place..][..shape.inputs];
                        }
                    }
                }
                filter.strip(&Strip {
                    pixels,
                    place: (row * columns + column) * shape.inputs,
                    count: COLUMNS.min(columns - column),
                });
            }
        }
    }
}

/// Some pixels of a row of the output, side by side.
struct Strip<'a, const KERNEL: usize, const WINDOW: usize> {
    /// The channels of each pixel that they see, zeros where that is padding.
    pixels: [[&'a [f32]; WINDOW]; KERNEL],
    /// Where they begin in the output.
    place: usize,
    count: usize,
}

struct Filter<'a, S: Simd, const STRIDE: usize, const COLUMNS: usize> {
    convolution: &'a Convolution<'a>,
    sink: Sink<'a, S>,
}

impl<S: Simd, const STRIDE: usize, const COLUMNS: usize> Filter<'_, S, STRIDE, COLUMNS> {
    #[inline(always)]
    fn strip<const KERNEL: usize, const WINDOW: usize>(&mut self, strip: &Strip<KERNEL, WINDOW>) {
        let channels = self.convolution.shape.inputs;
        let mut channel = 0;
        // Two vectors at a time look half as often for a pixel, where there are registers for so many sums.
        while S::F32_LANES == 16 && channel + 2 * S::F32_LANES <= channels {
            self.tile::<KERNEL, WINDOW, 2>(strip, channel);
            channel += 2 * S::F32_LANES;
        }
        while channel < channels {
            // The last one overlaps the one before it where channels do not divide so.
            self.tile::<KERNEL, WINDOW, 1>(strip, channel.min(channels - S::F32_LANES));
            channel += S::F32_LANES;
        }
        self.sink.bend(strip.place, strip.count * channels);
    }

    /// So many vectors of channels of a strip.
    #[expect(
        clippy::needless_range_loop,
        reason = "iterators over arrays that lie in registers may move them to memory"
    )]
    #[inline(always)]
    fn tile<const KERNEL: usize, const WINDOW: usize, const VECTORS: usize>(
        &mut self,
        strip: &Strip<KERNEL, WINDOW>,
        channel: usize,
    ) {
        let (simd, channels) = (self.sink.simd, self.convolution.shape.inputs);
        let zeros = [simd.splat_f32s(0.); VECTORS];
        let mut sums = [zeros; COLUMNS];
        for row in 0..KERNEL {
            let mut taps = [zeros; KERNEL];
            for column in 0..KERNEL {
                let place = (row * KERNEL + column) * channels + channel;
                taps[column] = load_all::<S, VECTORS>(simd, self.convolution.weights, place);
            }
            let mut values = [zeros; WINDOW];
            for column in 0..WINDOW {
                values[column] = load_all::<S, VECTORS>(simd, strip.pixels[row][column], channel);
            }
            for i in 0..COLUMNS {
                for j in 0..KERNEL {
                    for v in 0..VECTORS {
                        sums[i][v] =
                            simd.mul_add_f32s(values[i * STRIDE + j][v], taps[j][v], sums[i][v]);
                    }
                }
            }
        }
        for i in 0..COLUMNS {
            if i < strip.count {
                for v in 0..VECTORS {
                    let channel = channel + v * S::F32_LANES;
                    let place = strip.place + i * channels + channel;
                    self.sink.put(sums[i][v], channel, place);
                }
            }
        }
    }
}
