//! How many channels a network's images have.

use super::batch::Followed;
use super::guess::guess_input_shape;
use crate::program::{Learned, Network, Program, Statement};

/// Whether the network takes images in colour (3) or in grey (1). `None` if it takes neither, or the analysis cannot
/// tell. `sides` are the height and width of the images, where they are known.
#[must_use]
pub fn image_channels(network: &Network, sides: Option<[i64; 2]>) -> Option<i64> {
    let named = sides.and_then(|sides| of_sides(network, sides));
    named.or_else(|| match guess_input_shape(network)?.as_slice() {
        [_, height, width] => of_sides(network, [*height, *width]),
        _ => None,
    })
}

fn of_sides(network: &Network, [height, width]: [i64; 2]) -> Option<i64> {
    let follow =
        |channels| Followed::of(network, &[channels, height, width], &Learned::default()).ok();
    match (follow(3), follow(1)) {
        (Some(_), None) => Some(3),
        (None, Some(_)) => Some(1),
        // A network that subtracts three means takes one channel as well, and makes three of it.
        (Some(colour), Some(_)) => {
            first_convolution(&colour.program).filter(|channels| *channels == 3)
        }
        (None, None) => None,
    }
}

/// Channels that the first convolution takes.
fn first_convolution(program: &Program) -> Option<i64> {
    let is_convolution = |s: &&Statement| {
        matches!(
            s.operator(),
            Some("conv2d" | "_convolution" | "convolution")
        )
    };
    let first = program.statements.iter().find(is_convolution)?;
    first
        .reads()
        .find_map(|value| match program.sample_shape(value)?.as_slice() {
            [channels, _, _] => Some(*channels),
            _ => None,
        })
}
