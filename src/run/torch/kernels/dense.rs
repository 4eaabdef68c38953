//! Convolutions as products of matrices: a row for each pixel of the output, and in it what the taps of a kernel see.
//!
//! Where the kernel is a single tap, the images are that matrix. Otherwise its rows are copied together, as many at a
//! time as a core's own cache holds.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{CHANNELS, Convolution, Job, Padding, Shape, Sink};

/// Bytes of the rows in work at a time, input and output, which a core's own cache holds beside weights.
const CACHED: usize = 512 << 10;

/// Brings the weights of a convolution (out × in × k × k) to the form in which it runs: panel × k × k × in × channel of
/// the panel. A panel is [`CHANNELS`] output channels; where they do not divide so, the last one begins before the end
/// of that in front of it.
#[must_use]
pub fn weights(taps: &[f32], inputs: usize, outputs: usize) -> Vec<f32> {
    let area = taps.len() / (inputs * outputs);
    let panels = outputs.div_ceil(CHANNELS);
    let mut arranged = Vec::with_capacity(panels * area * inputs * CHANNELS);
    for panel in 0..panels {
        let first = first_channel(panel, outputs);
        for (tap, input) in (0..area * inputs).map(|i| (i / inputs, i % inputs)) {
            let channels = first..first + CHANNELS;
            arranged.extend(channels.map(|output| taps[(output * inputs + input) * area + tap]));
        }
    }
    arranged
}

/// The first output channel of a panel.
#[inline(always)]
fn first_channel(panel: usize, outputs: usize) -> usize {
    (panel * CHANNELS).min(outputs - CHANNELS)
}

pub(super) struct Dense<'a>(pub Job<'a>);

impl WithSimd for Dense<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (convolution, sink) = self.0.begin(simd);
        run(convolution, sink);
    }
}

#[inline(always)]
fn run<S: Simd>(convolution: &Convolution, mut sink: Sink<S>) {
    let shape = &convolution.shape;
    let (rows, columns) = shape.output().unwrap_or_default();
    let pixels = shape.images * rows * columns;
    let inputs = shape.kernel * shape.kernel * shape.inputs;
    let at_once = CACHED / (size_of::<f32>() * (inputs + shape.outputs));
    // A multiple of the rows of any tile.
    let at_once = at_once.next_multiple_of(24);
    let mut copies = Vec::new();
    for begin in (0..pixels).step_by(at_once) {
        let pixels = begin..pixels.min(begin + at_once);
        let left = if shape.is_flat() {
            &convolution.images[pixels.start * inputs..pixels.end * inputs]
        } else {
            copies.clear();
            gather(shape, convolution.images, pixels, &mut copies);
            &copies
        };
        let mut product = Product {
            left,
            inputs,
            weights: convolution.weights,
            outputs: shape.outputs,
            begin,
            sink: &mut sink,
        };
        // As many sums as fit the registers.
        match S::F32_LANES {
            16 => product.run::<8, 12, 3, 1>(),
            8 => product.run::<6, 6, 1, 2>(),
            4 => product.run::<4, 4, 1, 4>(),
            _ => product.run::<1, 1, 1, CHANNELS>(),
        }
    }
}

impl Shape {
    /// Whether each pixel of the output sees just that of the input.
    fn is_flat(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (1, 1, Padding::default())
    }
}

/// Copies what the kernel sees at some pixels of the output, row by row of the kernel.
fn gather(shape: &Shape, images: &[f32], pixels: Range<usize>, copies: &mut Vec<f32>) {
    let (rows, columns) = shape.output().unwrap_or_default();
    for pixel in pixels {
        let (image, row, column) = (
            pixel / columns / rows,
            pixel / columns % rows * shape.stride,
            pixel % columns * shape.stride,
        );
        for row in row..row + shape.kernel {
            let ends = [column, column + shape.kernel - 1];
            if let [Some(first), Some(last)] = ends.map(|column| shape.place(image, row, column)) {
                copies.extend_from_slice(&images[first..last + shape.inputs]);
                continue;
            }
            for column in column..column + shape.kernel {
                match shape.place(image, row, column) {
                    Some(place) => copies.extend_from_slice(&images[place..][..shape.inputs]),
                    None => copies.extend(std::iter::repeat_n(0., shape.inputs)),
                }
            }
        }
    }
}

