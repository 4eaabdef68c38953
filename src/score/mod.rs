//! Blocks × calibration images → one similarity each.
//!
//! Per batch the network runs once, piece by piece; at each boundary the candidates that begin there run what lies
//! behind their block. Representations are compared by linear CKA (arXiv 2405.17081, section 3.2), of which only
//! statistics are kept.

mod engine;
mod plan;
mod race;
mod reuse;
mod tally;

use std::num::NonZeroUsize;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::analysis::Analysis;
use crate::archive::Archive;
use crate::cka::Influence;
use crate::data::{Batch, Loader, Part};
use crate::progress::{Bar, Progress};
use crate::segments::Detour;
use plan::{Plan, Work};

pub use engine::Engine;
pub use race::Race;
pub use reuse::Reuse;
pub use tally::{Space, Tally, check_tallies};

/// How similar the network stays without one block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub path: String,
    /// Linear CKA with the reference: 1 means that the representation does not change (up to rotation and scale).
    pub cka: f64,
    /// 1 for the block to remove first.
    pub rank: usize,
    /// Calibration images it was compared on: fewer than all for one that fell behind in a race.
    pub samples: usize,
}

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
    pub device: Device,
    /// Drop candidates that are surely behind; else all see every image.
    pub race: Option<Race>,
    /// Bytes to take beyond the network itself.
    pub memory: u64,
    /// Images in a batch; chosen for speed and memory if nobody names it.
    pub batch: Option<NonZeroUsize>,
    pub progress: Progress,
}

/// How scoring ended. The tallies are the statistics it rests on: one for each group of candidates.
#[derive(Clone, Debug)]
pub enum Ended {
    Scored(Vec<Tally>),
    /// The user asked to stop; handed in again, the tallies go on where they are.
    Interrupted(Vec<Tally>),
}

/// What is scored, on which images.
pub struct Job<'a> {
    pub archive: &'a Archive,
    pub analysis: &'a Analysis,
    /// Paths of the blocks to score.
    pub wanted: &'a [String],
    /// Calibration images, and how they become batches.
    pub images: (&'a Part, &'a Loader),
    /// The images to see: all, or those of a shard.
    pub range: Range<usize>,
    pub against: Against<'a>,
}

impl Scoring {
    /// Scores blocks, from the first image on or from where `begun` stands, until `stop` says so between two batches.
    ///
    /// # Errors
    /// If the pieces do not reproduce the network, or if there is nothing to score.
    pub fn run(
        &self,
        job: &Job,
        begun: Vec<Tally>,
        mut reuse: Option<&mut Reuse>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Ended> {
        let (part, loader) = job.images;
        let first = loader.with_batch_size(FIRST_LOOK);
        let sample = first
            .batches(part, 0)?
            .next()
            .context("no calibration images")??;
        let engine = Engine::open(job.archive, job.analysis, self.device, &sample)?;
        let mut detours: Vec<&Detour> = engine.pieces().detours.iter().collect();
        detours.retain(|d| job.wanted.contains(&d.path));
        if detours.is_empty() {
            bail!("there is no removable block to score");
        }
        let features = tch::no_grad(|| engine.representation(&sample))?.ncols();
        let work = Work {
            samples: part.len(),
            candidates: detours.len(),
            features,
            largest: job.analysis.program.largest_tensor() * size_of::<f32>(),
        };
        let plan = Plan::of(work, self.memory, self.device != Device::Cpu, self.batch);
        if let Some(reuse) = &mut reuse {
            reuse.begin(engine.pieces(), plan.batch);
        }
        let space = Space::of(part.len(), features);
        let groups = groups(&detours, begun, (space, job.range.start), plan);
        let total = detours.len() * job.range.len();
        let what = format!("scoring {} × {} images", detours.len(), job.range.len());
        let bar = self.progress.bar_of(what, total, "candidate images");
        let mut pass = Pass {
            job,
            scoring: self,
            engine: &engine,
            detours: &detours,
            loader: &loader.with_batch_size(plan.batch),
            comparisons: match self.race {
                Some(_) => race::comparisons(part.len(), features),
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
                return Ok(Ended::Interrupted(done));
            }
        }
        Ok(Ended::Scored(done))
    }
}

/// Images on which the forms of a network are compared.
const FIRST_LOOK: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// The tallies to fill: those that were begun, then others for the candidates that are in none of them.
fn groups(
    detours: &[&Detour],
    begun: Vec<Tally>,
    (space, start): (Space, usize),
    plan: Plan,
) -> Vec<Tally> {
    let has = |tally: &Tally, path: &str| tally.candidates.iter().any(|c| c.path == path);
    let left: Vec<&&Detour> = detours
        .iter()
        .filter(|d| !begun.iter().any(|t| has(t, &d.path)))
        .collect();
    let rest = left
        .chunks(plan.candidates.get())
        .map(|group| Tally::new(space, start, group.iter().map(|d| d.path.clone())));
    begun.iter().cloned().chain(rest).collect()
}

/// The scores of all candidates, the best candidate for removal first; in a race those that saw more images come first.
///
/// # Errors
/// If a representation is constant: the message names the block.
pub fn ranking(tallies: &[Tally]) -> Result<Vec<Score>> {
    let mut scores = Vec::new();
    for tally in tallies {
        let found = tally.similarities()?.into_iter();
        scores.extend(
            found
                .zip(&tally.candidates)
                .map(|((cka, samples), candidate)| Score {
                    path: candidate.path.clone(),
                    cka,
                    rank: 0,
                    samples,
                }),
        );
    }
    // Stable: of equal scores the earlier block comes first.
    scores.sort_by(|a, b| b.samples.cmp(&a.samples).then(b.cka.total_cmp(&a.cka)));
    for (i, score) in scores.iter_mut().enumerate() {
        score.rank = i + 1;
    }
    Ok(scores)
}

/// One way through the calibration images with a group of candidates.
struct Pass<'a> {
    job: &'a Job<'a>,
    scoring: &'a Scoring,
    engine: &'a Engine,
    detours: &'a [&'a Detour],
    loader: &'a Loader,
    /// Numbers of images at which candidates are compared.
    comparisons: Vec<usize>,
    reuse: Option<&'a mut Reuse>,
    bar: &'a Bar,
}

