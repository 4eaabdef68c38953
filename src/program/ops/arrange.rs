//! The same elements in another arrangement.

use super::elementwise::ONE;
use super::{Args, ShapeResult, axis, items};
use crate::program::value::{Dim, Item, Known, Shape, Val, element_count, show_shape};

/// Wraps a rule that refuses nothing.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident($args:ident) $body:block)*) => {$(
        $(#[$doc])*
        pub(super) fn $name(_: &str, $args: &Args) -> ShapeResult {
            let shape = || -> Option<Shape> { $body };
            Ok(shape())
        }
    )*};
}
pub(super) use rules;

rules! {
    permute(args) {
        let input = args.shape(0)?;
        let order = args.get(1, "dims")?.ints()?;
        (order.len() == input.len()).then_some(())?;
        order.iter().map(|&d| axis(d, input.len()).map(|d| input[d])).collect()
    }

    transpose(args) {
        let mut shape = args.shape(0)?.clone();
        let a = axis(args.int(1, "dim0")?, shape.len())?;
        let b = axis(args.int(2, "dim1")?, shape.len())?;
        shape.swap(a, b);
        Some(shape)
    }

    reversed(args) {
        Some(args.shape(0)?.iter().rev().copied().collect())
    }

    last_two_swapped(args) {
        let mut shape = args.shape(0)?.clone();
        let rank = shape.len();
        shape.swap(rank.checked_sub(2)?, rank - 1);
        Some(shape)
    }

    /// `movedim(x, source, destination)`
    move_dimensions(args) {
        let input = args.shape(0)?;
        let places = |i, name| -> Option<Vec<usize>> {
            let dims = args.get(i, name)?.ints()?;
            dims.iter().map(|&d| axis(d, input.len())).collect()
        };
        let (from, to) = (places(1, "source")?, places(2, "destination")?);
        (from.len() == to.len()).then_some(())?;
        let mut rest = (0..input.len()).filter(|i| !from.contains(i));
        (0..input.len())
            .map(|i| match to.iter().position(|t| *t == i) {
                Some(moved) => Some(input[from[moved]]),
                None => rest.next().map(|i| input[i]),
            })
            .collect()
    }

    /// `rot90(x, k, dims)`
    rot90(args) {
        let mut shape = args.shape(0)?.clone();
        let dims = args.get(2, "dims").map_or(Some(vec![0, 1]), Val::ints)?;
        let [a, b] = dims.as_slice() else { return None };
        if args.int_or(1, "k", 1)? % 2 != 0 {
            let (a, b) = (axis(*a, shape.len())?, axis(*b, shape.len())?);
            shape.swap(a, b);
        }
        Some(shape)
    }

    flatten(args) {
        let input = args.shape(0)?;
        if input.is_empty() {
            return Some(vec![ONE]);
        }
        let start = axis(args.int_or(1, "start_dim", 0)?, input.len())?;
        let end = axis(args.int_or(2, "end_dim", -1)?, input.len())?;
        let merged = element_count(input.get(start..=end)?)?;
        let lead = input[..start].iter().copied();
        Some(lead.chain([merged]).chain(input[end + 1..].iter().copied()).collect())
    }

    ravel(args) {
        Some(vec![element_count(args.shape(0)?)?])
    }

    unflatten(args) {
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int(1, "dim")?, shape.len())?;
        let mut sizes = args.get(2, "sizes")?.dims()?;
        let open = Dim::fixed(-1);
        let given: Vec<Dim> = sizes.iter().copied().filter(|d| *d != open).collect();
        let rest = shape[at].over(element_count(&given)?)?;
        for size in sizes.iter_mut().filter(|d| **d == open) {
            *size = rest;
        }
        (element_count(&sizes)? == shape[at]).then_some(())?;
        shape.splice(at..=at, sizes);
        Some(shape)
    }

    unsqueeze(args) {
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int(1, "dim")?, shape.len() + 1)?;
        shape.insert(at, ONE);
        Some(shape)
    }

    /// Without dimensions all ones go. A batch is no single image there: what such code does with one is another
    /// network.
    squeeze(args) {
        let shape = args.shape(0)?;
        let goes = match args.get(1, "dim") {
            None => (0..shape.len()).collect(),
            Some(dims) => {
                let dims = dims.ints()?;
                dims.iter().map(|&d| axis(d, shape.len().max(1))).collect::<Option<Vec<_>>>()?
            }
        };
        let sizes = shape.iter().enumerate();
        Some(sizes.filter(|(i, d)| **d != ONE || !goes.contains(i)).map(|(_, d)| *d).collect())
    }

    expand(args) {
        let input = args.shape(0)?;
        let mut wanted = args.get(1, "size")?.dims()?;
        let new = wanted.len().checked_sub(input.len())?;
        for (i, dim) in wanted.iter_mut().enumerate() {
            if *dim == Dim::fixed(-1) {
                *dim = *input.get(i.checked_sub(new)?)?;
            }
        }
        Some(wanted)
    }

    slice(args) {
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int_or(1, "dim", 0)?, shape.len())?;
        let (start, step) = (args.int_or(2, "start", 0)?, args.int_or(4, "step", 1)?);
        let to_the_end = args.get(3, "end").and_then(Val::as_dim) == Some(shape[at]);
        let end = if to_the_end {
            i64::MAX
        } else {
            args.int_or(3, "end", i64::MAX)?
        };
        let whole = start == 0 && step == 1 && end == i64::MAX;
        if !whole {
            let size = shape[at].known()?;
            let clamp = |x: i64| (if x < 0 { x.saturating_add(size) } else { x }).clamp(0, size);
            let span = (clamp(end) - clamp(start)).max(0);
            shape[at] = Dim::fixed(span.saturating_add(step.max(1) - 1) / step.max(1));
        }
        Some(shape)
    }

    narrow(args) {
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int(1, "dim")?, shape.len())?;
        shape[at] = args.get(3, "length")?.as_dim()?;
        Some(shape)
    }

    select(args) {
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int(1, "dim")?, shape.len())?;
        shape.remove(at);
        Some(shape)
    }

    /// `diagonal(x, offset, dim1, dim2)`
    diagonal(args) {
        diagonal_along(args, 0, 1)
    }

    /// `linalg_diagonal(x, offset=…, dim1=…, dim2=…)`
    matrix_diagonal(args) {
        diagonal_along(args, -2, -1)
    }

    /// `diag_embed(x, offset, dim1, dim2)`
    diag_embed(args) {
        let mut shape = args.shape(0)?.clone();
        let offset = args.int_or(1, "offset", 0)?;
        let rank = shape.len() + 1;
        let size = Dim::fixed(shape.pop()?.known()?.checked_add(offset.checked_abs()?)?);
        let a = axis(args.int_or(2, "dim1", -2)?, rank)?;
        let b = axis(args.int_or(3, "dim2", -1)?, rank)?;
        for at in [a.min(b), a.max(b)] {
            shape.insert(at, size);
        }
        Some(shape)
    }

    /// `diag(x, offset)`: of a vector a matrix, of a matrix its diagonal.
    diag(args) {
        let offset = args.int_or(1, "diagonal", 0)?;
        match args.shape(0)?.as_slice() {
            [n] => {
                let size = Dim::fixed(n.known()?.checked_add(offset.checked_abs()?)?);
                Some(vec![size, size])
            }
            [a, b] => Some(vec![Dim::fixed(on_diagonal(a.known()?, b.known()?, offset)?)]),
            _ => None,
        }
    }

    /// `unfold(x, dim, size, step)`: windows along one dimension.
    unfold(args) {
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int(1, "dimension")?, shape.len())?;
        let (size, step) = (args.int(2, "size")?, args.int(3, "step")?);
        let room = shape[at].known()?.checked_sub(size).filter(|room| *room >= 0 && step > 0)?;
        shape[at] = Dim::fixed(room / step + 1);
        shape.push(Dim::fixed(size));
        Some(shape)
    }

    as_strided(args) {
        args.get(1, "size")?.dims()
    }

    pad(args) {
        let mut shape = args.shape(0)?.clone();
        let amounts = args.get(1, "pad").or_else(|| args.get(1, "padding"))?.ints()?;
        let rank = shape.len();
        for (i, pair) in amounts.chunks(2).enumerate() {
            let at = rank.checked_sub(i + 1)?;
            let [before, after] = pair else { return None };
            if *before != 0 || *after != 0 {
                let size = shape[at].known()?.checked_add(*before)?.checked_add(*after)?;
                shape[at] = Dim::fixed(size);
            }
        }
        Some(shape)
    }

    /// Pairs of numbers in the last dimension become complex ones.
    as_complex(args) {
        let (pair, rest) = args.shape(0)?.split_last()?;
        (*pair == Dim::fixed(2)).then(|| rest.to_vec())
    }

    as_real(args) {
        Some(args.shape(0)?.iter().copied().chain([Dim::fixed(2)]).collect())
    }

    /// `glu(x, dim)`
    halved(args) {
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int_or(1, "dim", -1)?, shape.len())?;
        shape[at] = shape[at].over(Dim::fixed(2))?;
        Some(shape)
    }

    repeat(args) {
        let input = args.shape(0)?;
        let times = args.get(1, "repeats").or_else(|| args.get(1, "dims"))?.dims()?;
        // `tile` takes fewer numbers than dimensions.
        let rank = times.len().max(input.len());
        let at = |list: &[Dim], i: usize| (i + list.len()).checked_sub(rank).map_or(ONE, |j| list[j]);
        (0..rank).map(|i| at(input, i).times(at(&times, i))).collect()
    }

    /// `repeat_interleave(x, repeats, dim)` with one number for all.
    repeat_interleave(args) {
        let mut shape = args.shape(0)?.clone();
        let times = match items::of(args.get(1, "repeats")?)? {
            Item::Int(times) => times,
            Item::Single(_) | Item::Double(_) => return None,
        };
        match args.get(2, "dim").filter(|v| v.known != Known::None) {
            None => Some(vec![element_count(&shape)?.times(times)?]),
            Some(dim) => {
                let at = axis(dim.as_int()?, shape.len())?;
                shape[at] = shape[at].times(times)?;
                Some(shape)
            }
        }
    }
}

