//! Everything that touches libtorch's script modules: load, run, train mode, read and write tensors.

mod batches;
mod devices;
mod front;
pub mod kernels;
mod layers;
mod model;
mod peak;
mod place;
mod predictor;
pub mod run_shapes;
pub mod state_dict;
mod tensors;
mod workers;

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use ndarray::Array4;
use tch::{CModule, Device, IValue, Kind, TchError, Tensor};

use crate::archive::{Archive, Limits};
use crate::program::dtype::Dtype;
use crate::program::interface::{Input, Interface, Layout, Scale};
use crate::program::output::Step;
use crate::run::admission::admit;
use crate::run::failure::Failure;
use crate::run::quick_forms::QuickForms;
use crate::run::segments::TENSOR_LIST;
use front::Front;
use tensors::{logarithms, sent};

pub use devices::{free_gpu_memory, has_bfloat16, pci_bus_id};
pub use layers::PreparedLayers;
pub use model::{Execution, Model};
pub use peak::Peak;
pub use predictor::{
    FIRST_LOOK, Predictor, Quickest, images_at_once, images_together, kernel_sets,
};
pub use tensors::{channels_last, copy, numbers, to_array, to_bytes, to_doubles};
pub use workers::Workers;

/// How many threads one operator uses.
#[must_use]
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// Sets [`threads`] for operators that this thread runs, and for threads that run their first one later.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// Fixes libtorch's own random numbers (dropout while training).
pub fn set_seed(seed: u64) {
    tch::manual_seed(seed as i64);
}

/// What an exception of libtorch means for the user; its own words are kept for those who ask.
pub fn explain(error: TchError) -> anyhow::Error {
    Failure::of(&error.to_string()).into()
}

/// Lets libtorch load an archive and no more: nothing of the network runs.
///
/// # Errors
/// Those of [`Module::load`].
pub fn check_loads(archive: &Archive) -> Result<()> {
    loaded(archive, Device::Cpu).map(drop)
}

fn loaded(archive: &Archive, device: Device) -> Result<CModule> {
    // Optimising by profile costs more than it gives here: every method would first run slowly several times, and
    // convolutions take the same kernels either way.
    tch::jit::f_set_graph_executor_optimize(false).map_err(explain)?;
    let bytes = Arc::new(place::on_device(archive, device)?.to_runnable_bytes()?);
    admit(&Archive::from_shared(&bytes, &Limits::default())?)?;
    let loaded = CModule::load_data_on_device(&mut bytes.as_slice(), device).map_err(explain);
    loaded.context("libtorch cannot load the network")
}

/// A network ready to run.
#[derive(Debug)]
pub struct Module {
    inner: CModule,
    device: Device,
    interface: Interface,
    /// Other ways to its class scores; none if it runs as it is written.
    quick: QuickForms,
    /// Bytes of its largest tensor, for one image.
    largest: usize,
    /// What makes its input of images, where they are not its input themselves.
    front: Option<Box<Front>>,
}

impl Module {
    /// Loads an archive in evaluation mode. libtorch only ever sees bytes that [`Archive::to_runnable_bytes`] made, and
    /// those only after they have been read again and [`admit`]ted.
    ///
    /// # Errors
    /// If the archive does more than compute, or libtorch refuses it.
    pub fn load(archive: &Archive, device: Device, interface: &Interface) -> Result<Self> {
        let inner = loaded(archive, device)?;
        let mut module = Module {
            inner,
            device,
            interface: interface.clone(),
            quick: QuickForms::default(),
            largest: 0,
            front: None,
        };
        module.set_training(false)?;
        Ok(module)
    }

    #[must_use]
    pub fn device(&self) -> Device {
        self.device
    }

    /// Whether some layers compute with quantised weights, which pass no gradient on.
    #[must_use]
    pub fn is_quantised(&self) -> bool {
        self.interface.quantised
    }

    /// Switches between training and evaluation mode.
    pub fn set_training(&mut self, training: bool) -> Result<()> {
        let set = if training {
            self.inner.f_set_train()
        } else {
            self.inner.f_set_eval()
        };
        set.map_err(explain)
    }

    /// How far two ways to compute the same may lie apart, as a fraction of the largest value.
    #[must_use]
    pub fn rounding(&self) -> f32 {
        match self.interface.element {
            Dtype::Float16 | Dtype::BFloat16 => 3e-2,
            _ => 1e-4,
        }
    }

    /// Order and scale of the images that the network takes.
    #[must_use]
    pub fn input(&self) -> Input {
        self.interface.input
    }

