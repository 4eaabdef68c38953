//! Tensors that layers of the quick form need, made once before a network runs.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use tch::{Device, Kind, Tensor};

use super::kernels::{CHANNELS, dense, depthwise, winograd};
use super::{channels_last, explain, to_array};
use crate::program::Operand;
use crate::run::inference::{Kernel, Layer};

/// The tensors of layers, those of each as [`prepare`] makes them. Handles of tensors are not shared between threads; each
/// takes copies of them, which share the memory.
#[derive(Debug)]
pub struct PreparedLayers(Vec<Mutex<Vec<Tensor>>>);

impl PreparedLayers {
    /// Makes them of the network's own tensors.
    ///
    /// # Errors
    /// If one of these is missing, or libtorch refuses.
    pub fn of(
        layers: &[Layer],
        sources: &[(Operand, &Tensor)],
        is_channels_last: bool,
    ) -> Result<Self> {
        let source = |operand: &Operand| {
            let found = sources.iter().find(|(o, _)| o == operand);
            let found = found.map(|(_, tensor)| *tensor);
            found.context("a tensor of the network is missing")
        };
        let prepared = |layer| prepare(layer, source, is_channels_last).map(Mutex::new);
        let layers = tch::no_grad(|| layers.iter().map(prepared).collect::<Result<_>>())?;
        Ok(PreparedLayers(layers))
    }

    /// Those of the layers at these places, side by side.
    #[must_use]
    pub fn tensors(&self, places: &[usize]) -> Vec<Tensor> {
        let mut all = Vec::new();
        for place in places {
            let tensors = self.0[*place].lock();
            let tensors = tensors.unwrap_or_else(PoisonError::into_inner);
            all.extend(tensors.iter().map(Tensor::shallow_clone));
        }
        all
    }
}

/// The tensors of a layer: weight, then bias if it has one. Normalisation is folded in f64.
fn prepare<'a>(
    layer: &Layer,
    source: impl Fn(&Operand) -> Result<&'a Tensor>,
    is_channels_last: bool,
) -> Result<Vec<Tensor>> {
    let original = source(&layer.weight)?;
    let kind = original.f_kind().map_err(explain)?;
    let optional = |operand: &Option<Operand>| operand.as_ref().map(&source).transpose();
    let bias = optional(&layer.bias)?;
    let (mut weight, bias) = match &layer.norm {
        None => (original.shallow_clone(), bias.map(Tensor::shallow_clone)),
        Some(norm) => {
            let norm = BatchNorm {
                scale: optional(&norm.scale)?,
                shift: optional(&norm.shift)?,
                mean: source(&norm.mean)?,
                variance: source(&norm.variance)?,
                epsilon: norm.epsilon,
            };
            let (weight, bias) = norm.folded(original, bias).map_err(explain)?;
            let rounded = |t: Tensor| t.f_to_kind(kind).map_err(explain);
            (rounded(weight)?, Some(rounded(bias)?))
        }
    };
    if let Some(kernel) = layer.kernel {
        return arranged(kernel, &weight, bias);
    }
    if is_channels_last && weight.dim() == 4 {
        weight = channels_last(&weight)?;
    }
    Ok(std::iter::once(weight).chain(bias).collect())
}

/// Weight and bias as an operator of ours takes them ([`super::kernels::operator`]), a bias of zeros if there is none.
fn arranged(kernel: Kernel, weight: &Tensor, bias: Option<Tensor>) -> Result<Vec<Tensor>> {
    let [outputs, inputs, side, _] = weight.size()[..] else {
        bail!("weights of a convolution without channels");
    };
    let taps = to_array(weight)?;
    let taps: Vec<f32> = taps.iter().copied().collect();
    let [ins, outs] = [inputs, outputs].map(|channels| channels as usize);
    let channels = CHANNELS as i64;
    let (weights, size) = match kernel {
        Kernel::Winograd => (
            winograd::weights(&taps, ins, outs),
            vec![-1, outputs / channels, inputs, channels],
        ),
        Kernel::Dense => (
            dense::weights(&taps, ins, outs),
            vec![-1, side, side, inputs, channels],
        ),
        Kernel::Depthwise => (depthwise::weights(&taps, outs), vec![side, side, outputs]),
    };
    let weights = Tensor::f_from_slice(&weights)
        .and_then(|t| t.f_reshape(size))
        .map_err(explain)?;
    let bias = match bias {
        Some(bias) => bias,
        None => Tensor::f_zeros([outputs], (Kind::Float, Device::Cpu)).map_err(explain)?,
    };
    Ok(vec![weights, bias])
}

/// A batch normalisation in evaluation mode.
struct BatchNorm<'a> {
    scale: Option<&'a Tensor>,
    shift: Option<&'a Tensor>,
    mean: &'a Tensor,
    variance: &'a Tensor,
    epsilon: f64,
}

impl BatchNorm<'_> {
    /// Weight and bias in f64 of a convolution with this normalisation behind it:
    /// `(Wx + b − mean) / sqrt(variance + ε) · scale + shift`.
    fn folded(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor), tch::TchError> {
        let wide = |t: &Tensor| t.f_to_kind(Kind::Double);
        let mut factor = wide(self.variance)?.f_add_scalar(self.epsilon)?.f_rsqrt()?;
        if let Some(scale) = self.scale {
            factor = factor.f_mul(&wide(scale)?)?;
        }
        let mut offset = wide(self.mean)?.f_neg()?;
        if let Some(bias) = bias {
            offset = offset.f_add(&wide(bias)?)?;
        }
        offset = offset.f_mul(&factor)?;
        if let Some(shift) = self.shift {
            offset = offset.f_add(&wide(shift)?)?;
        }
        let mut per_output = vec![1; weight.dim()];
        per_output[0] = -1;
        let weight = wide(weight)?.f_mul(&factor.f_reshape(&per_output)?)?;
        Ok((weight, offset))
    }
}
