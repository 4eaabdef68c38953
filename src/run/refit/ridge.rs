//! Ridge regression from sums of products: `min over D of ‖Z·D − R‖² + λ·‖D‖²`.

use anyhow::Result;
use tch::{Kind, TchError, Tensor};

use crate::run::torch::{self, explain};

/// Penalties that are tried, the strongest first, in units of the mean of the diagonal of `ZᵀZ`.
const LADDER: [f64; 12] = [
    3., 1., 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5,
];
/// So many steps down the ladder that only make it worse end it.
const PATIENCE: usize = 2;

/// Sums over rows of what is put in (`Z`, rows × p) and of what is to come out (`R`, rows × c), in f64.
#[derive(Debug)]
pub struct Products {
    rows: f64,
    /// `ZᵀZ`
    gram: Tensor,
    /// `ZᵀR`
    cross: Tensor,
    /// `‖R‖²`
    square: f64,
}

impl Products {
    /// Of samples, features × samples; with a last column of ones in `Z` if so asked.
    pub(super) fn of(z: &Tensor, r: &Tensor, with_ones: bool) -> Result<Self, TchError> {
        let products = Self::of_samples(z, r)?;
        match with_ones {
            true => products.with_ones(z, r),
            false => Ok(products),
        }
    }

    fn of_samples(z: &Tensor, r: &Tensor) -> Result<Self, TchError> {
        Ok(Products {
            rows: z.size2()?.1 as f64,
            gram: gram(z)?,
            cross: z.f_matmul(&r.f_transpose(0, 1)?)?,
            square: r.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?,
        })
    }

    /// As if a last column of `Z` were of ones.
    fn with_ones(self, z: &Tensor, r: &Tensor) -> Result<Self, TchError> {
        let sum = |t: &Tensor| t.f_sum_dim_intlist(1, false, Kind::Double);
        let (of_inputs, of_outputs) = (sum(z)?.f_unsqueeze(1)?, sum(r)?.f_unsqueeze(0)?);
        let count = of_inputs.f_new_full([1, 1], self.rows, (Kind::Double, z.device()))?;
        let last = Tensor::f_cat(&[of_inputs.f_transpose(0, 1)?, count], 1)?;
        let gram = Tensor::f_cat(&[self.gram, of_inputs], 1)?;
        Ok(Products {
            gram: Tensor::f_cat(&[gram, last], 0)?,
            cross: Tensor::f_cat(&[self.cross, of_outputs], 0)?,
            ..self
        })
    }

    /// Of the rows of both.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn add(&mut self, more: &Self) -> Result<()> {
        self.rows += more.rows;
        self.square += more.square;
        let _ = self.gram.f_add_(&more.gram).map_err(explain)?;
        let _ = self.cross.f_add_(&more.cross).map_err(explain)?;
        Ok(())
    }

    /// Adds these to sums that may be none yet.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn add_to(self, sums: &mut Option<Self>) -> Result<()> {
        match sums {
            Some(sums) => sums.add(&self),
            None => {
                *sums = Some(self);
                Ok(())
            }
        }
    }

    /// Mean and covariance of the first `inputs` columns of `Z`, the last column of which is of ones.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn moments(&self, inputs: i64) -> Result<[Tensor; 2]> {
        let moments = || -> Result<[Tensor; 2], TchError> {
            let rows = self.gram.f_narrow(0, 0, inputs)?;
            let mean = rows.f_select(1, inputs)?.f_div_scalar(self.rows)?;
            let products = rows.f_narrow(1, 0, inputs)?.f_div_scalar(self.rows)?;
            let covariance = products.f_sub(&mean.f_outer(&mean)?)?;
            Ok([mean, covariance])
        };
        moments().map_err(explain)
    }

    /// `‖Z·D − R‖²`
    fn error(&self, d: &Tensor) -> Result<f64, TchError> {
        let inner = |a: &Tensor, b: &Tensor| a.f_mul(b)?.f_sum(Kind::Double)?.f_double_value(&[]);
        let quadratic = inner(d, &self.gram.f_matmul(d)?)?;
        Ok(self.square - 2. * inner(d, &self.cross)? + quadratic)
    }

    /// The `D` for one penalty; `None` where rounding leaves no such.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn solve(&self, penalty: f64) -> Result<Option<Tensor>> {
        let penalised = torch::copy(&self.gram)?;
        let solve = || -> Result<Option<Tensor>, TchError> {
            let mut diagonal = penalised.f_diagonal(0, 0, 1)?;
            let unit = diagonal.f_mean(Kind::Double)?.f_double_value(&[])?;
            let _ = diagonal.f_add_scalar_(penalty * unit)?;
            let (factor, info) = penalised.f_linalg_cholesky_ex(false, false)?;
            if info.f_int64_value(&[])? != 0 {
                return Ok(None);
            }
            let d = self.cross.f_cholesky_solve(&factor, false)?;
            let is_finite = d.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1;
            Ok(is_finite.then_some(d))
        };
        solve().map_err(explain)
    }
}

