//! Shapes that no rule tells, learned from libtorch.
//!
//! The flat program runs on a few small batches and gives the values whose shapes are not known; two sizes of the batch
//! tell which dimension it is. What is learned decides branches, behind which other values appear, so this goes on until
//! nothing is unknown or nothing more is learned. A network that cannot be run so is left as it is.

use std::collections::HashMap;

use anyhow::Result;
use ndarray::Array4;

use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, Request};
use crate::program::{Dim, Shape, ValueId, dim_of_batches};
use crate::run::segments::with_any_values;
use crate::run::torch::Module;

/// Each round tells all that does not depend on what the round itself tells.
const MAX_ROUNDS: usize = 8;
const METHOD: &str = "ckaprune_values";

/// The analysis with the shapes that running the network tells.
#[must_use]
pub fn learned(archive: &Archive, mut analysis: Analysis) -> Analysis {
    for _ in 0..MAX_ROUNDS {
        match next_round(archive, &analysis) {
            Some(more) => analysis = more,
            None => break,
        }
    }
    analysis
}

fn next_round(archive: &Archive, analysis: &Analysis) -> Option<Analysis> {
    let interface = analysis.interface.as_ref().ok()?;
    if analysis.program.open.is_empty() || interface.check_prunable().is_err() {
        return None;
    }
    // What the run says against it, the command itself will say.
    let shapes = shapes(archive, analysis).ok()?;
    let mut learned = analysis.request.learned.clone();
    if !learned.add(&analysis.program, &shapes) {
        return None;
    }
    let request = Request {
        learned,
        ..analysis.request.clone()
    };
    let more = Analysis::of(archive, &request).ok()?;
    Some(Analysis {
        shape_guessed: analysis.shape_guessed,
        ..more
    })
}

/// The shapes of the open values that are tensors.
fn shapes(archive: &Archive, analysis: &Analysis) -> Result<HashMap<ValueId, Shape>> {
    let open = &analysis.program.open;
    let values: Vec<ValueId> = open.iter().map(|open| open.value).collect();
    let interface = analysis.interface.as_ref().map_err(Clone::clone)?;
    let instrumented = with_any_values(archive, analysis, METHOD, &values);
    let module = Module::load(&instrumented, tch::Device::Cpu, interface)?.behind(analysis)?;
    let run = |images: Array4<f32>| {
        let images = module.images(&images)?;
        tch::no_grad(|| module.sizes(METHOD, &images))
    };
    let shape_of = |batch| sizes(batch, analysis.image_shape());
    let two = run(noise(shape_of(2)))?;
    let again = run(Array4::zeros(shape_of(2)))?;
    let three = run(noise(shape_of(3)))?;
    let told = values
        .into_iter()
        .zip(two)
        .zip(again.into_iter().zip(three));
    Ok(told
        .filter_map(|((value, two), (again, three))| {
            // Sizes that differ between noise and black images are data's.
            let two = two.filter(|two| again.as_ref() == Some(two))?;
            Some((value, shape(&two, &three?)?))
        })
        .collect())
}

fn shape(two: &[i64], three: &[i64]) -> Option<Shape> {
    if two.len() != three.len() {
        return None;
    }
    let pairs = two.iter().zip(three);
    pairs
        .map(|(two, three)| dim_of_batches(*two, *three))
        .collect::<Option<Vec<Dim>>>()
}

fn sizes(batch: usize, shape: &[i64]) -> [usize; 4] {
    let side = |i: usize| shape.get(i).map_or(1, |n| usize::try_from(*n).unwrap_or(1));
    [batch, side(0), side(1), side(2)]
}

/// Images that are all different, and none black.
fn noise(sizes: [usize; 4]) -> Array4<f32> {
    let mut state = 1u32;
    Array4::from_shape_simple_fn(sizes, || {
        // Numerical Recipes' generator: its high bits are random enough for images nobody looks at.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32
    })
}
