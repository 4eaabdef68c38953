//! Tensors as libtorch's stable C interface hands them over.

use std::borrow::Cow;
use std::ffi::c_void;
use std::ptr;

use anyhow::{Result, anyhow, bail};

/// A tensor that is ours.
pub struct Handle(*mut c_void);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { aoti_torch_delete_tensor_object(self.0) };
    }
}

impl Handle {
    /// # Safety
    /// It has to be the handle of a tensor, and nobody else's.
    pub unsafe fn from_raw(handle: *mut c_void) -> Self {
        Handle(handle)
    }

    pub fn into_raw(self) -> *mut c_void {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Memory for floats on the CPU.
    pub fn empty(size: [usize; 4], strides: [usize; 4]) -> Result<Self> {
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

    pub fn sizes<const N: usize>(&self) -> Result<[usize; N]> {
        exactly(self.all_sizes()?)
    }

    /// The sizes of however many dimensions there are.
    pub fn all_sizes(&self) -> Result<Vec<usize>> {
        self.dimensions(aoti_torch_get_sizes)
    }

    /// Sizes or strides.
    fn dimensions(
        &self,
        get: unsafe extern "C" fn(*mut c_void, *mut *mut i64) -> i32,
    ) -> Result<Vec<usize>> {
        let (mut rank, mut list) = (0, ptr::null_mut());
        // SAFETY: the tensor is alive, and with it the list, which has as many items as the tensor has dimensions.
        unsafe {
            succeeded(aoti_torch_get_dim(self.0, &raw mut rank))?;
            succeeded(get(self.0, &raw mut list))?;
            Ok((0..rank as usize).map(|i| *list.add(i) as usize).collect())
        }
    }

    pub fn data(&self) -> Result<*mut f32> {
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
    pub fn values(&self) -> Result<&[f32]> {
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
    pub fn as_channels_last(&self) -> Result<Cow<'_, [f32]>> {
        let sizes = self.sizes()?;
        let [images, channels, height, width] = sizes;
        let strides: [usize; 4] = exactly(self.dimensions(aoti_torch_get_strides)?)?;
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
pub fn channels_last([_, channels, height, width]: [usize; 4]) -> [usize; 4] {
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

/// So many numbers.
fn exactly<const N: usize>(numbers: Vec<usize>) -> Result<[usize; N]> {
    <[usize; N]>::try_from(numbers)
        .map_err(|n| anyhow!("a tensor of {} dimensions where {N} are expected", n.len()))
}

fn succeeded(status: i32) -> Result<()> {
    if status != 0 {
        bail!("libtorch does not tell what a tensor holds, or has no memory for one");
    }
    Ok(())
}

unsafe extern "C" {
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
}
