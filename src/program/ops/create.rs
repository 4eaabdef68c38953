//! Tensors that are made of sizes: zeros, ranges, grids.

use super::shapes::{ONE, list_of};
use super::{Args, tensor};
use crate::program::value::{Dim, Known, Shape, Val};

pub(super) fn meshgrid(args: &Args) -> Known {
    let sizes = || -> Option<(Shape, usize)> {
        let tensors = args.at(0)?.items()?;
        let mut shape = Vec::new();
        for tensor in tensors {
            match tensor.shape()?.as_slice() {
                [] => shape.push(ONE),
                [n] => shape.push(*n),
                _ => return None,
            }
        }
        match args.get(1, "indexing").map(|v| &v.known) {
            None => {}
            Some(Known::Str(word)) if word == "ij" => {}
            Some(Known::Str(word)) if word == "xy" && shape.len() > 1 => shape.swap(0, 1),
            _ => return None,
        }
        Some((shape, tensors.len()))
    };
    match sizes() {
        Some((shape, count)) => list_of(vec![shape; count]),
        None => Known::Nothing,
    }
}

/// Tensors that are made of sizes alone. `None`: the operator makes none.
pub(super) fn new_tensor(name: &str, args: &Args) -> Option<Known> {
    let shape = match name {
        "zeros" | "ones" | "empty" | "full" | "rand" | "randn" => {
            args.get(0, "size").and_then(Val::dims)
        }
        "arange" => arange(args),
        "tensor" | "scalar_tensor" => match args.at(0).map(|v| &v.known) {
            Some(Known::Int(_) | Known::Float(_) | Known::Bool(_)) => Some(Vec::new()),
            _ => None,
        },
        _ => return None,
    };
    Some(tensor(shape))
}

fn arange(args: &Args) -> Option<Shape> {
    let positional = args.0.iter().filter(|(name, _)| name.is_none());
    let numbers: Vec<i64> = positional.map(|(_, v)| v.as_int()).collect::<Option<_>>()?;
    let (start, end, step) = match numbers.as_slice() {
        [end] => (0, *end, 1),
        [start, end] => (*start, *end, 1),
        [start, end, step] if *step > 0 => (*start, *end, *step),
        _ => return None,
    };
    let span = end.checked_sub(start)?.max(0);
    Some(vec![Dim::fixed(span / step + i64::from(span % step != 0))])
}
