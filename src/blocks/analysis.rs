//! Archive → network → program → blocks, for one input shape.

#![forbid(unsafe_code)]

use std::rc::Rc;

use crate::archive::{Archive, NetworkError};
use crate::blocks::front::{Front, NoFront};
use crate::blocks::samples::Samples;
use crate::blocks::{self, Block, Search};
use crate::program::cost::{self, Macs};
use crate::program::interface::{
    self, Followed, Input, Interface, InterfaceError, Layout, guess_input_shape,
};
use crate::program::output::{OutputError, OutputKeys};
use crate::program::{Learned, Network, Program, ProgramError};

/// What an archive is analysed for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Shape of one image `[channels, height, width]`; guessed if nobody names it.
    pub input_shape: Option<Vec<i64>>,
    /// Which outputs count; found if nobody names them.
    pub output: Option<OutputKeys>,
    /// What a sample is that networks are compared on.
    pub samples: Samples,
    pub search: Search,
    /// The shapes that running the network told.
    pub learned: Learned,
}

impl Request {
    /// A request for images of this shape, with defaults for the rest.
    #[must_use]
    pub fn shape(shape: &[i64]) -> Self {
        Request {
            input_shape: Some(shape.to_vec()),
            ..Request::default()
        }
    }
}

/// Everything known of an archive without running it.
#[derive(Clone, Debug)]
pub struct Analysis {
    pub network: Network,
    pub program: Program,
    /// In the order in which they run.
    pub blocks: Vec<Block>,
    /// Shape of one input: channels, height, width of an image, unless there is a [`front`](Self::front).
    pub input_shape: Vec<i64>,
    /// What makes its input of images, where the archive is a module inside a network that does not hand them on as they
    /// are; or why that network does not tell, so that the module is given the images.
    pub front: Result<Option<Rc<Front>>, NoFront>,
    /// The request, with the image shape filled in, so that an archive made from this one can be analysed in the same
    /// way.
    pub request: Request,
    /// Nobody named the input shape: it is a guess.
    pub shape_guessed: bool,
    /// How to run it, or why it cannot be run for its class scores.
    pub interface: Result<Interface, InterfaceError>,
    /// Order and scale of the images it takes.
    pub input: Input,
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
    /// The network refuses images channels first, and its code does not show that it takes them channels last.
    #[error(
        "it cannot be told in which order the network takes the dimensions of images of {shape}: it refuses {} ({error}) \
         and would run {}, but nothing in it turns them round; if its images are not of this size, name theirs with \
         --input-size, else export it with a permute(0, 2, 3, 1) in front, so that it takes {}",
        Layout::ChannelsFirst,
        Layout::ChannelsLast,
        Layout::ChannelsFirst
    )]
    Order { shape: String, error: ProgramError },
    #[error("the network cannot be analysed: {0}")]
    NotFollowed(ProgramError),
    /// It takes something else than images.
    #[error("{0}")]
    Forward(String),
    #[error(
        "no usual input size fits this network, neither channels first nor channels last where it turns its images \
         round; name it with --input-size"
    )]
    NoShapeFits,
    /// The output that was asked for is not there.
    #[error(transparent)]
    Output(OutputError),
}

impl Analysis {
    /// Analyses an archive.
    ///
    /// # Errors
    /// If the code cannot be read, the network refuses inputs of that shape, or has not the output that was named.
    pub fn of(archive: &Archive, request: &Request) -> Result<Self, AnalysisError> {
        let network = archive.network()?;
        if let Some(refusal) = interface::refusal(&network) {
            return Err(AnalysisError::Forward(refusal));
        }
        let named = request.input_shape.clone();
        let told = named.or_else(|| archive.example_shape());
        let shape_guessed = told.is_none();
        let front = Front::of(archive, told.as_deref()).map(|front| front.map(Rc::new));
        let (image_shape, input_shape) = match &front {
            Ok(Some(front)) => (front.image_shape.clone(), front.given_shape.clone()),
            _ => {
                let told = told.or_else(|| guess_input_shape(&network));
                let shape = told.ok_or(AnalysisError::NoShapeFits)?;
                (shape.clone(), shape)
            }
        };
        let refused = |error| match error {
            ProgramError::NotFollowed { .. } => AnalysisError::NotFollowed(error),
            ProgramError::Refused { .. } => {
                let shape = blocks::show_shape(&input_shape);
                if Layout::may_be_last(&network, &input_shape, &request.learned) {
                    AnalysisError::Order { shape, error }
                } else {
                    AnalysisError::Shape { shape, error }
                }
            }
        };
        let followed = Followed::of(&network, &input_shape, &request.learned);
        let Followed {
            program,
            layout,
            batch,
        } = followed.map_err(refused)?;
        let input = Input::of(&network, &program, layout);
        let interface = Interface::of(&network, &program, request.output.as_ref())
            .map(|interface| interface.taking(input).in_batches_of(batch));
        if let (Some(_), Err(InterfaceError::Output(error))) = (&request.output, &interface) {
            return Err(AnalysisError::Output(error.clone()));
        }
        let blocks = blocks::find(&network, &program, request.search);
        Ok(Analysis {
            network,
            program,
            blocks,
            request: Request {
                input_shape: Some(image_shape),
                ..request.clone()
            },
            input_shape,
            front,
            input,
            interface,
            shape_guessed,
        })
    }

    /// Channels, height and width of an image.
    #[must_use]
    pub fn image_shape(&self) -> &[i64] {
        match &self.front {
            Ok(Some(front)) => &front.image_shape,
            _ => &self.input_shape,
        }
    }

    /// Order and scale in which images are given.
    #[must_use]
    pub fn image_input(&self) -> Input {
        match &self.front {
            Ok(Some(front)) => front.interface.input,
            _ => self.input,
        }
    }

    /// What a module inside a network is given, in words; `None` where those are the images and nothing stands around it.
    #[must_use]
    pub fn given(&self) -> Option<String> {
        match &self.front {
            Ok(None) => None,
            Ok(Some(front)) => Some(format!("{}, as in the whole network", front.told())),
            Err(why) => Some(format!("the images as they are: {why}")),
        }
    }

    /// Number of parameters of the whole network.
    #[must_use]
    pub fn params(&self) -> i64 {
        self.network.parameter_count()
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

    /// How many classes the network tells apart, where its code shows it.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        let scores = self.interface.as_ref().ok()?.scores()?;
        match self.program.sample_shape(scores)?.as_slice() {
            [classes] => usize::try_from(*classes).ok(),
            _ => None,
        }
    }

    /// The block at this path.
    #[must_use]
    pub fn block(&self, path: &str) -> Option<&Block> {
        self.blocks.iter().find(|b| b.path == path)
    }
}