/// The products of all pairs of features, summed over the samples. A strip of rows is multiplied from the diagonal on alone: what is left of it is known.
fn gram(z: &Tensor) -> Result<Tensor, TchError> {
    /// Narrower ones are not multiplied as fast.
    const STRIP: i64 = 128;
    let inputs = z.size2()?.0;
    let gram = z.f_new_zeros([inputs, inputs], (Kind::Double, z.device()))?;
    for from in (0..inputs).step_by(STRIP as usize) {
        let rest = inputs - from;
        let height = STRIP.min(rest);
        let strip = z.f_narrow(0, from, height)?;
        let products = strip.f_matmul(&z.f_narrow(0, from, rest)?.f_transpose(0, 1)?)?;
        let rows = gram.f_narrow(0, from, height)?;
        let mut right = rows.f_narrow(1, from, rest)?;
        right.f_copy_(&products)?;
        let columns = gram.f_narrow(1, from, height)?;
        let mut below = columns.f_narrow(0, from, rest)?;
        below.f_copy_(&products.f_transpose(0, 1)?)?;
    }
    Ok(gram)
}

/// The solution for the rows of `learned`, with the penalty that suits those of `held` best; `None` where no change is.
/// Nothing else is taken from `held`, so that the images of its rows can judge the solution.
///
/// # Errors
/// If libtorch refuses.
pub fn solution(learned: &Products, held: &Products) -> Result<Option<Tensor>> {
    match best_penalty(learned, held)? {
        Some(penalty) => learned.solve(penalty),
        None => Ok(None),
    }
}

