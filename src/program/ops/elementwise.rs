//! Operators on several tensors, element by element: their shapes stretch to fit each other.

use super::{Args, ShapeResult};
use crate::program::value::{Dim, Known, Shape, Val, show_shape};

pub(super) const ONE: Dim = Dim::fixed(1);

/// The shape to which the first `count` arguments stretch; numbers and what is not given have no shape.
pub(super) fn broadcast_args(name: &str, args: &Args, count: usize) -> ShapeResult {
    let given = args.0.iter().take(count).map(|(_, v)| v);
    let mut together: Option<Shape> = None;
    for value in given.filter(|v| !is_number(v)) {
        let Some(shape) = value.shape() else {
            return Ok(None);
        };
        together = match together {
            None => Some(shape.clone()),
            Some(before) => match stretched(name, &before, shape)? {
                Some(stretched) => Some(stretched),
                None => return Ok(None),
            },
        };
    }
    Ok(together)
}

fn is_number(value: &Val) -> bool {
    matches!(
        value.known,
        Known::Int(_) | Known::Float(_) | Known::Bool(_) | Known::None
    )
}

/// The shape to which both stretch; an error if they do not fit whatever the batch size is.
fn stretched(name: &str, a: &Shape, b: &Shape) -> ShapeResult {
    match broadcast(a, b) {
        Some(shape) => Ok(Some(shape)),
        // Sizes with the batch size as a factor may fit for some batch.
        None if misfits(a, b).all(|(x, y)| x.batch > 0 || y.batch > 0) => Ok(None),
        None => Err(format!(
            "{name}: shapes {} and {} do not fit",
            show_shape(a),
            show_shape(b)
        )),
    }
}

/// `where(condition, x, y)`; with the condition alone it counts.
pub(super) fn choice(name: &str, args: &Args) -> ShapeResult {
    match args.0.len() {
        3 => broadcast_args(name, args, 3),
        _ => Ok(None),
    }
}

/// The sizes that meet in an operation on two tensors.
fn aligned(a: &[Dim], b: &[Dim]) -> impl Iterator<Item = (Dim, Dim)> {
    let rank = a.len().max(b.len());
    let at = move |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map_or(ONE, |j| s[j]);
    (0..rank).map(move |i| (at(a, i), at(b, i)))
}

fn misfits(a: &[Dim], b: &[Dim]) -> impl Iterator<Item = (Dim, Dim)> {
    aligned(a, b).filter(|(x, y)| x != y && *x != ONE && *y != ONE)
}

pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Shape> {
    aligned(a, b)
        .map(|pair| match pair {
            (x, y) if x == y || y == ONE => Some(x),
            (x, y) if x == ONE => Some(y),
            _ => None,
        })
        .collect()
}
