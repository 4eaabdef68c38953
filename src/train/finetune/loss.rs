//! What training makes small.

use anyhow::Result;
use tch::{Kind, Reduction, TchError, Tensor};

use crate::run::torch::explain;

/// Mean cross-entropy in nats. With smoothing each label is that part sure, and the rest is spread over all classes
/// (Szegedy et al., arXiv 1512.00567, section 7).
pub fn cross_entropy(scores: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let no_weights: Option<&Tensor> = None;
    scores
        .f_cross_entropy_loss(labels, no_weights, Reduction::Mean, -100, smoothing)
        .map_err(explain)
}

/// How far scores are from a teacher's: Kullback-Leibler divergence of the softened distributions, a mean over the rows
/// (images × classes), times the squared temperature, which gives its gradient the size of cross-entropy's (Hinton et
/// al., arXiv 1503.02531).
pub fn divergence(targets: &Tensor, scores: &Tensor, temperature: f64) -> Result<Tensor> {
    let soft = |t: &Tensor| t.f_to_kind(Kind::Float)?.f_div_scalar(temperature);
    let divergence = || -> Result<Tensor, TchError> {
        let targets = soft(targets)?.f_softmax(-1, Kind::Float)?;
        let sum = soft(scores)?.f_log_softmax(-1, Kind::Float)?.f_kl_div(
            &targets,
            Reduction::Sum,
            false,
        )?;
        let images = scores.size().first().copied().unwrap_or(0).max(1) as f64;
        sum.f_mul_scalar(temperature * temperature / images)
    };
    divergence().map_err(explain)
}

/// `part` of the one and the rest of the other.
pub fn blend(one: &Tensor, other: &Tensor, part: f64) -> Result<Tensor> {
    let sum = || {
        one.f_mul_scalar(part)?
            .f_add(&other.f_mul_scalar(1. - part)?)
    };
    sum().map_err(explain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_the_mean_over_images_of_softened_distributions() {
        let targets = [[2., 0., -2.], [1., 1., 0.]];
        let scores = [[0., 0., 0.], [3., -1., 2.]];
        let temperature = 2.;
        let soft = |row: [f64; 3]| {
            let powers = row.map(|x| (x / temperature).exp());
            powers.map(|p| p / powers.iter().sum::<f64>())
        };
        let row = |(t, s): (&[f64; 3], &[f64; 3])| -> f64 {
            let pairs = soft(*t).into_iter().zip(soft(*s));
            pairs.map(|(t, s)| t * (t / s).ln()).sum()
        };
        let expected = 4. * targets.iter().zip(&scores).map(row).sum::<f64>() / 2.;
        let [targets, scores] =
            [targets, scores].map(|rows| Tensor::from_slice(&rows.concat()).reshape([2, 3]));
        let found = divergence(&targets, &scores, temperature).unwrap();
        assert!((found.double_value(&[]) - expected).abs() < 1e-6);
    }
}
