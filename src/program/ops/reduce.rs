//! Sums, means, extremes and norms over dimensions.

use super::elementwise::{ONE, broadcast};
use super::{Args, ShapeResult, axis};
use crate::program::value::{Dim, Known, Shape, Val};

/// The shape without these dimensions, or with ones in their places. No dimensions are all of them.
fn without(input: &[Dim], dims: &[i64], keep: bool) -> Option<Shape> {
    let axes: Vec<usize> = dims
        .iter()
        .map(|&d| axis(d, input.len().max(1)))
        .collect::<Option<_>>()?;
    let sizes = input.iter().enumerate();
    let kept = sizes.filter_map(
        |(i, dim)| match (dims.is_empty() || axes.contains(&i), keep) {
            (false, _) => Some(*dim),
            (true, true) => Some(ONE),
            (true, false) => None,
        },
    );
    Some(kept.collect())
}

/// The dimensions in an argument; none where it is not given. `None`: not known.
fn dims(argument: Option<&Val>) -> Option<Vec<i64>> {
    match argument {
        None => Some(Vec::new()),
        Some(v) if v.known == Known::None => Some(Vec::new()),
        Some(v) => v.ints(),
    }
}

fn flag(argument: Option<&Val>) -> Option<bool> {
    argument.map_or(Some(false), Val::as_bool)
}

pub(super) fn reduced(args: &Args, dims_at: usize, keep_at: usize) -> Option<Shape> {
    let dims = dims(args.get(dims_at, "dim"))?;
    without(args.shape(0)?, &dims, flag(args.get(keep_at, "keepdim"))?)
}

pub(super) fn matrix_norm(_: &str, args: &Args) -> ShapeResult {
    let given = || {
        let dims = match args.get(2, "dim") {
            None => vec![-2, -1],
            Some(v) => v.ints()?,
        };
        without(args.shape(0)?, &dims, flag(args.get(3, "keepdim"))?)
    };
    Ok(given())
}

/// `var(x, unbiased)`, `var(x, dim, unbiased, keepdim)`, `var(x, dim, correction=…, keepdim=…)`
fn varied(args: &Args) -> Option<Shape> {
    match args.at(1).map(|v| &v.known) {
        Some(Known::Bool(_)) => Some(Vec::new()),
        _ => reduced(args, 1, 3),
    }
}

pub(super) fn variance(_: &str, args: &Args) -> ShapeResult {
    Ok(varied(args))
}

pub(super) fn variance_and_mean(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![varied(args); 2])
}

pub(super) fn count(_: &str, args: &Args) -> ShapeResult {
    Ok(reduced(args, 1, usize::MAX))
}

/// `quantile(x, q, dim, keepdim)`: one result for each of the `q`.
pub(super) fn quantile(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let each = match args.at(1)? {
            v if matches!(v.known, Known::Float(_) | Known::Int(_)) => Vec::new(),
            v => v.shape()?.clone(),
        };
        let rest = reduced(args, 2, 3)?;
        Some(each.into_iter().chain(rest).collect())
    };
    Ok(shape())
}

/// `cosine_similarity(a, b, dim)`, `pairwise_distance(a, b, p, eps, keepdim)`
pub(super) fn distance(name: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let both = broadcast(args.shape(0)?, args.shape(1)?)?;
        match name {
            "cosine_similarity" => without(&both, &[args.int_or(2, "dim", 1)?], false),
            _ => without(&both, &[-1], flag(args.get(4, "keepdim"))?),
        }
    };
    Ok(shape())
}

/// `max(x)`, `max(x, y)`, and `max(x, dim, keepdim)` with the places.
pub(super) fn extreme(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    match args.at(1) {
        None => Some(vec![Some(Vec::new())]),
        Some(other) if other.is_tensor() => Some(vec![broadcast(args.shape(0)?, other.shape()?)]),
        Some(_) => Some(vec![reduced(args, 1, 2); 2]),
    }
}

/// `mode(x, dim, keepdim)` with the places.
pub(super) fn most_frequent(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let dim = args.int_or(1, "dim", -1)?;
    let shape = without(args.shape(0)?, &[dim], flag(args.get(2, "keepdim"))?);
    Some(vec![shape; 2])
}

pub(super) fn both_extremes(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![reduced(args, 1, 2); 2])
}

/// `kthvalue(x, k, dim, keepdim)`
pub(super) fn kth(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let dim = args.int_or(2, "dim", -1)?;
    let shape = without(args.shape(0)?, &[dim], flag(args.get(3, "keepdim"))?);
    Some(vec![shape; 2])
}

/// `topk(x, k, dim, …)`
pub(super) fn top(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int_or(2, "dim", -1)?, shape.len())?;
    shape[at] = args.get(1, "k")?.as_dim()?;
    Some(vec![Some(shape); 2])
}

pub(super) fn pair_like_input(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![args.shape(0).cloned(); 2])
}

/// Behind the first result there are statistics, whose shapes evaluation does not need.
pub(super) fn first_like_input(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![args.shape(0).cloned()])
}

pub(super) fn scalar(_: &str, _: &Args) -> ShapeResult {
    Ok(Some(Vec::new()))
}

/// `histc(x, bins, …)`
pub(super) fn bins(_: &str, args: &Args) -> ShapeResult {
    Ok(args.int_or(1, "bins", 100).map(|n| vec![Dim::fixed(n)]))
}

/// `diff(x, n, dim)` with nothing before or behind.
pub(super) fn differences(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let plain = |i, name| {
            args.get(i, name)
                .is_none_or(|v: &Val| v.known == Known::None)
        };
        (plain(3, "prepend") && plain(4, "append")).then_some(())?;
        let mut shape = args.shape(0)?.clone();
        let at = axis(args.int_or(2, "dim", -1)?, shape.len())?;
        let times = args.int_or(1, "n", 1)?;
        shape[at] = Dim::fixed(shape[at].known()?.checked_sub(times)?.max(0));
        Some(shape)
    };
    Ok(shape())
}

/// `norm_except_dim(v, pow, dim)`
pub(super) fn norm_except_dim(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let input = args.shape(0)?;
        let dim = args.int_or(2, "dim", 0)?;
        if dim == -1 {
            return Some(Vec::new());
        }
        let at = axis(dim, input.len())?;
        Some(
            (0..input.len())
                .map(|i| if i == at { input[i] } else { ONE })
                .collect(),
        )
    };
    Ok(shape())
}
