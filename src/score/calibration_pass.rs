//! One way through the calibration images.

use std::borrow::Cow;
use std::collections::VecDeque;

use anyhow::{Context, Result};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;
use tch::Tensor;

use super::batch_run::{BatchFeatures, BatchRun};
use super::engine::Engine;
use super::race::{self, Race};
use super::reuse::Reuse;
use super::tally::Tally;
use super::{Against, Job};
use crate::data::{Batch, Loader};
use crate::report::progress::Bar;
use crate::run::segments::Detour;
use crate::run::torch::Workers;
use crate::score::cka::Influence;

/// One way through the calibration images with a group of candidates.
pub(super) struct CalibrationPass<'a> {
    pub job: &'a Job<'a>,
    pub race: Option<Race>,
    pub engine: &'a Engine,
    pub workers: &'a Workers,
    pub detours: &'a [&'a Detour],
    pub loader: &'a Loader,
    /// Numbers of images at which candidates are compared.
    pub comparisons: Vec<usize>,
    pub reuse: Option<&'a mut Reuse>,
    pub bar: &'a Bar,
}

/// Features of the latest images since the last comparison, batch by batch: of the reference, and of each live
/// candidate.
#[derive(Default)]
struct Recent(VecDeque<Vec<Array2<f32>>>);

impl Recent {
    /// Images whose influence is looked at in a comparison; more would not tell more.
    const IMAGES: usize = 512;
    const FEWEST: usize = 64;

    fn keep(&mut self, features: Vec<Array2<f32>>) {
        self.0.push_back(features);
        let images = |batch: &Vec<Array2<f32>>| batch[0].nrows();
        while self.0.iter().skip(1).map(images).sum::<usize>() >= Self::IMAGES {
            self.0.pop_front();
        }
    }

    /// Of the reference (0), or of a live candidate (from 1).
    fn rows(&self, column: usize) -> Result<Array2<f32>> {
        let batches: Vec<ArrayView2<f32>> = self.0.iter().map(|b| b[column].view()).collect();
        Ok(concatenate(Axis(0), &batches)?)
    }
}

impl CalibrationPass<'_> {
    /// Fills a tally. `false`: it was interrupted.
    pub fn carry_on(&mut self, mut tally: Tally, stop: &dyn Fn() -> bool) -> Result<(Tally, bool)> {
        let part = &self.job.images.part;
        self.bar.advance(tally.seen.len() * tally.candidates.len());
        let left: Vec<usize> = (tally.seen.end..self.job.range.end).collect();
        let left = part.subset(&left);
        let mut recent = Recent::default();
        let mut batches = self.loader.batches(&left, 0)?;
        while batches.len() > 0 {
            if stop() {
                return Ok((tally, false));
            }
            let live: Vec<usize> = tally.live().collect();
            let next = self
                .next_comparison(&tally)
                .filter(|_| live.len() > self.winners());
            let size = self.loader.batch_size().get();
            let until = next.unwrap_or(usize::MAX) - tally.seen.len();
            let round = batches
                .by_ref()
                .take(self.workers.count().min(until.div_ceil(size)));
            let round: Vec<Batch> = round.collect::<Result<_, _>>()?;
            for mut features in self.walk(&tally, &live, &round)? {
                if let Against::Earlier(rows) = self.job.against {
                    let start = tally.seen.end * tally.places;
                    let end = start + features[0].nrows();
                    features[0] = rows.slice(s![start..end, ..]).to_owned();
                }
                tally.add(features[0].view(), &features[1..])?;
                if next.is_some() {
                    recent.keep(features);
                }
            }
            if next.is_some_and(|at| at <= tally.seen.len()) {
                self.compare(&mut tally, &live, &std::mem::take(&mut recent))?;
            }
        }
        Ok((tally, true))
    }

    /// For each batch the features of the network's own representation, and of those without each live candidate.
    fn walk(
        &mut self,
        tally: &Tally,
        live: &[usize],
        batches: &[Batch],
    ) -> Result<Vec<Vec<Array2<f32>>>> {
        let detour = |i: &usize| {
            let path = &tally.candidates[*i].path;
            self.detours.iter().find(|d| d.path == *path).copied()
        };
        let detours: Option<Vec<&Detour>> = live.iter().map(detour).collect();
        let walk = BatchRun {
            engine: self.engine,
            detours: &detours.context("a candidate that the network has not")?,
            batch_size: self.loader.batch_size().get(),
            keep: self.reuse.is_some(),
        };
        let ends = batches.iter().scan(tally.seen.end, |end, batch| {
            let start = *end;
            *end += batch.indices.len();
            Some(start)
        });
        let starts: Vec<usize> = ends.collect();
        let known: Vec<Vec<Tensor>> = match &mut self.reuse {
            Some(reuse) => starts.iter().map(|start| reuse.known(*start)).collect(),
            None => starts.iter().map(|_| Vec::new()).collect(),
        };
        let bar = self.bar;
        let found: Vec<BatchFeatures> = self.workers.run(|| {
            let each = batches.par_iter().zip(known).map(|(batch, known)| {
                let found = walk.run(batch, known)?;
                bar.advance(live.len() * batch.indices.len());
                Ok(found)
            });
            each.collect::<Result<_>>()
        })?;
        let mut features = Vec::new();
        for (start, found) in starts.into_iter().zip(found) {
            if let Some(reuse) = &mut self.reuse {
                reuse.keep(start, found.boundaries);
            }
            features.push(found.features);
        }
        Ok(features)
    }

    /// So many candidates are never compared any further.
    fn winners(&self) -> usize {
        self.race.map_or(1, |race| race.winners.get())
    }

    fn next_comparison(&self, tally: &Tally) -> Option<usize> {
        let mut comparisons = self.comparisons.iter().copied();
        comparisons.find(|at| *at > tally.seen.len())
    }

    /// Drops the candidates that have fallen behind.
    fn compare(&mut self, tally: &mut Tally, live: &[usize], recent: &Recent) -> Result<()> {
        let Some(race) = self.race else {
            return Ok(());
        };
        let reference = recent.rows(0)?;
        // Where an interrupted job goes on there may be fewer: too few to tell how images vary.
        if reference.nrows() < Recent::FEWEST {
            return Ok(());
        }
        let mut influences: Vec<Influence> = Vec::new();
        for (column, candidate) in live.iter().enumerate() {
            let rows = recent.rows(column + 1)?;
            influences.extend(tally.influence(*candidate, reference.view(), rows.view())?);
        }
        let priced = match self.job.savings {
            None => Cow::Borrowed(&influences),
            Some(savings) => {
                let part = |candidate: &usize| savings.part(&tally.candidates[*candidate].path);
                let both = influences.iter().zip(live);
                let priced = both.map(|(i, candidate)| i.below(1.).divided_by(part(candidate)));
                Cow::Owned(priced.collect())
            }
        };
        let all = self.job.images.len();
        let margin = race.margin(self.detours.len(), self.comparisons.len());
        let seen = tally.seen.len();
        let behind = race::fallen_behind(&priced, race.winners, seen, all, margin);
        for ((candidate, influence), behind) in live.iter().zip(&influences).zip(behind) {
            if behind {
                tally.drop_out(*candidate, influence.cka);
                self.bar.shorten(all - seen);
            }
        }
        Ok(())
    }
}
