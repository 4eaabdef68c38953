//! From Gram matrices of minibatches to similarities: pure arithmetic on tensors, in f64.

use anyhow::Result;
use ndarray::{Array1, Array2, Axis};
use tch::{Kind, TchError, Tensor};

use crate::run::torch::{explain, to_doubles};

/// Images that the unbiased HSIC needs at least.
pub const FEWEST_IMAGES: usize = 4;

/// U-centred Gram matrices of one minibatch, one in each row: b × n².
///
/// Székely and Rizzo (*Partial distance correlation with methods for dissimilarities*, Annals of Statistics 42(6), 2014,
/// definition 2 and proposition 1) centre a symmetric n × n matrix K without its diagonal, for i ≠ j:
///
/// `Ũ_ij = K_ij − Σ_l K_il / (n − 2) − Σ_k K_kj / (n − 2) + Σ_kl K_kl / ((n − 1)(n − 2))`, and `Ũ_ii = 0`.
///
/// The inner product of two such matrices, `⟨Ũ, Ṽ⟩ / (n(n − 3))`, is the unbiased HSIC₁ of Song et al. (JMLR 13, 2012,
/// equation 5), term by term. So one matrix product gives those of all pairs.
#[derive(Debug)]
pub struct Centred {
    matrices: Tensor,
    images: usize,
    /// `⟨Ũ, Ũ⟩` of each.
    own: Array1<f64>,
    /// What `own` may be by rounding alone.
    rounding: Array1<f64>,
    /// Trace of each Gram matrix.
    trace: Array1<f64>,
}

impl Centred {
    /// Of Gram matrices (b × n × n) that were computed with numbers whose relative spacing is `epsilon`.
    ///
    /// # Errors
    /// If libtorch cannot compute with them, as for lack of memory.
    pub fn of(grams: &Tensor, epsilon: f64) -> Result<Self> {
        let (matrices, traces) = u_centred(grams).map_err(explain)?;
        let images = grams.size().last().copied().unwrap_or(0) as usize;
        let own = matrices
            .f_mul(&matrices)
            .and_then(|squares| squares.f_sum_dim_intlist(&[1][..], false, Kind::Double))
            .map_err(explain)?;
        let trace = Array1::from(to_doubles(&traces)?);
        Ok(Centred {
            matrices,
            images,
            own: Array1::from(to_doubles(&own)?),
            // Each element is wrong by a few units in the last place of the diagonal's.
            rounding: trace.mapv(|trace| (4. * epsilon * trace).powi(2)),
            trace,
        })
    }

    /// `⟨Ũ, Ṽ⟩` of each of these with each of those.
    fn products(&self, other: &Self) -> Result<Array2<f64>> {
        let transposed = other.matrices.f_tr().map_err(explain)?;
        let products = self.matrices.f_mm(&transposed).map_err(explain)?;
        let shape = (self.own.len(), other.own.len());
        Ok(Array2::from_shape_vec(shape, to_doubles(&products)?)?)
    }
}

/// The matrices as rows (b × n²), and the traces that they had (b).
fn u_centred(grams: &Tensor) -> Result<(Tensor, Tensor), TchError> {
    let [count, n, _] = grams.size()[..] else {
        return Err(TchError::Shape(
            "Gram matrices that are not b × n × n".into(),
        ));
    };
    let wide = grams.f_to_kind(Kind::Double)?;
    let sum = |t: &Tensor, dims: &[i64]| t.f_sum_dim_intlist(dims, true, Kind::Double);
    let diagonal = wide.f_diagonal(0, 1, 2)?;
    let traces = diagonal.f_sum_dim_intlist(&[1][..], false, Kind::Double)?;
    let hollow = wide.f_sub(&diagonal.f_diag_embed(0, 1, 2)?)?;
    let size = n as f64;
    let rows = sum(&hollow, &[2])?.f_div_scalar(size - 2.)?;
    let all = sum(&hollow, &[1, 2])?.f_div_scalar((size - 1.) * (size - 2.))?;
    let centred = hollow
        .f_sub(&rows)?
        .f_sub(&rows.f_transpose(1, 2)?)?
        .f_add(&all)?;
    let diagonal = centred.f_diagonal(0, 1, 2)?.f_diag_embed(0, 1, 2)?;
    Ok((centred.f_sub(&diagonal)?.f_reshape([count, n * n])?, traces))
}

