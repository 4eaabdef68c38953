//! The CPU and GPUs: which is to be used, and what they can do.

use std::sync::Once;

use anyhow::{Result, bail};
use tch::Device;

use crate::run::device::DeviceChoice;
use crate::run::failure::Failure;

impl DeviceChoice {
    /// The device to use.
    ///
    /// # Errors
    /// If a GPU is asked for that is not there.
    pub fn open(self) -> Result<Device> {
        match self {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Auto => Ok(if gpus() > 0 {
                Device::Cuda(0)
            } else {
                Device::Cpu
            }),
            DeviceChoice::Cuda(index) => match gpus() {
                0 => bail!(
                    "no CUDA device can be used: libtorch finds no GPU, or its CUDA library or the driver is missing; \
                     run with --device cpu, or where this machine has a GPU get libtorch's CUDA half, by \
                     `make libtorch CUDA=1` and a new build, or by `pip install torch==2.11.0` beside ckaprune's wheel"
                ),
                n if i64::try_from(index).is_ok_and(|i| i < n) => Ok(Device::Cuda(index)),
                n => bail!("there is no device cuda:{index}: this machine has {n}, counted from 0"),
            },
        }
    }
}

/// The number of usable GPUs.
fn gpus() -> i64 {
    static LOAD_CUDA: Once = Once::new();
    LOAD_CUDA.call_once(|| {
        // libtorch registers its CUDA half when that library is loaded. Nothing links it, so that machines without
        // CUDA start as fast; this opens it on the first question about GPUs.
        // SAFETY: libtorch_cuda.so is libtorch's own; its initialisers register kernels and call nothing of ours.
        // It is never unloaded.
        if let Ok(library) = unsafe { libloading::Library::new("libtorch_cuda.so") } {
            std::mem::forget(library);
        }
    });
    if tch::Cuda::is_available() {
        tch::Cuda::device_count()
    } else {
        0
    }
}

/// Bytes that are free on a GPU; `None` for the CPU, or where the CUDA runtime does not tell.
#[must_use]
pub fn free_gpu_memory(device: Device) -> Option<u64> {
    type MemGetInfo = unsafe extern "C" fn(*mut usize, *mut usize) -> i32;
    let Device::Cuda(index) = device else {
        return None;
    };
    // The runtime answers for the device in use.
    synchronize(index).ok()?;
    let (mut free, mut total) = (0, 0);
    // SAFETY: libtorch's CUDA half has loaded this library already; the function has had this signature since CUDA 3,
    // and writes its two results only.
    let status = unsafe {
        let runtime = libloading::Library::new(CUDA_RUNTIME).ok()?;
        let mem_get_info = runtime.get::<MemGetInfo>(b"cudaMemGetInfo").ok()?;
        mem_get_info(&raw mut free, &raw mut total)
    };
    (status == 0).then_some(free as u64)
}

/// Waits for what a GPU has to do; tch's own function panics where that went wrong.
fn synchronize(index: usize) -> Result<()> {
    let index = i64::try_from(index)?;
    // SAFETY: what goes wrong is kept as a text that ends in 0 and is the caller's, allocated by C's allocator.
    unsafe {
        torch_sys::cuda::atc_synchronize(index);
        let words = torch_sys::get_and_reset_last_err();
        if words.is_null() {
            return Ok(());
        }
        let text = std::ffi::CStr::from_ptr(words)
            .to_string_lossy()
            .into_owned();
        libc::free(words.cast());
        Err(Failure::of(&text).into())
    }
}

/// Whether a GPU multiplies in bfloat16 itself: those of compute capability 8 and above do.
#[must_use]
pub fn has_bfloat16(device: Device) -> bool {
    type DeviceGetAttribute = unsafe extern "C" fn(*mut i32, i32, i32) -> i32;
    /// `cudaDevAttrComputeCapabilityMajor`
    const CAPABILITY: i32 = 75;
    let Device::Cuda(index) = device else {
        return false;
    };
    let Ok(index) = i32::try_from(index) else {
        return false;
    };
    let mut major = 0;
    // SAFETY: libtorch's CUDA half has loaded this library already; the function has had this signature since CUDA 5,
    // and writes its one result only.
    let status = unsafe {
        let Ok(runtime) = libloading::Library::new(CUDA_RUNTIME) else {
            return false;
        };
        let Ok(attribute) = runtime.get::<DeviceGetAttribute>(b"cudaDeviceGetAttribute") else {
            return false;
        };
        attribute(&raw mut major, CAPABILITY, index)
    };
    status == 0 && major >= 8
}

/// Where a GPU sits on the bus, as its driver's tools name it; `None` for the CPU.
#[must_use]
pub fn pci_bus_id(device: Device) -> Option<String> {
    type DeviceGetPciBusId = unsafe extern "C" fn(*mut std::ffi::c_char, i32, i32) -> i32;
    let Device::Cuda(index) = device else {
        return None;
    };
    let mut text = [0u8; 32];
    // SAFETY: libtorch's CUDA half has loaded this library already; the function has had this signature since CUDA 5,
    // and writes no more than the length it is told.
    let status = unsafe {
        let runtime = libloading::Library::new(CUDA_RUNTIME).ok()?;
        let bus_id = runtime
            .get::<DeviceGetPciBusId>(b"cudaDeviceGetPCIBusId")
            .ok()?;
        bus_id(
            text.as_mut_ptr().cast(),
            text.len() as i32,
            i32::try_from(index).ok()?,
        )
    };
    let text = std::ffi::CStr::from_bytes_until_nul(&text).ok()?;
    (status == 0).then(|| text.to_string_lossy().into_owned())
}

/// The CUDA runtime of the libtorch that is built for.
const CUDA_RUNTIME: &str = "libcudart.so.13";
