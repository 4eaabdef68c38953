//! Attacks: the image within reach that the network is most wrong about, looked for along the network's own gradient.
//!
//! Within reach is every image whose pixels differ by no more than ε each (the L∞ ball) and stay in 0..1. The network
//! sees (pixel − mean) / std, so the ball is taken there: a side of ε / std, between black and white, channel by channel.
//!
//! - FGSM, one step (Goodfellow, Shlens, Szegedy, arXiv 1412.6572, section 4): x + ε·sign(∇ₓ loss).
//! - PGD, several (Madry et al., arXiv 1706.06083, section 2.1): from a random place in the ball, steps of
//!   α·sign(∇ₓ loss), each brought back into the ball. α is 2.5·ε / steps where nobody says otherwise, as the authors do.
//!
//! The loss is cross-entropy with the images' labels. Gradients are taken in evaluation mode, with respect to the images
//! alone: no parameter gathers one.

use std::fmt;
use std::num::NonZeroU32;

use anyhow::{Context, Result, bail};
use ndarray::Array4;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

use super::Epsilon;
use super::loss_sum;
use crate::data::random_stream;
use crate::run::torch::{Module, explain};

/// An attack with its settings. ε and step size are in units of pixels in 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Attack {
    Fgsm {
        epsilon: f64,
    },
    Pgd {
        epsilon: f64,
        steps: NonZeroU32,
        step_size: f64,
    },
}

impl Attack {
    /// ε, in units of pixels in 0..1.
    #[must_use]
    pub fn epsilon(self) -> f64 {
        match self {
            Attack::Fgsm { epsilon } | Attack::Pgd { epsilon, .. } => epsilon,
        }
    }

    /// The size of PGD's steps where nobody says otherwise: so that they can reach the other side of the ball and
    /// turn round.
    #[must_use]
    pub fn usual_step_size(epsilon: f64, steps: NonZeroU32) -> f64 {
        2.5 * epsilon / f64::from(steps.get())
    }

    /// Attacks a batch of images (n × c × h × w, as the network takes them).
    ///
    /// `numbers` are the images' in the data: what is drawn at random depends on them and the seed alone.
    ///
    /// # Errors
    /// If the network cannot run, or gives no gradient.
    pub fn run(self, module: &Module, targets: &Targets, pixels: &Pixels) -> Result<Attacked> {
        let input = module.input();
        if !input.is_usual() {
            bail!(
                "attacks follow the gradient of pixels laid out n × channels × height × width; this network takes {input}"
            );
        }
        if module.has_front() {
            bail!(
                "attacks follow the gradient of pixels; the module that --inside names is given what the network around it \
                 makes of them: attack the whole"
            );
        }
        let kind = targets.images.f_kind().map_err(explain)?;
        // Half precision would round ε; the network still computes in its own.
        let exact = match kind {
            Kind::Half | Kind::BFloat16 => Kind::Float,
            other => other,
        };
        let images = targets.images.f_to_kind(exact).map_err(explain)?;
        let ball = Ball::around(&images, self.epsilon(), pixels).map_err(explain)?;
        let gradient = |at: &Tensor| gradient(module, at, targets.labels, kind);
        let (attacked, first) = match self {
            Attack::Fgsm { epsilon } => {
                let first = gradient(&images)?;
                (ball.step(&images, &first, epsilon, pixels), first)
            }
            Attack::Pgd {
                epsilon,
                steps,
                step_size,
            } => {
                let start = module.images(&random_directions(targets)?)?;
                let mut at = start
                    .f_to_kind(exact)
                    .and_then(|start| ball.moved(&images, &start, epsilon, pixels))
                    .map_err(explain)?;
                let first = gradient(&at)?;
                for number in 0..steps.get() {
                    let step = |g: &Tensor| ball.step(&at, g, step_size, pixels);
                    at = match number {
                        0 => step(&first),
                        _ => step(&gradient(&at)?),
                    }
                    .map_err(explain)?;
                }
                (Ok(at), first)
            }
        };
        Ok(Attacked {
            images: attacked.and_then(|t| t.f_to_kind(kind)).map_err(explain)?,
            without_gradient: without_gradient(&first).map_err(explain)?,
        })
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Attack::Fgsm { epsilon } => write!(f, "fgsm, ε = {}", Epsilon(epsilon)),
            Attack::Pgd {
                epsilon,
                steps,
                step_size,
            } => {
                let step = format!("{:.2}", 255. * step_size);
                let step = step.trim_end_matches('0').trim_end_matches('.');
                write!(
                    f,
                    "pgd, ε = {}, {steps} steps of {step}/255",
                    Epsilon(epsilon)
                )
            }
        }
    }
}

/// A batch to attack.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// n × c × h × w, as the network takes them.
    pub images: &'a Tensor,
    /// One class number an image, on the images' device.
    pub labels: &'a Tensor,
    /// Each image's number in the data.
    pub numbers: &'a [usize],
    pub seed: u64,
}

