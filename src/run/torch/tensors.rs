//! Tensors: from numbers and to numbers, and how they lie in memory.

use anyhow::Result;
use ndarray::ArrayD;
use tch::{Device, Kind, TchError, Tensor};

use super::explain;

/// Whole numbers (labels, places) on a device.
pub fn numbers(numbers: &[i64], device: Device) -> Result<Tensor> {
    Tensor::f_from_slice(numbers)
        .and_then(|t| sent(&t, device))
        .map_err(explain)
}

/// A tensor in the CPU's memory on its way to a device. A GPU fetches it when it comes to it: from pinned memory, since
/// from other memory the copy would first wait for all that the GPU still has to do.
pub(super) fn sent(tensor: &Tensor, device: Device) -> Result<Tensor, TchError> {
    if !matches!(device, Device::Cuda(_)) {
        return tensor.f_to_device(device);
    }
    // Pinned memory is scarce on some machines; without it the copy is slower, and as right.
    let pinned = tensor.f_internal_pin_memory(device);
    let from = pinned.as_ref().unwrap_or(tensor);
    from.f_to_device_(device, from.f_kind()?, true, false)
}

/// The same images (n × c × h × w), each pixel's channels side by side in memory; tensors of another rank as they are.
pub fn channels_last(images: &Tensor) -> Result<Tensor> {
    if images.dim() != 4 {
        return Ok(images.shallow_clone());
    }
    let rearranged = images
        .f_permute([0, 2, 3, 1])
        .and_then(|t| t.f_contiguous())
        .and_then(|t| t.f_permute([0, 3, 1, 2]));
    rearranged.map_err(explain)
}

/// A tensor of the same values in memory of its own.
pub fn copy(tensor: &Tensor) -> Result<Tensor> {
    let copied = || -> Result<Tensor, TchError> {
        let mut copy = tensor.f_detach()?.f_empty_like()?;
        tch::no_grad(|| copy.f_copy_(tensor))?;
        Ok(copy)
    };
    copied().map_err(explain)
}

/// A tensor's elements as f32, row-major, with its shape.
pub fn to_array(tensor: &Tensor) -> Result<ArrayD<f32>> {
    let plain = tensor
        .f_detach()
        .and_then(|t| t.f_to_device(Device::Cpu))
        .and_then(|t| t.f_to_kind(Kind::Float))
        .and_then(|t| t.f_contiguous())
        .map_err(explain)?;
    let shape: Vec<usize> = plain.size().into_iter().map(|n| n as usize).collect();
    let mut data = vec![0f32; plain.numel()];
    plain
        .f_copy_data(&mut data, plain.numel())
        .map_err(explain)?;
    Ok(ArrayD::from_shape_vec(shape, data)?)
}

/// A tensor's elements as f64, row-major.
pub fn to_doubles(tensor: &Tensor) -> Result<Vec<f64>> {
    let plain = tensor
        .f_to_device(Device::Cpu)
        .and_then(|t| t.f_to_kind(Kind::Double))
        .and_then(|t| t.f_contiguous())
        .map_err(explain)?;
    let mut data = vec![0f64; plain.numel()];
    plain
        .f_copy_data(&mut data, plain.numel())
        .map_err(explain)?;
    Ok(data)
}

/// A tensor's elements as raw bytes in row-major order, in the element type it has.
pub fn to_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let plain = tensor
        .f_detach()
        .and_then(|t| t.f_to_device(Device::Cpu))
        .and_then(|t| t.f_contiguous())
        .map_err(explain)?;
    let size = plain.f_kind().map_err(explain)?.elt_size_in_bytes();
    let mut data = vec![0u8; plain.numel() * size];
    plain
        .f_copy_data_u8(&mut data, plain.numel())
        .map_err(explain)?;
    Ok(data)
}

/// Of probabilities. One that is too small to be told from 0 counts as the smallest that can be.
pub(super) fn logarithms(probabilities: &Tensor) -> Result<Tensor, TchError> {
    let (kind, least) = match probabilities.f_kind()? {
        Kind::Double => (Kind::Double, f64::MIN_POSITIVE),
        _ => (Kind::Float, f64::from(f32::MIN_POSITIVE)),
    };
    probabilities.f_to_kind(kind)?.f_clamp_min(least)?.f_log()
}
