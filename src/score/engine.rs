//! Runs a network in pieces.

use anyhow::{Context, Result, bail};
use ndarray::{Array2, Axis, Ix3, s};
use tch::{Device, Kind, Tensor};

use crate::data::Batch;
use crate::program::interface::draws;
use crate::run::inference::Kernels;
use crate::run::segments::{Detour, Form, Method, Pieces};
use crate::run::torch::Model;
use crate::run::torch::{self, Module, PreparedLayers, explain, kernel_sets, kernels};

/// A network ready to be run piece by piece.
#[derive(Debug)]
pub struct Engine {
    module: Module,
    pieces: Pieces,
    layers: PreparedLayers,
    /// Images are given with their channels last in memory: quicker on a CPU, whose convolutions need them so.
    channels_last: bool,
    features: usize,
}

/// What the pieces lead to.
#[derive(Clone, Copy, Debug)]
enum End {
    Representation,
    Answer,
}

impl Engine {
    /// Loads a network in the quickest form that gives the same representation of these images, up to rounding.
    ///
    /// # Errors
    /// If libtorch refuses the network, or its pieces, as written, do not add up to it.
    pub fn open(model: &Model, sample: &Batch) -> Result<Self> {
        Self::towards(End::Representation, model, sample)
    }

    /// The same with what the network answers in place of the representation.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn answering(model: &Model, sample: &Batch) -> Result<Self> {
        Self::towards(End::Answer, model, sample)
    }

    fn towards(end: End, model: &Model, sample: &Batch) -> Result<Self> {
        let (analysis, device) = (model.analysis(), model.device());
        let interface = model.interface()?;
        interface.check_batch()?;
        let sets = match model.is_as_written() {
            true => &[],
            false => kernel_sets(analysis, interface.element, device),
        };
        for set in sets {
            let engine = Self::of(end, model, Form::Inference(*set));
            // What libtorch cannot run in this form it may well run as it is written.
            if let Ok(engine) = engine
                && let Some(engine) = engine.checked(sample)?
            {
                return Ok(engine);
            }
        }
        Self::written(end, model, sample)
    }

    /// Loads a network in the form in which it is written: on a CPU it computes the same bits in pieces as in one go.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn as_written(model: &Model, sample: &Batch) -> Result<Self> {
        Self::written(End::Representation, model, sample)
    }

    fn written(end: End, model: &Model, sample: &Batch) -> Result<Self> {
        let engine = Self::of(end, model, Form::AsWritten)?;
        if let Some(engine) = engine.checked(sample)? {
            return Ok(engine);
        }
        let program = &model.analysis().program;
        if program.observes() {
            bail!(
                "its observers move with every batch that runs through it (fused_moving_avg_obs_fake_quant), so it \
                 gives other scores each time; call model.apply(torch.ao.quantization.disable_observer) before it \
                 is exported"
            );
        }
        if let Some(operator) = draws(program) {
            bail!(
                "the network draws random numbers in evaluation mode as well ({operator}), so no two passes give the \
                 same scores and nothing can be compared; export it without that"
            );
        }
        bail!(
            "run in pieces the network gives other scores than as a whole; this is a bug: please report it"
        );
    }

    fn of(end: End, model: &Model, form: Form) -> Result<Self> {
        let (analysis, device) = (model.analysis(), model.device());
        if form == Form::Inference(Kernels::Ours) {
            kernels::operator::register()?;
        }
        let pieces = match end {
            End::Representation => Pieces::of(analysis, form),
            End::Answer => Pieces::of_answer(analysis, form),
        }?;
        let instrumented = pieces.instrument(model.archive(), &analysis.network);
        let module = model.load_instrumented(&instrumented)?;
        let channels_last = form != Form::AsWritten && device == Device::Cpu;
        let tensors = module.tensors()?;
        let sources: Vec<_> = pieces.sources().into_iter().zip(&tensors).collect();
        let layers = PreparedLayers::of(&pieces.layers, &sources, channels_last)?;
        Ok(Engine {
            module,
            pieces,
            layers,
            channels_last,
            features: 0,
        })
    }

    #[must_use]
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// Of an image's representation.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// Images as the pieces take them, filled up to `size` with copies of the first one: for batches of another size
    /// libtorch may choose kernels that round differently, and then parts of a job would not add up to the whole.
    pub fn input(&self, batch: &Batch, size: usize) -> Result<Tensor> {
        let mut images = self.module.images(&batch.images)?;
        let missing = size.saturating_sub(batch.indices.len()) as i64;
        if missing > 0 {
            let more = images.f_narrow(0, 0, 1).map_err(explain)?;
            let mut sizes = vec![-1; more.dim()];
            sizes[0] = missing;
            let more = more.f_expand(sizes, false).map_err(explain)?;
            images = Tensor::f_cat(&[images, more], 0).map_err(explain)?;
        }
        self.laid(images)
    }

    /// A tensor as the pieces take it, its channels last in memory where they need it so.
    pub fn laid(&self, tensor: Tensor) -> Result<Tensor> {
        match self.channels_last {
            true => torch::channels_last(&tensor),
            false => Ok(tensor),
        }
    }

    /// The representation, from the tensor at a boundary.
    pub fn run(&self, from: usize, boundary: Tensor) -> Result<Tensor> {
        let behind = from..self.pieces.segments.len();
        behind
            .into_iter()
            .try_fold(boundary, |tensor, i| self.segment(i, &tensor))
    }

    /// The tensor at the boundary behind a segment, from the one in front of it.
    pub fn segment(&self, segment: usize, boundary: &Tensor) -> Result<Tensor> {
        self.method(&self.pieces.segments[segment], boundary)
    }

    /// The representation of the network without a block, from the tensor at the boundary in front of it.
    pub fn detour(&self, detour: &Detour, boundary: &Tensor) -> Result<Tensor> {
        self.run(detour.resume, self.variant(detour, boundary)?)
    }

    /// The tensor at the boundary behind a detour's block, without the block.
    pub fn variant(&self, detour: &Detour, boundary: &Tensor) -> Result<Tensor> {
        match &detour.variant {
            Some(variant) => self.method(variant, boundary),
            None => Ok(boundary.shallow_clone()),
        }
    }

    /// The class scores that follow from a representation, as softmax is taken of them; `None` where they need more than
    /// that.
    pub fn scores(&self, representation: &Tensor) -> Result<Option<Tensor>> {
        let head = self.pieces.head.as_ref();
        let scores = head.map(|head| self.module.on_scale(self.method(head, representation)?));
        scores.transpose()
    }

    /// Samples that an image gives: its places, or 1, itself.
    #[must_use]
    pub fn places(&self) -> usize {
        self.pieces.places
    }

    /// The features of several representations of the same batch, of its first `images`: samples × p each.
    pub fn rows(&self, representations: &[Tensor], images: usize) -> Result<Vec<Array2<f32>>> {
        features(representations, images * self.places())
    }

    /// The features of the network's own representation of a batch: samples × p.
    pub fn representation(&self, batch: &Batch) -> Result<Array2<f32>> {
        let images = batch.indices.len();
        let representation = self.run(0, self.input(batch, images)?)?;
        let mut all = self.rows(&[representation], images)?;
        all.pop().context("a batch without a representation")
    }

    fn method(&self, method: &Method, input: &Tensor) -> Result<Tensor> {
        let weights = self.layers.tensors(&method.layers);
        let output = tch::no_grad(|| self.module.method(&method.name, input, weights));
        kernels::operator::check()?;
        output
    }

    /// The engine, if its pieces, run one after another, are the network.
    fn checked(self, sample: &Batch) -> Result<Option<Self>> {
        let size = sample.indices.len();
        let images = self.module.images(&sample.images)?;
        let whole = self.method(&self.pieces.whole, &images)?;
        let input = self.input(sample, size);
        let Ok(piecewise) = input.and_then(|input| self.run(0, input)) else {
            return Ok(None);
        };
        if !self.module.agree(&piecewise, &whole)? {
            return Ok(None);
        }
        let rows = self.rows(&[piecewise, whole.shallow_clone()], size)?;
        if !vary_alike(&rows[0], &rows[1]) {
            return Ok(None);
        }
        if let Some(head) = &self.pieces.head {
            let scores = tch::no_grad(|| self.module.output(&images))?;
            if !self.module.agree(&self.method(head, &whole)?, &scores)? {
                return Ok(None);
            }
        }
        Ok(Some(Engine {
            features: rows[0].ncols(),
            ..self
        }))
    }
}

