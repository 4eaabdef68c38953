//! What is kept of the representations of the images seen so far.

use std::ops::Range;

use anyhow::{Context, Result, anyhow, bail};
use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::score::cka::{Centred, CkaError, CoMoments, Influence, Reference, Side, cka_of_moments};

/// The statistics of one reference and of candidates that have seen the same images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Calibration images whose representations it holds, by their places in the draw; one after another.
    pub seen: Range<usize>,
    /// Samples that each of them gives, one after another: 1, or its places.
    #[serde(default = "itself", skip_serializing_if = "is_itself")]
    pub places: usize,
    pub reference: Kept,
    pub candidates: Vec<Candidate>,
}

fn itself() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_itself(places: &usize) -> bool {
    *places == itself()
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub path: String,
    pub state: State,
}

/// Whether a candidate is still compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Live(Kept),
    /// It fell behind in a race after so many images.
    Dropped {
        cka: f64,
        samples: usize,
    },
}

/// Of one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Samples × p, for the Gram space: at most p rows.
    Rows(#[serde(with = "crate::score::matrix")] Array2<f32>),
    /// For the feature space.
    Moments(Box<Moments>),
}

/// Products of features.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// q × q: of the network with itself.
    own: CoMoments,
    /// p × q: of the reference with the network; the reference has none.
    cross: Option<CoMoments>,
}

impl Kept {
    fn new(space: Space, is_reference: bool) -> Self {
        match space {
            Space::Gram => Kept::Rows(Array2::default((0, 0))),
            Space::Features => Kept::Moments(Box::new(Moments {
                own: CoMoments::default(),
                cross: (!is_reference).then(CoMoments::default),
            })),
        }
    }

    fn merge(&mut self, other: Kept) -> Result<()> {
        match (self, other) {
            (Kept::Rows(rows), Kept::Rows(more)) => append(rows, more.view())?,
            (Kept::Moments(mine), Kept::Moments(other)) => {
                let own = [(&mut mine.own, other.own)].into_iter();
                for (mine, other) in own.chain(mine.cross.as_mut().zip(other.cross)) {
                    let fits = mine.samples() == 0 || mine.features() == other.features();
                    if !fits {
                        bail!("they are of networks with different representations");
                    }
                    mine.merge(other);
                }
            }
            _ => bail!("one keeps rows and the other products"),
        }
        Ok(())
    }
}

/// What is cheaper to keep: the representations themselves or the products of their features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Gram,
    Features,
}

impl Space {
    /// Decided by the number of images of the whole job, so that all its parts agree.
    #[must_use]
    pub fn of(samples: usize, features: usize) -> Self {
        if features < samples {
            Space::Features
        } else {
            Space::Gram
        }
    }

    /// Bytes that a candidate's statistics take.
    #[must_use]
    pub fn bytes(self, samples: usize, features: usize) -> usize {
        match self {
            Space::Gram => samples.saturating_mul(features).saturating_mul(4),
            Space::Features => features.saturating_mul(features).saturating_mul(2 * 8),
        }
    }
}

/// A candidate's path and representation.
pub type NamedRows<'a> = (&'a str, ArrayView2<'a, f32>);

impl Tally {
    /// Nothing seen yet, beginning at the image at place `start`.
    #[must_use]
    pub fn new(
        space: Space,
        start: usize,
        places: usize,
        paths: impl Iterator<Item = String>,
    ) -> Self {
        Tally {
            seen: start..start,
            places,
            reference: Kept::new(space, true),
            candidates: paths
                .map(|path| Candidate {
                    path,
                    state: State::Live(Kept::new(space, false)),
                })
                .collect(),
        }
    }

    /// Places of the candidates that are still compared.
    pub fn live(&self) -> impl Iterator<Item = usize> {
        let live = self.candidates.iter().enumerate();
        live.filter(|(_, c)| matches!(c.state, State::Live(_)))
            .map(|(i, _)| i)
    }

