//! The filter itself: windows to points, products of matrices at each point, and back.

use pulp::{Simd, WithSimd};

use super::{OUTPUT, POINTS, WINDOW};
use crate::run::torch::kernels::simd::{load, store};
use crate::run::torch::kernels::{CHANNELS, Convolution, Job, Shape, Sink};

/// An array of what an expression is for 0, 1, 2, and so on. A loop would keep vectors in memory instead of registers,
/// and a closure would not be compiled for the instructions that `Simd` stands for.
macro_rules! unrolled {
    ($i:ident => $value:expr; $($n:literal)*) => {
        [$({
            const $i: usize = $n;
            $value
        }),*]
    };
}
macro_rules! four {
    ($i:ident => $value:expr) => {
        unrolled!($i => $value; 0 1 2 3)
    };
}
macro_rules! six {
    ($i:ident => $value:expr) => {
        unrolled!($i => $value; 0 1 2 3 4 5)
    };
}

pub(in crate::run::torch::kernels) struct Winograd<'a>(pub Job<'a>);

impl WithSimd for Winograd<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (convolution, sink) = self.0.begin(simd);
        let mut filter = Filter {
            convolution,
            size: convolution.shape.output().unwrap_or_default(),
            sink,
        };
        filter.run();
    }
}

/// A convolution, and where its output goes.
struct Filter<'a, S: Simd> {
    convolution: &'a Convolution<'a>,
    /// Height and width of the output.
    size: (usize, usize),
    sink: Sink<'a, S>,
}

/// Bytes of windows and products in work at a time, which a core's own cache holds beside weights.
const CACHED: usize = 256 << 10;
/// Tiles at a time are a multiple of it; all sizes of [`multiply`] divide it.
const ROWS: usize = 12;
/// Fewer tiles at a time read the weights too often.
const FEWEST_TILES: usize = 2 * ROWS;

/// The upper left corner of a tile in the output, which is that of its window in the image with its padding.
#[derive(Clone, Copy)]
struct Corner {
    image: usize,
    row: usize,
    column: usize,
}

impl<S: Simd> Filter<'_, S> {
    /// Tiles in a column and in a row.
    fn tiles(&self) -> (usize, usize) {
        (self.size.0.div_ceil(OUTPUT), self.size.1.div_ceil(OUTPUT))
    }

    /// The corner of the tile behind that of another.
    #[inline(always)]
    fn next(&self, corner: Corner) -> Corner {
        let Corner {
            mut image,
            mut row,
            mut column,
        } = corner;
        column += OUTPUT;
        if column >= self.size.1 {
            column = 0;
            row += OUTPUT;
        }
        if row >= self.size.0 {
            row = 0;
            image += 1;
        }
        Corner { image, row, column }
    }

    /// Row `i` of the window at a corner, of as many channels as a vector holds. What lies outside of the image is 0.
    #[inline(always)]
    fn row(&self, corner: Corner, i: usize, channel: usize) -> [S::f32s; WINDOW] {
        let Shape {
            height,
            width,
            inputs,
            padding,
            ..
        } = self.convolution.shape;
        let zero = self.sink.simd.splat_f32s(0.);
        // In front of the image these are larger than any side.
        let row = (corner.row + i).wrapping_sub(padding.top);
        let column = corner.column.wrapping_sub(padding.left);
        if row >= height {
            return [zero; WINDOW];
        }
        let pixels = &self.convolution.images[(corner.image * height + row) * width * inputs..];
        let pixels = &pixels[..width * inputs];
        if column < width && column + WINDOW <= width {
            six!(J => load::<S>(pixels, (column + J) * inputs + channel))
        } else {
            six!(J => {
                let column = column.wrapping_add(J);
                if column < width { load::<S>(pixels, column * inputs + channel) } else { zero }
            })
        }
    }

    /// Brings a window to its points: tile `tile` of each plane.
    #[inline(always)]
    fn scatter(&self, corner: Corner, planes: &mut Planes, tile: usize) {
        let simd = self.sink.simd;
        for channel in (0..planes.channels).step_by(S::F32_LANES) {
            let rows = six!(I => to_points(simd, self.row(corner, I, channel)));
            six!(J => {
                let column = to_points(simd, six!(I => rows[I][J]));
                six!(I => {
                    let place = planes.place(I * WINDOW + J, tile) + channel;
                    store::<S>(&mut planes.values, place, column[I]);
                });
            });
        }
    }

    /// Brings the products at all points to a tile of the output.
    #[inline(always)]
    fn gather(&mut self, corner: Corner, planes: &Planes, tile: usize) {
        let simd = self.sink.simd;
        let Corner { image, row, column } = corner;
        for channel in (0..planes.channels).step_by(S::F32_LANES) {
            let rows = six!(I => {
                from_points(simd, six!(J => load::<S>(&planes.values, planes.place(I * WINDOW + J, tile) + channel)))
            });
            four!(J => {
                let values = from_points(simd, six!(I => rows[I][J]));
                four!(I => {
                    if row + I < self.size.0 && column + J < self.size.1 {
                        let pixel = (image * self.size.0 + row + I) * self.size.1 + column + J;
                        let place = pixel * planes.channels + channel;
                        self.sink.put(values[I], channel, place);
                        self.sink.bend(place, S::F32_LANES);
                    }
                });
            });
        }
    }

    #[inline(always)]
    fn run(&mut self) {
        let Convolution { shape, weights, .. } = *self.convolution;
        let (inputs, outputs) = (shape.inputs, shape.outputs);
        let (rows, columns) = self.tiles();
        let all = shape.images * rows * columns;
        let cached = CACHED / (POINTS * size_of::<f32>() * (inputs + outputs));
        let at_once = cached.max(FEWEST_TILES).next_multiple_of(ROWS);
        let mut windows = Planes::new(at_once, inputs);
        let mut products = Planes::new(at_once, outputs);
        let mut corner = Corner {
            image: 0,
            row: 0,
            column: 0,
        };
        let simd = self.sink.simd;
        for begin in (0..all).step_by(at_once) {
            let tiles = at_once.min(all - begin);
            let begin = corner;
            for tile in 0..tiles {
                self.scatter(corner, &mut windows, tile);
                corner = self.next(corner);
            }
            for point in 0..POINTS {
                let weights = &weights[point * inputs * outputs..][..inputs * outputs];
                let (from, to) = (windows.plane(point, tiles), &mut products);
                match S::F32_LANES {
                    16 => multiply::<S, 12, 1>(simd, from, weights, to, point),
                    8 => multiply::<S, 6, 2>(simd, from, weights, to, point),
                    4 => multiply::<S, 4, 4>(simd, from, weights, to, point),
                    _ => multiply::<S, 1, CHANNELS>(simd, from, weights, to, point),
                }
            }
            corner = begin;
            for tile in 0..tiles {
                self.gather(corner, &products, tile);
                corner = self.next(corner);
            }
        }
    }
}