/// The diagonal along two dimensions, these unless others are given.
fn diagonal_along(args: &Args, dim1: i64, dim2: i64) -> Option<Shape> {
    let input = args.shape(0)?;
    let offset = args.int_or(1, "offset", 0)?;
    let a = axis(args.int_or(2, "dim1", dim1)?, input.len())?;
    let b = axis(args.int_or(3, "dim2", dim2)?, input.len())?;
    let length = on_diagonal(input[a].known()?, input[b].known()?, offset)?;
    let rest = (0..input.len()).filter(|i| *i != a && *i != b);
    Some(rest.map(|i| input[i]).chain([Dim::fixed(length)]).collect())
}

fn on_diagonal(rows: i64, columns: i64, offset: i64) -> Option<i64> {
    let length = if offset >= 0 {
        rows.min(columns.checked_sub(offset)?)
    } else {
        rows.checked_add(offset)?.min(columns)
    };
    Some(length.max(0))
}

/// `atleast_2d(x)`
pub(super) fn at_least(name: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let shape = args.shape(0)?.clone();
        Some(match (name, shape.as_slice()) {
            ("atleast_1d", []) => vec![ONE],
            ("atleast_2d", []) => vec![ONE, ONE],
            ("atleast_2d", [n]) => vec![ONE, *n],
            ("atleast_3d", []) => vec![ONE; 3],
            ("atleast_3d", [n]) => vec![ONE, *n, ONE],
            ("atleast_3d", [m, n]) => vec![*m, *n, ONE],
            _ => shape,
        })
    };
    Ok(shape())
}

pub(super) fn reshape(name: &str, args: &Args) -> ShapeResult {
    let (Some(input), Some(mut wanted)) = (args.shape(0), args.at(1).and_then(Val::dims)) else {
        return Ok(None);
    };
    let minus_one = Dim::fixed(-1);
    let Some(total) = element_count(input) else {
        return Ok(None);
    };
    let given: Vec<Dim> = wanted.iter().copied().filter(|d| *d != minus_one).collect();
    let Some(given) = element_count(&given) else {
        return Ok(None);
    };
    let refuse = || {
        format!(
            "{name}: {} does not fit into the sizes asked for",
            show_shape(input)
        )
    };
    match wanted.iter_mut().find(|d| **d == minus_one) {
        Some(open) => match total.over(given) {
            Some(size) if size.times(given) == Some(total) => *open = size,
            _ if total.batch == given.batch => return Err(refuse()),
            _ => return Ok(None),
        },
        None if total.batch == given.batch && total != given => return Err(refuse()),
        None => {}
    }
    Ok(Some(wanted))
}