    /// A batch of images (n × channels × height × width) as the network takes it.
    pub fn images(&self, images: &Array4<f32>) -> Result<Tensor> {
        self.arranged(self.pixels(images)?)
    }

    /// Pixels (n × channels × height × width) in the order and the type that the network takes.
    pub fn arranged(&self, pixels: Tensor) -> Result<Tensor> {
        let Input { layout, bytes } = self.interface.input;
        let arrange = || -> Result<Tensor, TchError> {
            let ordered = match layout {
                Layout::ChannelsFirst => pixels,
                Layout::ChannelsLast => pixels.f_permute([0, 2, 3, 1])?.f_contiguous()?,
            };
            match bytes {
                false => Ok(ordered),
                true => ordered.f_round()?.f_clamp(0., 255.)?.f_to_kind(Kind::Uint8),
            }
        };
        arrange().map_err(explain)
    }

    /// The same batch as the network takes it, which on a CPU works on the channels of each pixel side by side, or on one
    /// channel after another: operators keep the order in which numbers lie in memory.
    pub fn laid(&self, images: &Tensor, pixel_by_pixel: bool) -> Result<Tensor> {
        match (self.interface.input.layout, pixel_by_pixel) {
            (Layout::ChannelsFirst, true) => channels_last(images),
            (Layout::ChannelsLast, false) if self.device == Device::Cpu => {
                let by_channel = images
                    .f_permute([0, 3, 1, 2])
                    .and_then(|t| t.f_contiguous());
                by_channel
                    .and_then(|t| t.f_permute([0, 2, 3, 1]))
                    .map_err(explain)
            }
            _ => Ok(images.shallow_clone()),
        }
    }

    /// A batch of images (n × channels × height × width), or what a [front](Self::behind) makes of them, in the type that
    /// the network computes in.
    pub fn pixels(&self, images: &Array4<f32>) -> Result<Tensor> {
        if let Some(front) = &self.front {
            let kind = kind(self.interface.element)?;
            return front.run(images)?.f_to_kind(kind).map_err(explain);
        }
        let shape: Vec<i64> = images.shape().iter().map(|n| *n as i64).collect();
        let data = images
            .as_slice()
            .ok_or_else(|| anyhow!("a batch that is not in standard layout"))?;
        let kind = kind(self.interface.element)?;
        Tensor::f_from_slice(data)
            .and_then(|t| t.f_reshape(shape))
            .and_then(|t| sent(&t, self.device))
            .and_then(|t| t.f_to_kind(kind))
            .map_err(explain)
    }

    /// Class scores of a batch, as softmax is taken of them: where the network gives probabilities, their logarithms.
    ///
    /// # Errors
    /// Those of [`output`](Self::output).
    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        self.on_scale(self.output(images)?)
    }

    /// The class scores that a network gives, as softmax is taken of them.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn on_scale(&self, scores: Tensor) -> Result<Tensor> {
        match self.interface.scale {
            Scale::Probabilities => logarithms(&scores).map_err(explain),
            Scale::Scores | Scale::LogProbabilities | Scale::Independent => Ok(scores),
        }
    }

    /// Runs `forward` on a batch and takes the class scores out of what it gives, as they are.
    ///
    /// # Errors
    /// If the network raises an error, or the class scores are not where they should be.
    pub fn output(&self, images: &Tensor) -> Result<Tensor> {
        match &self.interface.batch {
            None => self.output_of(images),
            Some(batch) => self.output_by(batch.images, images),
        }
    }

    fn output_of(&self, images: &Tensor) -> Result<Tensor> {
        let output = self
            .inner
            .forward_is(&[IValue::Tensor(images.shallow_clone())])
            .map_err(explain)?;
        let outlets = self.interface.answer.outlets.iter();
        let parts = outlets.map(|outlet| tensor_at(&output, &outlet.path));
        side_by_side(parts.collect::<Result<_>>()?)
    }

    /// How many outputs make its answer.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.interface.answer.outlets.len()
    }

    /// Whether it answers with class scores, a row for each image.
    #[must_use]
    pub fn gives_scores(&self) -> bool {
        self.interface.answer.scores().is_some()
    }

    /// Runs a method from one tensor to another; `weights`, if any, are its second argument.
    pub fn method(&self, name: &str, input: &Tensor, weights: Vec<Tensor>) -> Result<Tensor> {
        if weights.is_empty() {
            return self.inner.method_ts(name, &[input]).map_err(explain);
        }
        let args = [
            IValue::Tensor(input.shallow_clone()),
            IValue::TensorList(weights),
        ];
        match self.inner.method_is(name, &args).map_err(explain)? {
            IValue::Tensor(tensor) => Ok(tensor),
            other => bail!("method {name} gives {}", kind_of(&other)),
        }
    }

    /// Runs a method from one tensor to several.
    pub fn list(&self, name: &str, input: &Tensor) -> Result<Vec<Tensor>> {
        self.tensors_of(name, &[IValue::Tensor(input.shallow_clone())])
    }

    /// Runs a method from one tensor to a tuple, and gives the sizes of the tensors in it; `None` for what is none.
    pub fn sizes(&self, name: &str, input: &Tensor) -> Result<Vec<Option<Vec<i64>>>> {
        let input = IValue::Tensor(input.shallow_clone());
        match self.inner.method_is(name, &[input]).map_err(explain)? {
            IValue::Tuple(items) => Ok(items
                .into_iter()
                .map(|item| match item {
                    IValue::Tensor(tensor) => Some(tensor.size()),
                    _ => None,
                })
                .collect()),
            other => bail!("method {name} gives {}", kind_of(&other)),
        }
    }

    /// The tensors of [`TENSOR_LIST`]. They share memory with the network's own.
    pub fn tensors(&self) -> Result<Vec<Tensor>> {
        self.tensors_of(TENSOR_LIST, &[])
    }

    fn tensors_of(&self, name: &str, args: &[IValue]) -> Result<Vec<Tensor>> {
        match self.inner.method_is(name, args).map_err(explain)? {
            IValue::TensorList(tensors) => Ok(tensors),
            other => bail!("method {name} gives {}", kind_of(&other)),
        }
    }
}