/// What an attack found.
#[derive(Debug)]
pub struct Attacked {
    /// n × c × h × w, in the element type of the images attacked.
    pub images: Tensor,
    /// Images at which every derivative of the loss is 0, as where the network is so sure that the loss rounds to
    /// 0: a single step leaves such an image as it is, which says nothing about how robust the network is.
    pub without_gradient: usize,
}

/// What pixels are to the network: of each channel black, white, and the length of the whole range.
#[derive(Debug)]
pub struct Pixels {
    black: Tensor,
    white: Tensor,
    range: Tensor,
}

impl Pixels {
    /// From mean and standard deviation of every channel.
    ///
    /// # Errors
    /// If libtorch cannot make the tensors.
    pub fn new(normalisation: &[(f32, f32)], device: tch::Device) -> Result<Self> {
        let per_channel = |value: fn(&(f32, f32)) -> f32| {
            let values: Vec<f32> = normalisation.iter().map(value).collect();
            Tensor::f_from_slice(&values)
                .and_then(|t| t.f_reshape([1, -1, 1, 1]))
                .and_then(|t| t.f_to_device(device))
                .map_err(explain)
        };
        Ok(Pixels {
            // As the loader computes them, to the last bit.
            black: per_channel(|(mean, std)| (0. - mean) / std)?,
            white: per_channel(|(mean, std)| (1. - mean) / std)?,
            range: per_channel(|(_, std)| 1. / std)?,
        })
    }
}

/// The images within reach of some, as bounds of every value.
struct Ball {
    lower: Tensor,
    upper: Tensor,
}

impl Ball {
    /// A value that lies outside of black and white by rounding is allowed where it is.
    fn around(images: &Tensor, epsilon: f64, pixels: &Pixels) -> Result<Self, TchError> {
        let reach = pixels.range.f_mul_scalar(epsilon)?;
        Ok(Ball {
            lower: images
                .f_sub(&reach)?
                .f_maximum(&pixels.black)?
                .f_minimum(images)?,
            upper: images
                .f_add(&reach)?
                .f_minimum(&pixels.white)?
                .f_maximum(images)?,
        })
    }

    /// A step of `size` up the gradient, and back into the ball.
    fn step(
        &self,
        from: &Tensor,
        gradient: &Tensor,
        size: f64,
        pixels: &Pixels,
    ) -> Result<Tensor, TchError> {
        self.moved(from, &gradient.f_sign()?, size, pixels)
    }

    /// Moved by `size` pixels along the directions, and back into the ball.
    fn moved(
        &self,
        from: &Tensor,
        directions: &Tensor,
        size: f64,
        pixels: &Pixels,
    ) -> Result<Tensor, TchError> {
        let step = pixels.range.f_mul_scalar(size)?;
        from.f_addcmul(directions, &step)?
            .f_clamp_tensor(Some(&self.lower), Some(&self.upper))
    }
}

/// Where each value of the images goes at first: uniform in −1..1.
fn random_directions(targets: &Targets) -> Result<Array4<f32>> {
    let (n, c, h, w) = targets.images.size4().map_err(explain)?;
    let shape = [n, c, h, w].map(|side| side as usize);
    let mut directions = Array4::zeros(shape);
    for (number, mut image) in targets.numbers.iter().zip(directions.outer_iter_mut()) {
        let mut random = random_stream(*b"pgd     ", targets.seed, 0, *number as u64);
        image
            .iter_mut()
            .for_each(|x| *x = random.random_range(-1_f32..=1.));
    }
    Ok(directions)
}

/// The gradient of the loss at `images`, which the network sees as `kind`.
fn gradient(module: &Module, images: &Tensor, labels: &Tensor, kind: Kind) -> Result<Tensor> {
    if module.is_quantised() {
        bail!(
            "the network is quantised, and quantised layers pass no gradient back to the image; attack the network as it \
             was before quantisation, or leave --attacks out"
        );
    }
    let leaf = images
        .f_detach()
        .and_then(|t| t.f_set_requires_grad(true))
        .map_err(explain)?;
    // A copy, since some networks write over their input.
    let input = leaf
        .f_to_kind(kind)
        .and_then(|t| t.f_alias_copy())
        .map_err(explain)?;
    let scores = module.forward(&input)?;
    let loss = loss_sum(&scores, labels)?;
    if !loss.requires_grad() {
        bail!(NO_GRADIENT);
    }
    let mut gradients = Tensor::f_run_backward(&[loss], &[&leaf], false, false)
        .map_err(explain)
        .context(NO_GRADIENT)?;
    match gradients.pop() {
        Some(gradient) if gradient.defined() => Ok(gradient),
        _ => bail!(NO_GRADIENT),
    }
}

const NO_GRADIENT: &str = "the network passes no gradient back to the image, which attacks go by: some step of it cannot \
    be differentiated, or not in its element type on this device; export it in single precision with model.float(), or \
    leave --attacks out";

fn without_gradient(gradient: &Tensor) -> Result<usize, TchError> {
    let largest = gradient.f_abs()?.f_amax([1, 2, 3], false)?;
    let blind = largest.f_eq(0.)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    Ok(usize::try_from(blind).unwrap_or_default())
}
