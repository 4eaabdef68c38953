//! The optimisers.

use anyhow::{Result, bail};
use tch::{Kind, TchError, Tensor};

use crate::run::torch::explain;

/// How gradients become steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Stochastic gradient descent with Nesterov momentum.
    Sgd { momentum: f64 },
    /// Loshchilov and Hutter, arXiv 1711.05101.
    AdamW,
}

/// The running means of AdamW's gradients and of their squares: how much of the old ones stays.
const BETAS: [f64; 2] = [0.9, 0.999];
/// Keeps AdamW from dividing by nothing.
const EPSILON: f64 = 1e-8;

/// An optimiser over a network's parameters. It computes what libtorch's own ones do, and its memory is open, so that
/// training can be kept half way and goes on with the same bits.
pub struct Optimizer {
    method: Method,
    weight_decay: f64,
    parameters: Vec<Parameter>,
    /// Of the last step. They stay in memory until the next one: were everything freed that a step needs, the heap
    /// would shrink after each and grow again, page by page, which takes a fifth of the time on a CPU.
    gradients: Vec<Tensor>,
}

const NOTHING_LEARNS: &str = "no parameter that may be trained takes part in the class scores with a gradient: the network \
    runs under torch.no_grad(), or detaches what it computes; export it without that to train it";

/// One parameter, and what the optimiser remembers of it.
struct Parameter {
    tensor: Tensor,
    /// Decay makes weights smaller. It does not regularise what scales or shifts: normalisation and biases are spared.
    decays: bool,
    /// SGD: the momentum, if there is any. AdamW: the mean gradient and the mean of its square.
    moments: Vec<Tensor>,
    /// Taken so far.
    steps: i32,
}