/// The outputs that make an answer: one as it is, several as rows of one tensor.
///
/// # Errors
/// If one of them has nothing for each image.
pub fn side_by_side(mut outputs: Vec<Tensor>) -> Result<Tensor> {
    if outputs.len() == 1 {
        return Ok(outputs.remove(0));
    }
    let rows: Result<Vec<Tensor>, TchError> = outputs.iter().map(|t| t.f_flatten(1, -1)).collect();
    rows.and_then(|rows| Tensor::f_cat(&rows, 1))
        .map_err(explain)
}

/// The tensor at the end of a path.
fn tensor_at(value: &IValue, path: &[Step]) -> Result<Tensor> {
    let missing = "the network does not give the output that --output-key names";
    let Some((step, rest)) = path.split_first() else {
        return match value {
            IValue::Tensor(tensor) => Ok(tensor.shallow_clone()),
            other => bail!(
                "the network gives {} where one tensor is expected; name another output with --output-key",
                kind_of(other)
            ),
        };
    };
    let place = |count: usize| match step {
        Step::Item(i) if *i < 0 => usize::try_from(i + count as i64).ok(),
        Step::Item(i) => usize::try_from(*i).ok(),
        Step::Key(_) => None,
    };
    let behind = match value {
        IValue::Tuple(items) | IValue::GenericList(items) => {
            place(items.len()).and_then(|at| items.get(at))
        }
        IValue::TensorList(items) => {
            let item = place(items.len()).and_then(|at| items.get(at));
            let item = item.context(missing)?.shallow_clone();
            return tensor_at(&IValue::Tensor(item), rest);
        }
        IValue::GenericDict(pairs) => {
            let named =
                |key: &IValue| matches!((key, step), (IValue::String(k), Step::Key(s)) if k == s);
            let mut pairs = pairs.iter();
            pairs.find(|(key, _)| named(key)).map(|(_, value)| value)
        }
        _ => None,
    };
    tensor_at(behind.context(missing)?, rest)
}

/// libtorch's name of an element type.
fn kind(element: Dtype) -> Result<Kind> {
    Ok(match element {
        Dtype::Float16 => Kind::Half,
        Dtype::BFloat16 => Kind::BFloat16,
        Dtype::Float32 => Kind::Float,
        Dtype::Float64 => Kind::Double,
        other => bail!("images cannot be given as {other:?}"),
    })
}

fn kind_of(value: &IValue) -> &'static str {
    match value {
        IValue::Tuple(_) => "a tuple",
        IValue::GenericDict(_) => "a dictionary",
        IValue::TensorList(_) | IValue::GenericList(_) => "a list",
        IValue::None => "nothing",
        _ => "a value",
    }
}
