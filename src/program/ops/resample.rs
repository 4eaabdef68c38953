//! Other resolutions of an image.

use super::{Args, ShapeResult};
use crate::program::value::{Dim, Known, Shape, Val};

/// `upsample_nearest2d(x, size, scales…)`, `upsample_bilinear2d(x, size, align_corners, scales…)`, each with the size
/// or, in a list, the factors.
pub(super) fn upsample(name: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let at = if name.contains("nearest") { 2 } else { 3 };
        resized(
            args.shape(0)?,
            args.get(1, "output_size").or_else(|| args.get(1, "size")),
            args.get(at, "scale_factors"),
        )
    };
    Ok(shape())
}

/// `__interpolate(x, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)`
pub(super) fn interpolate(name: &str, args: &Args) -> ShapeResult {
    let factors = match name {
        "__upsample_bilinear" | "__upsample_nearest" | "__upsample" | "__interpolate" => 2,
        _ => return Ok(None),
    };
    let shape = || {
        resized(
            args.shape(0)?,
            args.get(1, "size"),
            args.get(factors, "scale_factor"),
        )
    };
    Ok(shape())
}

fn resized(input: &Shape, size: Option<&Val>, factors: Option<&Val>) -> Option<Shape> {
    let given = |v: &&Val| v.known != Known::None;
    let (lead, old) = input.split_at_checked(2)?;
    let each = |value: &Val, i: usize| match value.items() {
        Some(items) => items.get(i).cloned(),
        None => Some(value.clone()),
    };
    let right = |value: &Val| value.items().is_none_or(|items| items.len() == old.len());
    let new: Vec<Dim> = match (size.filter(given), factors.filter(given)) {
        (Some(size), _) if right(size) => (0..old.len())
            .map(|i| each(size, i)?.as_dim())
            .collect::<Option<_>>()?,
        (None, Some(factors)) if right(factors) => (0..old.len())
            .map(|i| scaled(old[i], &each(factors, i)?))
            .collect::<Option<_>>()?,
        _ => return None,
    };
    Some(lead.iter().copied().chain(new).collect())
}

/// As libtorch rounds: the product in double precision, towards zero.
fn scaled(size: Dim, factor: &Val) -> Option<Dim> {
    let factor = match factor.known {
        Known::Float(x) => x,
        Known::Int(n) => n.known()? as f64,
        _ => return None,
    };
    let size = size.known()? as f64 * factor;
    (1. ..1e9).contains(&size).then(|| Dim::fixed(size as i64))
}

/// `grid_sampler(x, grid, …)`: the channels of the image at the places of the grid.
pub(super) fn grid_sample(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let (input, grid) = (args.shape(0)?, args.shape(1)?);
        (input.len() == grid.len()).then_some(())?;
        let places = grid.get(1..grid.len().checked_sub(1)?)?;
        Some(input.get(..2)?.iter().chain(places).copied().collect())
    };
    Ok(shape())
}

/// `affine_grid_generator(theta, size, …)`
pub(super) fn affine_grid(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let size = args.get(1, "size")?.dims()?;
        let [batch, _, places @ ..] = size.as_slice() else {
            return None;
        };
        let each = Dim::fixed(places.len() as i64);
        Some(
            [*batch]
                .into_iter()
                .chain(places.iter().copied())
                .chain([each])
                .collect(),
        )
    };
    Ok(shape())
}

/// `n × cr² × h × w` to `n × c × hr × wr`
pub(super) fn pixel_shuffle(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
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
    };
    Ok(shape())
}

/// `n × c × hr × wr` to `n × cr² × h × w`
pub(super) fn pixel_unshuffle(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let mut shape = args.shape(0)?.clone();
        let factor = Dim::fixed(args.int(1, "downscale_factor")?);
        let [.., channels, height, width] = shape.as_mut_slice() else {
            return None;
        };
        *channels = channels.times(factor)?.times(factor)?;
        for side in [height, width] {
            let whole = side.over(factor)?;
            (whole.times(factor)? == *side).then_some(())?;
            *side = whole;
        }
        Some(shape)
    };
    Ok(shape())
}
