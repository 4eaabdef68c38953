//! Fourier transforms: sizes that are asked for, and halves of real signals.

use super::{Args, ShapeResult, axis};
use crate::program::value::{Dim, Known, Shape, Val};

/// `fft_fft(x, n, dim, norm)`
pub(super) fn one(name: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let dim = args.int_or(2, "dim", -1)?;
        let size = args.int_or(1, "n", -1)?;
        transformed(name, args.shape(0)?.clone(), &[dim], &[size])
    };
    Ok(shape())
}

/// `fft_fft2(x, s, dim, norm)`
pub(super) fn two(name: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let dims = ints(args.get(2, "dim"))?.unwrap_or_else(|| vec![-2, -1]);
        let sizes = ints(args.get(1, "s"))?.unwrap_or_else(|| vec![-1; dims.len()]);
        transformed(name, args.shape(0)?.clone(), &dims, &sizes)
    };
    Ok(shape())
}

/// `fft_fftn(x, s, dim, norm)`: all dimensions, or the last ones, as many as there are sizes.
pub(super) fn many(name: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let input = args.shape(0)?.clone();
        let sizes = ints(args.get(1, "s"))?;
        let dims = ints(args.get(2, "dim"))?.unwrap_or_else(|| {
            let count = sizes.as_ref().map_or(input.len(), Vec::len) as i64;
            (-count..0).collect()
        });
        let sizes = sizes.unwrap_or_else(|| vec![-1; dims.len()]);
        transformed(name, input, &dims, &sizes)
    };
    Ok(shape())
}

/// A list that need not be given. `None`: not known.
fn ints(argument: Option<&Val>) -> Option<Option<Vec<i64>>> {
    match argument {
        None => Some(None),
        Some(v) if v.known == Known::None => Some(None),
        Some(v) => v.ints().map(Some),
    }
}

/// Of the last of the dimensions a real signal has half as many frequencies.
fn transformed(name: &str, mut shape: Shape, dims: &[i64], sizes: &[i64]) -> Option<Shape> {
    (dims.len() == sizes.len()).then_some(())?;
    let to_half = name.starts_with("fft_rfft") || name.starts_with("fft_ihfft");
    let from_half = name.starts_with("fft_irfft") || name.starts_with("fft_hfft");
    let last = dims.len().checked_sub(1)?;
    for (i, (dim, size)) in dims.iter().zip(sizes).enumerate() {
        let at = axis(*dim, shape.len())?;
        let asked = (*size != -1).then(|| Dim::fixed(*size));
        shape[at] = match (i == last, asked) {
            (true, None) if from_half => {
                Dim::fixed(shape[at].known()?.checked_sub(1)?.checked_mul(2)?)
            }
            (true, size) if to_half => Dim::fixed(size.unwrap_or(shape[at]).known()? / 2 + 1),
            (_, size) => size.unwrap_or(shape[at]),
        };
    }
    Some(shape)
}
