//! CKA of samples that come batch after batch: what is kept does not grow with their number.
//!
//! `XᵀY` of centred `X` and `Y` is the sum of the samples' products. [`CoMoments`] keeps that sum together with the means
//! it is centred on, so that two of them can be merged exactly (Chan, Golub, LeVeque, *Updating Formulae and a Pairwise
//! Algorithm for Computing Sample Variances*, 1979). Everything is f64.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::{CkaError, Element, Side, finite, sum_of_squares};

/// A batch of representations (n × p), the batch's own mean taken off.
#[derive(Clone, Debug)]
pub struct Centred {
    rows: Array2<f64>,
    mean: Array1<f64>,
}

impl Centred {
    /// Centres a batch.
    ///
    /// # Errors
    /// A value that is not finite, or no sample at all.
    pub fn new<A: Element>(x: ArrayView2<'_, A>, side: Side) -> Result<Self, CkaError> {
        let mut rows = finite(x, side)?;
        let mean = rows.mean_axis(Axis(0)).ok_or(CkaError::TooFewSamples {
            found: 0,
            needed: 1,
        })?;
        rows -= &mean;
        Ok(Self { rows, mean })
    }
}

/// `Σ (x − x̄)(y − ȳ)ᵀ` over samples `x` (p features) and `y` (q features) of the same inputs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoMoments {
    samples: usize,
    /// x̄ (p).
    #[serde(with = "crate::score::matrix")]
    left: Array1<f64>,
    /// ȳ (q).
    #[serde(with = "crate::score::matrix")]
    right: Array1<f64>,
    /// p × q.
    #[serde(with = "crate::score::matrix")]
    products: Array2<f64>,
}

impl CoMoments {
    /// Of one batch of both sides, which need as many rows.
    #[must_use]
    pub fn of(x: &Centred, y: &Centred) -> Self {
        Self {
            samples: x.rows.nrows(),
            left: x.mean.clone(),
            right: y.mean.clone(),
            products: x.rows.t().dot(&y.rows),
        }
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Numbers of features of both sides, unless its parts contradict each other or hold what is no number: it may have
    /// been read from a file.
    #[must_use]
    pub fn features(&self) -> Option<(usize, usize)> {
        let features = self.products.dim();
        let all = self.left.iter().chain(&self.right).chain(&self.products);
        let fits = features == (self.left.len(), self.right.len());
        (fits && all.copied().all(f64::is_finite)).then_some(features)
    }

    /// Takes in the samples of `other`, which has to have the same numbers of features or no sample.
    pub fn merge(&mut self, other: Self) {
        if self.samples == 0 {
            *self = other;
            return;
        }
        if other.samples == 0 {
            return;
        }
        let (n, m) = (self.samples as f64, other.samples as f64);
        let left = other.left - &self.left;
        let right = other.right - &self.right;
        self.products += &other.products;
        // The means of the two parts differ from that of all: what that adds is one more product.
        let weight = n * m / (n + m);
        for (mut row, l) in self.products.rows_mut().into_iter().zip(&left) {
            row.scaled_add(weight * l, &right);
        }
        self.left.scaled_add(m / (n + m), &left);
        self.right.scaled_add(m / (n + m), &right);
        self.samples += other.samples;
    }

    /// Whether no feature of the left side varies beyond the rounding of f32, in which networks compute.
    fn is_constant(&self) -> bool {
        let tolerance = f64::from(f32::EPSILON).powi(2);
        let n = self.samples as f64;
        let mut features = self.products.diag().into_iter().zip(&self.left);
        features.all(|(variation, mean)| *variation <= tolerance * (variation + n * mean * mean))
    }
}

/// Linear CKA from what was kept of both sides: `‖XᵀY‖²_F / (‖XᵀX‖_F · ‖YᵀY‖_F)`.
///
/// # Errors
/// Fewer than two samples, different numbers of samples, a constant side.
pub fn cka_of_moments(
    reference: &CoMoments,
    cross: &CoMoments,
    candidate: &CoMoments,
) -> Result<f64, CkaError> {
    Norms::of(reference, cross, candidate).map(|norms| norms.cka())
}

/// The squared Frobenius norms that CKA is made of.
struct Norms {
    reference: f64,
    cross: f64,
    candidate: f64,
}

impl Norms {
    fn of(
        reference: &CoMoments,
        cross: &CoMoments,
        candidate: &CoMoments,
    ) -> Result<Self, CkaError> {
        const NEEDED: usize = 2;
        if reference.samples < NEEDED {
            return Err(CkaError::TooFewSamples {
                found: reference.samples,
                needed: NEEDED,
            });
        }
        if reference.samples != candidate.samples || reference.samples != cross.samples {
            return Err(CkaError::RowMismatch {
                reference: reference.samples,
                candidate: candidate.samples,
            });
        }
        for (moments, side) in [(reference, Side::Reference), (candidate, Side::Candidate)] {
            if moments.is_constant() {
                return Err(CkaError::Constant { side });
            }
        }
        Ok(Self {
            reference: sum_of_squares(&reference.products),
            cross: sum_of_squares(&cross.products),
            candidate: sum_of_squares(&candidate.products),
        })
    }