    /// Takes in a batch: rows of the reference, and of each live candidate in turn.
    ///
    /// # Errors
    /// If a representation is not finite; the message names the block.
    pub fn add(&mut self, reference: ArrayView2<f32>, candidates: &[Array2<f32>]) -> Result<()> {
        let images = reference.nrows() / self.places;
        let x = match &mut self.reference {
            Kept::Rows(rows) => {
                append(rows, reference)?;
                None
            }
            Kept::Moments(moments) => {
                let x =
                    Centred::new(reference, Side::Reference).map_err(|e| incomparable(&e, None))?;
                moments.own.merge(CoMoments::of(&x, &x));
                Some(x)
            }
        };
        let live = self
            .candidates
            .iter_mut()
            .filter_map(|c| match &mut c.state {
                State::Live(kept) => Some((&c.path, kept)),
                State::Dropped { .. } => None,
            });
        for ((path, kept), rows) in live.zip(candidates) {
            match (kept, &x) {
                (Kept::Moments(moments), Some(x)) => {
                    let y = Centred::new(rows.view(), Side::Candidate)
                        .map_err(|e| incomparable(&e, Some(path)))?;
                    moments.own.merge(CoMoments::of(&y, &y));
                    if let Some(cross) = &mut moments.cross {
                        cross.merge(CoMoments::of(x, &y));
                    }
                }
                (Kept::Rows(kept), _) => append(kept, rows.view())?,
                (Kept::Moments(_), None) => bail!("a reference in another space"),
            }
        }
        self.seen.end += images;
        Ok(())
    }

    /// The representations themselves, of the reference and of each candidate by its path, where they are kept.
    #[must_use]
    pub fn rows(&self) -> Option<(ArrayView2<'_, f32>, Vec<NamedRows<'_>>)> {
        let Kept::Rows(reference) = &self.reference else {
            return None;
        };
        let candidates = self.candidates.iter().map(|c| match &c.state {
            State::Live(Kept::Rows(rows)) => Some((c.path.as_str(), rows.view())),
            _ => None,
        });
        Some((reference.view(), candidates.collect::<Option<_>>()?))
    }

    /// A candidate is not compared any further.
    pub fn drop_out(&mut self, candidate: usize, cka: f64) {
        self.candidates[candidate].state = State::Dropped {
            cka,
            samples: self.seen.len(),
        };
    }

    /// Takes in the images of a tally of the same candidates that begins where this one ends.
    ///
    /// # Errors
    /// If the two do not fit together.
    pub fn merge(&mut self, other: Tally) -> Result<()> {
        let paths =
            |t: &Tally| -> Vec<String> { t.candidates.iter().map(|c| c.path.clone()).collect() };
        if paths(self) != paths(&other) || self.places != other.places {
            bail!("they are of other blocks");
        }
        self.reference.merge(other.reference)?;
        for (mine, other) in self.candidates.iter_mut().zip(other.candidates) {
            match (&mut mine.state, other.state) {
                (State::Live(mine), State::Live(other)) => mine.merge(other)?,
                _ => bail!("they are of a race, whose parts cannot be merged"),
            }
        }
        self.seen.end = other.seen.end;
        Ok(())
    }

    /// Similarity and number of images of each candidate, in their order.
    ///
    /// # Errors
    /// If a representation is constant or not finite; the message names the block.
    pub fn similarities(&self) -> Result<Vec<(f64, usize)>> {
        let rows = match &self.reference {
            Kept::Rows(rows) => {
                Some(Reference::new(rows.view()).map_err(|e| incomparable(&e, None))?)
            }
            Kept::Moments(_) => None,
        };
        let similarity = |candidate: &Candidate| {
            let kept = match &candidate.state {
                State::Dropped { cka, samples } => return Ok((*cka, *samples)),
                State::Live(kept) => kept,
            };
            let cka = match (&self.reference, kept, &rows) {
                (_, Kept::Rows(y), Some(x)) => x.cka(y.view()),
                (Kept::Moments(reference), Kept::Moments(candidate), None) => {
                    let Moments { own, cross } = &**candidate;
                    let cross = cross.as_ref().context("a candidate without its products")?;
                    cka_of_moments(&reference.own, cross, own)
                }
                _ => bail!("a candidate in another space than its reference"),
            };
            let cka = cka.map_err(|e| incomparable(&e, Some(&candidate.path)))?;
            Ok((cka, self.seen.len()))
        };
        self.candidates.iter().map(similarity).collect()
    }

