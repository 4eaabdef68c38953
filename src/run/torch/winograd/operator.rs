//! The convolution as an operator of TorchScript, registered with libtorch by its stable C interface
//! (`torch/csrc/stable/c/shim.h`).

use std::borrow::Cow;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail};

use super::{CHANNELS, Convolution, POINTS, Shape};

/// Its schema, as [`crate::run::inference`] emits calls of it.
const SCHEMA: &CStr =
    c"winograd(Tensor images, Tensor weights, Tensor bias, Tensor addend, bool add, bool rectify, \
    int padding) -> Tensor";

/// Makes the operator known to libtorch.
///
/// # Errors
/// If libtorch refuses it.
pub fn register() -> Result<()> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let register = || {
        let (mut definition, mut kernel) = (ptr::null_mut(), ptr::null_mut());
        let (space, file) = (c"ckaprune".as_ptr(), c"operator.rs".as_ptr());
        // SAFETY: all texts end in 0 and live for ever, as the two libraries do, which are never freed: libtorch keeps
        // what was registered for as long as they are there. `winograd` is what a kernel of this schema has to be.
        unsafe {
            aoti_torch_library_init_def(space, file, line!(), &raw mut definition) == 0
                && aoti_torch_library_def(definition, SCHEMA.as_ptr()) == 0
                && aoti_torch_library_init_impl(
                    space,
                    c"CPU".as_ptr(),
                    file,
                    line!(),
                    &raw mut kernel,
                ) == 0
                && aoti_torch_library_impl(kernel, c"winograd".as_ptr(), winograd) == 0
        }
    };
    if !DONE.get_or_init(register) {
        bail!("libtorch refuses an operator of its own for scoring");
    }
    Ok(())
}

thread_local! {
    static FAILURE: Cell<Option<anyhow::Error>> = const { Cell::new(None) };
}

/// What went wrong in the operator on this thread since this was last asked: libtorch's interface has no way to say so,
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
    debug_assert_eq!((inputs, outputs), (7, 1));
    // SAFETY: libtorch hands over as many values as the schema names, tensors as handles that are ours from now on, and
    // takes the one result from the first place.
    unsafe {
        let [images, weights, bias, addend] =
            [0, 1, 2, 3].map(|i| Handle(*stack.add(i) as *mut c_void));
        let [add, rectify] = [4, 5].map(|i| *stack.add(i) != 0);
        let padding = *stack.add(6) as i64;
        let result = convolve(
            &images,
            [&weights, &bias],
            add.then_some(&addend),
            rectify,
            padding,
        );
        let result = result.unwrap_or_else(|error| {
            FAILURE.set(Some(error));
            images
        });
        *stack = result.into_raw() as StackValue;
    }
}

fn convolve(
    images: &Handle,
    [weights, bias]: [&Handle; 2],
    addend: Option<&Handle>,
    rectify: bool,
    padding: i64,
) -> Result<Handle> {
    let ([n, channels, height, width], [points, panels, inputs, panel]) =
        (images.sizes()?, weights.sizes()?);
    let shape = Shape {
        images: n,
        height,
        width,
        channels: (inputs, panels * panel),
        padding: usize::try_from(padding)?,
    };
    if (points, panel, inputs) != (POINTS, CHANNELS, channels)
        || bias.sizes::<1>()? != [panels * panel]
    {
        bail!("weights that do not fit the images");
    }
    let (rows, columns) = shape
        .output()
        .ok_or_else(|| anyhow!("images smaller than a kernel"))?;
    let size = [n, panels * panel, rows, columns];
    if let Some(addend) = addend
        && addend.sizes()? != size
    {
        bail!("a sum of tensors of different shapes");
    }
    let output = Handle::empty(size, channels_last(size))?;
    let addend = addend.map(Handle::as_channels_last).transpose()?;
    let convolution = Convolution {
        shape,
        images: &images.as_channels_last()?,
        weights: weights.values()?,
        bias: bias.values()?,
        addend: addend.as_deref(),
        rectify,
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

/// A tensor that is ours.
struct Handle(*mut c_void);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { aoti_torch_delete_tensor_object(self.0) };
    }
}