    fn cka(&self) -> f64 {
        self.cross / (self.reference.sqrt() * self.candidate.sqrt())
    }
}

/// What single samples do to a CKA: the infinitesimal jackknife (Jaeckel 1972; Efron, *The Jackknife, the Bootstrap and
/// Other Resampling Plans*, 1982, chapter 6).
#[derive(Clone, Debug)]
pub struct Influence {
    pub cka: f64,
    /// By how much the CKA grows with the weight of each sample; they sum to zero over all samples.
    pub samples: Array1<f64>,
}

impl Influence {
    /// Below the best that there is.
    #[must_use]
    pub fn below(&self, best: f64) -> Self {
        Influence {
            cka: self.cka - best,
            samples: self.samples.clone(),
        }
    }

    /// For each part of a whole that a removal saves.
    #[must_use]
    pub fn divided_by(&self, saved: f64) -> Self {
        Influence {
            cka: self.cka / saved,
            samples: &self.samples / saved,
        }
    }

    /// Of groups of so many samples, one after another.
    #[must_use]
    pub fn of_groups(self, samples: usize) -> Self {
        if samples == 1 {
            return self;
        }
        let groups = self.samples.exact_chunks(samples).into_iter();
        Influence {
            samples: groups.map(|group| group.sum()).collect(),
            ..self
        }
    }

    /// Of the samples whose representations are the rows of `x` (reference) and `y` (candidate), on the CKA of all
    /// samples that the moments hold: the reference's, those of both, and the candidate's.
    ///
    /// A sample of weight `w` adds `w · (x − x̄)(y − ȳ)ᵀ` to a product, the changed means being of second order, so
    /// `d log CKA / dw = 2 xᵀ(XᵀY)y / ‖XᵀY‖² − xᵀ(XᵀX)x / ‖XᵀX‖² − yᵀ(YᵀY)y / ‖YᵀY‖²` with centred x and y.
    ///
    /// # Errors
    /// Those of [`cka_of_moments`].
    pub fn of(
        [reference, cross, candidate]: [&CoMoments; 3],
        x: ArrayView2<'_, f32>,
        y: ArrayView2<'_, f32>,
    ) -> Result<Self, CkaError> {
        let norms = Norms::of(reference, cross, candidate)?;
        let x = finite(x, Side::Reference)? - &cross.left;
        let y = finite(y, Side::Candidate)? - &cross.right;
        let forms = |left: &Array2<f64>, products: &Array2<f64>, right: &Array2<f64>| {
            (left.dot(products) * right).sum_axis(Axis(1))
        };
        let cka = norms.cka();
        let samples = forms(&x, &cross.products, &y) * (2. / norms.cross)
            - forms(&x, &reference.products, &x) / norms.reference
            - forms(&y, &candidate.products, &y) / norms.candidate;
        Ok(Self {
            cka,
            samples: samples * cka,
        })
    }
}