    /// The influence of these images, already taken in, on the similarity of a live candidate; `None` in Gram space.
    ///
    /// # Errors
    /// Those of [`similarities`](Self::similarities).
    pub fn influence(
        &self,
        candidate: usize,
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
    ) -> Result<Option<Influence>> {
        let candidate = &self.candidates[candidate];
        match (&self.reference, &candidate.state) {
            (Kept::Moments(reference), State::Live(Kept::Moments(kept))) => {
                let Moments { own, cross } = &**kept;
                let cross = cross.as_ref().context("a candidate without its products")?;
                let of_samples = Influence::of([&reference.own, cross, own], x, y)
                    .map_err(|e| incomparable(&e, Some(&candidate.path)))?;
                Ok(Some(of_samples.of_groups(self.places)))
            }
            _ => Ok(None),
        }
    }
}

/// Refuses tallies, read from a file, whose parts contradict each other.
///
/// # Errors
/// What is wrong.
pub fn check_tallies(tallies: &[Tally]) -> Result<()> {
    for tally in tallies {
        let seen = tally.seen.end.checked_sub(tally.seen.start);
        let samples = seen.and_then(|seen| seen.checked_mul(tally.places));
        let features = tally.reference.features(samples, None);
        let is_sound = |candidate: &Candidate| match &candidate.state {
            State::Dropped { cka, samples } => cka.is_finite() && Some(*samples) <= seen,
            State::Live(kept) => kept.features(samples, features).is_some(),
        };
        if tally.places == 0 || features.is_none() || !tally.candidates.iter().all(is_sound) {
            bail!("matrices of sizes that do not go together, or numbers that are not finite");
        }
    }
    Ok(())
}

impl Kept {
    /// Number of features; `None` if these statistics of `seen` samples, beside a reference of so many features, contradict
    /// themselves.
    fn features(&self, seen: Option<usize>, reference: Option<usize>) -> Option<usize> {
        match self {
            Kept::Rows(rows) => (Some(rows.nrows()) == seen && rows.iter().all(|x| x.is_finite()))
                .then_some(rows.ncols()),
            Kept::Moments(moments) => {
                let Moments { own, cross } = &**moments;
                let (features, same) = own.features()?;
                let crossed = match cross {
                    None => reference.is_none(),
                    Some(cross) => {
                        cross.features() == reference.map(|p| (p, features))
                            && Some(cross.samples()) == seen
                    }
                };
                (crossed && features == same && Some(own.samples()) == seen).then_some(features)
            }
        }
    }
}

fn append(rows: &mut Array2<f32>, more: ArrayView2<f32>) -> Result<()> {
    if rows.is_empty() {
        *rows = more.to_owned();
        return Ok(());
    }
    rows.append(Axis(0), more)
        .context("representations of different sizes")
}

/// What a user can do about a similarity that does not exist.
#[must_use]
pub fn incomparable(error: &CkaError, path: Option<&str>) -> anyhow::Error {
    match (error, path) {
        (
            CkaError::Constant {
                side: Side::Candidate,
            },
            Some(path),
        ) => anyhow!(
            "without block {path} the network's representation is the same for every image, so it has no similarity; \
             keep that block with --keep {path}"
        ),
        (CkaError::Constant { .. }, _) => anyhow!(
            "the network's representation is the same for every image, so nothing can be compared with it; are the \
             calibration images, --mean and --std right?"
        ),
        (error, Some(path)) => anyhow!("block {path}: {error}"),
        (error, None) => anyhow!("{error}"),
    }
}