/// Why a representation has no similarity to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It holds a NaN or an infinity, or numbers so large that their products are.
    NotFinite,
    /// Nothing varies over the images of any minibatch.
    Constant,
    /// It varies, but no image is more like one than like another.
    Unresolved,
}

/// Sums over minibatches: what [`Sums::cka`] needs, however many images there were.
///
/// HSIC₁ of a minibatch is weighted by its images, n · 1 / (n(n − 3)), since the last one may be short.
#[derive(Clone, Debug)]
pub struct Sums {
    cross: Array2<f64>,
    rows: Own,
    columns: Own,
}

/// Sums of one network.
#[derive(Clone, Debug)]
struct Own {
    hsic: Array1<f64>,
    rounding: Array1<f64>,
    trace: Array1<f64>,
}

impl Own {
    fn new(count: usize) -> Self {
        let zeros = || Array1::zeros(count);
        Own {
            hsic: zeros(),
            rounding: zeros(),
            trace: zeros(),
        }
    }

    fn add(&mut self, batch: &Centred, weight: f64) {
        self.hsic.scaled_add(weight, &batch.own);
        self.rounding.scaled_add(weight, &batch.rounding);
        self.trace += &batch.trace;
    }

    fn flaw(&self) -> Option<(usize, Flaw)> {
        let each = self.hsic.iter().zip(&self.rounding).zip(&self.trace);
        each.map(|((hsic, rounding), trace)| match () {
            () if !hsic.is_finite() || !trace.is_finite() => Some(Flaw::NotFinite),
            () if *trace == 0. => Some(Flaw::Constant),
            () if hsic <= rounding => Some(Flaw::Unresolved),
            () => None,
        })
        .enumerate()
        .find_map(|(i, flaw)| Some((i, flaw?)))
    }
}

impl Sums {
    /// For a map of so many rows and columns.
    #[must_use]
    pub fn new(rows: usize, columns: usize) -> Self {
        Sums {
            cross: Array2::zeros((rows, columns)),
            rows: Own::new(rows),
            columns: Own::new(columns),
        }
    }

    /// Adds a minibatch of [`FEWEST_IMAGES`] images or more. Without `columns` the rows are compared with each other.
    ///
    /// # Errors
    /// If libtorch cannot compute with them.
    pub fn add(&mut self, rows: &Centred, columns: Option<&Centred>) -> Result<()> {
        let columns = columns.unwrap_or(rows);
        let weight = 1. / (rows.images as f64 - 3.);
        self.cross.scaled_add(weight, &rows.products(columns)?);
        self.rows.add(rows, weight);
        self.columns.add(columns, weight);
        Ok(())
    }

    /// The first row that has no similarity to anything.
    #[must_use]
    pub fn flawed_row(&self) -> Option<(usize, Flaw)> {
        self.rows.flaw()
    }

    /// The first column that has no similarity to anything.
    #[must_use]
    pub fn flawed_column(&self) -> Option<(usize, Flaw)> {
        self.columns.flaw()
    }

    /// The mean HSIC₁ of each pair, over the root of both own ones' product. It means something where no row and no
    /// column is flawed.
    #[must_use]
    pub fn cka(&self) -> Array2<f64> {
        let rows = self.rows.hsic.mapv(f64::sqrt);
        let columns = self.columns.hsic.mapv(f64::sqrt);
        let cka = &self.cross / &rows.insert_axis(Axis(1)) / &columns.insert_axis(Axis(0));
        // By the inequality of Cauchy and Schwarz only rounding can exceed 1.
        cka.mapv_into(|similarity| similarity.min(1.))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::cka::debiased_cka;
    use ndarray::ArrayView2;
    use rand::{RngExt, SeedableRng};
    use tch::Device;

    const EPSILON: f64 = f64::EPSILON;

    /// Images × features of each of several representations.
    fn representations(images: usize, features: &[usize]) -> Vec<Array2<f64>> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(11);
        let shared = Array2::from_shape_simple_fn((images, 3), || rng.random_range(-1.0..1.0_f64));
        let mut one = |features: &usize| {
            let mut x = Array2::from_shape_simple_fn((images, *features), || {
                rng.random_range(-1.0..1.0_f64)
            });
            for (j, mut column) in x.columns_mut().into_iter().enumerate() {
                column += &shared.column(j % 3);
            }
            x
        };
        features.iter().map(&mut one).collect()
    }

