//! Decompositions and what they tell of matrices.

use super::Args;
use super::ShapeResult;
use super::arrange::rules;
use super::elementwise::broadcast;
use crate::program::value::{Dim, Shape, Val};

/// The dimensions before a matrix, and its sides.
fn matrix(args: &Args) -> Option<(Vec<Dim>, Dim, Dim)> {
    match args.shape(0)?.as_slice() {
        [lead @ .., rows, columns] => Some((lead.to_vec(), *rows, *columns)),
        _ => None,
    }
}

fn with(lead: &[Dim], sides: &[Dim]) -> Option<Shape> {
    Some(lead.iter().chain(sides).copied().collect())
}

fn shorter(rows: Dim, columns: Dim) -> Option<Dim> {
    Some(Dim::fixed(rows.known()?.min(columns.known()?)))
}

rules! {
    /// `linalg_matrix_rank` may have a tolerance for each matrix.
    of_batch(args) {
        let tolerances = args.0.iter().skip(1).filter(|(_, v)| v.is_tensor());
        tolerances.map(|(_, v)| v.shape()).try_fold(matrix(args)?.0, |lead, shape| broadcast(&lead, shape?))
    }

    singular_values(args) {
        let (lead, rows, columns) = matrix(args)?;
        with(&lead, &[shorter(rows, columns)?])
    }

    /// `solve(a, b)` for matrices `b`; for vectors the shapes are ambiguous.
    solve(args) {
        let (a, b) = (args.shape(0)?, args.shape(1)?);
        (a.len() == b.len()).then_some(())?;
        let (a, (b, sides)) = (a.split_last_chunk::<2>()?.0, b.split_last_chunk::<2>()?);
        with(&broadcast(a, b)?, sides)
    }

    /// Rows are variables; of one there is no matrix but a number.
    covariance(args) {
        match args.shape(0)?.as_slice() {
            [rows, _] => match rows.known()? {
                1 => Some(Vec::new()),
                _ => Some(vec![*rows, *rows]),
            },
            _ => None,
        }
    }
}

pub(super) fn two_of_batch(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![Some(matrix(args)?.0); 2])
}

/// `linalg_svd(a, full_matrices)`, `svd(a, some, compute_uv)`; what is not computed is full, of zeros.
pub(super) fn svd(name: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let (lead, rows, columns) = matrix(args)?;
    let flag = args.at(1).map_or(Some(true), Val::as_bool)?;
    let least = shorter(rows, columns)?;
    let not_computed = args.get(2, "compute_uv").map(Val::as_bool);
    let not_computed = name == "svd" && !not_computed.unwrap_or(Some(true))?;
    let full = not_computed || (name == "linalg_svd") == flag;
    let (left, right) = if full {
        (rows, columns)
    } else {
        (least, least)
    };
    let right = match name {
        "linalg_svd" => [right, columns],
        _ => [columns, right],
    };
    Some(vec![
        with(&lead, &[rows, left]),
        with(&lead, &[least]),
        with(&lead, &right),
    ])
}

pub(super) fn eigen(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let (lead, rows, columns) = matrix(args)?;
    Some(vec![with(&lead, &[rows]), with(&lead, &[rows, columns])])
}

/// `linalg_qr(a, mode)`, reduced unless it says otherwise.
pub(super) fn qr(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let (lead, rows, columns) = matrix(args)?;
    args.at(1).is_none().then_some(())?;
    let least = shorter(rows, columns)?;
    Some(vec![
        with(&lead, &[rows, least]),
        with(&lead, &[least, columns]),
    ])
}
