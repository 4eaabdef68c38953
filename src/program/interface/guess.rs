//! The input size of a network where nobody names it.

use super::{Followed, Layout};
use crate::program::{Learned, Network, Program, ProgramError};

/// A guess at the input shape `[channels, height, width]` where nobody named one, for networks on images.
///
/// The size is such that the last feature map has 7 or 8 pixels a side, as is usual: 8 where the network halves the
/// image up to three times (32×32 for a total stride of 4), 7 where it does so more often (224×224 for a stride of 32).
#[must_use]
pub fn guess_input_shape(network: &Network) -> Option<Vec<i64>> {
    const PROBES: [i64; 8] = [256, 224, 32, 28, 64, 128, 299, 384];
    const CHANNELS: [i64; 4] = [3, 1, 4, 2];
    /// Colour and grey. Networks of fixed batches take long to follow, so no other numbers are tried.
    const USUAL: [i64; 2] = [3, 1];
    let shapes = CHANNELS.iter();
    let shapes = shapes.flat_map(|c| PROBES.iter().map(move |s| vec![*c, *s, *s]));
    let mut refused = Vec::new();
    let mut usual = None;
    for shape in shapes {
        match Layout::follow(network, &shape) {
            Ok((program, _)) => {
                usual = Some((shape, program));
                break;
            }
            Err(ProgramError::Refused { .. }) => refused.push(shape),
            Err(ProgramError::NotFollowed { .. }) => {}
        }
    }
    let (shape, program) = usual.or_else(|| {
        let mut refused = refused
            .into_iter()
            .filter(|shape| USUAL.contains(&shape[0]));
        refused.find_map(|shape| {
            let followed = follow_any(network, &shape)?;
            Some((shape, followed.program))
        })
    })?;
    let stride = total_stride(&program, shape[1]);
    let usual = stride.map(|s| if s < 16 { 8 * s } else { 7 * s });
    let guess = usual
        .map(|size| vec![shape[0], size, size])
        .filter(|g| follow_any(network, g).is_some());
    Some(guess.unwrap_or(shape))
}

/// The same for networks that may take batches of one size alone, which takes longer to find out.
fn follow_any(network: &Network, shape: &[i64]) -> Option<Followed> {
    Followed::of(network, shape, &Learned::default()).ok()
}

/// Input pixels for one pixel of the smallest feature map that a convolution makes.
fn total_stride(program: &Program, size: i64) -> Option<i64> {
    let convolutions = program
        .statements
        .iter()
        .filter(|s| matches!(s.operator(), Some("conv2d" | "_convolution")));
    let sides =
        convolutions.filter_map(
            |s| match program.sample_shape(*s.outputs.first()?)?.as_slice() {
                [_, height, width] if height == width && *height > 1 => Some(*height),
                _ => None,
            },
        );
    let smallest = sides.min()?;
    Some((size as u64).div_ceil(smallest as u64).next_power_of_two() as i64).filter(|s| *s <= 64)
}
