//! The optimisers, over libtorch's.

use anyhow::Result;
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, TchError, Tensor};

use crate::torch::explain;

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent with Nesterov momentum.
    Sgd { momentum: f64 },
    /// Loshchilov and Hutter, arXiv 1711.05101.
    AdamW,
}

/// Group of the parameters that weight decay makes smaller.
const DECAYED: usize = 0;
/// Group of the others: of normalisation, and biases. Decay does not regularise what scales or shifts.
const SPARED: usize = 1;

/// An optimiser over a network's parameters.
pub struct Optimizer {
    inner: nn::Optimizer,
    parameters: nn::VarStore,
}

impl Optimizer {
    /// Over those of the tensors that are parameters.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new<'a>(
        method: Method,
        weight_decay: f64,
        tensors: impl Iterator<Item = (&'a Tensor, bool)>,
        device: Device,
    ) -> Result<Self> {
        let variables = nn::VarStore::new(device);
        for (i, (tensor, is_parameter)) in tensors.enumerate() {
            let group = if tensor.dim() > 1 { DECAYED } else { SPARED };
            let root = variables.root().set_group(group);
            let _ = root.add(&i.to_string(), tensor.shallow_clone(), is_parameter);
        }
        // The rate is set before each step.
        let built = match method {
            Method::Sgd { momentum } => {
                nn::sgd(momentum, 0., weight_decay, momentum > 0.).build(&variables, 0.)
            }
            Method::AdamW => nn::adamw(0.9, 0.999, weight_decay).build(&variables, 0.),
        };
        let mut inner = built.map_err(explain)?;
        // The group exists once its parameters are registered.
        inner.zero_grad();
        if variables.trainable_variables().iter().any(|t| t.dim() <= 1) {
            inner.set_weight_decay_group(SPARED, 0.);
        }
        Ok(Optimizer {
            inner,
            parameters: variables,
        })
    }

    /// A step down the gradient of `loss`, whose norm over all parameters is clipped.
    ///
    /// # Errors
    /// If libtorch cannot differentiate.
    pub fn step(
        &mut self,
        loss: &Tensor,
        learning_rate: f64,
        clip_norm: Option<f64>,
    ) -> Result<()> {
        self.inner.set_lr(learning_rate);
        self.inner.zero_grad();
        loss.f_backward().map_err(explain)?;
        if let Some(norm) = clip_norm {
            tch::no_grad(|| self.clip(norm)).map_err(explain)?;
        }
        self.inner.step();
        Ok(())
    }

    /// Scales all gradients together, so that their norm is at most `most`. The norm is never read, which would wait
    /// for the device in every step.
    fn clip(&self, most: f64) -> Result<(), TchError> {
        let gradients = self.parameters.trainable_variables();
        let gradients = gradients.iter().map(Tensor::grad).filter(Tensor::defined);
        let mut gradients: Vec<Tensor> = gradients.collect();
        if gradients.is_empty() {
            return Ok(());
        }
        let norms = gradients
            .iter()
            .map(|g| g.f_norm()?.f_to_kind(Kind::Double));
        let norms: Vec<Tensor> = norms.collect::<Result<_, _>>()?;
        let norm = Tensor::f_stack(&norms, 0)?.f_norm()?;
        let factor = norm.f_add_scalar(1e-6)?.f_reciprocal()?;
        let factor = factor.f_mul_scalar(most)?.f_clamp_max(1.)?;
        for gradient in &mut gradients {
            let _ = gradient.f_mul_(&factor)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    /// A weight and a bias of ones, and what one step makes of them.
    fn stepped(weight_decay: f64, slope: f64, clip_norm: Option<f64>) -> [f64; 2] {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let (weight, bias) = (ones(&[1, 1]), ones(&[1]));
        let method = Method::Sgd { momentum: 0. };
        let both = [(&weight, true), (&bias, true)].into_iter();
        let mut optimizer = Optimizer::new(method, weight_decay, both, Device::Cpu).unwrap();
        let loss = (weight.sum(Kind::Float) + bias.sum(Kind::Float)) * slope;
        optimizer.step(&loss, 0.1, clip_norm).unwrap();
        [&weight, &bias].map(|t| (t.double_value(&[]) * 1e6).round() / 1e6)
    }

    #[test]
    fn decay_makes_weights_smaller_and_spares_biases() {
        assert_eq!(stepped(0.5, 0., None), [0.95, 1.]);
    }

    #[test]
    fn both_groups_take_steps_of_the_rate() {
        assert_eq!(stepped(0., 1., None), [0.9, 0.9]);
    }

    #[test]
    fn gradients_within_the_norm_stay_as_they_are() {
        assert_eq!(stepped(0., 1., Some(10.)), [0.9, 0.9]);
    }

    #[test]
    fn the_norm_of_all_gradients_together_is_clipped() {
        let [weight, bias] = stepped(0., 100., Some(1.));
        // Each has 1/√2 of the norm.
        assert!(
            (weight - 0.929289).abs() < 1e-5 && weight == bias,
            "{weight} {bias}"
        );
    }
}