    fn grams(representations: &[Array2<f64>]) -> Tensor {
        let gram = |x: &Array2<f64>| {
            let gram = x.dot(&x.t());
            let n = gram.nrows() as i64;
            Tensor::from_slice(&gram.into_raw_vec_and_offset().0).reshape([n, n])
        };
        let grams: Vec<Tensor> = representations.iter().map(gram).collect();
        Tensor::stack(&grams, 0)
    }

    fn cka_of(minibatches: &[Vec<Array2<f64>>]) -> Array2<f64> {
        let mut sums = Sums::new(minibatches[0].len(), minibatches[0].len());
        for minibatch in minibatches {
            let centred = Centred::of(&grams(minibatch), EPSILON).unwrap();
            sums.add(&centred, None).unwrap();
        }
        assert_eq!((sums.flawed_row(), sums.flawed_column()), (None, None));
        sums.cka()
    }

    /// Song et al. 2012, equation 5, term by term.
    fn hsic(x: ArrayView2<f64>, y: ArrayView2<f64>) -> f64 {
        let n = x.nrows() as f64;
        let hollow = |x: ArrayView2<f64>| {
            let k = x.dot(&x.t());
            &k - &Array2::from_diag(&k.diag())
        };
        let (k, l) = (hollow(x), hollow(y));
        let trace = k.dot(&l).diag().sum();
        let sums = k.sum() * l.sum() / ((n - 1.) * (n - 2.));
        (trace + sums - 2. / (n - 2.) * k.dot(&l).sum()) / (n * (n - 3.))
    }

    #[test]
    fn one_minibatch_is_debiased_cka() {
        let all = representations(9, &[4, 30, 2]);
        let found = cka_of(std::slice::from_ref(&all));
        for ((i, j), cka) in found.indexed_iter() {
            let expected = debiased_cka(all[i].view(), all[j].view()).unwrap();
            assert!((cka - expected).abs() < 1e-12, "{i} {j}: {cka} {expected}");
        }
    }

    #[test]
    fn minibatches_are_averaged_by_their_images_before_the_division() {
        let all = representations(17, &[4, 30]);
        let ranges = [0..6, 6..12, 12..17];
        let part = |range: &std::ops::Range<usize>| {
            let rows = |x: &Array2<f64>| x.slice(ndarray::s![range.clone(), ..]).to_owned();
            all.iter().map(rows).collect()
        };
        let minibatches: Vec<Vec<Array2<f64>>> = ranges.iter().map(part).collect();
        let mean = |i: usize, j: usize| -> f64 {
            let weighted = minibatches
                .iter()
                .map(|m| m[i].nrows() as f64 * hsic(m[i].view(), m[j].view()));
            weighted.sum()
        };
        let expected = mean(0, 1) / (mean(0, 0) * mean(1, 1)).sqrt();
        let found = cka_of(&minibatches);
        assert!(
            (found[[0, 1]] - expected).abs() < 1e-12,
            "{found} {expected}"
        );
        assert_eq!(found[[0, 1]], found[[1, 0]]);
        assert!((found[[0, 0]] - 1.).abs() < 1e-12);
    }

    fn flaw(gram: Tensor, epsilon: f64) -> Option<(usize, Flaw)> {
        let mut sums = Sums::new(1, 1);
        let centred = Centred::of(&gram.unsqueeze(0), epsilon).unwrap();
        sums.add(&centred, None).unwrap();
        assert_eq!(sums.flawed_row(), sums.flawed_column());
        sums.flawed_row()
    }

    #[test]
    fn what_has_no_similarity_is_told() {
        let options = (Kind::Float, Device::Cpu);
        let epsilon = f64::from(f32::EPSILON);
        let zero = Tensor::zeros([6, 6], options);
        assert_eq!(flaw(zero, epsilon), Some((0, Flaw::Constant)));
        let infinite = Tensor::full([6, 6], f64::INFINITY, options);
        assert_eq!(flaw(infinite, epsilon), Some((0, Flaw::NotFinite)));
        // Images at right angles to each other, their mean taken off.
        let orthogonal = Tensor::eye(6, options) - 1. / 6.;
        assert_eq!(flaw(orthogonal, epsilon), Some((0, Flaw::Unresolved)));
    }
}
