//! Archive → network → program → blocks, for one input shape.

use crate::archive::{Archive, NetworkError};
use crate::blocks::{self, Block};
use crate::cost::{self, Macs};
use crate::program::{ModuleTree, Network, Program, ProgramError};

/// Everything known of an archive without running it.
#[derive(Clone, Debug)]
pub struct Analysis {
    pub network: Network,
    pub program: Program,
    /// In the order in which they run.
    pub blocks: Vec<Block>,
    /// Shape of one input: channels, height, width.
    pub input_shape: Vec<i64>,
    /// Nobody named the input shape: it is a guess.
    pub shape_guessed: bool,
}

/// Why an archive cannot be analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(
        "the network does not accept inputs of {shape}: {error}; name the right size with --input-size"
    )]
    Shape { shape: String, error: ProgramError },
    #[error("no usual input size fits this network; name it with --input-size")]
    NoShapeFits,
}

impl Analysis {
    /// Analyses an archive for inputs of `shape`, or of a guessed shape.
    ///
    /// # Errors
    /// If the code cannot be read, or the network refuses inputs of that shape.
    pub fn of(archive: &Archive, shape: Option<&[i64]>) -> Result<Self, AnalysisError> {
        let network = archive.network()?;
        let input_shape = match shape {
            Some(shape) => shape.to_vec(),
            None => blocks::guess_input_shape(&network).ok_or(AnalysisError::NoShapeFits)?,
        };
        let program =
            Program::new(&network, &input_shape).map_err(|error| AnalysisError::Shape {
                shape: blocks::show_shape(&input_shape),
                error,
            })?;
        let blocks = blocks::find(&network, &program);
        Ok(Analysis {
            network,
            program,
            blocks,
            input_shape,
            shape_guessed: shape.is_none(),
        })
    }

    /// Number of parameters of the whole network.
    #[must_use]
    pub fn params(&self) -> i64 {
        self.network.modules.parameter_count(ModuleTree::ROOT)
    }

    /// MACs of the whole network for one sample.
    #[must_use]
    pub fn macs(&self) -> Macs {
        cost::macs(
            &self.network,
            &self.program,
            0..self.program.statements.len(),
        )
    }

    /// The block at this path.
    #[must_use]
    pub fn block(&self, path: &str) -> Option<&Block> {
        self.blocks.iter().find(|b| b.path == path)
    }
}
