//! The parameters and buffers of a network, by name: on their way out of an archive and back.

use anyhow::{Context, Result, bail};
use tch::Tensor;

use crate::archive::{Archive, Section};
use crate::program::{ModuleId, ModuleTree, Network, Operand, TensorInfo};
use crate::run::torch;

/// Names of tensors of a network, in the order in which they are read and written.
#[derive(Clone, Debug, PartialEq)]
pub struct StateDict {
    names: Vec<(ModuleId, String)>,
}

impl StateDict {
    /// All parameters and buffers.
    #[must_use]
    pub fn of(network: &Network) -> Self {
        let tensors = network.modules.tensors(ModuleTree::ROOT);
        let names = tensors.map(|(module, name, _)| (module, name.to_owned()));
        StateDict {
            names: names.collect(),
        }
    }

    /// These tensors alone.
    #[must_use]
    pub fn of_tensors(names: Vec<(ModuleId, String)>) -> Self {
        StateDict { names }
    }

    /// The place of a tensor among the others.
    #[must_use]
    pub fn place(&self, module: ModuleId, name: &str) -> Option<usize> {
        let mut names = self.names.iter();
        names.position(|(of, known)| *of == module && known == name)
    }

    /// The tensors as code names them.
    #[must_use]
    pub fn operands(&self) -> Vec<Operand> {
        let attribute = |(module, name): &(ModuleId, String)| Operand::Attribute {
            module: *module,
            name: name.clone(),
        };
        self.names.iter().map(attribute).collect()
    }

    /// Copies the tensors' values into the archive; `network` is the archive's.
    ///
    /// # Errors
    /// If the archive does not hold such a tensor.
    pub fn write_back(
        &self,
        network: &Network,
        tensors: &[Tensor],
        archive: &mut Archive,
    ) -> Result<()> {
        for ((module, name), tensor) in self.names.iter().zip(tensors) {
            let path = &network.modules.get(*module).path;
            write_tensor(archive, path, name, &torch::to_bytes(tensor)?)
                .with_context(|| format!("{path}.{name} cannot be written back"))?;
        }
        Ok(())
    }
}

/// Which of all parameters and buffers, in the order of [`StateDict::of`], are parameters that training changes.
///
/// # Errors
/// If there is no parameter.
pub fn learning(network: &Network) -> Result<Vec<bool>> {
    let tensors: Vec<&TensorInfo> = network
        .modules
        .tensors(ModuleTree::ROOT)
        .map(|(_, _, info)| info)
        .collect();
    if !tensors.iter().any(|info| info.parameter) {
        bail!(
            "the network has no parameters to train, and no constants that were weights; export it without torch.jit.freeze"
        );
    }
    // Where nothing may be trained, somebody saved a network that only ran; held are parts of one that learned.
    let is_free = |info: &TensorInfo| info.parameter && info.requires_grad;
    let none_is_free = !tensors.iter().any(|info| is_free(info));
    let learns = |info: &&TensorInfo| is_free(info) || (none_is_free && info.parameter);
    Ok(tensors.iter().map(learns).collect())
}

/// Puts row-major `bytes` where the archive keeps the tensor `name` of the module at `path`.
fn write_tensor(archive: &mut Archive, path: &str, name: &str, bytes: &[u8]) -> Result<()> {
    let node = archive
        .object(path)
        .and_then(|object| archive.data().attribute(object, name));
    let tensor = node
        .and_then(|node| archive.data().tensor(node))
        .context("it is gone")??;
    let element = usize::try_from(tensor.dtype.size())?;
    if bytes.len() as u64 != tensor.numel() * tensor.dtype.size() {
        bail!("it has changed its size");
    }
    let mut storage = archive.storage(Section::Data, &tensor.storage)?;
    let before = storage.clone();
    let offset = usize::try_from(tensor.offset)? * element;
    if tensor.is_contiguous() {
        storage[offset..offset + bytes.len()].copy_from_slice(bytes);
    } else {
        let shape: Vec<usize> = tensor.shape.iter().map(|n| *n as usize).collect();
        let places = ndarray::indices(shape).into_iter().map(|index| {
            let index = ndarray::Dimension::slice(&index).to_vec();
            index
                .iter()
                .zip(&tensor.strides)
                .map(|(i, stride)| *i as i64 * stride)
                .sum::<i64>() as usize
        });
        for (place, value) in places.zip(bytes.chunks_exact(element)) {
            let at = offset + place * element;
            storage[at..at + element].copy_from_slice(value);
        }
    }
    // What has not changed stays where the file has it.
    if storage != before {
        archive.set_storage(Section::Data, &tensor.storage, storage)?;
    }
    Ok(())
}
