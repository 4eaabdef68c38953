//! Shapes of what rearranges, joins, multiplies and reduces tensors.

use super::lists::MAX_LENGTH;
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
    match broadcast(a, b) {
        Some(shape) => Ok(Some(shape)),
        // Sizes with the batch size as a factor may fit for some batch.
        None if misfits(a, b).all(|(x, y)| x.batch > 0 || y.batch > 0) => Ok(None),
        None => Err(format!(
            "{name}: shapes {} and {} do not fit",
            show(a),
            show(b)
        )),
    }
}

pub(super) const ONE: Dim = Dim::fixed(1);

/// The sizes that meet in an operation on two tensors.
fn aligned(a: &Shape, b: &Shape) -> impl Iterator<Item = (Dim, Dim)> {
    let rank = a.len().max(b.len());
    let at = move |s: &Shape, i: usize| (i + s.len()).checked_sub(rank).map_or(ONE, |j| s[j]);
    (0..rank).map(move |i| (at(a, i), at(b, i)))
}

fn misfits(a: &Shape, b: &Shape) -> impl Iterator<Item = (Dim, Dim)> {
    aligned(a, b).filter(|(x, y)| x != y && *x != ONE && *y != ONE)
}

fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    aligned(a, b)
        .map(|pair| match pair {
            (x, y) if x == y || y == ONE => Some(x),
            (x, y) if x == ONE => Some(y),
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
    let to_the_end = args.get(3, "end").and_then(Val::as_dim) == Some(shape[at]);
    let end = match to_the_end {
        true => i64::MAX,
        false => args.int_or(3, "end", i64::MAX)?,
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

/// A sum over the dimensions in the argument at `dims_at`, kept as ones if that at `keep_at` says so.
pub(super) fn reduce(args: &Args, dims_at: usize, keep_at: usize) -> Option<Shape> {
    let input = args.shape(0)?;
    let dims = args.get(dims_at, "dim").and_then(Val::ints);
    // No dimensions are all of them.
    let Some(dims) = dims.filter(|d| !d.is_empty()) else {
        return (args.0.len() == 1).then(Vec::new);
    };
    let keep = args.get(keep_at, "keepdim");
    let keep = keep.map_or(Some(false), Val::as_bool)?;
    let axes: Vec<usize> = dims
        .iter()
        .map(|&d| axis(d, input.len()))
        .collect::<Option<_>>()?;
    let kept = input
        .iter()
        .enumerate()
        .filter_map(|(i, dim)| match (axes.contains(&i), keep) {
            (false, _) => Some(*dim),
            (true, true) => Some(ONE),
            (true, false) => None,
        });
    Some(kept.collect())
}

/// `x[i, :, j]` with tensors of integers as indices, side by side or one alone.
pub(super) fn index(args: &Args) -> Option<Shape> {
    let input = args.shape(0)?;
    let indices = args.get(1, "indices")?.items()?;
    if indices.len() > input.len() {
        return None;
    }
    let given = |v: &Val| v.known != Known::None;
    let first = indices.iter().position(given)?;
    let last = indices.iter().rposition(given)?;
    let mut picked = Vec::new();
    for index in &indices[first..=last] {
        picked = broadcast(&picked, index.shape()?)?;
    }
    let rest = input[last + 1..].iter();
    Some(
        input[..first]
            .iter()
            .chain(&picked)
            .chain(rest)
            .copied()
            .collect(),
    )
}

pub(super) fn narrow(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int(1, "dim")?, shape.len())?;
    shape[at] = args.get(3, "length")?.as_dim()?;
    Some(shape)
}

pub(super) fn unflatten(args: &Args) -> Option<Shape> {
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

pub(super) fn repeat(args: &Args) -> Option<Shape> {
    let input = args.shape(0)?;
    let times = args.get(1, "repeats")?.dims()?;
    let new = times.len().checked_sub(input.len())?;
    let size = |(i, n): (usize, &Dim)| match i.checked_sub(new) {
        Some(j) => input[j].times(*n),
        None => Some(*n),
    };
    times.iter().enumerate().map(size).collect()
}

pub(super) fn stack(args: &Args) -> Option<Shape> {
    let items = args.at(0)?.items()?;
    let mut shape = items.first()?.shape()?.clone();
    let alike = items.iter().all(|v| v.shape() == Some(&shape));
    let at = axis(args.int_or(1, "dim", 0)?, shape.len() + 1)?;
    shape.insert(at, Dim::fixed(items.len() as i64));
    alike.then_some(shape)
}

/// `n × cr² × h × w` to `n × c × hr × wr`.
pub(super) fn pixel_shuffle(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let factor = Dim::fixed(args.int(1, "upscale_factor")?);
    let [.., channels, height, width] = shape.as_mut_slice() else {
        return None;
    };
    let split = channels.over(factor.times(factor)?)?;
    (split.times(factor)?.times(factor)? == *channels).then_some(())?;
    *channels = split;
    *height = height.times(factor)?;
    *width = width.times(factor)?;
    Some(shape)
}

/// Only sizes that are named are followed, no scale factors: how those round is left to torch.
pub(super) fn upsample(args: &Args) -> Option<Shape> {
    let input = args.shape(0)?;
    let size = args.get(1, "output_size")?.dims()?;
    (input.len() == size.len() + 2).then_some(())?;
    Some(input[..2].iter().chain(&size).copied().collect())
}

/// `(query, key, value, embed_dim, num_head, …)`: one sequence as long as the query for every sample.
pub(super) fn native_attention(args: &Args) -> Option<Shape> {
    let query = args.shape(0)?;
    (query.len() == 3).then(|| query.clone())
}

pub(super) fn list_of(shapes: Vec<Shape>) -> Known {
    let item = |shape| Val {
        operand: Operand::Literal(String::new()),
        known: tensor(Some(shape)),
        object: None,
    };
    Known::List(shapes.into_iter().map(item).collect())
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
                even_parts(size, size / chunks + i64::from(size % chunks != 0))?
            }
            "split" if args.at(1)?.items().is_none() => {
                even_parts(size?, args.int(1, "split_size")?)?
            }
            "split" | "split_with_sizes" => args.at(1)?.ints()?,
            "unbind" => {
                let mut shape = input.clone();
                shape.remove(at);
                return Some(vec![
                    shape;
                    usize::try_from(size?)
                        .ok()
                        .filter(|n| *n <= MAX_LENGTH)?
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
    sizes().map_or(Known::Nothing, list_of)
}

fn even_parts(size: i64, part: i64) -> Option<Vec<i64>> {
    let part = Some(part).filter(|n| *n > 0)?;
    let count = usize::try_from(size / part + i64::from(size % part != 0)).ok()?;
    (count <= MAX_LENGTH).then(|| {
        let starts = (0..count as i64).map(|i| i * part);
        starts.map(|start| part.min(size - start)).collect()
    })
}