/// A matrix of tiles × channels for each point.
struct Planes {
    values: Vec<f32>,
    channels: usize,
    stride: usize,
}

impl Planes {
    fn new(tiles: usize, channels: usize) -> Self {
        // The gap keeps the planes of a tile from falling into the same set of a cache.
        let stride = tiles * channels + CHANNELS;
        Planes {
            values: vec![0.; POINTS * stride],
            channels,
            stride,
        }
    }

    /// Where the channels of a tile at a point begin.
    #[inline(always)]
    fn place(&self, point: usize, tile: usize) -> usize {
        point * self.stride + tile * self.channels
    }

    /// The rows of the first tiles, filled up with others to a multiple of [`ROWS`].
    fn plane(&self, point: usize, tiles: usize) -> Plane<'_> {
        let rows = tiles.next_multiple_of(ROWS);
        Plane {
            values: &self.values[point * self.stride..][..rows * self.channels],
            channels: self.channels,
        }
    }
}

/// The values of tiles at one point: tiles × channels.
#[derive(Clone, Copy)]
struct Plane<'a> {
    values: &'a [f32],
    channels: usize,
}

/// The product of windows (tiles × in) and weights at one point, `ROWS` tiles and one panel of [`CHANNELS`] outputs, which
/// are `VECTORS` vectors, at a time: so many sums fit the registers.
#[inline(always)]
fn multiply<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    windows: Plane,
    weights: &[f32],
    products: &mut Planes,
    point: usize,
) {
    let (windows, inputs) = (windows.values, windows.channels);
    for (panel, weights) in weights.chunks_exact(inputs * CHANNELS).enumerate() {
        let (weights, _) = S::as_simd_f32s(weights);
        for (block, windows) in windows.chunks_exact(ROWS * inputs).enumerate() {
            let mut rows = [windows; ROWS];
            for (row, values) in rows.iter_mut().enumerate() {
                *values = &windows[row * inputs..][..inputs];
            }
            // Places instead of iterators over pairs, which a compiler may leave as calls in code as long as this.
            let mut sums = [[simd.splat_f32s(0.); VECTORS]; ROWS];
            for input in 0..inputs {
                for row in 0..ROWS {
                    let factor = simd.splat_f32s(rows[row][input]);
                    for i in 0..VECTORS {
                        let weight = weights[input * VECTORS + i];
                        sums[row][i] = simd.mul_add_f32s(factor, weight, sums[row][i]);
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                let place = products.place(point, block * ROWS + row) + panel * CHANNELS;
                for (i, sum) in sums.into_iter().enumerate() {
                    store::<S>(&mut products.values, place + i * S::F32_LANES, sum);
                }
            }
        }
    }
}

/// Lavin and Gray's Bᵀ: from a column or row of a window to the points.
#[inline(always)]
fn to_points<S: Simd>(simd: S, d: [S::f32s; WINDOW]) -> [S::f32s; WINDOW] {
    let times = |factor, a, b| simd.mul_add_f32s(simd.splat_f32s(factor), a, b);
    let (even, odd) = (times(-4., d[2], d[4]), times(-4., d[1], d[3]));
    let (even_half, odd_half) = (simd.sub_f32s(d[4], d[2]), simd.sub_f32s(d[3], d[1]));
    [
        times(4., d[0], times(-5., d[2], d[4])),
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        times(2., odd_half, even_half),
        times(-2., odd_half, even_half),
        times(4., d[1], times(-5., d[3], d[5])),
    ]
}

/// Lavin and Gray's Aᵀ: from the points to a column or row of the output.
#[inline(always)]
fn from_points<S: Simd>(simd: S, m: [S::f32s; WINDOW]) -> [S::f32s; OUTPUT] {
    let times = |factor, a, b| simd.mul_add_f32s(simd.splat_f32s(factor), a, b);
    let (near, near_odd) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (far, far_odd) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(simd.add_f32s(m[0], near), far),
        times(2., far_odd, near_odd),
        times(4., far, near),
        simd.add_f32s(times(8., far_odd, near_odd), m[5]),
    ]
}