impl Handle {
    fn into_raw(self) -> *mut c_void {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Memory for floats on the CPU.
    fn empty(size: [usize; 4], strides: [usize; 4]) -> Result<Self> {
        let [size, strides] = [size, strides].map(|n| n.map(|n| n as i64));
        let mut tensor = ptr::null_mut();
        // SAFETY: both lists have four items; the result is written before it is read.
        let status = unsafe {
            let (kind, device) = (aoti_torch_dtype_float32(), aoti_torch_device_type_cpu());
            aoti_torch_empty_strided(
                4,
                size.as_ptr(),
                strides.as_ptr(),
                kind,
                device,
                0,
                &raw mut tensor,
            )
        };
        succeeded(status)?;
        Ok(Handle(tensor))
    }

    fn sizes<const N: usize>(&self) -> Result<[usize; N]> {
        self.dimensions(aoti_torch_get_sizes)
    }

    /// Sizes or strides.
    fn dimensions<const N: usize>(
        &self,
        get: unsafe extern "C" fn(*mut c_void, *mut *mut i64) -> i32,
    ) -> Result<[usize; N]> {
        let (mut rank, mut list) = (0, ptr::null_mut());
        // SAFETY: the tensor is alive, and with it the list, which has as many items as the tensor has dimensions.
        unsafe {
            succeeded(aoti_torch_get_dim(self.0, &raw mut rank))?;
            succeeded(get(self.0, &raw mut list))?;
            if rank != N as i64 {
                bail!("a tensor of {rank} dimensions where {N} are expected");
            }
            Ok(std::array::from_fn(|i| *list.add(i) as usize))
        }
    }

    fn data(&self) -> Result<*mut f32> {
        let (mut kind, mut device, mut data) = (0, 0, ptr::null_mut());
        // SAFETY: the tensor is alive.
        unsafe {
            succeeded(aoti_torch_get_dtype(self.0, &raw mut kind))?;
            succeeded(aoti_torch_get_device_type(self.0, &raw mut device))?;
            if (kind, device) != (aoti_torch_dtype_float32(), aoti_torch_device_type_cpu()) {
                bail!("a tensor that is not of floats on the CPU");
            }
            succeeded(aoti_torch_get_data_ptr(self.0, &raw mut data))?;
        }
        Ok(data.cast())
    }

    /// The elements of a tensor that lies in memory row by row.
    fn values(&self) -> Result<&[f32]> {
        let mut dense = false;
        // SAFETY: the tensor is alive.
        unsafe {
            succeeded(aoti_torch_is_contiguous(self.0, &raw mut dense))?;
        }
        if !dense {
            bail!("weights that are scattered in memory");
        }
        let mut count = 0;
        // SAFETY: the tensor is alive; where it is dense, so many elements lie one behind another.
        unsafe {
            succeeded(aoti_torch_get_numel(self.0, &raw mut count))?;
            Ok(elements(self.data()?, count as usize))
        }
    }

    /// The elements of n × c × h × w in the order n × h × w × c, copied if they lie otherwise.
    fn as_channels_last(&self) -> Result<Cow<'_, [f32]>> {
        let sizes = self.sizes()?;
        let [images, channels, height, width] = sizes;
        let strides: [usize; 4] = self.dimensions(aoti_torch_get_strides)?;
        let data = self.data()?;
        let dense = channels_last(sizes);
        let is_dense = (0..4).all(|i| sizes[i] <= 1 || strides[i] == dense[i]);
        let count = sizes.iter().product();
        if is_dense || count == 0 {
            // SAFETY: so many elements lie one behind another.
            return Ok(unsafe { elements(data, count) }.into());
        }
        let mut copy = Vec::with_capacity(count);
        for (image, row, column) in (0..images * height * width).map(|pixel| {
            (
                pixel / width / height,
                pixel / width % height,
                pixel % width,
            )
        }) {
            let pixel = image * strides[0] + row * strides[2] + column * strides[3];
            // SAFETY: this is where the element of these indices lies.
            copy.extend((0..channels).map(|c| unsafe { *data.add(pixel + c * strides[1]) }));
        }
        Ok(copy.into())
    }
}

