//! Places of maps as samples: where a network answers for places in images, an average over them forgets where things are.
//!
//! The same few places, drawn once, of every image; where several maps are compared side by side they are the places at the
//! same height and width of each, whatever its size.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::blocks::answer::tensor_method;
use crate::program::ast::Function;
use crate::program::{Network, Program, ValueId};

/// Places of an image.
pub(super) const COUNT: usize = 8;
const SEED: u64 = 0;

/// How samples are taken of each part.
pub(super) struct Places(Vec<Taken>);

/// Of one part.
enum Taken {
    /// It is the same for all places.
    Whole,
    /// At these places among all positions, which come behind the channels.
    BehindChannels(Vec<i64>),
    /// Or in front of them.
    BeforeChannels(Vec<i64>),
}

impl Places {
    /// `None` where no part is a map, or the size of one is not known.
    pub fn of(program: &Program, parts: &[ValueId]) -> Option<Self> {
        let drawn = drawn();
        let taken: Option<Vec<Taken>> = parts
            .iter()
            .map(|part| {
                let shape = program.sample_shape(*part)?;
                Some(match &shape[..] {
                    [] | [_] => Taken::Whole,
                    [sides @ .., _] if is_read_by_linear(program, *part) => {
                        Taken::BeforeChannels(positions(&drawn, sides)?)
                    }
                    [_, sides @ ..] => Taken::BehindChannels(positions(&drawn, sides)?),
                })
            })
            .collect();
        let taken = taken?;
        let has_maps = taken.iter().any(|taken| !matches!(taken, Taken::Whole));
        has_maps.then_some(Places(taken))
    }

    /// The methods that make rows of them, places of an image one after another.
    pub fn methods(&self, network: &Network) -> Vec<Function> {
        let of_part = |(number, taken): (usize, &Taken)| {
            let (arranged, at) = match taken {
                Taken::Whole => ("wide", vec!["wide".to_owned(); COUNT]),
                Taken::BehindChannels(places) => ("torch.flatten(wide, 2)", selected(2, places)),
                Taken::BeforeChannels(places) => {
                    ("torch.flatten(wide, 1, -2)", selected(1, places))
                }
            };
            let body = format!(
                "\
wide = torch.to(x, 6)
flat = {arranged}
places = torch.stack([{}], 1)
return torch.flatten(places, 0, 1)",
                at.join(", ")
            );
            tensor_method(network, &name(number), &body)
        };
        self.0.iter().enumerate().flat_map(of_part).collect()
    }
}

/// The name of the method for the part of this number.
pub(super) fn name(part: usize) -> String {
    format!("ckaprune_places_{part}")
}

fn selected(dimension: usize, places: &[i64]) -> Vec<String> {
    let places = places.iter();
    places
        .map(|place| format!("torch.select(flat, {dimension}, {place})"))
        .collect()
}

/// Height and width of each place, from 0 to 1.
fn drawn() -> Vec<[f64; 2]> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    (0..COUNT).map(|_| [rng.random(), rng.random()]).collect()
}

/// The numbers of the places in a map of these sides, row by row; `None` of a map without places.
fn positions(drawn: &[[f64; 2]], sides: &[i64]) -> Option<Vec<i64>> {
    let (height, width) = match *sides {
        [length] => (1, length),
        [height, width] => (height, width),
        _ => return None,
    };
    let at = |part: f64, side: i64| ((part * side as f64) as i64).min(side - 1);
    let place = |[down, right]: &[f64; 2]| at(*down, height) * width + at(*right, width);
    (height > 0 && width > 0).then(|| drawn.iter().map(place).collect())
}

/// Linear layers take channels last.
fn is_read_by_linear(program: &Program, value: ValueId) -> bool {
    let mut readers = program
        .statements
        .iter()
        .filter(|s| s.reads().any(|v| v == value));
    readers.any(|s| matches!(s.operator(), Some("linear" | "addmm" | "matmul" | "mm")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_at_the_same_height_and_width_of_maps_of_all_sizes() {
        let drawn = [[0., 0.], [0.5, 0.5], [0.99, 0.99], [0.3, 0.8]];
        assert_eq!(positions(&drawn, &[4, 4]), Some(vec![0, 10, 15, 7]));
        assert_eq!(positions(&drawn, &[2, 2]), Some(vec![0, 3, 3, 1]));
        assert_eq!(positions(&drawn, &[10]), Some(vec![0, 5, 9, 8]));
        assert_eq!(positions(&drawn, &[0, 4]), None);
    }
}
