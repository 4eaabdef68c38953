//! How far what one network gives is from what another gives.

use tch::{Kind, TchError, Tensor};

/// Mean squared difference of two tensors of the same shape, images × …, over the variance of each of the second one's channels:
/// 1 is as far as its means are. Else the channels that vary most would be all that counts. `kind`: what is computed in.
pub(super) fn distance(
    found: &Tensor,
    target: &Tensor,
    channels: usize,
    kind: Kind,
) -> Result<Tensor, TchError> {
    /// Of the mean variance: what channels have at least that hardly vary.
    const FLOOR: f64 = 0.01;
    let (found, target) = (found.f_to_kind(kind)?, target.f_to_kind(kind)?);
    let others: Vec<i64> = (0..target.dim())
        .filter(|d| *d != channels)
        .map(|d| d as i64)
        .collect();
    let mean = |t: &Tensor| t.f_mean_dim(&others[..], true, kind);
    let variance = mean(&target.f_sub(&mean(&target)?)?.f_square()?)?;
    let floor = variance.f_mean(kind)?.f_mul_scalar(FLOOR)?;
    let variance = variance.f_add(&floor)?.f_clamp_min(1e-12)?;
    let difference = found.f_sub(&target)?.f_square()?;
    difference.f_div(&variance)?.f_mean(kind)
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
        }
    }
}
