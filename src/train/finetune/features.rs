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
use crate::run::torch::{Model, Module, explain};

/// Name of the method that gives class scores and maps.
const METHOD: &str = "ckaprune_maps";

/// What is looked at in a network.
#[derive(Clone, Debug)]
pub struct Maps {
    scores: ValueId,
    maps: Vec<FeatureMap>,
}

/// Class scores, as softmax is taken of them, and maps.
pub(super) struct Seen {
    pub scores: Tensor,
    pub maps: Vec<Tensor>,
}

impl Maps {
    /// # Errors
    /// If the network has none that can be looked at.
    pub fn of(model: &Model) -> Result<Self> {
        let interface = model.interface()?;
        if interface.batch.is_some() {
            bail!(
                "a network that takes batches of a fixed size cannot be imitated: leave features out of --teach"
            );
        }
        let scores = model.analysis().interface.as_ref().ok();
        let scores = scores.and_then(|interface| interface.scores.value);
        let maps = FeatureMap::all(model.analysis());
        match scores {
            Some(scores) if !maps.is_empty() => Ok(Maps { scores, maps }),
            _ => bail!(
                "the network has no maps of features that can be looked at: leave features out of --teach"
            ),
        }
    }

    fn values(&self) -> Vec<ValueId> {
        let maps = self.maps.iter().map(|map| map.value);
        [self.scores].into_iter().chain(maps).collect()
    }

    /// The method that gives them in evaluation mode.
    pub(super) fn method(&self, analysis: &Analysis) -> Function {
        let emitter = Emitter::new(&analysis.network, &analysis.program);
        emitter.list_method(METHOD, &self.values())
    }
}

/// What a network is given and gives by [`METHOD`].
pub(super) fn look(module: &Module, images: &Tensor) -> Result<Seen> {
    let mut maps = module.list(METHOD, images)?;
    if maps.is_empty() {
        bail!("the network gives no class scores");
    }
    let scores = module.on_scale(maps.remove(0))?;
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
            let is_like = |t: &FeatureMap| t.shape == map.shape && t.stage == map.stage;
            theirs
                .maps
                .iter()
                .position(|t| is_like(t))
                .filter(|_| match_by_stage || map.stage.is_none())
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

    /// The method that gives its class scores and maps in training mode.
    pub fn method(&self, analysis: &Analysis) -> Function {
        let program = analysis.program.in_training();
        Emitter::new(&analysis.network, &program).list_method(METHOD, &self.maps.values())
    }

    /// How far its maps are from those of the other: the mean squared difference over the variance, a mean over maps.
    pub fn distance(&self, found: &[Tensor], theirs: &[Tensor]) -> Result<Tensor> {
        let mut distances = Vec::new();
        for (map, target) in found.iter().zip(&self.targets) {
            let target = theirs.get(*target).context("a map that is missing")?;
            distances.push(distance(map, target).map_err(explain)?);
        }
        let mean = Tensor::f_stack(&distances, 0).and_then(|t| t.f_mean(Kind::Float));
        mean.map_err(explain)
    }
}

/// Mean squared difference of two maps of the same shape, images × …, over the variance of the second: 1 is as far as its
/// mean is.
fn distance(found: &Tensor, target: &Tensor) -> Result<Tensor, TchError> {
    let (found, target) = (
        found.f_to_kind(Kind::Float)?,
        target.f_to_kind(Kind::Float)?,
    );
    let deviation = target.f_sub(&target.f_mean(Kind::Float)?)?;
    let variance = deviation
        .f_square()?
        .f_mean(Kind::Float)?
        .f_clamp_min(1e-12)?;
    found
        .f_sub(&target)?
        .f_square()?
        .f_mean(Kind::Float)?
        .f_div(&variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_in_units_of_the_targets_variance() {
        let target = Tensor::from_slice(&[1f32, 3., 5., 7.]).reshape([2, 2]);
        let of = |found: &Tensor| distance(found, &target).unwrap().double_value(&[]);
        assert_eq!(of(&target), 0.);
        // Its mean everywhere.
        assert_eq!(
            of(&Tensor::full([2, 2], 4., (Kind::Float, tch::Device::Cpu))),
            1.
        );
        assert_eq!(of(&(&target * 10. - &target * 9. + 2.)), 4. / 5.);
    }
}
