//! Shapes of what rearranges, joins, multiplies and reduces tensors.

use super::{Args, ShapeResult, tensor};
use crate::program::value::{Dim, Known, Operand, Shape, Val, element_count};

fn axis(dim: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let wrapped = if dim < 0 { dim.checked_add(rank)? } else { dim };
    (0..rank).contains(&wrapped).then_some(wrapped as usize)
}

pub(super) fn elementwise(name: &str, args: &Args) -> ShapeResult {
    let scalar = |v: &Val| matches!(v.known, Known::Int(_) | Known::Float(_) | Known::Bool(_));
    let (Some(a), Some(b)) = (args.at(0), args.at(1)) else {
        return Ok(None);
    };
    if scalar(a) {
        return Ok(b.shape().cloned());
    }
    if scalar(b) {
        return Ok(a.shape().cloned());
    }
    let (Some(a), Some(b)) = (a.shape(), b.shape()) else {
        return Ok(None);
    };
    broadcast(a, b)
        .map(Some)
        .ok_or_else(|| format!("{name}: shapes {} and {} do not fit", show(a), show(b)))
}

fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let one = Dim::fixed(1);
    let at = |s: &Shape, i: usize| (i + s.len()).checked_sub(rank).map_or(one, |j| s[j]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (x, y) if y == one => Some(x),
            (x, y) if x == one => Some(y),
            _ => None,
        })
        .collect()
}

/// A shape as people write it; the batch size is `n`.
pub(in crate::program) fn show(shape: &[Dim]) -> String {
    let dims: Vec<String> = shape
        .iter()
        .map(|d| match (d.n, d.batch) {
            (n, 0) => n.to_string(),
            (1, 1) => "n".into(),
            (n, 1) => format!("{n}n"),
            (n, power) => format!("{n}n^{power}"),
        })
        .collect();
    dims.join("×")
}

pub(super) fn linear(args: &Args) -> ShapeResult {
    let (Some(input), Some([rows, columns])) = (args.shape(0), args.shape(1).map(Vec::as_slice))
    else {
        return Ok(None);
    };
    let Some((last, lead)) = input.split_last() else {
        return Ok(None);
    };
    if last != columns {
        return Err(format!(
            "linear: an input of {} features where {} are expected",
            show(&[*last]),
            columns.n
        ));
    }
    Ok(Some(lead.iter().copied().chain([*rows]).collect()))
}

pub(super) fn matmul(a: Option<&Shape>, b: Option<&Shape>) -> Option<Shape> {
    let (a, b) = (a?, b?);
    let ([a_lead @ .., rows, _], [b_lead @ .., _, columns]) = (a.as_slice(), b.as_slice()) else {
        return None;
    };
    let mut shape = broadcast(&a_lead.to_vec(), &b_lead.to_vec())?;
    shape.extend([*rows, *columns]);
    Some(shape)
}

pub(super) fn attention(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    *shape.last_mut()? = *args.shape(2)?.last()?;
    Some(shape)
}

pub(super) fn flatten(args: &Args) -> Option<Shape> {
    let input = args.shape(0)?;
    let start = axis(args.int_or(1, "start_dim", 0)?, input.len())?;
    let end = axis(args.int_or(2, "end_dim", -1)?, input.len())?;
    let merged = element_count(input.get(start..=end)?)?;
    Some(
        input[..start]
            .iter()
            .copied()
            .chain([merged])
            .chain(input[end + 1..].iter().copied())
            .collect(),
    )
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
            show(input)
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

pub(super) fn permute(args: &Args) -> Option<Shape> {
    let input = args.shape(0)?;
    let order = args.get(1, "dims")?.ints()?;
    (order.len() == input.len()).then_some(())?;
    order
        .iter()
        .map(|&d| axis(d, input.len()).map(|d| input[d]))
        .collect()
}

pub(super) fn transpose(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let a = axis(args.int(1, "dim0")?, shape.len())?;
    let b = axis(args.int(2, "dim1")?, shape.len())?;
    shape.swap(a, b);
    Some(shape)
}

pub(super) fn unsqueeze(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int(1, "dim")?, shape.len() + 1)?;
    shape.insert(at, Dim::fixed(1));
    Some(shape)
}

pub(super) fn squeeze(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int(1, "dim")?, shape.len())?;
    if shape[at] == Dim::fixed(1) {
        shape.remove(at);
    }
    Some(shape)
}

