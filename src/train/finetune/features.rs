//! Learning from another network's maps: what the method compares before it is pooled, and the ends of the stages.
//!
//! A network that lost blocks is closest to the unpruned one where both have the same maps, and what it learns so needs
//! no labels (few images suffice: Wang et al., arXiv 2202.07861).

use anyhow::{Context, Result, bail};
use tch::{Kind, Tensor};

use crate::blocks::analysis::Analysis;
use crate::blocks::representation::FeatureMap;
use crate::program::ast::Function;
use crate::program::{Emitter, ValueId};
use crate::run::distance::distance;
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
            distances.push(distance(found, target, map.channels, Kind::Float).map_err(explain)?);
        }
        let mean = Tensor::f_stack(&distances, 0).and_then(|t| t.f_mean(Kind::Float));
        mean.map_err(explain)
    }
}