/// Strides of n × c × h × w where a pixel's channels lie side by side.
fn channels_last([_, channels, height, width]: [usize; 4]) -> [usize; 4] {
    [height * width * channels, 1, width * channels, channels]
}

/// So many numbers one behind another.
///
/// # Safety
/// They have to be there, unless there are none, and stay as they are for as long as they are looked at.
unsafe fn elements<'a>(data: *const f32, count: usize) -> &'a [f32] {
    match count {
        // A tensor of nothing has no memory at all, which a slice must have.
        0 => &[],
        // SAFETY: as the caller says.
        _ => unsafe { std::slice::from_raw_parts(data, count) },
    }
}

fn succeeded(status: i32) -> Result<()> {
    if status != 0 {
        bail!("libtorch does not tell what a tensor holds, or has no memory for one");
    }
    Ok(())
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
    fn aoti_torch_delete_tensor_object(tensor: *mut c_void) -> i32;
    fn aoti_torch_get_data_ptr(tensor: *mut c_void, to: *mut *mut c_void) -> i32;
    fn aoti_torch_get_device_type(tensor: *mut c_void, to: *mut i32) -> i32;
    fn aoti_torch_get_dim(tensor: *mut c_void, to: *mut i64) -> i32;
    fn aoti_torch_get_dtype(tensor: *mut c_void, to: *mut i32) -> i32;
    fn aoti_torch_get_numel(tensor: *mut c_void, to: *mut i64) -> i32;
    fn aoti_torch_get_sizes(tensor: *mut c_void, to: *mut *mut i64) -> i32;
    fn aoti_torch_get_strides(tensor: *mut c_void, to: *mut *mut i64) -> i32;
    fn aoti_torch_is_contiguous(tensor: *mut c_void, to: *mut bool) -> i32;
    fn aoti_torch_empty_strided(
        rank: i64,
        sizes: *const i64,
        strides: *const i64,
        kind: i32,
        device: i32,
        index: i32,
        to: *mut *mut c_void,
    ) -> i32;
    fn aoti_torch_device_type_cpu() -> i32;
    fn aoti_torch_dtype_float32() -> i32;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tensor whose memory holds 0, 1, 2, and so on.
    fn counting(size: [usize; 4], strides: [usize; 4]) -> Handle {
        let tensor = Handle::empty(size, strides).unwrap();
        for i in 0..size.iter().product() {
            // SAFETY: a tensor without gaps has so many elements.
            unsafe { *tensor.data().unwrap().add(i) = i as f32 };
        }
        tensor
    }

    #[test]
    fn images_in_any_layout_are_read_pixel_by_pixel() {
        let size = [1, 2, 2, 2];
        let read = |strides| {
            counting(size, strides)
                .as_channels_last()
                .unwrap()
                .into_owned()
        };
        assert_eq!(read(channels_last(size)), [0., 1., 2., 3., 4., 5., 6., 7.]);
        assert_eq!(read([8, 4, 2, 1]), [0., 4., 1., 5., 2., 6., 3., 7.]);
    }

    #[test]
    fn a_tensor_of_nothing_is_read_as_nothing() {
        let size = [0, 2, 2, 2];
        let nothing = counting(size, channels_last(size));
        assert!(nothing.as_channels_last().unwrap().is_empty());
        assert!(nothing.values().unwrap().is_empty());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let plain = |size: [usize; 4]| {
            let [_, b, c, d] = size;
            counting(size, [b * c * d, c * d, d, 1])
        };
        let (images, weights) = (
            plain([1, CHANNELS, 4, 4]),
            plain([POINTS, 1, CHANNELS, CHANNELS]),
        );
        for (images, weights) in [(&images, &images), (&weights, &weights)] {
            assert!(convolve(images, [weights, weights], None, false, 1).is_err());
        }
        // A bias has one dimension.
        assert!(convolve(&images, [&weights, &weights], None, false, 1).is_err());
    }
}
