//! The values of a network that the method compares.

mod heads;
mod maps;

use std::collections::HashSet;

use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::program::ast::Function;
use crate::program::interface::InterfaceError;
use crate::program::{Network, Program, ValueId, methods_of};

pub use heads::representation;
pub use maps::FeatureMap;

/// Why there is nothing to compare.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRepresentation {
    #[error("the network has no last linear or convolutional layer whose input could be compared")]
    NoLayer,
    #[error(
        "how the network computes its class scores cannot be followed, so there is nothing to compare"
    )]
    NotFollowed,
    #[error(transparent)]
    Interface(#[from] InterfaceError),
}

/// The value that the method compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// The program that gives the class scores alone, as other outputs would keep values alive across every cut. If
    /// several last layers are compared, it gives their inputs side by side.
    pub program: Program,
    pub value: ValueId,
    /// The place behind the statement that gives it.
    pub end: usize,
    /// The values that are put side by side; a single one is the value itself.
    pub parts: Vec<ValueId>,
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
        let scores = interface
            .scores
            .value
            .ok_or(NoRepresentation::NotFollowed)?;
        let towards_scores = analysis.program.towards(scores);
        let parts = representation(&towards_scores);
        let (program, value) = match parts[..] {
            [] => return Err(NoRepresentation::NoLayer),
            [value] => (towards_scores, value),
            _ => analysis.program.joined(&parts, FEATURES),
        };
        let end = behind(&program, value);
        let made = program.statements.iter().flat_map(|s| s.outputs.clone());
        Ok(Representation {
            made: made.collect(),
            program,
            value,
            end,
            parts,
        })
    }

    /// Whether its features depend on a block. They do not if the block comes later, or only leads to another output.
    #[must_use]
    pub fn shows(&self, block: &Block) -> bool {
        block.statements.end <= self.end && self.made.contains(&block.output)
    }

    /// Whether it is several values side by side.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.parts.len() > 1
    }

    /// The places behind the statements that give the parts.
    pub fn places(&self) -> impl Iterator<Item = (ValueId, usize)> {
        let places = self.parts.iter();
        places.map(|part| (*part, behind(&self.program, *part)))
    }

    /// Methods of the root class that the program calls.
    #[must_use]
    pub fn methods(&self, network: &Network) -> Vec<Function> {
        if self.is_joined() {
            features_method(network)
        } else {
            Vec::new()
        }
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
    let root = &network.modules.root().class;
    let text = format!(
        "\
class Methods(Module):
  def {FEATURES}(self: {root},
    x: Tensor) -> Tensor:
    wide = torch.to(x, 6)
    if torch.gt(torch.dim(wide), 2):
      rows = torch.mean(torch.flatten(wide, 2), [2])
    else:
      rows = torch.reshape(wide, [torch.size(wide, 0), -1])
    return rows
"
    );
    methods_of(&text).unwrap_or_default()
}
