//! Tensors put together, and taken apart.

use super::arrange::{at_least, rules};
use super::elementwise::{ONE, broadcast};
use super::lists::MAX_LENGTH;
use super::{Args, ShapeResult, axis};
use crate::program::value::{Dim, Shape, Val, show_shape};

/// The shapes of the tensors in the first argument.
fn items<'a>(args: &'a Args) -> Option<Vec<&'a Shape>> {
    args.at(0)?.items()?.iter().map(Val::shape).collect()
}

pub(super) fn cat(_: &str, args: &Args) -> ShapeResult {
    let (Some(shapes), Some(dim)) = (items(args), args.int_or(1, "dim", 0)) else {
        return Ok(None);
    };
    joined(&shapes, dim)
}

/// A vector without elements takes no part, whatever the dimensions of the others.
fn joined(shapes: &[&Shape], dim: i64) -> ShapeResult {
    let is_part = |shape: &&&Shape| shape.as_slice() != [Dim::fixed(0)];
    let parts: Vec<&Shape> = shapes.iter().filter(is_part).copied().collect();
    let parts = if parts.is_empty() { shapes } else { &parts };
    let Some((first, rest)) = parts.split_first() else {
        return Ok(None);
    };
    let Some(at) = axis(dim, first.len()) else {
        return Ok(None);
    };
    let mut output = (*first).clone();
    for shape in rest {
        let fits =
            shape.len() == first.len() && (0..first.len()).all(|i| i == at || shape[i] == first[i]);
        if !fits {
            return Err(format!(
                "cat: shapes {} and {} do not fit",
                show_shape(first),
                show_shape(shape)
            ));
        }
        match output[at].plus(shape[at]) {
            Some(sum) => output[at] = sum,
            None => return Ok(None),
        }
    }
    Ok(Some(output))
}

/// `hstack`, `vstack` and their like, of tensors with enough dimensions.
pub(super) fn stack_of_kind(name: &str, args: &Args) -> ShapeResult {
    let (least, dim) = match name {
        "vstack" | "row_stack" => ("atleast_2d", 0),
        "dstack" => ("atleast_3d", 2),
        _ => ("atleast_1d", 1),
    };
    let Some(values) = args.at(0).and_then(Val::items) else {
        return Ok(None);
    };
    let mut shapes = Vec::with_capacity(values.len());
    for value in values {
        let one = [(None, value.clone())];
        match (name, value.shape().map(Vec::as_slice)) {
            ("column_stack", Some([n])) => shapes.push(vec![*n, ONE]),
            _ => match at_least(least, &Args(&one))? {
                Some(shape) => shapes.push(shape),
                None => return Ok(None),
            },
        }
    }
    let flat = name == "hstack" && shapes.first().is_some_and(|s| s.len() == 1);
    joined(
        &shapes.iter().collect::<Vec<_>>(),
        if flat { 0 } else { dim },
    )
}

rules! {
    stack(args) {
        let shapes = items(args)?;
        let mut shape = (*shapes.first()?).clone();
        let alike = shapes.iter().all(|s| **s == shape);
        let at = axis(args.int_or(1, "dim", 0)?, shape.len() + 1)?;
        shape.insert(at, Dim::fixed(shapes.len() as i64));
        alike.then_some(shape)
    }

    /// All combinations of the elements of vectors.
    cartesian_product(args) {
        let shapes = items(args)?;
        let mut rows = ONE;
        for shape in &shapes {
            let [n] = shape.as_slice() else { return None };
            rows = rows.times(*n)?;
        }
        Some(match shapes.len() {
            1 => vec![rows],
            count => vec![rows, Dim::fixed(count as i64)],
        })
    }
}

pub(super) fn broadcast_tensors(_: &str, args: &Args) -> Option<Vec<Shape>> {
    let shapes = items(args)?;
    let mut together = Vec::new();
    for shape in &shapes {
        together = broadcast(&together, shape)?;
    }
    Some(vec![together; shapes.len()])
}

/// The tensors that splitting gives.
pub(super) fn pieces(name: &str, args: &Args) -> Option<Vec<Shape>> {
    let input = args.shape(0)?;
    let (name, at) = match name.strip_suffix("_copy").unwrap_or(name) {
        "unbind" => ("unbind", axis(args.int_or(1, "dim", 0)?, input.len())?),
        "hsplit" => ("tensor_split", usize::from(input.len() > 1)),
        "vsplit" => ("tensor_split", 0),
        "dsplit" => ("tensor_split", 2),
        name => (
            name.strip_prefix("unsafe_").unwrap_or(name),
            axis(args.int_or(2, "dim", 0)?, input.len())?,
        ),
    };
    let size = input.get(at)?.known();
    let parts: Vec<i64> = match name {
        "chunk" => {
            let (size, chunks) = (size?, args.int(1, "chunks")?.max(1));
            even_parts(size, size / chunks + i64::from(size % chunks != 0))?
        }
        "split" if args.at(1)?.items().is_none() => even_parts(size?, args.int(1, "split_size")?)?,
        "split" | "split_with_sizes" => args.at(1)?.ints()?,
        "tensor_split" => match args.at(1)?.as_int() {
            Some(count) => nearly_even_parts(size?, count)?,
            None => parts_between(size?, &args.at(1)?.ints()?),
        },
        "unbind" => {
            let mut shape = input.clone();
            shape.remove(at);
            let count = usize::try_from(size?).ok().filter(|n| *n <= MAX_LENGTH)?;
            return Some(vec![shape; count]);
        }
        _ => return None,
    };
    let piece = |n: &i64| {
        let mut shape = input.clone();
        shape[at] = Dim::fixed(*n);
        shape
    };
    Some(parts.iter().map(piece).collect())
}

fn even_parts(size: i64, part: i64) -> Option<Vec<i64>> {
    let part = Some(part).filter(|n| *n > 0)?;
    let count = usize::try_from(size / part + i64::from(size % part != 0)).ok()?;
    (count <= MAX_LENGTH).then(|| {
        let starts = (0..count as i64).map(|i| i * part);
        starts.map(|start| part.min(size - start)).collect()
    })
}

/// So many parts; the first ones are longer by one where the size is no multiple.
fn nearly_even_parts(size: i64, count: i64) -> Option<Vec<i64>> {
    (count > 0 && count <= MAX_LENGTH as i64).then_some(())?;
    Some(
        (0..count)
            .map(|i| size / count + i64::from(i < size % count))
            .collect(),
    )
}

fn parts_between(size: i64, places: &[i64]) -> Vec<i64> {
    let place = |n: i64| (if n < 0 { n.saturating_add(size) } else { n }).clamp(0, size);
    let ends = places.iter().map(|n| place(*n)).chain([size]);
    let mut start = 0;
    ends.map(|end| {
        let length = (end - start).max(0);
        start = end;
        length
    })
    .collect()
}
