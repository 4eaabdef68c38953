//! Tensors that are made of sizes: zeros, ranges, grids.

use super::arrange::rules;
use super::elementwise::ONE;
use super::lists::MAX_LENGTH;
use super::{Args, ShapeResult, items};
use crate::program::value::{Dim, Known, Shape, Val};

pub(super) fn meshgrid(_: &str, args: &Args) -> Option<Vec<Shape>> {
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
    Some(vec![shape; tensors.len()])
}

rules! {
    new_of(args) {
        args.get(1, "size")?.dims()
    }

    sized(args) {
        args.get(0, "size")?.dims()
    }

    /// `linspace(start, end, steps)`
    steps(args) {
        Some(vec![args.get(2, "steps")?.as_dim()?])
    }

    counted(args) {
        Some(vec![args.at(0)?.as_dim()?])
    }

    /// `randint(high, size)`, `randint(low, high, size)`
    randint(args) {
        let sizes = args.0.iter().find(|(_, v)| v.items().is_some())?;
        sizes.1.dims()
    }

    eye(args) {
        let rows = args.at(0)?.as_dim()?;
        let columns = args.0.get(1).filter(|(name, _)| name.is_none());
        Some(vec![rows, columns.map_or(Some(rows), |(_, v)| v.as_dim())?])
    }

    /// A number, or lists of numbers in lists.
    literal(args) {
        nested(args.at(0)?)
    }

    arange(args) {
        if let Some(count) = counted_from_zero(args) {
            return Some(vec![count]);
        }
        let positional = args.0.iter().filter(|(name, _)| name.is_none());
        let numbers = positional.map(|(_, v)| items::double(items::of(v)?));
        let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
        let (start, end, step) = match numbers.as_slice() {
            [end] => (0., *end, 1.),
            [start, end] => (*start, *end, 1.),
            [start, end, step] if *step != 0. => (*start, *end, *step),
            _ => return None,
        };
        // libtorch counts in double precision as well; beyond this whole numbers are not exact.
        let count = ((end - start) / step).ceil().max(0.);
        (count < 2f64.powi(52)).then(|| vec![Dim::fixed(count as i64)])
    }
}

/// The end of `arange(end)`, `arange(0, end)` or `arange(0, end, 1)`, which may be the batch size.
fn counted_from_zero(args: &Args) -> Option<Dim> {
    let positional = args.0.iter().filter(|(name, _)| name.is_none());
    let numbers: Vec<Dim> = positional.map(|(_, v)| v.as_dim()).collect::<Option<_>>()?;
    let (zero, one) = (Dim::fixed(0), ONE);
    match numbers.as_slice() {
        [end] => Some(*end),
        [start, end] if *start == zero => Some(*end),
        [start, end, step] if *start == zero && *step == one => Some(*end),
        _ => None,
    }
    .filter(|end| end.n >= 0)
}

pub(super) fn frequencies(name: &str, args: &Args) -> ShapeResult {
    let count = args.at(0).and_then(Val::as_int);
    Ok(count.map(|n| {
        vec![Dim::fixed(if name == "fft_rfftfreq" {
            n / 2 + 1
        } else {
            n
        })]
    }))
}

/// `tril_indices(rows, columns, offset)`: how many places lie in the triangle.
pub(super) fn triangle(name: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let (rows, columns) = (args.int(0, "row")?, args.int(1, "col")?);
        let offset = args.int_or(2, "offset", 0)?;
        (0..=1 << 15).contains(&rows).then_some(())?;
        (0..=1 << 15).contains(&columns).then_some(())?;
        let lower = |row: i64| (row + offset.clamp(-rows, columns) + 1).clamp(0, columns);
        let upper = |row: i64| columns - (row + offset.clamp(-rows, columns)).clamp(0, columns);
        let count = match name {
            "tril_indices" => (0..rows).map(lower).sum(),
            _ => (0..rows).map(upper).sum(),
        };
        Some(vec![Dim::fixed(2), Dim::fixed(count)])
    };
    Ok(shape())
}

fn nested(value: &Val) -> Option<Shape> {
    match &value.known {
        Known::Int(_) | Known::Float(_) | Known::Bool(_) => Some(Vec::new()),
        Known::List(items) if items.len() <= MAX_LENGTH => {
            let length = Dim::fixed(items.len() as i64);
            let Some((first, rest)) = items.split_first() else {
                return Some(vec![length]);
            };
            let inner = nested(first)?;
            let alike = rest.iter().all(|v| nested(v).as_ref() == Some(&inner));
            alike.then(|| [length].into_iter().chain(inner).collect())
        }
        _ => None,
    }
}
