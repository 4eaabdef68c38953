//! What of a network lies in front of a module inside it, and makes the module's input of images.

use crate::archive::Archive;
use crate::program::ast::Function;
use crate::program::interface::{self, Followed, Input, Interface, guess_input_shape};
use crate::program::{
    Emitter, Known, Learned, Network, Op, Operand, Program, Span, ValueId, show_shape,
};

/// The network around a module, ready to be run as far as the module's call.
#[derive(Clone, Debug)]
pub struct Front {
    /// The whole network.
    pub archive: Archive,
    pub network: Network,
    /// How the whole is given images.
    pub interface: Interface,
    /// A method of its root class, from images to what the module is given.
    pub method: Function,
    /// Shape of one image: channels, height, width.
    pub image_shape: Vec<i64>,
    /// Shape of what the module is given for one image.
    pub given_shape: Vec<i64>,
}

/// Why the whole network does not tell what a module inside is given, which so is given the images themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFront {
    #[error("the network around it cannot be run on images: {0}")]
    NotRun(String),
    #[error("the network around it takes batches of one size alone")]
    FixedBatch,
    #[error("the network around it runs under torch.autocast")]
    Autocast,
    #[error("the network around it calls it {0} times")]
    Calls(usize),
    #[error("the network around it gives it {0} tensors")]
    Tensors(usize),
    #[error(
        "what the network around it gives it has a shape that is not known, or not an entry for each image"
    )]
    Shape,
}

impl Front {
    /// Of the module that an archive is [focused](Archive::focus) on, for images of a shape `[channels, height, width]`,
    /// which is guessed where nobody names it. `None`: the archive is the whole network, or its module is given the images
    /// as they are.
    ///
    /// # Errors
    /// If the whole cannot be followed to one call of the module with one tensor.
    pub fn of(archive: &Archive, image_shape: Option<&[i64]>) -> Result<Option<Self>, NoFront> {
        let Some(path) = archive.focus().and_then(|focus| focus.inside.as_deref()) else {
            return Ok(None);
        };
        let whole = archive.whole().into_owned();
        let network = whole.network().map_err(not_run)?;
        if let Some(refusal) = interface::refusal(&network) {
            return Err(NoFront::NotRun(refusal));
        }
        let image_shape = image_shape.map(<[i64]>::to_vec);
        let image_shape = image_shape
            .or_else(|| guess_input_shape(&network))
            .ok_or_else(|| not_run("no usual size of images fits it"))?;
        let followed = Followed::of(&network, &image_shape, &Learned::default());
        let Followed {
            program,
            layout,
            batch,
        } = followed.map_err(not_run)?;
        if batch.is_some() {
            return Err(NoFront::FixedBatch);
        }
        if program.autocast {
            return Err(NoFront::Autocast);
        }
        let (value, span) = way_to(&network, &program, path)?;
        if value == program.input {
            return Ok(None);
        }
        let given_shape = program.sample_shape(value).ok_or(NoFront::Shape)?;
        let emitter = Emitter::new(&network, &program);
        let method = emitter.method("ckaprune_front", &emitter.code(&span), None);
        let input = Input::of(&network, &program, layout);
        Ok(Some(Front {
            interface: Interface::for_input(&network, &program, input),
            archive: whole,
            network,
            method,
            image_shape,
            given_shape,
        }))
    }

    /// `2×16×16 made of images of 3×32×32`
    #[must_use]
    pub fn told(&self) -> String {
        let [given, images] = [&self.given_shape, &self.image_shape].map(|shape| show_shape(shape));
        format!("{given} made of images of {images}")
    }
}

/// The network that is given the images: the whole where a module inside is given what that makes of them.
///
/// # Errors
/// If it cannot be read.
pub fn network_for_images(
    archive: &Archive,
    sides: Option<[i64; 2]>,
) -> Result<Network, crate::archive::NetworkError> {
    let own = archive.network();
    if archive.focus().is_none_or(|focus| focus.inside.is_none()) {
        return own;
    }
    let Ok(whole) = archive.whole().network() else {
        return own;
    };
    let channels = interface::image_channels(&whole, sides);
    let shape = channels.zip(sides).map(|(c, [h, w])| vec![c, h, w]);
    match Front::of(archive, shape.as_deref()) {
        Ok(Some(_)) => Ok(whole),
        _ => own,
    }
}

fn not_run(why: impl ToString) -> NoFront {
    NoFront::NotRun(why.to_string())
}

/// What the module at this path is given, and the statements that make it of the input.
fn way_to(network: &Network, program: &Program, path: &str) -> Result<(ValueId, Span), NoFront> {
    let module = network.modules.find(path);
    let followed = |call: &&crate::program::Call| Some(call.module) == module;
    let calls: Vec<_> = program.calls.iter().filter(followed).collect();
    let left = |op: &Op| matches!(op, Op::Method { module: m, .. } if Some(*m) == module);
    let left = program.statements.iter().filter(|s| left(&s.op)).count();
    let ([call], 0) = (calls.as_slice(), left) else {
        return Err(NoFront::Calls(calls.len() + left));
    };
    let tensors = call.args.iter();
    let tensors = tensors.filter(|arg| matches!(arg.known, Known::Tensor { .. }));
    let tensors: Vec<&Operand> = tensors.map(|arg| &arg.operand).collect();
    let [Operand::Value(value)] = tensors[..] else {
        return Err(NoFront::Tensors(tensors.len()));
    };
    let span = Span {
        input: program.input,
        output: *value,
        statements: 0..call.range.start,
        without: Vec::new(),
    };
    Ok((*value, span))
}