/// The product of some rows and all weights.
struct Product<'a, 'b, S: Simd> {
    /// Rows × inputs.
    left: &'a [f32],
    inputs: usize,
    weights: &'a [f32],
    outputs: usize,
    /// The pixel of the output that the first row is for.
    begin: usize,
    sink: &'a mut Sink<'b, S>,
}

impl<S: Simd> Product<'_, '_, S> {
    /// Tiles of `ROWS` rows and `PANELS` panels, or of `MORE` rows and fewer panels, each of which is `VECTORS` vectors.
    #[inline(always)]
    fn run<const ROWS: usize, const MORE: usize, const PANELS: usize, const VECTORS: usize>(
        &mut self,
    ) {
        let panels = self.outputs.div_ceil(CHANNELS);
        let mut panel = 0;
        while panel < panels {
            panel += match panels - panel {
                1 => self.columns::<MORE, 1, VECTORS>(panel),
                // Two and two are quicker than three and one.
                2 | 4 if PANELS > 1 => self.columns::<MORE, 2, VECTORS>(panel),
                _ => self.columns::<ROWS, PANELS, VECTORS>(panel),
            };
        }
    }

    /// All rows of some panels, whose number it gives. The last tile overlaps the one above where rows do not divide so.
    #[inline(always)]
    fn columns<const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
        &mut self,
        panel: usize,
    ) -> usize {
        let rows = self.left.len() / self.inputs;
        if rows < ROWS {
            for row in 0..rows {
                self.tile::<1, PANELS, VECTORS>(row, panel);
            }
            return PANELS;
        }
        for row in (0..rows).step_by(ROWS) {
            self.tile::<ROWS, PANELS, VECTORS>(row.min(rows - ROWS), panel);
        }
        PANELS
    }

    #[inline(always)]
    fn tile<const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
        &mut self,
        row: usize,
        panel: usize,
    ) {
        let (simd, inputs) = (self.sink.simd, self.inputs);
        // Cut to one length, which spares the loop below to look at each.
        let left = &self.left[row * inputs..][..ROWS * inputs];
        let mut rows = [left; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = &left[i * inputs..][..inputs];
        }
        let weights = &self.weights[panel * inputs * CHANNELS..][..PANELS * inputs * CHANNELS];
        let (weights, _) = S::as_simd_f32s(weights).0.as_chunks::<VECTORS>();
        let mut panels = [weights; PANELS];
        for (i, panel) in panels.iter_mut().enumerate() {
            *panel = &weights[i * inputs..][..inputs];
        }
        // Places instead of iterators over pairs, which a compiler may leave as calls in code as long as this.
        let mut sums = [[[simd.splat_f32s(0.); VECTORS]; PANELS]; ROWS];
        for input in 0..inputs {
            for i in 0..ROWS {
                let factor = simd.splat_f32s(rows[i][input]);
                for j in 0..PANELS {
                    for v in 0..VECTORS {
                        sums[i][j][v] =
                            simd.mul_add_f32s(factor, panels[j][input][v], sums[i][j][v]);
                    }
                }
            }
        }
        self.put(sums, row, panel);
    }

    #[expect(
        clippy::needless_range_loop,
        reason = "iterators over arrays that lie in registers may move them to memory"
    )]
    #[inline(always)]
    fn put<const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
        &mut self,
        sums: [[[S::f32s; VECTORS]; PANELS]; ROWS],
        row: usize,
        panel: usize,
    ) {
        let mut place = (self.begin + row) * self.outputs;
        let first = first_channel(panel, self.outputs);
        let end = first_channel(panel + PANELS - 1, self.outputs) + CHANNELS;
        for i in 0..ROWS {
            for j in 0..PANELS {
                for v in 0..VECTORS {
                    let channel = first_channel(panel + j, self.outputs) + v * S::F32_LANES;
                    self.sink.put(sums[i][j][v], channel, place + channel);
                }
            }
            self.sink.bend(place + first, end - first);
            place += self.outputs;
        }
    }
}