pub(super) fn expand(args: &Args) -> Option<Shape> {
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

pub(super) fn cat(args: &Args) -> ShapeResult {
    let shapes = args
        .at(0)
        .and_then(Val::items)
        .and_then(|items| items.iter().map(Val::shape).collect::<Option<Vec<_>>>());
    let (Some(shapes), Some(dim)) = (shapes, args.int_or(1, "dim", 0)) else {
        return Ok(None);
    };
    let Some((first, rest)) = shapes.split_first() else {
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
                show(first),
                show(shape)
            ));
        }
        match output[at].plus(shape[at]) {
            Some(sum) => output[at] = sum,
            None => return Ok(None),
        }
    }
    Ok(Some(output))
}

pub(super) fn slice(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int_or(1, "dim", 0)?, shape.len())?;
    let (start, step) = (args.int_or(2, "start", 0)?, args.int_or(4, "step", 1)?);
    let end = args.int_or(3, "end", i64::MAX)?;
    let whole = start == 0 && step == 1 && end == i64::MAX;
    if !whole {
        let size = shape[at].known()?;
        let clamp = |x: i64| (if x < 0 { x.saturating_add(size) } else { x }).clamp(0, size);
        let span = (clamp(end) - clamp(start)).max(0);
        shape[at] = Dim::fixed(span.saturating_add(step.max(1) - 1) / step.max(1));
    }
    Some(shape)
}

pub(super) fn select(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int(1, "dim")?, shape.len())?;
    shape.remove(at);
    Some(shape)
}

pub(super) fn pad(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let amounts = args.get(1, "pad")?.ints()?;
    let rank = shape.len();
    for (i, pair) in amounts.chunks(2).enumerate() {
        let at = rank.checked_sub(i + 1)?;
        let [before, after] = pair else { return None };
        if *before != 0 || *after != 0 {
            shape[at] = Dim::fixed(
                shape[at]
                    .known()?
                    .checked_add(*before)?
                    .checked_add(*after)?,
            );
        }
    }
    Some(shape)
}

pub(super) fn reduce(args: &Args) -> Option<Shape> {
    let input = args.shape(0)?;
    let Some(dims) = args.get(1, "dim").and_then(Val::ints) else {
        return (args.0.len() == 1).then(Vec::new);
    };
    let keep = args.get(2, "keepdim").map_or(Some(false), Val::as_bool)?;
    let axes: Vec<usize> = dims
        .iter()
        .map(|&d| axis(d, input.len()))
        .collect::<Option<_>>()?;
    let kept = input
        .iter()
        .enumerate()
        .filter_map(|(i, dim)| match (axes.contains(&i), keep) {
            (false, _) => Some(*dim),
            (true, true) => Some(Dim::fixed(1)),
            (true, false) => None,
        });
    Some(kept.collect())
}

/// The list of tensors that splitting gives; only their number and shapes are known here.
pub(super) fn pieces(name: &str, args: &Args) -> Known {
    let sizes = || -> Option<Vec<Shape>> {
        let input = args.shape(0)?;
        let at = axis(
            args.int_or(if name == "unbind" { 1 } else { 2 }, "dim", 0)?,
            input.len(),
        )?;
        let size = input[at].known();
        let parts: Vec<i64> = match name {
            "chunk" => {
                let (size, chunks) = (size?, args.int(1, "chunks")?.max(1));
                even_parts(size, (size + chunks - 1) / chunks)
            }
            "split" if args.at(1)?.items().is_none() => {
                even_parts(size?, args.int(1, "split_size")?)
            }
            "split" | "split_with_sizes" => args.at(1)?.ints()?,
            "unbind" => {
                let mut shape = input.clone();
                shape.remove(at);
                return Some(vec![
                    shape;
                    usize::try_from(size?).ok().filter(|n| *n <= 1 << 10)?
                ]);
            }
            _ => return None,
        };
        let piece = |n: &i64| {
            let mut shape = input.clone();
            shape[at] = Dim::fixed(*n);
            shape
        };
        Some(parts.iter().map(piece).collect())
    };
    match sizes() {
        Some(shapes) => Known::List(
            shapes
                .into_iter()
                .map(|s| Val {
                    operand: Operand::Literal(String::new()),
                    known: tensor(Some(s)),
                })
                .collect(),
        ),
        None => Known::Nothing,
    }
}

fn even_parts(size: i64, part: i64) -> Vec<i64> {
    let part = part.max(1);
    (0..size)
        .step_by(part as usize)
        .take(1 << 10)
        .map(|start| part.min(size - start))
        .collect()
}
