//! The convolutions as operators of TorchScript, registered with libtorch by its stable C interface
//! (`torch/csrc/stable/c/shim.h`).

mod handle;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use super::{Activation, CHANNELS, Convolution, Epilogue, Kernel, Padding, Shape};
use handle::{Handle, channels_last};

/// What libtorch calls, with as many values as the schema of the operator names.
type Entry = extern "C" fn(*mut StackValue, u64, u64);

/// How many arguments a call has.
const ARGUMENTS: usize = 11;

macro_rules! schema {
    ($name:literal) => {
        match CStr::from_bytes_with_nul(
            concat!(
                $name,
                "(Tensor images, Tensor weights, Tensor bias, Tensor addend, bool add, int activation, int stride, \
                int top, int left, int bottom, int right) -> Tensor\0"
            )
            .as_bytes(),
        ) {
            Ok(schema) => schema,
            Err(_) => unreachable!(),
        }
    };
}

/// Name, schema and entry of each operator, as [`crate::run::inference`] emits calls of them. All take the same arguments.
const OPERATORS: [(&CStr, &CStr, Entry); 3] = [
    (c"winograd", schema!("winograd"), winograd),
    (c"dense", schema!("dense"), dense),
    (c"depthwise", schema!("depthwise"), depthwise),
];

/// Makes the operators known to libtorch.
///
/// # Errors
/// If libtorch refuses them.
pub fn register() -> Result<()> {
    static DONE: OnceLock<bool> = OnceLock::new();
    if !DONE.get_or_init(register_all) {
        bail!("libtorch refuses an operator of its own for scoring");
    }
    Ok(())
}

fn register_all() -> bool {
    let (mut definition, mut kernel) = (ptr::null_mut(), ptr::null_mut());
    let (space, file, cpu) = (
        c"ckaprune".as_ptr(),
        c"operator/mod.rs".as_ptr(),
        c"CPU".as_ptr(),
    );
    // SAFETY: all texts end in 0 and live for ever, as the two libraries do, which are never freed: libtorch keeps what
    // was registered for as long as they are there. The entries are what kernels of these schemas have to be.
    unsafe {
        aoti_torch_library_init_def(space, file, line!(), &raw mut definition) == 0
            && aoti_torch_library_init_impl(space, cpu, file, line!(), &raw mut kernel) == 0
            && OPERATORS.iter().all(|(name, schema, entry)| {
                aoti_torch_library_def(definition, schema.as_ptr()) == 0
                    && aoti_torch_library_impl(kernel, name.as_ptr(), *entry) == 0
            })
    }
}

thread_local! {
    static FAILURE: Cell<Option<anyhow::Error>> = const { Cell::new(None) };
}

/// What went wrong in an operator on this thread since this was last asked: libtorch's interface has no way to say so,
/// and what the network gave then means nothing.
///
/// # Errors
/// If something did.
pub fn check() -> Result<()> {
    FAILURE.take().map_or(Ok(()), Err)
}

/// A value on libtorch's stack.
type StackValue = u64;

extern "C" fn winograd(stack: *mut StackValue, inputs: u64, outputs: u64) {
    debug_assert_eq!((inputs, outputs), (ARGUMENTS as u64, 1));
    // SAFETY: it is libtorch that calls, with the arguments of the schema.
    unsafe { run(Kernel::Winograd, stack) }
}

extern "C" fn dense(stack: *mut StackValue, inputs: u64, outputs: u64) {
    debug_assert_eq!((inputs, outputs), (ARGUMENTS as u64, 1));
    // SAFETY: it is libtorch that calls, with the arguments of the schema.
    unsafe { run(Kernel::Dense, stack) }
}

extern "C" fn depthwise(stack: *mut StackValue, inputs: u64, outputs: u64) {
    debug_assert_eq!((inputs, outputs), (ARGUMENTS as u64, 1));
    // SAFETY: it is libtorch that calls, with the arguments of the schema.
    unsafe { run(Kernel::Depthwise, stack) }
}

/// Takes the arguments from libtorch's stack and puts the result into the first place.
///
/// # Safety
/// The stack has to hold the arguments of the schema.
unsafe fn run(kernel: Kernel, stack: *mut StackValue) {
    // SAFETY: libtorch hands over tensors as handles that are ours from now on.
    let (tensors, rest) = unsafe {
        let value = |i| *stack.add(i);
        let tensors = [0, 1, 2, 3].map(|i| Handle::from_raw(value(i) as *mut c_void));
        let rest: [i64; ARGUMENTS - 4] = std::array::from_fn(|i| value(i + 4) as i64);
        (tensors, rest)
    };
    let result = convolve(kernel, &tensors, rest).unwrap_or_else(|error| {
        FAILURE.set(Some(error));
        let [images, ..] = tensors;
        images
    });
    // SAFETY: libtorch takes the one result from the first place.
    unsafe { *stack = result.into_raw() as StackValue };
}

