//! How far what one network gives is from what another gives.

use anyhow::{Context, Result};
use rand::RngExt;
use tch::{Kind, TchError, Tensor};

use crate::data::{Images, random_stream};
use crate::run::torch::{self, FIRST_LOOK, Module};

/// Numbers of an image's answer that are looked at, at most: maps have millions.
const NUMBERS: usize = 4096;

/// Mean squared difference of two tensors of the same shape, images × …, over the variance of each of the second one's channels:
/// 1 is as far as its means are. Else the channels that vary most would be all that counts. `kind`: what is computed in.
///
/// # Errors
/// If libtorch refuses.
pub fn distance(
    found: &Tensor,
    target: &Tensor,
    channels: usize,
    kind: Kind,
) -> Result<Tensor, TchError> {
    let (found, target) = (found.f_to_kind(kind)?, target.f_to_kind(kind)?);
    let variance = variance(&target, channels)?;
    let difference = found.f_sub(&target)?.f_square()?;
    difference.f_div(&variance)?.f_mean(kind)
}

/// The same of each image for itself, by a variance of the channels of all images ([`variance`]).
///
/// # Errors
/// If libtorch refuses.
pub fn distance_of_each(
    found: &Tensor,
    target: &Tensor,
    variance: &Tensor,
) -> Result<Tensor, TchError> {
    let kind = variance.kind();
    let (found, target) = (found.f_to_kind(kind)?, target.f_to_kind(kind)?);
    let difference = found.f_sub(&target)?.f_square()?.f_div(variance)?;
    difference.f_flatten(1, -1)?.f_mean_dim(1, false, kind)
}

/// The variance of each channel, in a shape by which its tensor may be divided; of those that hardly vary a part of the mean
/// one.
///
/// # Errors
/// If libtorch refuses.
pub fn variance(target: &Tensor, channels: usize) -> Result<Tensor, TchError> {
    /// Of the mean variance: what channels have at least that hardly vary.
    const FLOOR: f64 = 0.01;
    let kind = target.kind();
    let others: Vec<i64> = (0..target.dim())
        .filter(|d| *d != channels)
        .map(|d| d as i64)
        .collect();
    let mean = |t: &Tensor| t.f_mean_dim(&others[..], true, kind);
    let variance = mean(&target.f_sub(&mean(target)?)?.f_square()?)?;
    let floor = variance.f_mean(kind)?.f_mul_scalar(FLOOR)?;
    variance.f_add(&floor)?.f_clamp_min(1e-12)
}

/// Places of numbers in a network's answer to one of these images, drawn once for all images.
///
/// # Errors
/// If the network cannot run.
pub fn drawn(module: &Module, images: &Images) -> Result<Tensor> {
    let first = images.in_batches_of(FIRST_LOOK).first_batch()?;
    let first = first.context("no images to ask the network for")?;
    let answer = tch::no_grad(|| module.forward(&module.images(&first.images)?))?;
    let all = answer.numel() / answer.size().first().map_or(1, |n| (*n).max(1) as usize);
    let mut places: Vec<i64> = (0..all as i64).collect();
    if all > NUMBERS {
        let mut random = random_stream(*b"numbers\0", 0, 0, 0);
        places = (0..NUMBERS)
            .map(|_| random.random_range(0..all as i64))
            .collect();
        places.sort_unstable();
        places.dedup();
    }
    torch::numbers(&places, module.device())
}

/// The numbers of answers at these places: images × numbers, in f32.
///
/// # Errors
/// If libtorch refuses.
pub fn numbers(answer: &Tensor, places: &Tensor) -> Result<Tensor, TchError> {
    answer
        .f_flatten(1, -1)?
        .f_index_select(1, places)?
        .f_to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_measured_by_its_own_variance() {
        // Two images, two channels, the second of which varies ten times as much.
        let target = Tensor::from_slice(&[1f32, 10., 3., 30.]).reshape([2, 2]);
        let means = Tensor::from_slice(&[2f32, 20., 2., 20.]).reshape([2, 2]);
        // The first has a variance of 1, the second one of 100; a hundredth of their mean is added to both.
        let floor = 0.01 * (1. + 100.) / 2.;
        let expected = (1. / (1. + floor) + 100. / (100. + floor)) / 2.;
        for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::Double, 1e-9)] {
            let of = |found: &Tensor| {
                let distance = distance(found, &target, 1, kind).unwrap();
                distance.double_value(&[])
            };
            assert_eq!(of(&target), 0.);
            assert!((of(&means) - expected).abs() < tolerance, "{}", of(&means));
            // The mean of what each image is off by.
            let variance = variance(&target.to_kind(kind), 1).unwrap();
            let each = distance_of_each(&means, &target, &variance).unwrap();
            assert_eq!(each.size(), [2]);
            assert!((each.mean(kind).double_value(&[]) - expected).abs() < tolerance);
        }
    }
}