/// The penalty with which the solution for the rows of `learned` errs least on those of `held`; `None` where none errs
/// less than no change.
///
/// # Errors
/// If libtorch refuses.
pub fn best_penalty(learned: &Products, held: &Products) -> Result<Option<f64>> {
    let mut best = None;
    let mut least = held.square;
    let mut worse = 0;
    for penalty in LADDER {
        let Some(d) = learned.solve(penalty)? else {
            break;
        };
        let error = held.error(&d).map_err(explain)?;
        if error < least {
            (best, least, worse) = (Some(penalty), error, 0);
        } else {
            worse += 1;
            if worse == PATIENCE {
                break;
            }
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use tch::Tensor;

    use super::*;

    fn random(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0))
    }

    fn tensor(a: &Array2<f64>) -> Tensor {
        let size = [a.nrows() as i64, a.ncols() as i64];
        let values: Vec<f64> = a.iter().copied().collect();
        Tensor::from_slice(&values).reshape(size)
    }

    /// By Gaussian elimination with pivots.
    fn solved(mut a: Array2<f64>, mut b: Array2<f64>) -> Array2<f64> {
        let n = a.nrows();
        for i in 0..n {
            let pivot = (i..n).max_by(|x, y| a[[*x, i]].abs().total_cmp(&a[[*y, i]].abs()));
            let pivot = pivot.unwrap();
            for m in [&mut a, &mut b] {
                let (first, second) = (m.row(i).to_owned(), m.row(pivot).to_owned());
                m.row_mut(i).assign(&second);
                m.row_mut(pivot).assign(&first);
            }
            for j in (0..n).filter(|j| *j != i) {
                let factor = a[[j, i]] / a[[i, i]];
                for m in [&mut a, &mut b] {
                    let row = m.row(i).to_owned();
                    m.row_mut(j).scaled_add(-factor, &row);
                }
            }
        }
        for i in 0..n {
            let pivot = a[[i, i]];
            b.slice_mut(s![i, ..]).mapv_inplace(|x| x / pivot);
        }
        b
    }

    fn products(z: &Array2<f64>, r: &Array2<f64>) -> Products {
        let samples = |rows: &Array2<f64>| tensor(rows).transpose(0, 1);
        Products::of_samples(&samples(z), &samples(r)).unwrap()
    }

    #[test]
    fn a_column_of_ones_is_as_good_as_written_out() {
        let (z, r) = (random(40, 7, 1), random(40, 3, 2));
        let ones = ndarray::concatenate![ndarray::Axis(1), z, Array2::ones((40, 1))];
        let samples = |rows: &Array2<f64>| tensor(rows).transpose(0, 1);
        let (z, expected) = (samples(&z), products(&ones, &r));
        let r = samples(&r);
        let found = Products::of_samples(&z, &r)
            .unwrap()
            .with_ones(&z, &r)
            .unwrap();
        for (found, expected) in [
            (&found.gram, &expected.gram),
            (&found.cross, &expected.cross),
        ] {
            assert!((found - expected).abs().max().double_value(&[]) < 1e-12);
        }
        assert_eq!(found.rows, expected.rows);
    }

    #[test]
    fn sums_of_many_inputs_are_those_of_all_pairs() {
        let z = random(20, 150, 3);
        let found = products(&z, &random(20, 2, 4)).gram;
        let off = (found - tensor(&z.t().dot(&z))).abs().max();
        assert!(off.double_value(&[]) < 1e-12);
    }

    #[test]
    fn the_solution_is_that_of_the_normal_equations() {
        let (z, r) = (random(40, 7, 1), random(40, 3, 2));
        let penalty = 0.03;
        let mut gram = z.t().dot(&z);
        let unit = gram.diag().mean().unwrap();
        gram.diag_mut().mapv_inplace(|x| x + penalty * unit);
        let expected = tensor(&solved(gram, z.t().dot(&r)));
        let found = products(&z, &r).solve(penalty).unwrap().unwrap();
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off < 1e-12, "{off}");
    }

    #[test]
    fn sums_of_parts_are_those_of_the_whole() {
        let (z, r) = (random(40, 7, 1), random(40, 3, 2));
        let part = |rows: std::ops::Range<usize>| {
            products(
                &z.slice(s![rows.clone(), ..]).to_owned(),
                &r.slice(s![rows, ..]).to_owned(),
            )
        };
        let mut sum = part(0..13);
        sum.add(&part(13..40)).unwrap();
        let [found, expected] = [sum, products(&z, &r)].map(|p| p.solve(0.1).unwrap().unwrap());
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off < 1e-12, "{off}");
    }

    #[test]
    fn an_endless_penalty_changes_nothing() {
        let found = products(&random(40, 7, 1), &random(40, 3, 2)).solve(1e30);
        assert!(found.unwrap().unwrap().abs().max().double_value(&[]) < 1e-20);
    }

    /// What is missing has nothing to do with what is put in: of few rows, whatever is learned is chance.
    #[test]
    fn nothing_is_changed_where_other_rows_say_that_it_does_harm() {
        let learned = products(&random(8, 7, 1), &random(8, 3, 2));
        let held = products(&random(400, 7, 3), &random(400, 3, 4));
        let weakest = learned.solve(*LADDER.last().unwrap()).unwrap().unwrap();
        assert!(held.error(&weakest).unwrap() > held.square);
        // Some chance of the strongest penalties is left, which change next to nothing.
        assert!(
            best_penalty(&learned, &held)
                .unwrap()
                .is_none_or(|p| p >= 1.)
        );
    }

    #[test]
    fn what_follows_from_the_rows_is_found() {
        let (z, truth) = (random(60, 7, 1), random(7, 3, 2));
        let learned = products(&z, &z.dot(&truth));
        let other = random(60, 7, 5);
        let held = products(&other, &other.dot(&truth));
        let penalty = best_penalty(&learned, &held).unwrap().unwrap();
        let found = learned.solve(penalty).unwrap().unwrap();
        assert!(held.error(&found).unwrap() < 1e-6 * held.square);
    }

    #[test]
    fn rows_that_are_held_back_choose_the_penalty_alone() {
        let truth = random(7, 3, 2);
        let rows = |count: usize, seed: u64| {
            let z = random(count, 7, seed);
            products(&z, &z.dot(&truth))
        };
        let learned = rows(60, 1);
        let [found, other] = [(60, 5), (200, 6)].map(|(count, seed)| {
            let found = solution(&learned, &rows(count, seed));
            found.unwrap().unwrap()
        });
        assert_eq!(found, other);
    }

    #[test]
    fn nothing_missing_is_nothing_to_fit() {
        let nothing = || products(&random(40, 7, 1), &Array2::zeros((40, 3)));
        assert_eq!(best_penalty(&nothing(), &nothing()).unwrap(), None);
    }
}