/// Features of images taken in since the last comparison: of the reference, and of each live candidate.
type Recent = Vec<Vec<Array2<f32>>>;

/// Images whose influence is looked at in a comparison; more would not tell more.
const LOOKED_AT: usize = 512;

impl Pass<'_> {
    /// Fills a tally. `false`: it was interrupted.
    fn carry_on(&mut self, mut tally: Tally, stop: &dyn Fn() -> bool) -> Result<(Tally, bool)> {
        let part = self.job.images.0;
        self.bar.advance(tally.seen.len() * tally.candidates.len());
        let left: Vec<usize> = (tally.seen.end..self.job.range.end).collect();
        let left = part.subset(&left);
        let mut recent = Recent::new();
        for batch in self.loader.batches(&left, 0)? {
            if stop() {
                return Ok((tally, false));
            }
            let batch = batch?;
            let live: Vec<usize> = tally.live().collect();
            let mut features = tch::no_grad(|| self.features(&tally, &live, &batch))?;
            if let Against::Earlier(rows) = self.job.against {
                let end = tally.seen.end + batch.indices.len();
                features[0] = rows.slice(s![tally.seen.end..end, ..]).to_owned();
            }
            tally.add(features[0].view(), &features[1..])?;
            self.bar.advance(live.len() * batch.indices.len());
            if !self.comparisons.is_empty() {
                let before = tally.seen.end - batch.indices.len();
                recent.push(features);
                if self
                    .comparisons
                    .iter()
                    .any(|at| (before + 1..=tally.seen.end).contains(at))
                {
                    self.compare(&mut tally, &live, &std::mem::take(&mut recent))?;
                }
            }
        }
        Ok((tally, true))
    }

    /// The features of the network's own representation of a batch, and of those without each live candidate.
    fn features(
        &mut self,
        tally: &Tally,
        live: &[usize],
        batch: &Batch,
    ) -> Result<Vec<Array2<f32>>> {
        let detour = |i: &usize| {
            let path = &tally.candidates[*i].path;
            self.detours.iter().find(|d| d.path == *path).copied()
        };
        let detours: Vec<&Detour> = live.iter().filter_map(detour).collect();
        let mut without: Vec<Option<Tensor>> = detours.iter().map(|_| None).collect();
        let engine = self.engine;
        let each = |boundary: usize, tensor: &Tensor| {
            for (detour, slot) in detours.iter().zip(&mut without) {
                if detour.from == boundary {
                    *slot = Some(engine.detour(detour, tensor)?);
                }
            }
            Ok(())
        };
        let input = || engine.input(batch, self.loader.batch_size().get());
        let own = match &mut self.reuse {
            Some(reuse) => reuse.run(engine, tally.seen.end, input, each)?,
            None => engine.run(0, input()?, each)?,
        };
        let all: Option<Vec<Tensor>> = std::iter::once(Some(own)).chain(without).collect();
        let all = all.context("a candidate that begins nowhere")?;
        engine::features(&all, batch.indices.len())
    }

    /// Drops the candidates that have fallen behind.
    fn compare(&mut self, tally: &mut Tally, live: &[usize], recent: &Recent) -> Result<()> {
        let Some(race) = self.scoring.race else {
            return Ok(());
        };
        let latest = |column: usize| -> Result<Array2<f32>> {
            let batches: Vec<ArrayView2<f32>> = recent.iter().map(|b| b[column].view()).collect();
            let rows = concatenate(Axis(0), &batches)?;
            let from = rows.nrows().saturating_sub(LOOKED_AT);
            Ok(rows.slice(s![from.., ..]).to_owned())
        };
        let reference = latest(0)?;
        let mut influences: Vec<Influence> = Vec::new();
        for (column, candidate) in live.iter().enumerate() {
            let rows = latest(column + 1)?;
            influences.extend(tally.influence(*candidate, reference.view(), rows.view())?);
        }
        let all = self.job.images.0.len();
        let margin = race.margin(self.detours.len(), self.comparisons.len());
        let behind = race::fallen_behind(&influences, tally.seen.len(), all, margin);
        for ((candidate, influence), behind) in live.iter().zip(&influences).zip(behind) {
            if behind {
                tally.drop_out(*candidate, influence.cka);
                self.bar.shorten(all - tally.seen.len());
            }
        }
        Ok(())
    }
}

/// The network's own representation of the calibration images (images × features).
///
/// # Errors
/// Those of [`Scoring::run`].
pub fn representation(
    archive: &Archive,
    analysis: &Analysis,
    (part, loader): (&Part, &Loader),
    device: Device,
    progress: Progress,
) -> Result<Array2<f32>> {
    let mut engine = None;
    let mut rows = Vec::new();
    let bar = progress.bar("representing the original", part.len());
    for batch in loader.batches(part, 0)? {
        let batch = batch?;
        let engine = match &engine {
            Some(engine) => engine,
            None => engine.insert(Engine::open(archive, analysis, device, &batch)?),
        };
        rows.push(tch::no_grad(|| engine.representation(&batch))?);
        bar.advance(batch.indices.len());
    }
    let views: Vec<ArrayView2<f32>> = rows.iter().map(Array2::view).collect();
    Ok(concatenate(Axis(0), &views)?)
}
