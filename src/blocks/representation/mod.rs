//! The values of a network that the method compares.

mod heads;
mod maps;
mod places;

use std::collections::HashSet;

use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::blocks::answer::{Answering, tensor_method};
use crate::blocks::samples::Samples;
use crate::program::ast::Function;
use crate::program::interface::InterfaceError;
use crate::program::{Network, Program, ValueId};

pub use heads::representation;
pub use maps::FeatureMap;
use places::Places;

/// Why there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRepresentation {
    #[error("the network has no last linear or convolutional layer whose input could be compared")]
    NoLayer,
    #[error(
        "how the network computes its answer cannot be followed, so there is nothing to compare"
    )]
    NotFollowed,
    #[error(
        "the network has no maps of places in front of its last layers, or their sizes are not known: leave out \
         --representation places"
    )]
    NoPlaces,
    #[error(transparent)]
    Interface(#[from] InterfaceError),
}

/// The value that the method compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// The program that gives the answer alone, as other outputs would keep values alive across every cut. If several
    /// last layers are compared, or places, it gives their inputs side by side.
    pub program: Program,
    pub value: ValueId,
    /// The place behind the statement that gives it.
    pub end: usize,
    /// The values that are put side by side; a single one is the value itself unless places are samples.
    pub parts: Vec<ValueId>,
    /// Samples that an image gives, one after another: its places, or 1, itself.
    pub places: usize,
    /// Methods of the root class that the program calls.
    pub methods: Vec<Function>,
    /// The values that are computed on the way.
    made: HashSet<ValueId>,
}

/// The name of the method that makes rows of features of one of several values.
const FEATURES: &str = "ckaprune_features";

impl Representation {
    /// # Errors
    /// If there is nothing to compare.
    pub fn of(analysis: &Analysis) -> Result<Self, NoRepresentation> {
        let interface = analysis.interface.as_ref().map_err(Clone::clone)?;
        let network = &analysis.network;
        let answering = Answering::of(analysis).ok_or(NoRepresentation::NotFollowed)?;
        let parts = representation(&answering.program, &answering.values);
        if parts.is_empty() {
            return Err(NoRepresentation::NoLayer);
        }
        let samples = analysis.request.samples;
        let wanted = match samples {
            Samples::Auto => interface.answer.is_of_places(),
            Samples::Pooled => false,
            Samples::Places => true,
        };
        let drawn = wanted
            .then(|| Places::of(&answering.program, &parts))
            .flatten();
        if samples == Samples::Places && drawn.is_none() {
            return Err(NoRepresentation::NoPlaces);
        }
        let (program, value, methods) = match (&drawn, &parts[..]) {
            (Some(drawn), _) => {
                let (program, value) = analysis.program.joined(&parts, places::name);
                (program, value, drawn.methods(network))
            }
            (None, [value]) => {
                let methods = answering.methods(network);
                (answering.program, *value, methods)
            }
            (None, _) => {
                let (program, value) = analysis.program.joined(&parts, |_| FEATURES.to_owned());
                (program, value, features_method(network))
            }
        };
        let places = drawn.map_or(1, |_| places::COUNT);
        Ok(Self::new(program, value, parts, places, methods))
    }

    /// What the network answers, in place of what its last layers are given.
    ///
    /// # Errors
    /// If it cannot be followed.
    pub fn of_answer(analysis: &Analysis) -> Result<Self, NoRepresentation> {
        analysis.interface.as_ref().map_err(Clone::clone)?;
        let answering = Answering::of(analysis).ok_or(NoRepresentation::NotFollowed)?;
        let methods = answering.methods(&analysis.network);
        let value = answering.value;
        Ok(Self::new(answering.program, value, vec![value], 1, methods))
    }

    fn new(
        program: Program,
        value: ValueId,
        parts: Vec<ValueId>,
        places: usize,
        methods: Vec<Function>,
    ) -> Self {
        let made = program.statements.iter().flat_map(|s| s.outputs.clone());
        Representation {
            made: made.collect(),
            end: behind(&program, value),
            program,
            value,
            parts,
            places,
            methods,
        }
    }

    /// Whether its features depend on a block. They do not if the block comes later, or only leads to another output.
    #[must_use]
    pub fn shows(&self, block: &Block) -> bool {
        block.statements.end <= self.end && self.made.contains(&block.output)
    }

    /// Whether it is a value that was made for it: several side by side, or places.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.parts != [self.value]
    }

    /// Where in the program the parts are made: behind their statements.
    pub fn places_of_parts(&self) -> impl Iterator<Item = (ValueId, usize)> {
        let parts = self.parts.iter();
        parts.map(|part| (*part, behind(&self.program, *part)))
    }
}

/// The place behind the statement that gives a value.
fn behind(program: &Program, value: ValueId) -> usize {
    let mut statements = program.statements.iter();
    let gives = statements.position(|s| s.outputs.contains(&value));
    gives.map_or(0, |i| i + 1)
}

/// Rows of features as [`crate::score`] makes them of one value: of feature maps the mean over their pixels, in single
/// precision.
fn features_method(network: &Network) -> Vec<Function> {
    let body = "\
wide = torch.to(x, 6)
if torch.gt(torch.dim(wide), 2):
  rows = torch.mean(torch.flatten(wide, 2), [2])
else:
  rows = torch.reshape(wide, [torch.size(wide, 0), -1])
return rows";
    tensor_method(network, FEATURES, body)
}
