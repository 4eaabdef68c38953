//! One way through the calibration images.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use tch::Tensor;

use super::engine::{self, Engine};
use super::race::{self, Race};
use super::reuse::Reuse;
use super::tally::Tally;
use super::{Against, Job};
use crate::cka::Influence;
use crate::data::{Batch, Loader};
use crate::progress::Bar;
use crate::segments::Detour;

/// One way through the calibration images with a group of candidates.
pub(super) struct Pass<'a> {
    pub job: &'a Job<'a>,
    pub race: Option<Race>,
    pub engine: &'a Engine,
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

impl Pass<'_> {
    /// Fills a tally. `false`: it was interrupted.
    pub fn carry_on(&mut self, mut tally: Tally, stop: &dyn Fn() -> bool) -> Result<(Tally, bool)> {
        let part = self.job.images.0;
        self.bar.advance(tally.seen.len() * tally.candidates.len());
        let left: Vec<usize> = (tally.seen.end..self.job.range.end).collect();
        let left = part.subset(&left);
        let mut recent = Recent::default();
        let mut next = self.next_comparison(&tally);
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
            if let Some(at) = next.filter(|_| live.len() > 1) {
                recent.keep(features);
                if at <= tally.seen.len() {
                    self.compare(&mut tally, &live, &std::mem::take(&mut recent))?;
                    next = self.next_comparison(&tally);
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
