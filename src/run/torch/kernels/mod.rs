//! Convolutions of our own for a CPU, on images whose channels lie last in memory.
//!
//! Most of what scoring computes is convolutions. Those of libtorch leave the addition and the activation behind them
//! to passes over memory of their own, which take as long again where a convolution is small, and arrange its weights
//! anew for every batch. These here do both at once, with weights arranged beforehand, on the thread that calls them.

pub mod dense;
pub mod depthwise;
mod epilogue;
pub mod operator;
mod simd;
pub mod winograd;

use std::sync::LazyLock;

use pulp::Simd;

pub use epilogue::Epilogue;
use epilogue::Sink;

pub use crate::run::inference::{Activation, CHANNELS};
use crate::run::inference::{Kernel, Kernels};

/// Rows and columns of zeros around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Padding {
    pub top: usize,
    pub left: usize,
    pub bottom: usize,
    pub right: usize,
}

/// Sizes of a convolution with a square kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub images: usize,
    /// Of the input.
    pub height: usize,
    pub width: usize,
    /// Channels of the input; a kernel of [`Kernel::Depthwise`] sees one of them.
    pub inputs: usize,
    /// Channels of the output, at least [`CHANNELS`].
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    pub stride: usize,
    pub padding: Padding,
}

impl Shape {
    /// Height and width of the output; `None` where the input is smaller than the kernel.
    #[must_use]
    pub fn output(&self) -> Option<(usize, usize)> {
        let Padding {
            top,
            left,
            bottom,
            right,
        } = self.padding;
        let side = |padded: usize| Some(padded.checked_sub(self.kernel)? / self.stride + 1);
        Some((
            side(self.height + top + bottom)?,
            side(self.width + left + right)?,
        ))
    }

    /// Where in the images the pixel under one tap begins, `row` and `column` being those of the image with its padding;
    /// `None` in the padding.
    #[inline(always)]
    fn place(&self, image: usize, row: usize, column: usize) -> Option<usize> {
        // In front of the image these are larger than any side.
        let row = row.wrapping_sub(self.padding.top);
        let column = column.wrapping_sub(self.padding.left);
        let inside = row < self.height && column < self.width;
        inside.then(|| ((image * self.height + row) * self.width + column) * self.inputs)
    }
}

/// One convolution. Images and what is added to them lie channels last: n × h × w × c.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    pub kernel: Kernel,
    pub shape: Shape,
    pub images: &'a [f32],
    /// As [`winograd::weights`], [`dense::weights`] or [`depthwise::weights`] makes them.
    pub weights: &'a [f32],
    pub epilogue: Epilogue<'a>,
}

impl Convolution<'_> {
    /// Computes the output, channels last.
    ///
    /// # Panics
    /// If the slices are not as long as the shape says, or the kernel does not compute such a convolution.
    pub fn run(&self, output: &mut [f32]) {
        self.run_with(instructions(), output);
    }

    fn run_with(&self, instructions: pulp::Arch, output: &mut [f32]) {
        let shape = &self.shape;
        let (rows, columns) = shape.output().unwrap_or_default();
        let area = shape.images * rows * columns;
        assert!(self.kernel.computes(shape), "no such convolution");
        assert_eq!(output.len(), area * shape.outputs, "the output");
        assert_eq!(
            self.images.len(),
            shape.images * shape.height * shape.width * shape.inputs,
            "the images"
        );
        let weights: usize = self.kernel.weights(shape).iter().product();
        assert_eq!(self.weights.len(), weights, "the weights");
        assert_eq!(self.epilogue.bias.len(), shape.outputs, "the bias");
        let addend = self.epilogue.addend;
        assert!(addend.is_none_or(|a| a.len() == output.len()), "the addend");
        if !output.is_empty() {
            let job = Job {
                convolution: self,
                output,
            };
            match self.kernel {
                Kernel::Winograd => instructions.dispatch(winograd::Winograd(job)),
                Kernel::Dense => instructions.dispatch(dense::Dense(job)),
                Kernel::Depthwise => depthwise::run(job, instructions),
            }
        }
    }
}

impl Kernel {
    /// Whether it computes convolutions of this shape.
    fn computes(self, shape: &Shape) -> bool {
        let Padding {
            top,
            left,
            bottom,
            right,
        } = shape.padding;
        let (side, stride) = (shape.kernel, shape.stride);
        let is_padded_little = [top, left, bottom, right].iter().all(|zeros| *zeros < side);
        let divides = |channels| channels > 0 && channels % CHANNELS == 0;
        is_padded_little
            && shape.outputs >= CHANNELS
            && match self {
                Kernel::Winograd => {
                    (side, stride) == (3, 1) && divides(shape.inputs) && divides(shape.outputs)
                }
                Kernel::Dense => stride > 0 && shape.inputs > 0,
                Kernel::Depthwise => {
                    matches!((side, stride), (3 | 5 | 7, 1 | 2)) && shape.inputs == shape.outputs
                }
            }
    }

    /// The sizes of its weights once they are arranged.
    fn weights(self, shape: &Shape) -> Vec<usize> {
        let (side, inputs, outputs) = (shape.kernel, shape.inputs, shape.outputs);
        let panels = outputs.div_ceil(CHANNELS);
        match self {
            Kernel::Winograd => vec![winograd::POINTS, panels, inputs, CHANNELS],
            Kernel::Dense => vec![panels, side, side, inputs, CHANNELS],
            Kernel::Depthwise => vec![side, side, outputs],
        }
    }
}

/// A convolution, and where its output goes.
struct Job<'a> {
    convolution: &'a Convolution<'a>,
    output: &'a mut [f32],
}

impl<'a> Job<'a> {
    #[inline(always)]
    fn begin<S: Simd>(self, simd: S) -> (&'a Convolution<'a>, Sink<'a, S>) {
        let sink = Sink::new(simd, self.convolution.epilogue, self.output);
        (self.convolution, sink)
    }
}

/// The sets of kernels for this machine, the quickest first.
#[must_use]
pub fn quickest() -> &'static [Kernels] {
    match instructions() {
        pulp::Arch::Scalar => &[Kernels::Libtorch],
        _ => &[Kernels::Ours, Kernels::Libtorch],
    }
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

#[cfg(test)]
mod tests;