impl Optimizer {
    /// Over those of the tensors that learn.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new<'a>(
        method: Method,
        weight_decay: f64,
        tensors: impl Iterator<Item = (&'a Tensor, bool)>,
    ) -> Result<Self> {
        let moments = match method {
            Method::Sgd { momentum: 0. } => 0,
            Method::Sgd { .. } => 1,
            Method::AdamW => 2,
        };
        let parameter = |tensor: &Tensor| -> Result<Parameter, TchError> {
            Ok(Parameter {
                tensor: tensor.f_set_requires_grad(true)?,
                decays: tensor.dim() > 1,
                moments: (0..moments)
                    .map(|_| tensor.f_detach()?.f_zeros_like())
                    .collect::<Result<_, _>>()?,
                steps: 0,
            })
        };
        let parameters = tensors.filter(|(_, learns)| *learns);
        let parameters = parameters.map(|(tensor, _)| parameter(tensor));
        Ok(Optimizer {
            method,
            weight_decay,
            parameters: parameters.collect::<Result<_, _>>().map_err(explain)?,
            gradients: Vec::new(),
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
        self.gradients.clear();
        if !loss.requires_grad() {
            bail!(NOTHING_LEARNS);
        }
        let inputs: Vec<&Tensor> = self.parameters.iter().map(|p| &p.tensor).collect();
        let gradients = Tensor::f_run_backward(&[loss], &inputs, false, false).map_err(explain)?;
        let step = || -> Result<(), TchError> {
            let factor = match clip_norm {
                Some(norm) => clipping(&gradients, norm)?,
                None => None,
            };
            for (parameter, gradient) in self.parameters.iter_mut().zip(&gradients) {
                // The loss does not depend on this one, as when a random depth left its layer out.
                if !gradient.defined() {
                    continue;
                }
                let gradient = match &factor {
                    Some(factor) => gradient.f_mul(factor)?,
                    None => gradient.shallow_clone(),
                };
                let decay = if parameter.decays {
                    self.weight_decay
                } else {
                    0.
                };
                // Those of images with their channels last lie otherwise than the weights, which makes sums slow.
                let gradient = match parameter.tensor.is_contiguous() {
                    true => gradient.f_contiguous()?,
                    false => gradient.shallow_clone(),
                };
                parameter.step(self.method, &gradient, learning_rate, decay)?;
            }
            Ok(())
        };
        tch::no_grad(step).map_err(explain)?;
        self.gradients = gradients;
        Ok(())
    }

    /// What it remembers of each parameter in turn.
    pub fn moments(&self) -> impl Iterator<Item = &Tensor> {
        self.parameters.iter().flat_map(|p| &p.moments)
    }

    /// Steps that each parameter has taken.
    #[must_use]
    pub fn steps(&self) -> Vec<i32> {
        self.parameters.iter().map(|p| p.steps).collect()
    }

    /// Goes on where an earlier one was; its moments are to be put in the place of these.
    pub fn go_on(&mut self, steps: &[i32]) {
        for (parameter, steps) in self.parameters.iter_mut().zip(steps) {
            parameter.steps = *steps;
        }
    }
}

impl Parameter {
    /// Every product and every sum is rounded for itself: fused ones would depend on where in memory a value lies.
    fn step(
        &mut self,
        method: Method,
        gradient: &Tensor,
        rate: f64,
        decay: f64,
    ) -> Result<(), TchError> {
        self.steps += 1;
        match (method, &mut self.moments[..]) {
            (Method::AdamW, [mean, square]) => {
                if decay != 0. {
                    let _ = self.tensor.f_mul_scalar_(1. - rate * decay)?;
                }
                let [first, second] = BETAS;
                let _ = mean
                    .f_mul_scalar_(first)?
                    .f_add_(&gradient.f_mul_scalar(1. - first)?)?;
                let squared = gradient.f_mul(gradient)?.f_mul_scalar(1. - second)?;
                let _ = square.f_mul_scalar_(second)?.f_add_(&squared)?;
                // Both means began at nothing, and are too small by this much.
                let [first, second] = BETAS.map(|beta| 1. - beta.powi(self.steps));
                let spread = square.f_sqrt()?.f_div_scalar(second.sqrt())?;
                let step = mean.f_div(&spread.f_add_scalar(EPSILON)?)?;
                let _ = self.tensor.f_add_(&step.f_mul_scalar(-rate / first)?)?;
            }
            (Method::Sgd { momentum }, moments) => {
                let mut down = match decay {
                    0. => gradient.shallow_clone(),
                    decay => gradient.f_add(&self.tensor.f_mul_scalar(decay)?)?,
                };
                if let [velocity] = moments {
                    let _ = velocity.f_mul_scalar_(momentum)?.f_add_(&down)?;
                    down = down.f_add(&velocity.f_mul_scalar(momentum)?)?;
                }
                let _ = self.tensor.f_add_(&down.f_mul_scalar(-rate)?)?;
            }
            (Method::AdamW, _) => {}
        }
        Ok(())
    }
}

/// What all gradients are to be multiplied by, so that their norm together is at most `most`. The norm is never read,
/// which would wait for the device in every step.
fn clipping(gradients: &[Tensor], most: f64) -> Result<Option<Tensor>, TchError> {
    let gradients = gradients.iter().filter(|g| g.defined());
    let norms = gradients.map(|g| g.f_norm()?.f_to_kind(Kind::Double));
    let norms: Vec<Tensor> = norms.collect::<Result<_, _>>()?;
    if norms.is_empty() {
        return Ok(None);
    }
    let norm = Tensor::f_stack(&norms, 0)?.f_norm()?;
    let factor = norm.f_add_scalar(1e-6)?.f_reciprocal()?;
    let factor = factor.f_mul_scalar(most)?.f_clamp_max(1.)?;
    Ok(Some(factor))
}

#[cfg(test)]
mod tests {
    use tch::nn::{self, OptimizerConfig};
    use tch::{Device, Kind};

    use super::*;

    /// A weight and a bias of ones, and what one step makes of them.
    fn stepped(weight_decay: f64, slope: f64, clip_norm: Option<f64>) -> [f64; 2] {
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let (weight, bias) = (ones(&[1, 1]), ones(&[1]));
        let method = Method::Sgd { momentum: 0. };
        let both = [(&weight, true), (&bias, true)].into_iter();
        let mut optimizer = Optimizer::new(method, weight_decay, both).unwrap();
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

    /// A weight after ten steps down a bowl, by ours and by libtorch's own.
    fn beside(method: Method, reference: impl OptimizerConfig, weight_decay: f64) -> [Vec<f64>; 2] {
        let start = || Tensor::from_slice(&[3f32, -2., 0.5, 1.]).reshape([2, 2]);
        let loss = |weight: &Tensor| (weight * weight * weight.abs().sqrt()).sum(Kind::Float);
        let ours = start();
        let one = [(&ours, true)].into_iter();
        let mut optimizer = Optimizer::new(method, weight_decay, one).unwrap();
        let variables = nn::VarStore::new(Device::Cpu);
        let theirs = variables.root().add("weight", start(), true);
        let mut reference = reference.build(&variables, 0.05).unwrap();
        reference.set_weight_decay(weight_decay);
        for _ in 0..10 {
            optimizer.step(&loss(&ours), 0.05, None).unwrap();
            reference.backward_step(&loss(&theirs));
        }
        [ours, theirs].map(|t| Vec::try_from(t.flatten(0, -1).to_kind(Kind::Double)).unwrap())
    }

    #[test]
    fn steps_are_those_of_libtorch() {
        let sgd = |momentum| {
            let reference = nn::sgd(momentum, 0., 0., momentum > 0.);
            beside(Method::Sgd { momentum }, reference, 0.1)
        };
        let adamw = beside(Method::AdamW, nn::adamw(0.9, 0.999, 0.), 0.1);
        for [ours, theirs] in [sgd(0.), sgd(0.9), adamw] {
            let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
            let apart = apart.fold(0., f64::max);
            assert!(apart < 1e-5, "{ours:?} and {theirs:?}");
        }
    }

    #[test]
    fn a_parameter_that_the_loss_does_not_depend_on_stays() {
        let ones = || Tensor::ones([2], (Kind::Float, Device::Cpu));
        let (used, unused) = (ones(), ones());
        let both = [(&used, true), (&unused, true)].into_iter();
        let mut optimizer = Optimizer::new(Method::AdamW, 0.1, both).unwrap();
        optimizer
            .step(&used.sum(Kind::Float), 0.1, Some(1.))
            .unwrap();
        assert_eq!(unused, ones());
        assert_eq!(optimizer.steps(), [1, 0]);
    }
}
