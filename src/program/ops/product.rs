//! Products of tensors, and attention.

use super::arrange::rules;
use super::elementwise::broadcast;
use super::{Args, ShapeResult};
use crate::program::value::{Dim, Shape, Val};

pub(super) fn linear(_: &str, args: &Args) -> ShapeResult {
    let (Some(input), Some(weight)) = (args.shape(0), args.shape(1)) else {
        return Ok(None);
    };
    let (rows, columns) = match weight.as_slice() {
        [rows, columns] => (Some(*rows), columns),
        [columns] => (None, columns),
        _ => return Ok(None),
    };
    let Some((last, lead)) = input.split_last() else {
        return Ok(None);
    };
    if last != columns {
        return Err(format!(
            "linear: an input of {} features where {} are expected",
            last, columns.n
        ));
    }
    Ok(Some(lead.iter().copied().chain(rows).collect()))
}

/// A matrix, a vector, or many of them.
fn of(a: &[Dim], b: &[Dim]) -> Option<Shape> {
    match (a, b) {
        ([_], [_]) => Some(Vec::new()),
        ([_], [lead @ .., _, columns]) => Some(lead.iter().chain([columns]).copied().collect()),
        ([lead @ .., rows, _], [_]) => Some(lead.iter().chain([rows]).copied().collect()),
        ([a_lead @ .., rows, _], [b_lead @ .., _, columns]) => {
            let mut shape = broadcast(a_lead, b_lead)?;
            shape.extend([*rows, *columns]);
            Some(shape)
        }
        _ => None,
    }
}

rules! {
    matmul(args) {
        of(args.shape(0)?, args.shape(1)?)
    }

    /// `addmm(x, a, b)`
    added(args) {
        of(args.shape(1)?, args.shape(2)?)
    }

    /// `addbmm(x, a, b)`: the products of all batches, added.
    added_over_batch(args) {
        let product = of(args.shape(1)?, args.shape(2)?)?;
        product.get(1..).map(<[Dim]>::to_vec)
    }

    outer(args) {
        let ([rows], [columns]) = (args.shape(0)?.as_slice(), args.shape(1)?.as_slice()) else {
            return None;
        };
        Some(vec![*rows, *columns])
    }

    /// `addr(x, a, b)`
    added_outer(args) {
        let ([rows], [columns]) = (args.shape(1)?.as_slice(), args.shape(2)?.as_slice()) else {
            return None;
        };
        Some(vec![*rows, *columns])
    }

    /// Over the last dimension of both.
    inner(args) {
        let (a, b) = (args.shape(0)?, args.shape(1)?);
        let ((_, a), (_, b)) = (a.split_last()?, b.split_last()?);
        Some(a.iter().chain(b).copied().collect())
    }

    /// `bilinear(a, b, weight, bias)`
    bilinear(args) {
        let (_, lead) = args.shape(0)?.split_last()?;
        Some(lead.iter().chain(args.shape(2)?.first()).copied().collect())
    }

    /// `tensordot(a, b, dims_of_a, dims_of_b)`
    tensordot(args) {
        let left = |shape: &Shape, dims: Vec<i64>| -> Option<Shape> {
            let summed: Vec<usize> = dims
                .iter()
                .map(|d| super::axis(*d, shape.len()))
                .collect::<Option<_>>()?;
            Some((0..shape.len()).filter(|i| !summed.contains(i)).map(|i| shape[i]).collect())
        };
        let a = left(args.shape(0)?, args.at(2)?.ints()?)?;
        let b = left(args.shape(1)?, args.at(3)?.ints()?)?;
        Some(a.into_iter().chain(b).collect())
    }

    /// `cdist(a, b, …)`: from each row of the one to each of the other.
    distances(args) {
        let (a, b) = (args.shape(0)?, args.shape(1)?);
        let ([a_lead @ .., rows, _], [b_lead @ .., columns, _]) = (a.as_slice(), b.as_slice()) else {
            return None;
        };
        let mut shape = broadcast(a_lead, b_lead)?;
        shape.extend([*rows, *columns]);
        Some(shape)
    }

    chain(args) {
        let items = args.at(0)?.items()?;
        let mut shapes = items.iter().map(Val::shape);
        let first = shapes.next()??.clone();
        shapes.try_fold(first, |product, next| of(&product, next?))
    }

    /// `scaled_dot_product_attention(query, key, value, mask, dropout, causal, scale=…, enable_gqa=…)`; with the last
    /// the query has several heads for one of the others.
    attention(args) {
        let of = |i: usize| args.shape(i)?.split_last_chunk::<2>();
        let ((query, [rows, _]), (key, _), (value, [_, width])) = (of(0)?, of(1)?, of(2)?);
        let grouped = args.get(7, "enable_gqa").map_or(Some(false), Val::as_bool)?;
        let mut shape = if grouped {
            query.to_vec()
        } else {
            broadcast(&broadcast(query, key)?, value)?
        };
        shape.extend([*rows, *width]);
        Some(shape)
    }

    /// `linalg_vecdot(a, b, dim)`
    dot_along(args) {
        let mut shape = broadcast(args.shape(0)?, args.shape(1)?)?;
        let at = super::axis(args.int_or(2, "dim", -1)?, shape.len())?;
        shape.remove(at);
        Some(shape)
    }
}

/// `(query, key, value, embed_dim, num_head, …)`: one sequence as long as the query for every sample.
pub(super) fn native_attention(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let query = args.shape(0)?;
    let sequences = (query.len() == 3).then(|| query.clone());
    Some(vec![sequences, None])
}
