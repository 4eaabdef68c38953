//! Linear centred kernel alignment: matrices in, one number out.
//!
//! `cka(X, Y) = ‖YᵀX‖²_F / (‖XᵀX‖_F · ‖YᵀY‖_F)` on representations `X` (n × p) and `Y` (n × q) centred per
//! feature, one row a sample (Kornblith et al., *Similarity of Neural Network Representations Revisited*,
//! arXiv 1905.00414). It is 1 for representations equal up to rotation, scale and offset, 0 for linearly
//! unrelated ones, and never NaN: a representation it is not defined for is an error.
//!
//! One reference is compared with many candidates, so [`Reference`] centres and measures its side once.
//! Everything is accumulated in `f64`, whatever the network computed in.

mod moments;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use thiserror::Error;

pub use moments::{Centred, CoMoments, Influence, cka_of_moments};

/// Which of the two compared representations an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first argument, or the [`Reference`].
    Reference,
    /// The second argument.
    Candidate,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Side::Reference => "reference",
            Side::Candidate => "candidate",
        })
    }
}

/// Why two representations have no similarity.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum CkaError {
    /// Rows are samples of the same inputs, so both sides need as many.
    #[error(
        "the reference has {reference} samples and the candidate {candidate}; both need the same inputs"
    )]
    RowMismatch {
        /// Rows of the first matrix.
        reference: usize,
        /// Rows of the second.
        candidate: usize,
    },
    /// Two samples for [`cka`], four for [`debiased_cka`].
    #[error("{found} samples are too few: at least {needed} are needed")]
    TooFewSamples {
        /// Rows given.
        found: usize,
        /// Fewest rows the estimator is defined for.
        needed: usize,
    },
    /// A NaN or an infinity.
    #[error("the {side} representation holds {value} (sample {sample}, feature {feature})")]
    NotFinite {
        /// Whose.
        side: Side,
        /// Row of the first such value.
        sample: usize,
        /// Its column.
        feature: usize,
        /// The value.
        value: f64,
    },
    /// No feature varies beyond rounding, or there is no feature at all.
    #[error("the {side} representation is constant: no feature varies over the samples")]
    Constant {
        /// Whose.
        side: Side,
    },
    /// The unbiased estimate of the representation's similarity to itself is zero, as for mutually
    /// orthogonal samples of equal length: it varies, but too few samples tell how.
    #[error(
        "the {side} representation has no similarity beyond chance even to itself: use more samples"
    )]
    Unresolved {
        /// Whose.
        side: Side,
    },
}

/// A number a representation is made of: `f32` or `f64`.
pub trait Element: Copy + Into<f64> + sealed::Sealed {
    /// Relative spacing of the type's values: variation below it is rounding.
    const EPSILON: f64;
}

impl Element for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
}

impl Element for f64 {
    const EPSILON: f64 = f64::EPSILON;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// Linear CKA of two representations of the same samples, n × p and n × q: from 0 to 1, up to rounding.
///
/// # Errors
///
/// Different row counts, fewer than two rows, a value that is not finite, a constant side.
pub fn cka<A: Element, B: Element>(
    x: ArrayView2<'_, A>,
    y: ArrayView2<'_, B>,
) -> Result<f64, CkaError> {
    Reference::new(x)?.cka(y)
}

/// CKA from the unbiased HSIC estimator (Song et al., JMLR 13, 2012): free of the upward bias [`cka`] has
/// when features outnumber samples. At most 1 up to rounding; unrelated representations scatter around 0, so it may be negative.
///
/// # Errors
///
/// Those of [`cka`], but fewer than four rows; and [`CkaError::Unresolved`].
pub fn debiased_cka<A: Element, B: Element>(
    x: ArrayView2<'_, A>,
    y: ArrayView2<'_, B>,
) -> Result<f64, CkaError> {
    Reference::new(x)?.debiased_cka(y)
}

/// A representation prepared once, to be compared with many.
#[derive(Clone, Debug)]
pub struct Reference(Prepared);

impl Reference {
    /// Centres and measures `x` (n × p).
    ///
    /// # Errors
    ///
    /// Fewer than two rows, a value that is not finite, a constant matrix.
    pub fn new<A: Element>(x: ArrayView2<'_, A>) -> Result<Self, CkaError> {
        Prepared::new(x, Space::cheapest(&x), Side::Reference).map(Self)
    }

    /// [`cka`] of the reference and `y` (n × q).
    ///
    /// # Errors
    ///
    /// Those of [`cka`].
    pub fn cka<B: Element>(&self, y: ArrayView2<'_, B>) -> Result<f64, CkaError> {
        let y = self.candidate(y)?;
        Ok(self.0.cross(&y) / (self.0.own.sqrt() * y.own.sqrt()))
    }

    /// [`debiased_cka`] of the reference and `y` (n × q).
    ///
    /// # Errors
    ///
    /// Those of [`debiased_cka`].
    pub fn debiased_cka<B: Element>(&self, y: ArrayView2<'_, B>) -> Result<f64, CkaError> {
        const NEEDED: usize = 4;
        let found = self.samples();
        if found < NEEDED {
            return Err(CkaError::TooFewSamples {
                found,
                needed: NEEDED,
            });
        }
        let (x, y) = (&self.0, &self.candidate(y)?);
        let own = x.resolved(Side::Reference)?.sqrt() * y.resolved(Side::Candidate)?.sqrt();
        Ok(x.debias(y, x.cross(y)) / own)
    }

