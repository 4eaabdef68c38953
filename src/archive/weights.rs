//! The weights alone, as a safetensors file.

use std::collections::HashMap;

use safetensors::tensor::{Dtype as Element, TensorView};

use crate::archive::{Archive, ArchiveError, NetworkError, Section, TensorRef};
use crate::program::ModuleTree;
use crate::program::dtype::Dtype;

/// Why weights cannot be written as safetensors.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("{name}: {error}")]
    Tensor { name: String, error: ArchiveError },
    #[error("{name}: safetensors has no elements of type {dtype:?}; leave --export-weights out")]
    Element { name: String, dtype: Dtype },
    #[error("the weights cannot be written as safetensors: {0}")]
    Format(#[from] safetensors::SafeTensorError),
}

/// All parameters and buffers of an archive in the safetensors format, under the names that `state_dict()` has; the
/// weights of a frozen network under those that its code has (`CONSTANTS.c0`). A tensor that hangs in two places is
/// there once, under its first name.
///
/// # Errors
/// If a tensor cannot be read, or is of a type that the format has not (complex or quantised numbers).
pub fn to_safetensors(archive: &Archive) -> Result<Vec<u8>, WeightsError> {
    let mut tensors = Vec::new();
    for (name, section, tensor) in named_tensors(archive)? {
        let element = element(tensor.dtype).ok_or(WeightsError::Element {
            name: name.clone(),
            dtype: tensor.dtype,
        })?;
        let bytes = packed(archive, section, &tensor).map_err(|error| WeightsError::Tensor {
            name: name.clone(),
            error,
        })?;
        let shape: Vec<usize> = tensor.shape.iter().map(|n| *n as usize).collect();
        tensors.push((name, element, shape, bytes));
    }
    let views = tensors.iter().map(|(name, element, shape, bytes)| {
        Ok((name, TensorView::new(*element, shape.clone(), bytes)?))
    });
    let views: Result<Vec<_>, safetensors::SafeTensorError> = views.collect();
    // Without it the format's own readers for PyTorch refuse the file.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::serialize(views?, Some(metadata))?)
}

fn named_tensors(archive: &Archive) -> Result<Vec<(String, Section, TensorRef)>, WeightsError> {
    let network = archive.network()?;
    let mut found = Vec::new();
    let mut add = |name: String, section, tensor: Option<Result<TensorRef, ArchiveError>>| {
        match tensor {
            Some(Ok(tensor)) => found.push((name, section, tensor)),
            Some(Err(error)) => return Err(WeightsError::Tensor { name, error }),
            None => {}
        }
        Ok(())
    };
    let data = archive.data();
    for (module, attribute, _) in network.modules.tensors(ModuleTree::ROOT) {
        let path = &network.modules.get(module).path;
        let name = match path.as_str() {
            "" => attribute.to_owned(),
            path => format!("{path}.{attribute}"),
        };
        let object = archive.object(path);
        let node = object.and_then(|object| data.attribute(object, attribute));
        add(name, Section::Data, node.and_then(|node| data.tensor(node)))?;
    }
    let constants = archive.constants();
    let items = constants.items(constants.root()).unwrap_or_default();
    for ((number, node), info) in items.iter().enumerate().zip(&network.constants) {
        if info.is_weight() {
            let name = format!("CONSTANTS.c{number}");
            add(name, Section::Constants, constants.tensor(*node))?;
        }
    }
    Ok(found)
}

/// The elements in row-major order, low byte first.
fn packed(
    archive: &Archive,
    section: Section,
    tensor: &TensorRef,
) -> Result<Vec<u8>, ArchiveError> {
    let storage = archive.storage(section, &tensor.storage)?;
    let size = tensor.dtype.size() as usize;
    let begin = tensor.offset as usize * size;
    if tensor.is_contiguous() {
        let length = tensor.numel() as usize * size;
        return Ok(storage
            .get(begin..begin + length)
            .unwrap_or_default()
            .to_vec());
    }
    let mut places = vec![begin];
    for (extent, stride) in tensor.shape.iter().zip(&tensor.strides) {
        let step = *stride as usize * size;
        places = places
            .iter()
            .flat_map(|place| (0..*extent as usize).map(move |index| place + index * step))
            .collect();
    }
    let elements = places
        .iter()
        .filter_map(|place| storage.get(*place..place + size));
    Ok(elements.flatten().copied().collect())
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::UInt8 => Element::U8,
        Dtype::UInt16 => Element::U16,
        Dtype::UInt32 => Element::U32,
        Dtype::UInt64 => Element::U64,
        Dtype::Int8 => Element::I8,
        Dtype::Int16 => Element::I16,
        Dtype::Int32 => Element::I32,
        Dtype::Int64 => Element::I64,
        Dtype::Float8E5M2 => Element::F8_E5M2,
        Dtype::Float8E5M2Fnuz => Element::F8_E5M2FNUZ,
        Dtype::Float8E4M3Fn => Element::F8_E4M3,
        Dtype::Float8E4M3Fnuz => Element::F8_E4M3FNUZ,
        Dtype::BFloat16 => Element::BF16,
        Dtype::Float16 => Element::F16,
        Dtype::Float32 => Element::F32,
        Dtype::Float64 => Element::F64,
        Dtype::ComplexFloat32 => Element::C64,
        Dtype::Bool => Element::BOOL,
        Dtype::ComplexFloat16
        | Dtype::ComplexFloat64
        | Dtype::QInt8
        | Dtype::QUInt8
        | Dtype::QInt32 => return None,
    })
}
