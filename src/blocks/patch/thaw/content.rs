//! What the numbers of a constant tell of its purpose.

use std::collections::HashSet;

use crate::archive::{Archive, ArchiveError, Section, TensorRef};
use crate::program::dtype::Dtype;

/// The constant, if it is a tensor of floating-point numbers.
pub(super) fn floating(
    archive: &Archive,
    constant: usize,
) -> Result<Option<TensorRef>, ArchiveError> {
    let tensor = archive.constant(constant).transpose()?;
    Ok(tensor.filter(|t| t.dtype.is_floating() && t.numel() > 0))
}

/// Whether all elements are the same number, so that another tensor may be equal by chance.
pub(super) fn is_uniform(archive: &Archive, tensor: &TensorRef) -> Result<bool, ArchiveError> {
    let bytes = archive.storage(Section::Constants, &tensor.storage)?;
    let mut elements = bytes.chunks_exact(tensor.dtype.size().max(1) as usize);
    let first = elements.next();
    Ok(elements.all(|element| Some(element) == first))
}

/// Whether the tensor is a mask: it has elements that are not finite, or just two numbers, one of them zero.
pub(super) fn is_mask(archive: &Archive, tensor: &TensorRef) -> Result<bool, ArchiveError> {
    let bytes = archive.storage(Section::Constants, &tensor.storage)?;
    let size = tensor.dtype.size().max(1) as usize;
    let exponent = exponent_bits(tensor.dtype);
    let mut found = HashSet::new();
    for element in bytes.chunks_exact(size) {
        let bits = element
            .iter()
            .rev()
            .fold(0_u64, |n, b| n << 8 | u64::from(*b));
        if exponent != 0 && bits & exponent == exponent {
            return Ok(true);
        }
        if found.len() <= 2 {
            found.insert(if is_zero(bits, size) { 0 } else { bits });
        }
    }
    Ok(found.len() == 2 && found.contains(&0))
}

/// All bits but the sign are zero.
fn is_zero(bits: u64, size: usize) -> bool {
    bits & !(1 << (8 * size - 1)) == 0
}

/// The bits that are all set in infinities and NaN; zero for types of another format.
fn exponent_bits(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::Float16 => 0x7c00,
        Dtype::BFloat16 => 0x7f80,
        Dtype::Float32 => 0x7f80_0000,
        Dtype::Float64 => 0x7ff0_0000_0000_0000,
        _ => 0,
    }
}