/// Whether two representations of the same images differ by little of what they differ by from image to image. CKA looks
/// at nothing else: where images hardly differ, rounding may be much of that.
fn vary_alike(found: &Array2<f32>, expected: &Array2<f32>) -> bool {
    /// CKA is off by the square of it, where rounding has nothing to do with what images show.
    const SHARE: f64 = 1e-3;
    let centred = |rows: &Array2<f32>| {
        let rows = rows.mapv(f64::from);
        let mean = rows.mean_axis(Axis(0));
        mean.map_or(rows.clone(), |mean| &rows - &mean)
    };
    let (found, expected) = (centred(found), centred(expected));
    let norm = |a: &Array2<f64>| a.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (off, all) = (norm(&(&found - &expected)), norm(&expected));
    // What is no number was compared already.
    off <= SHARE * all || !off.is_finite() || !all.is_finite()
}

/// The features of several representations of the same batch, moved to this machine's memory at once: the first
/// `samples` of n × p each. Feature maps (n × c × h × w) are averaged over their pixels.
fn features(representations: &[Tensor], samples: usize) -> Result<Vec<Array2<f32>>> {
    let rows = |t: &Tensor| {
        let images = t.size().first().copied().unwrap_or(0);
        let wide = t.f_to_kind(Kind::Float)?;
        match t.dim() {
            0..=2 => wide.f_reshape([images, -1]),
            _ => wide.f_flatten(2, -1)?.f_mean_dim(2, false, Kind::Float),
        }
    };
    let rows: Vec<Tensor> = representations
        .iter()
        .map(|t| rows(t).map_err(explain))
        .collect::<Result<_>>()?;
    let stacked = Tensor::f_stack(&rows, 0).map_err(explain)?;
    let array = torch::to_array(&stacked)?.into_dimensionality::<Ix3>()?;
    Ok(array
        .axis_iter(Axis(0))
        .map(|rows| rows.slice(s![..samples, ..]).to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_that_hides_what_images_differ_by_is_seen() {
        tch::manual_seed(0);
        let images = Tensor::randn([8, 32], (Kind::Float, Device::Cpu));
        let rounding = images.randn_like() * 1e-5;
        let alike = |scale: f64| {
            let rounded = [&images * scale + 1. + &rounding, &images * scale + 1.];
            let rows = features(&rounded, 8).unwrap();
            vary_alike(&rows[0], &rows[1])
        };
        assert!(alike(1.));
        assert!(!alike(1e-3));
    }
}
