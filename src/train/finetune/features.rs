//! Learning from another network's maps: what the method compares before it is pooled, and the ends of the stages.
//!
//! A network that lost blocks is closest to the unpruned one where both have the same maps, and what it learns so needs
//! no labels (few images suffice: Wang et al., arXiv 2202.07861).

use anyhow::{Context, Result, bail};
use tch::{Kind, TchError, Tensor};

use crate::blocks::analysis::Analysis;
use crate::blocks::representation::FeatureMap;
use crate::program::ast::Function;
use crate::program::{Emitter, ValueId};
use crate::run::torch::{Model, Module, explain, side_by_side};

/// Name of the method that gives the answer and maps.
const METHOD: &str = "ckaprune_maps";

/// What is looked at in a network.
#[derive(Clone, Debug)]
pub struct Maps {
    answer: Vec<ValueId>,
    maps: Vec<FeatureMap>,
}

/// The answer of a network (class scores as softmax is taken of them), and maps.
pub(super) struct Seen {
    pub scores: Tensor,
    pub maps: Vec<Tensor>,
}

impl Maps {
    /// # Errors
    /// If the network has none that can be looked at.
    pub fn of(model: &Model) -> Result<Self> {
        if model.interface()?.batch.is_some() {
            bail!(
                "a network that takes batches of a fixed size cannot be imitated: leave features out of --teach"
            );
        }
        let maps = FeatureMap::all(model.analysis());
        // Values of this very program: the model has the interface of that which it was made of.
        let interface = model.analysis().interface.as_ref().ok();
        match interface.and_then(|interface| interface.answer.values()) {
            Some(answer) if !maps.is_empty() => Ok(Maps { answer, maps }),
            _ => bail!(
                "the network has no maps of features that can be looked at: leave features out of --teach"
            ),
        }
    }

    fn values(&self) -> Vec<ValueId> {
        let maps = self.maps.iter().map(|map| map.value);
        self.answer.iter().copied().chain(maps).collect()
    }

    /// The method that gives them in evaluation mode.
    pub(super) fn method(&self, analysis: &Analysis) -> Function {
        let emitter = Emitter::new(&analysis.network, &analysis.program);
        emitter.list_method(METHOD, &self.values())
    }
}

/// What a network is given and gives by [`METHOD`].
pub(super) fn look(module: &Module, images: &Tensor) -> Result<Seen> {
    let mut answer = module.list(METHOD, images)?;
    let maps = answer.split_off(module.outputs().min(answer.len()));
    let scores = module.on_scale(side_by_side(answer)?)?;
    Ok(Seen { scores, maps })
}

/// A network that imitates another: the maps that both have.
pub struct Student {
    maps: Maps,
    /// For each of its maps the place of the one it is to be like.
    targets: Vec<usize>,
}

impl Student {
    /// # Errors
    /// If the two networks have no maps of one shape.
    pub fn of(theirs: &Maps, model: &Model) -> Result<Self> {
        let mut own = Maps::of(model)?;
        let stages = |maps: &Maps| maps.maps.iter().filter_map(|map| map.stage).max();
        let match_by_stage = stages(theirs) == stages(&own);
        let target = |map: &FeatureMap| {
            let mut theirs = theirs.maps.iter();
            let place = theirs.position(|t| t.shape == map.shape && t.stage == map.stage);
            place.filter(|_| match_by_stage || map.stage.is_none())
        };
        let targets: Vec<Option<usize>> = own.maps.iter().map(target).collect();
        let mut places = targets.iter();
        own.maps
            .retain(|_| places.next().is_some_and(Option::is_some));
        if own.maps.is_empty() {
            bail!(
                "the network has no maps of the same shape as the one it learns from: leave features out of --teach"
            );
        }
        Ok(Student {
            maps: own,
            targets: targets.into_iter().flatten().collect(),
        })
    }

    /// The method that gives its answer and maps in training mode.
    pub fn method(&self, analysis: &Analysis) -> Function {
        let program = analysis.program.in_training();
        Emitter::new(&analysis.network, &program).list_method(METHOD, &self.maps.values())
    }

    /// How far its maps are from those of the other: the mean squared difference, each channel over its own variance, a
    /// mean over maps. Else the channels that vary most would be all that is learned.
    pub fn distance(&self, found: &[Tensor], theirs: &[Tensor]) -> Result<Tensor> {
        let mut distances = Vec::new();
        for ((found, map), target) in found.iter().zip(&self.maps.maps).zip(&self.targets) {
            let target = theirs.get(*target).context("a map that is missing")?;
            distances.push(distance(found, target, map.channels).map_err(explain)?);
        }
        let mean = Tensor::f_stack(&distances, 0).and_then(|t| t.f_mean(Kind::Float));
        mean.map_err(explain)
    }
}

/// Mean squared difference of two maps of the same shape, images × …, over the variance of each of the second one's channels:
/// 1 is as far as its means are.
fn distance(found: &Tensor, target: &Tensor, channels: usize) -> Result<Tensor, TchError> {
    /// Of the mean variance: what channels have at least that hardly vary.
    const FLOOR: f64 = 0.01;
    let wide = |t: &Tensor| t.f_to_kind(Kind::Float);
    let (found, target) = (wide(found)?, wide(target)?);
    let others: Vec<i64> = (0..target.dim())
        .filter(|d| *d != channels)
        .map(|d| d as i64)
        .collect();
    let mean = |t: &Tensor| t.f_mean_dim(&others[..], true, Kind::Float);
    let variance = mean(&target.f_sub(&mean(&target)?)?.f_square()?)?;
    let floor = variance.f_mean(Kind::Float)?.f_mul_scalar(FLOOR)?;
    let variance = variance.f_add(&floor)?.f_clamp_min(1e-12)?;
    let difference = found.f_sub(&target)?.f_square()?;
    difference.f_div(&variance)?.f_mean(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_is_measured_by_its_own_variance() {
        // Two images, two channels, the second of which varies ten times as much.
        let target = Tensor::from_slice(&[1f32, 10., 3., 30.]).reshape([2, 2]);
        let of = |found: &Tensor| distance(found, &target, 1).unwrap().double_value(&[]);
        assert_eq!(of(&target), 0.);
        let means = Tensor::from_slice(&[2f32, 20., 2., 20.]).reshape([2, 2]);
        // The first has a variance of 1, the second one of 100; a hundredth of their mean is added to both.
        let floor = 0.01 * (1. + 100.) / 2.;
        let expected = (1. / (1. + floor) + 100. / (100. + floor)) / 2.;
        assert!((of(&means) - expected).abs() < 1e-6, "{}", of(&means));
    }
}
