//! Several similarities of the representations with and without the block agree on a rank, after *Layer Pruning with
//! Consensus* (Mugnaini, Tavares Duarte, Reali Costa, Jordao; arXiv 2411.14345), whose idea it takes: one number from many
//! similarities. Here each of three ranks the candidates, and the mean of the places decides:
//!
//! - linear CKA (Kornblith et al., arXiv 1905.00414): blind to rotation and scale;
//! - Procrustes similarity `‖YᵀX‖_* / (‖X‖_F ‖Y‖_F)` of centred representations, 1 where a rotation and a scale make one
//!   of the other (Williams et al., arXiv 2110.14739);
//! - the mean cosine of an image's features with and without the block: the classifier behind them stays as it is, so
//!   that a rotation is no small thing to it.

use anyhow::{Result, anyhow};
use ndarray::{Array2, ArrayView2, Axis};
use tch::{Kind, Tensor};

use super::{Criterion, ScoringContext, Value, Values};
use crate::run::torch::explain;
use crate::score::cka::cka;
use crate::score::{Ended, Tally};

/// Mean rank over three similarities; of equal ones the higher CKA comes first.
pub struct Consensus;

impl Criterion for Consensus {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let found = context.compared(|path, x, y| {
            let cka = cka(x, y).map_err(|error| crate::score::incomparable(&error, Some(path)))?;
            let similarities = [cka, procrustes(x, y)?, cosine(x, y)];
            match similarities.iter().all(|s| s.is_finite()) {
                true => Ok(similarities),
                false => Err(anyhow!("block {path}: its similarity is no number")),
            }
        })?;
        let Some(mut found) = found else {
            return Ok(Ended::Stopped(Vec::new()));
        };
        found.sort_by(|(_, a, _), (_, b, _)| b[0].total_cmp(&a[0]));
        let similarities: Vec<[f64; 3]> = found.iter().map(|(_, s, _)| *s).collect();
        let values = found
            .into_iter()
            .zip(mean_ranks(&similarities))
            .map(|((path, _, images), rank)| (path, Value::Consensus(rank), images));
        Ok(Ended::Done(values.collect()))
    }
}

/// For each candidate its mean place by all similarities, 1 for the most similar; equal ones share the mean of theirs.
fn mean_ranks<const N: usize>(similarities: &[[f64; N]]) -> Vec<f64> {
    let place = |candidate: &[f64; N], by: usize| {
        let others = similarities.iter().map(|s| s[by]);
        let (mut above, mut equal) = (0, 0);
        for other in others {
            above += usize::from(other > candidate[by]);
            equal += usize::from(other == candidate[by]);
        }
        above as f64 + (equal as f64 + 1.) / 2.
    };
    let mean = |s: &[f64; N]| (0..N).map(|by| place(s, by)).sum::<f64>() / N as f64;
    similarities.iter().map(mean).collect()
}

/// `‖YᵀX‖_* / (‖X‖_F ‖Y‖_F)` of the representations, centred: from 0 to 1.
fn procrustes(x: ArrayView2<f32>, y: ArrayView2<f32>) -> Result<f64> {
    let (x, y) = (centred(x), centred(y));
    let product = y.t().dot(&x).as_standard_layout().into_owned();
    let (rows, columns) = product.dim();
    let data = product.as_slice().unwrap_or_default();
    let nuclear = Tensor::f_from_slice(data)
        .and_then(|t| t.f_reshape([rows as i64, columns as i64]))
        .and_then(|t| t.f_svd(true, false))
        .and_then(|(_, singular, _)| singular.f_sum(Kind::Double)?.f_double_value(&[]))
        .map_err(explain)?;
    let norms = norm(&x) * norm(&y);
    Ok(nuclear / norms)
}

/// The mean over images of the cosine of both representations: −1 to 1. An image that both give zeros has not changed.
fn cosine(x: ArrayView2<f32>, y: ArrayView2<f32>) -> f64 {
    let wide = |a: ArrayView2<f32>| a.mapv(f64::from);
    let (x, y) = (wide(x), wide(y));
    let cosines = x.outer_iter().zip(y.outer_iter()).map(|(x, y)| {
        let norms = (x.dot(&x) * y.dot(&y)).sqrt();
        match norms > 0. {
            true => x.dot(&y) / norms,
            false => f64::from(x == y),
        }
    });
    cosines.sum::<f64>() / x.nrows().max(1) as f64
}

fn centred(a: ArrayView2<f32>) -> Array2<f64> {
    let a = a.mapv(f64::from);
    match a.mean_axis(Axis(0)) {
        Some(mean) => a - mean,
        None => a,
    }
}

fn norm(a: &Array2<f64>) -> f64 {
    a.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_are_averaged_and_equal_ones_shared() {
        let similarities = [[0.9, 0.5], [0.8, 0.5], [0.7, 0.9]];
        assert_eq!(mean_ranks(&similarities), [1.75, 2.25, 2.0]);
    }

    #[test]
    fn cosine_sees_a_rotation_and_procrustes_does_not() {
        let x = array![[1f32, 0.], [0., 2.], [3., 1.], [-2., 4.]];
        let turned = x.dot(&array![[0., 1.], [-1., 0.]]);
        assert!((procrustes(x.view(), turned.view()).unwrap() - 1.).abs() < 1e-9);
        assert!(cosine(x.view(), turned.view()).abs() < 1e-9);
        assert!((cosine(x.view(), x.view()) - 1.).abs() < 1e-12);
    }

    #[test]
    fn an_image_of_zeros_is_compared_too() {
        let x = array![[0f32, 0.], [1., 0.]];
        let y = array![[0f32, 0.], [0., 0.]];
        assert_eq!(cosine(x.view(), y.view()), 0.5);
    }

    proptest! {
        #[test]
        fn procrustes_is_at_most_one_and_blind_to_scale(values in prop::collection::vec(-3f32..3., 40)) {
            let x = Array2::from_shape_vec((10, 2), values[..20].to_vec()).unwrap();
            let y = Array2::from_shape_vec((10, 2), values[20..].to_vec()).unwrap();
            prop_assume!(norm(&centred(x.view())) > 0.1 && norm(&centred(y.view())) > 0.1);
            let found = procrustes(x.view(), y.view()).unwrap();
            prop_assert!((-1e-9..=1. + 1e-9).contains(&found));
            let scaled = y.mapv(|v| 4. * v);
            prop_assert!((procrustes(x.view(), scaled.view()).unwrap() - found).abs() < 1e-6);
        }
    }
}
