//! Blocks × calibration images → one value each.
//!
//! Each batch runs through the network once, piece by piece; at each boundary the candidates that begin there run what
//! lies behind their block. Representations are compared by linear CKA (arXiv 2405.17081, section 3.2), of which only
//! statistics are kept.

mod batch_run;
mod calibration_pass;
pub mod cka;
pub mod criteria;
mod division;
mod engine;
pub mod matrix;
mod race;
mod reuse;
mod savings;
pub mod similarity;
mod tally;

use std::num::NonZeroUsize;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rayon::prelude::*;
use tch::Device;

use crate::data::{Batch, Images};
use crate::report::progress::Progress;
use crate::run::segments::Detour;
use crate::run::torch::Model;
use crate::run::torch::{FIRST_LOOK, Workers, images_at_once};
use calibration_pass::CalibrationPass;
use criteria::{Score, Value};
use division::{Division, Workload};

pub use engine::Engine;
pub use race::Race;
pub use reuse::Reuse;
pub use savings::Savings;
pub use tally::{Space, Tally, check_tallies, incomparable};

/// What to compare candidates with.
#[derive(Clone, Copy, Debug)]
pub enum Against<'a> {
    /// The representation of the network that is scored.
    Current,
    /// An earlier representation of the same images.
    Earlier(&'a Array2<f32>),
}

/// How to score.
#[derive(Clone, Copy, Debug)]
pub struct Scoring {
    /// Drop candidates that are surely behind; else all see every image.
    pub race: Option<Race>,
    /// Bytes to take beyond the network itself.
    pub memory: u64,
    /// Images in a batch; chosen for speed and memory if nobody names it.
    pub batch: Option<NonZeroUsize>,
    /// Where candidates are compared; what takes less memory if nobody names it.
    pub space: Option<Space>,
    pub progress: Progress,
}

/// How scoring ended.
#[derive(Clone, Debug)]
pub enum Ended<T> {
    Done(T),
    /// The user asked to stop. The tallies, one for each group of candidates, go on where they are if they are handed in
    /// again; there are none where nothing can be carried on.
    Stopped(Vec<Tally>),
}

/// What is scored, on which images.
pub struct Job<'a> {
    pub model: &'a Model,
    /// Paths of the blocks to score.
    pub wanted: &'a [String],
    /// Calibration images.
    pub images: &'a Images,
    /// The images to see: all, or those of a shard.
    pub range: Range<usize>,
    pub against: Against<'a>,
    /// What each removal saves, where what it costs is weighed against that.
    pub savings: Option<&'a Savings>,
}

