//! Elements picked by their places.

use super::arrange::rules;
use super::elementwise::broadcast;
use super::{Args, ShapeResult, axis};
use crate::program::value::{Dim, Known, Shape, Val, element_count};

rules! {
    /// `x[i, :, j]` with tensors of integers as indices. Where others stand between them, what they give comes first.
    index(args) {
        let input = args.shape(0)?;
        let indices = args.get(1, "indices")?.items()?;
        (indices.len() <= input.len()).then_some(())?;
        let given = |v: &Val| v.known != Known::None;
        let first = indices.iter().position(given)?;
        let last = indices.iter().rposition(given)?;
        let mut picked = Vec::new();
        for index in indices.iter().filter(|v| given(v)) {
            picked = broadcast(&picked, index.shape()?)?;
        }
        let side_by_side = indices[first..=last].iter().all(given);
        let kept = |range: std::ops::Range<usize>| -> Shape {
            let open = |i: &usize| indices.get(*i).is_none_or(|v| !given(v));
            range.filter(open).map(|i| input[i]).collect()
        };
        let lead = if side_by_side { first } else { 0 };
        let before = kept(0..lead);
        let behind = kept(lead..input.len());
        Some(before.into_iter().chain(picked).chain(behind).collect())
    }

    /// `index_select(x, dim, index)`
    index_select(args) {
        let mut shape = args.shape(0)?.clone();
        let count = element_count(args.get(2, "index")?.shape()?)?;
        if shape.is_empty() {
            return Some(shape);
        }
        let at = axis(args.int(1, "dim")?, shape.len())?;
        shape[at] = count;
        Some(shape)
    }

    /// `take_along_dim(x, indices, dim)`
    take_along(args) {
        let (input, indices) = (args.shape(0)?, args.shape(1)?);
        match args.get(2, "dim").filter(|v| v.known != Known::None) {
            None => Some(vec![element_count(indices)?]),
            Some(dim) => {
                let at = axis(dim.as_int()?, input.len())?;
                let mut open = input.clone();
                open[at] = *indices.get(at)?;
                broadcast(&open, indices)
            }
        }
    }

    /// `embedding(weight, indices, …)`
    embedding(args) {
        let [_, width] = args.shape(0)?.as_slice() else {
            return None;
        };
        Some(args.shape(1)?.iter().copied().chain([*width]).collect())
    }

    /// `one_hot(x, classes)`: unless they are named, data say how many.
    one_hot(args) {
        let classes = args.int_or(1, "num_classes", -1)?;
        (classes > 0).then_some(())?;
        Some(args.shape(0)?.iter().copied().chain([Dim::fixed(classes)]).collect())
    }
}
