//! Training through libtorch: stochastic gradient descent on the archive's own parameters.

use anyhow::{Context, Result, bail};
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Tensor};

use crate::archive::{Archive, Section};
use crate::data::{Loader, Part};
use crate::eval::{check_scores, unlabelled};
use crate::interface::Interface;
use crate::patch::{thaw, unbake};
use crate::program::{ModuleId, ModuleTree, Network, Operand, TensorInfo};
use crate::progress::Progress;
use crate::segments::with_tensor_list;
use crate::torch::{self, Module, explain};

/// Hyper-parameters. The defaults are those of the authors' released code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    pub epochs: usize,
    pub learning_rate: f64,
    /// Nesterov momentum.
    pub momentum: f64,
    pub weight_decay: f64,
    /// Of libtorch's own random numbers (dropout).
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Training {
            epochs: 1,
            learning_rate: 0.01,
            momentum: 0.9,
            weight_decay: 0.,
            seed: 0,
        }
    }
}

/// What training did.
#[derive(Clone, Debug)]
pub struct Trained {
    pub archive: Archive,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
}

/// Trains the archive on `part` and returns it with its new parameters and statistics.
///
/// `first_epoch` numbers the epochs over a whole run, so that each has its own order and augmentation.
///
/// # Errors
/// If the images have no labels, the archive has no parameters, or the loss stops being a number.
pub fn finetune(
    archive: &Archive,
    interface: &Interface,
    (part, loader): (&Part, &Loader),
    training: &Training,
    first_epoch: usize,
    device: Device,
    progress: Progress,
) -> Result<Trained> {
    if part.labels().is_none() {
        bail!(unlabelled(
            part,
            "so the network cannot be fine-tuned on them; name a data set with labels"
        ));
    }
    interface.check_trainable()?;
    let (mut trainable, network) = trainable(archive, progress)?;
    let state = State::of(&network)?;
    let mut module = Module::load(
        &with_tensor_list(&trainable, &network, &state.operands()),
        device,
        interface,
    )?;
    module.set_training(true)?;
    // Counted by epoch, so that a resumed run draws what an uninterrupted one draws.
    torch::set_seed(training.seed.wrapping_add(first_epoch as u64));
    let tensors = module.tensors()?;
    let variables = nn::VarStore::new(device);
    for (i, (tensor, parameter)) in tensors.iter().zip(&state.is_parameter).enumerate() {
        let _ = variables
            .root()
            .add(&i.to_string(), tensor.shallow_clone(), *parameter);
    }
    let sgd = nn::sgd(
        training.momentum,
        0.,
        training.weight_decay,
        training.momentum > 0.,
    );
    let mut optimizer = sgd
        .build(&variables, training.learning_rate)
        .map_err(explain)?;
    let mut losses = Vec::with_capacity(training.epochs);
    for epoch in first_epoch..first_epoch + training.epochs {
        let bar = progress.bar(
            format!(
                "fine-tuning, epoch {} of {}",
                epoch - first_epoch + 1,
                training.epochs
            ),
            part.len(),
        );
        let mut sum = 0.;
        let mut seen = 0;
        for batch in loader.batches(part, epoch as u64)? {
            let batch = batch?;
            let labels = batch.labels.as_deref().unwrap_or_default();
            // Batch norm has no variance of a single image.
            if labels.len() < 2 {
                continue;
            }
            let images = module.images(&batch.images)?;
            let scores = module.forward(&images)?;
            check_scores(&scores, labels.len(), labels, part)?;
            let loss = mean_cross_entropy(&scores, &torch::labels(labels, device)?)?;
            let value = loss.f_double_value(&[]).map_err(explain)?;
            if !value.is_finite() {
                bail!(
                    "the loss is {value} in epoch {}: training diverged; try a lower --lr",
                    epoch - first_epoch + 1
                );
            }
            optimizer.zero_grad();
            loss.f_backward().map_err(explain)?;
            optimizer.step();
            sum += value * labels.len() as f64;
            seen += labels.len();
            bar.advance(labels.len());
        }
        losses.push(sum / seen.max(1) as f64);
    }
    state.write_back(&network, &tensors, &mut trainable)?;
    Ok(Trained {
        archive: trainable,
        losses,
    })
}

/// The archive in a form that trains: weights that freezing made constants are parameters again, and training switches
/// that tracing made literals switch again.
fn trainable(archive: &Archive, progress: Progress) -> Result<(Archive, Network)> {
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
    if unbake(&mut trainable, &network) > 0 {
        network = trainable.network()?;
    }
    Ok((trainable, network))
}

fn mean_cross_entropy(scores: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let no_weights: Option<&Tensor> = None;
    scores
        .f_cross_entropy_loss(labels, no_weights, tch::Reduction::Mean, -100, 0.)
        .map_err(explain)
}

/// The tensors of a network that training changes: parameters and buffers.
struct State {
    names: Vec<(ModuleId, String)>,
    is_parameter: Vec<bool>,
}

impl State {
    fn of(network: &Network) -> Result<Self> {
        let tensors: Vec<(ModuleId, &str, &TensorInfo)> =
            network.modules.tensors(ModuleTree::ROOT).collect();
        if !tensors.iter().any(|(_, _, info)| info.parameter) {
            bail!(
                "the network has no parameters to train, and no constants that were weights; export it without torch.jit.freeze"
            );
        }
        Ok(State {
            names: tensors
                .iter()
                .map(|(module, name, _)| (*module, (*name).to_owned()))
                .collect(),
            is_parameter: tensors.iter().map(|(_, _, info)| info.parameter).collect(),
        })
    }

    fn operands(&self) -> Vec<Operand> {
        let attribute = |(module, name): &(ModuleId, String)| Operand::Attribute {
            module: *module,
            name: name.clone(),
        };
        self.names.iter().map(attribute).collect()
    }

    /// Copies the tensors' values into the archive.
    fn write_back(
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