impl Scoring {
    /// Scores blocks, from the first image on or from where `begun` stands, until `stop` says so between two batches: the
    /// statistics that scores rest on, one tally for each group of candidates.
    ///
    /// # Errors
    /// If the pieces do not reproduce the network, or if there is nothing to score.
    pub fn run(
        &self,
        job: &Job,
        begun: Vec<Tally>,
        mut reuse: Option<&mut Reuse>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ended<Vec<Tally>>> {
        let Job { model, images, .. } = *job;
        let engine = Engine::open(model, &first_look(images)?)?;
        let mut detours: Vec<&Detour> = engine.pieces().detours.iter().collect();
        detours.retain(|d| job.wanted.contains(&d.path));
        if detours.is_empty() {
            bail!("there is no removable block to score");
        }
        let (features, places) = (engine.features(), engine.places());
        let workers = Workers::of(model.device())?;
        let space = self
            .space
            .unwrap_or_else(|| Space::of(images.len() * places, features));
        let work = Workload {
            space,
            images: images.len(),
            samples: images.len() * places,
            candidates: detours.len(),
            features,
            workers: workers.count(),
            largest: model.analysis().program.largest_tensor() * size_of::<f32>(),
        };
        let is_gpu = model.device() != Device::Cpu;
        let division = Division::of(work, self.memory, is_gpu, self.batch);
        if let Some(reuse) = &mut reuse {
            reuse.begin(engine.pieces(), division.batch);
        }
        let new = |group: &[&Detour]| {
            let paths = group.iter().map(|d| d.path.clone());
            Tally::new(space, job.range.start, places, paths)
        };
        let groups = groups(&detours, begun, division, new);
        let total = detours.len() * job.range.len();
        let what = format!("scoring {} × {} images", detours.len(), job.range.len());
        let bar = self.progress.bar_of(what, total, "candidate images");
        let mut pass = CalibrationPass {
            job,
            race: self.race,
            engine: &engine,
            workers: &workers,
            detours: &detours,
            loader: &images.loader.with_batch_size(division.batch),
            comparisons: match self.race {
                Some(_) => race::comparisons(images.len(), features),
                None => Vec::new(),
            },
            reuse,
            bar: &bar,
        };
        let mut done = Vec::new();
        let mut groups = groups.into_iter();
        while let Some(tally) = groups.next() {
            let (tally, finished) = pass.carry_on(tally, stop)?;
            done.push(tally);
            if !finished {
                done.extend(groups.filter(|tally| !tally.seen.is_empty()));
                return Ok(Ended::Stopped(done));
            }
        }
        Ok(Ended::Done(done))
    }
}

/// The images on which a form is checked: few where few are scored, so that the check costs little beside that, but two,
/// since it looks at how images differ.
fn first_look(images: &Images) -> Result<Batch> {
    let few = NonZeroUsize::new(images.len() / 8).map_or(FIRST_LOOK, |n| n.min(FIRST_LOOK));
    let few = few.max(const { NonZeroUsize::new(2).unwrap() });
    let first = images.in_batches_of(few).first_batch()?;
    first.context("no calibration images")
}

/// The tallies to fill: those that were begun, then others for the candidates that are in none of them.
fn groups(
    detours: &[&Detour],
    begun: Vec<Tally>,
    division: Division,
    new: impl Fn(&[&Detour]) -> Tally,
) -> Vec<Tally> {
    let has = |tally: &Tally, path: &str| tally.candidates.iter().any(|c| c.path == path);
    let is_begun = |d: &&Detour| begun.iter().any(|t| has(t, &d.path));
    let left: Vec<&Detour> = detours.iter().copied().filter(|d| !is_begun(d)).collect();
    let rest: Vec<Tally> = left.chunks(division.candidates.get()).map(new).collect();
    begun.into_iter().chain(rest).collect()
}

/// Path, similarity and number of images of each candidate.
///
/// # Errors
/// If a representation is constant: the message names the block.
pub fn similarities(tallies: &[Tally]) -> Result<Vec<(String, f64, usize)>> {
    let mut all = Vec::new();
    for tally in tallies {
        let found = tally.similarities()?.into_iter();
        all.extend(
            found
                .zip(&tally.candidates)
                .map(|((cka, samples), c)| (c.path.clone(), cka, samples)),
        );
    }
    Ok(all)
}

/// The scores of all candidates, the best candidate for removal first, what removals save being counted where it is given.
///
/// # Errors
/// Those of [`similarities`].
pub fn ranking(tallies: &[Tally], savings: Option<&Savings>) -> Result<Vec<Score>> {
    let found = similarities(tallies)?.into_iter();
    let value = |(path, cka, samples)| (path, Value::Cka(cka), samples);
    Ok(criteria::ranking(found.map(value).collect(), savings))
}

/// The network's own representation of the calibration images (samples × features).
///
/// # Errors
/// Those of [`Scoring::run`].
pub fn representation(model: &Model, images: &Images, progress: Progress) -> Result<Array2<f32>> {
    let engine = Engine::open(model, &first_look(images)?)?;
    let workers = Workers::of(model.device())?;
    let largest = model.analysis().program.largest_tensor() * size_of::<f32>();
    let suits = images_at_once(largest) * workers.count();
    let images = images.suiting(NonZeroUsize::new(suits).context("no workers")?);
    // All workers together have as many images at a time as a batch.
    let share = (images.loader.batch_size().get() / workers.count()).max(1);
    let images = images.in_batches_of(NonZeroUsize::new(share).context("an empty batch")?);
    let mut rows = Vec::new();
    let bar = progress.bar("representing the original", images.len());
    let mut batches = images.batches(0)?;
    while batches.len() > 0 {
        let round = batches.by_ref().take(workers.count());
        let round: Vec<Batch> = round.collect::<Result<_, _>>()?;
        let found: Result<Vec<_>> =
            workers.run(|| round.par_iter().map(|b| engine.representation(b)).collect());
        rows.extend(found?);
        bar.advance(round.iter().map(|b| b.indices.len()).sum());
    }
    let views: Vec<ArrayView2<f32>> = rows.iter().map(Array2::view).collect();
    Ok(concatenate(Axis(0), &views)?)
}