/// Images, weights, bias and addend, whether to add it, and the numbers behind that in the schema.
fn convolve(
    kernel: Kernel,
    [images, weights, bias, addend]: &[Handle; 4],
    [add, activation, stride, padding @ ..]: [i64; ARGUMENTS - 4],
) -> Result<Handle> {
    let shape = shape(kernel, [images, weights, bias], stride, padding)?;
    let (rows, columns) = shape.output().context("images smaller than a kernel")?;
    let size = [shape.images, shape.outputs, rows, columns];
    // A bool is one byte of the value.
    let addend = (add & 0xff != 0).then_some(addend);
    if let Some(addend) = addend
        && addend.sizes()? != size
    {
        bail!("a sum of tensors of different shapes");
    }
    let output = Handle::empty(size, channels_last(size))?;
    let addend = addend.map(Handle::as_channels_last).transpose()?;
    let convolution = Convolution {
        kernel,
        shape,
        images: &images.as_channels_last()?,
        weights: weights.values()?,
        epilogue: Epilogue {
            bias: bias.values()?,
            addend: addend.as_deref(),
            activation: Activation::of_number(activation).context("an unknown activation")?,
        },
    };
    let count: usize = size.iter().product();
    // A tensor of nothing has no memory at all.
    if count > 0 {
        // SAFETY: nobody else knows the tensor yet. Its memory is not from Rust: it holds some numbers or other.
        let values = unsafe { std::slice::from_raw_parts_mut(output.data()?, count) };
        convolution.run(values);
    }
    Ok(output)
}

/// The sizes of a convolution of these images, weights and bias, if a kernel computes it.
fn shape(
    kernel: Kernel,
    [images, weights, bias]: [&Handle; 3],
    stride: i64,
    padding: [i64; 4],
) -> Result<Shape> {
    let [n, inputs, height, width] = images.sizes()?;
    let [outputs] = bias.sizes()?;
    let sizes = weights.all_sizes()?;
    let side = match (kernel, &sizes[..]) {
        (Kernel::Winograd, _) => 3,
        (Kernel::Dense, [_, side, ..]) | (Kernel::Depthwise, [side, ..]) => *side,
        _ => bail!("weights without dimensions"),
    };
    let [top, left, bottom, right] = padding.map(|zeros| zeros as usize);
    let shape = Shape {
        images: n,
        height,
        width,
        inputs,
        outputs,
        kernel: side,
        stride: usize::try_from(stride)?,
        padding: Padding {
            top,
            left,
            bottom,
            right,
        },
    };
    ensure!(
        outputs >= CHANNELS && kernel.computes(&shape),
        "a convolution that this operator does not compute"
    );
    ensure!(
        sizes == kernel.weights(&shape),
        "weights that do not fit the images"
    );
    Ok(shape)
}

unsafe extern "C" {
    fn aoti_torch_library_init_def(
        space: *const c_char,
        file: *const c_char,
        line: u32,
        to: *mut *mut c_void,
    ) -> i32;
    fn aoti_torch_library_init_impl(
        space: *const c_char,
        key: *const c_char,
        file: *const c_char,
        line: u32,
        to: *mut *mut c_void,
    ) -> i32;
    fn aoti_torch_library_def(library: *mut c_void, schema: *const c_char) -> i32;
    fn aoti_torch_library_impl(
        library: *mut c_void,
        name: *const c_char,
        kernel: extern "C" fn(*mut StackValue, u64, u64),
    ) -> i32;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let plain = |size: [usize; 4]| {
            let [_, b, c, d] = size;
            Handle::empty(size, [b * c * d, c * d, d, 1]).unwrap()
        };
        for kernel in [Kernel::Winograd, Kernel::Dense, Kernel::Depthwise] {
            // A bias has one dimension, and weights have others than images.
            let tensors = [0; 4].map(|_| plain([1, CHANNELS, 4, 4]));
            assert!(convolve(kernel, &tensors, [0, 0, 1, 0, 0, 0, 0]).is_err());
        }
    }
}
