//! The tensors that training changes, on their way out of an archive and back.

use anyhow::{Context, Result, bail};
use tch::Tensor;

use crate::archive::{Archive, Section};
use crate::blocks::patch::{thaw, to_evaluation_mode, unbake};
use crate::program::{ModuleId, ModuleTree, Network, Operand, TensorInfo};
use crate::report::progress::Progress;
use crate::run::torch;

/// The archive in a form that trains: weights that freezing made constants are parameters again, and training switches
/// that tracing made literals switch again, and are off.
pub fn trainable(archive: &Archive, progress: Progress) -> Result<(Archive, Network)> {
    let mut trainable = archive.clone();
    let mut network = archive.network()?;
    if network.modules.parameter_count(ModuleTree::ROOT) == 0 {
        let thawed = thaw(&mut trainable, &network)?;
        if thawed > 0 {
            progress.note(format_args!(
                "note: the network was frozen: {thawed} of its constants become parameters; with batch norm folded into \
                 them it needs a lower --lr than before it was frozen"
            ));
            network = trainable.network()?;
        }
    }
    let unbaked = unbake(&mut trainable, &network);
    // Its switches would be on as soon as it is loaded.
    let flags = to_evaluation_mode(&mut trainable, &network);
    if unbaked + flags > 0 {
        network = trainable.network()?;
    }
    Ok((trainable, network))
}

/// The tensors of a network that training changes: parameters and buffers.
pub struct State {
    names: Vec<(ModuleId, String)>,
    /// Which of them are parameters that learn.
    pub learns: Vec<bool>,
}

impl State {
    pub fn of(network: &Network) -> Result<Self> {
        let tensors: Vec<(ModuleId, &str, &TensorInfo)> =
            network.modules.tensors(ModuleTree::ROOT).collect();
        if !tensors.iter().any(|(_, _, info)| info.parameter) {
            bail!(
                "the network has no parameters to train, and no constants that were weights; export it without torch.jit.freeze"
            );
        }
        // Where nothing may be trained, somebody saved a network that only ran; held are parts of one that learned.
        let is_free = |info: &TensorInfo| info.parameter && info.requires_grad;
        let none_is_free = !tensors.iter().any(|(_, _, info)| is_free(info));
        Ok(State {
            names: tensors
                .iter()
                .map(|(module, name, _)| (*module, (*name).to_owned()))
                .collect(),
            learns: tensors
                .iter()
                .map(|(_, _, info)| is_free(info) || (none_is_free && info.parameter))
                .collect(),
        })
    }

    /// Of these tensors alone.
    pub fn of_tensors(names: Vec<(ModuleId, String)>) -> Self {
        State {
            learns: vec![false; names.len()],
            names,
        }
    }

    pub fn operands(&self) -> Vec<Operand> {
        let attribute = |(module, name): &(ModuleId, String)| Operand::Attribute {
            module: *module,
            name: name.clone(),
        };
        self.names.iter().map(attribute).collect()
    }

    /// Copies the tensors' values into the archive.
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
    archive.set_storage(Section::Data, &tensor.storage, storage)?;
    Ok(())
}