    /// Number of samples (rows).
    pub fn samples(&self) -> usize {
        self.0.matrix.nrows()
    }

    fn candidate<B: Element>(&self, y: ArrayView2<'_, B>) -> Result<Prepared, CkaError> {
        if y.nrows() != self.samples() {
            return Err(CkaError::RowMismatch {
                reference: self.samples(),
                candidate: y.nrows(),
            });
        }
        Prepared::new(y, Space::cheapest(&y), Side::Candidate)
    }
}

/// Where the products are taken: `‖XᵀX‖_F = ‖XXᵀ‖_F`, so the smaller of p × p and n × n will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    Features,
    Gram,
}

impl Space {
    fn cheapest<T>(x: &ArrayView2<'_, T>) -> Self {
        let (samples, features) = x.dim();
        if features <= samples {
            Space::Features
        } else {
            Space::Gram
        }
    }
}

/// A representation of zero mean, and what comparisons need of it.
#[derive(Clone, Debug)]
struct Prepared {
    matrix: Array2<f64>,
    /// `XXᵀ`, kept where it is the cheaper product.
    gram: Option<Array2<f64>>,
    /// `‖XᵀX‖²_F`.
    own: f64,
    /// The diagonal of `XXᵀ`: the squared length of every sample.
    lengths: Array1<f64>,
}

impl Prepared {
    fn new<A: Element>(x: ArrayView2<'_, A>, space: Space, side: Side) -> Result<Self, CkaError> {
        const NEEDED: usize = 2;
        if x.nrows() < NEEDED {
            return Err(CkaError::TooFewSamples {
                found: x.nrows(),
                needed: NEEDED,
            });
        }
        let matrix = centre(x, side)?;
        let (gram, own) = match space {
            Space::Features => (None, sum_of_squares(&matrix.t().dot(&matrix))),
            Space::Gram => {
                let gram = matrix.dot(&matrix.t());
                let own = sum_of_squares(&gram);
                (Some(gram), own)
            }
        };
        let lengths = matrix.map_axis(Axis(1), |row| row.dot(&row));
        Ok(Self {
            matrix,
            gram,
            own,
            lengths,
        })
    }

    /// `‖YᵀX‖²_F`, which is the inner product of the two Gram matrices.
    fn cross(&self, other: &Self) -> f64 {
        match (&self.gram, &other.gram) {
            (Some(k), Some(l)) => (k * l).sum(),
            _ => sum_of_squares(&other.matrix.t().dot(&self.matrix)),
        }
    }

    /// The unbiased HSIC times n(n − 3), from the biased `cross` product. Song et al. zero the diagonals of
    /// the Gram matrices `K` and `L`; as the rows of both sum to zero here, what that changes comes down to
    /// the diagonals and traces.
    fn debias(&self, other: &Self, cross: f64) -> f64 {
        let n = self.lengths.len() as f64;
        let traces = self.lengths.sum() * other.lengths.sum();
        cross - n / (n - 2.0) * self.lengths.dot(&other.lengths) + traces / ((n - 1.0) * (n - 2.0))
    }

    /// The unbiased HSIC with itself times n(n − 3), a sum of squares, unless all of it is rounding.
    fn resolved(&self, side: Side) -> Result<f64, CkaError> {
        let own = self.debias(self, self.own);
        let rounding = self.own * f64::EPSILON * self.lengths.len() as f64;
        if own > rounding {
            Ok(own)
        } else {
            Err(CkaError::Unresolved { side })
        }
    }
}

/// Scales to a largest magnitude of 1 (CKA ignores scale, and fourth powers must not overflow), then takes
/// the mean off every feature.
fn centre<A: Element>(x: ArrayView2<'_, A>, side: Side) -> Result<Array2<f64>, CkaError> {
    let mut matrix = finite(x, side)?;
    let largest = matrix.fold(0.0_f64, |largest, v| largest.max(v.abs()));
    if largest > 0.0 {
        matrix.mapv_inplace(|v| v / largest);
    }
    // Rounding of the mean of n values grows with n, whatever they came as.
    let tolerance = A::EPSILON.max(f64::EPSILON * matrix.nrows() as f64);
    let mut constant = true;
    for mut feature in matrix.columns_mut() {
        let before = feature.dot(&feature).sqrt();
        let mean = feature.sum() / feature.len() as f64;
        feature -= mean;
        constant &= feature.dot(&feature).sqrt() <= tolerance * before;
    }
    if constant {
        return Err(CkaError::Constant { side });
    }
    Ok(matrix)
}

/// In f64, every value finite.
fn finite<A: Element>(x: ArrayView2<'_, A>, side: Side) -> Result<Array2<f64>, CkaError> {
    let matrix = x.mapv(Into::<f64>::into);
    let not_finite = matrix.indexed_iter().find(|(_, v)| !v.is_finite());
    match not_finite {
        Some(((sample, feature), &value)) => Err(CkaError::NotFinite {
            side,
            sample,
            feature,
            value,
        }),
        None => Ok(matrix),
    }
}

fn sum_of_squares(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|v| v * v).sum()
}

#[cfg(test)]
mod tests;
