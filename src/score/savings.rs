//! What the removal of each block saves, for whoever weighs what it costs against that.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Tensor};

use super::Engine;
use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::blocks::value::{Per, Value};
use crate::data::Images;
use crate::run::segments::Detour;
use crate::run::torch::Model;

/// The part of a network's MACs, parameters or time that goes with each block, by the block's path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Savings(BTreeMap<String, f64>);

/// A block that saves nothing is not for free: whatever its removal costs is too much.
const LEAST: f64 = 1e-9;

/// Passes through the network of which the median is taken, after those in which libtorch optimises it.
const PASSES: usize = 30;
const WARM_UP: usize = 3;

impl Savings {
    /// # Errors
    /// If a network that is timed cannot run.
    pub fn of(per: Per, model: &Model, images: &Images) -> Result<Self> {
        let analysis = model.analysis();
        Ok(match per {
            Per::Macs => Self::counted(analysis, |b| b.macs.count, analysis.macs().count),
            Per::Params => Self::counted(analysis, |b| b.params, analysis.params()),
            Per::Latency => Self::timed(model, images)?,
        })
    }

    fn counted(analysis: &Analysis, of_block: impl Fn(&Block) -> i64, whole: i64) -> Self {
        let part = |count: i64| count as f64 / whole.max(1) as f64;
        let blocks = analysis.blocks.iter();
        Savings(
            blocks
                .map(|b| (b.path.clone(), part(of_block(b))))
                .collect(),
        )
    }

    /// Times what lies around each block in passes of one image through the network as it is written, so that a machine
    /// that slows down slows all of them.
    fn timed(model: &Model, images: &Images) -> Result<Self> {
        let one = images.subset(&[0]).first_batch()?;
        let one = one.context("no calibration images")?;
        let engine = Engine::as_written(model, &one)?;
        let image = engine.input(&one, 1)?;
        let stopwatch = Stopwatch {
            engine: &engine,
            device: model.device(),
        };
        let mut passes = Passes::default();
        for pass in 0..WARM_UP + PASSES {
            let found = stopwatch.pass(&image)?;
            if pass >= WARM_UP {
                passes.0.push(found);
            }
        }
        let whole = passes.median(|pass| pass.segments.iter().sum());
        let saved = |(number, detour): (usize, &Detour)| {
            let own = passes.median(|pass| {
                let around: f64 = pass.segments[detour.from..detour.resume].iter().sum();
                around - pass.variants[number]
            });
            (
                detour.path.clone(),
                (own / whole.max(f64::MIN_POSITIVE)).max(0.),
            )
        };
        let detours = engine.pieces().detours.iter().enumerate();
        Ok(Savings(detours.map(saved).collect()))
    }

    /// The part that goes with a block.
    #[must_use]
    pub fn part(&self, path: &str) -> f64 {
        self.0.get(path).copied().unwrap_or(0.).max(LEAST)
    }

    /// What a block's removal costs for all that it saves; `None` if the value tells no cost.
    #[must_use]
    pub fn price(&self, path: &str, value: Value) -> Option<f64> {
        value.cost().map(|cost| cost / self.part(path))
    }
}

/// Seconds of one pass.
struct Pass {
    segments: Vec<f64>,
    /// Of what runs in a block's place, detour by detour.
    variants: Vec<f64>,
}

#[derive(Default)]
struct Passes(Vec<Pass>);

impl Passes {
    fn median(&self, of: impl Fn(&Pass) -> f64) -> f64 {
        let mut all: Vec<f64> = self.0.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(0.)
    }
}

struct Stopwatch<'a> {
    engine: &'a Engine,
    device: Device,
}

impl Stopwatch<'_> {
    fn pass(&self, image: &Tensor) -> Result<Pass> {
        let pieces = self.engine.pieces();
        let mut boundaries = vec![image.shallow_clone()];
        let mut segments = Vec::new();
        for segment in 0..pieces.segments.len() {
            let run = || self.engine.segment(segment, &boundaries[segment]);
            let (behind, seconds) = self.timed(run)?;
            boundaries.push(behind);
            segments.push(seconds);
        }
        let variant = |detour: &Detour| match &detour.variant {
            None => Ok(0.),
            Some(_) => {
                let run = || self.engine.variant(detour, &boundaries[detour.from]);
                self.timed(run).map(|(_, seconds)| seconds)
            }
        };
        let variants = pieces.detours.iter().map(variant).collect::<Result<_>>()?;
        Ok(Pass { segments, variants })
    }

    fn timed(&self, run: impl FnOnce() -> Result<Tensor>) -> Result<(Tensor, f64)> {
        let begun = Instant::now();
        let tensor = run()?;
        if let Device::Cuda(card) = self.device {
            Cuda::synchronize(card as i64);
        }
        Ok((tensor, begun.elapsed().as_secs_f64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_saves_more_may_cost_more() {
        let parts = [("small", 0.1), ("large", 0.4), ("idle", 0.)];
        let savings = Savings(parts.map(|(path, part)| (path.to_owned(), part)).into());
        let price = |path: &str, cka: f64| savings.price(path, Value::Cka(cka)).unwrap();
        assert!((price("small", 0.9) - 1.).abs() < 1e-9);
        assert!(price("large", 0.7) < price("small", 0.9));
        assert!(price("idle", 0.999) > price("small", 0.));
        assert_eq!(savings.price("small", Value::Random(0.5)), None);
    }
}
