//! Convolutions and poolings: windows that slide over an image.

use super::{Args, ShapeResult};
use crate::program::value::{Dim, Known, Shape, Val};

/// How a convolution or a pooling slides. `None`: not known.
pub(super) struct Window {
    kernel: Option<Vec<i64>>,
    stride: Option<Vec<i64>>,
    padding: Option<Vec<i64>>,
    dilation: Option<Vec<i64>>,
    groups: Option<i64>,
    ceil: Option<bool>,
    /// `padding="same"`
    same: bool,
}

impl Window {
    /// Of a convolution with its arguments from the stride on at these places; `groups_at` may be beyond all.
    fn of_conv(args: &Args, stride_at: usize, groups_at: usize) -> Self {
        let padding = args.get(stride_at + 1, "padding");
        let word = padding.and_then(|v| match &v.known {
            Known::Str(word) => Some(word.as_str()),
            _ => None,
        });
        Window {
            kernel: None,
            stride: ints_or(args.get(stride_at, "stride"), 1),
            padding: if word.is_some() {
                Some(vec![0])
            } else {
                ints_or(padding, 0)
            },
            dilation: ints_or(args.get(stride_at + 2, "dilation"), 1),
            groups: args.int_or(groups_at, "groups", 1),
            ceil: Some(false),
            same: word == Some("same"),
        }
    }

    pub fn of_max_pool(args: &Args) -> Self {
        let kernel = args.get(1, "kernel_size").and_then(Val::ints);
        Window {
            stride: stride_or_kernel(args.get(2, "stride"), &kernel),
            kernel,
            padding: ints_or(args.get(3, "padding"), 0),
            dilation: ints_or(args.get(4, "dilation"), 1),
            groups: None,
            ceil: args.get(5, "ceil_mode").map_or(Some(false), Val::as_bool),
            same: false,
        }
    }

    pub fn of_avg_pool(args: &Args) -> Self {
        let kernel = args.get(1, "kernel_size").and_then(Val::ints);
        Window {
            stride: stride_or_kernel(args.get(2, "stride"), &kernel),
            kernel,
            padding: ints_or(args.get(3, "padding"), 0),
            dilation: Some(vec![1]),
            groups: None,
            ceil: args.get(4, "ceil_mode").map_or(Some(false), Val::as_bool),
            same: false,
        }
    }

    /// The output sizes for these input sizes, `None` where something is not known.
    fn slide(&self, input: &[Dim], kernel: &[i64]) -> ShapeResult {
        let (Some(stride), Some(padding), Some(dilation), Some(ceil)) =
            (&self.stride, &self.padding, &self.dilation, self.ceil)
        else {
            return Ok(None);
        };
        let mut output = Vec::with_capacity(input.len());
        for (i, dim) in input.iter().enumerate() {
            let parts = (
                dim.known(),
                pick(kernel, i),
                pick(stride, i),
                pick(padding, i),
                pick(dilation, i),
            );
            let (Some(size), Some(k), Some(s), Some(p), Some(d)) = parts else {
                return Ok(None);
            };
            if self.same {
                output.push(*dim);
                continue;
            }
            let reach = d.saturating_mul(k - 1).saturating_add(1);
            let room = size
                .saturating_add(p.saturating_mul(2))
                .saturating_sub(reach);
            let refuse = || format!("a window of {reach} does not fit into {size} pixels");
            if s < 1 {
                return Err(refuse());
            }
            let room = if ceil {
                room.saturating_add(s - 1)
            } else {
                room
            };
            let mut out = room.div_euclid(s).saturating_add(1);
            // The last window of ceil mode must start inside the input or its left padding.
            if ceil && (out - 1).saturating_mul(s) >= size.saturating_add(p) {
                out -= 1;
            }
            if out < 1 {
                return Err(refuse());
            }
            output.push(Dim::fixed(out));
        }
        Ok(Some(output))
    }
}

fn ints_or(value: Option<&Val>, default: i64) -> Option<Vec<i64>> {
    match value {
        None => Some(vec![default]),
        Some(v) => v.ints(),
    }
}

fn stride_or_kernel(stride: Option<&Val>, kernel: &Option<Vec<i64>>) -> Option<Vec<i64>> {
    match stride {
        None => kernel.clone(),
        Some(v) if v.known == Known::None => kernel.clone(),
        Some(v) => v.ints().and_then(|s| {
            if s.is_empty() {
                kernel.clone()
            } else {
                Some(s)
            }
        }),
    }
}

pub(super) fn convolution(name: &str, args: &Args) -> ShapeResult {
    match name {
        "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d" => {
            // The dilation stands behind the groups.
            let window = Window {
                dilation: ints_or(args.get(7, "dilation"), 1),
                ..Window::of_conv(args, 3, 6)
            };
            Ok(transposed(args, &window, args.get(5, "output_padding")))
        }
        "_convolution" | "convolution" => match args.get(6, "transposed").and_then(Val::as_bool) {
            Some(false) => forward(name, args, &Window::of_conv(args, 3, 8)),
            Some(true) => {
                let window = Window::of_conv(args, 3, 8);
                Ok(transposed(args, &window, args.get(7, "output_padding")))
            }
            None => Ok(None),
        },
        // One kernel a channel; its sizes stand before the bias.
        "conv_depthwise3d" => {
            let channels = args.shape(0).and_then(|s| s.get(1)?.known());
            let window = Window {
                groups: channels,
                ..Window::of_conv(args, 4, usize::MAX)
            };
            forward(name, args, &window)
        }
        _ => forward(name, args, &Window::of_conv(args, 3, 6)),
    }
}

fn fixed(shape: &Shape) -> Option<Vec<i64>> {
    shape.iter().map(|d| d.known()).collect()
}

fn forward(name: &str, args: &Args, window: &Window) -> ShapeResult {
    let (Some(input), Some(weight)) = (args.shape(0), args.shape(1)) else {
        return Ok(None);
    };
    let (Some(weight), Some(groups)) = (fixed(weight), window.groups) else {
        return Ok(None);
    };
    // One image may stand there instead of a batch.
    let channels = Dim::fixed(weight.get(1).map_or(0, |n| n.saturating_mul(groups)));
    let lead = match (input.len() + 1).checked_sub(weight.len()) {
        Some(1) => Some(2),
        Some(0) if input.first() == Some(&channels) => Some(1),
        _ => None,
    };
    let (Some(lead), true) = (lead, weight.len() > 2) else {
        return Err(format!(
            "{name}: an input of {} dimensions for a weight of {}",
            input.len(),
            weight.len()
        ));
    };
    let found = input[lead - 1];
    if found.batch == 0 && found != channels {
        return Err(format!(
            "{name}: {} channels are expected, the input has {}",
            channels.n, found.n
        ));
    }
    let spatial = window
        .slide(&input[lead..], &weight[2..])
        .map_err(|e| format!("{name}: {e}"))?;
    Ok(spatial.map(|spatial| {
        let lead = input[..lead - 1].iter().copied();
        let lead = lead.chain([Dim::fixed(weight[0])]);
        lead.chain(spatial).collect()
    }))
}

fn transposed(args: &Args, window: &Window, output_padding: Option<&Val>) -> Option<Shape> {
    let (input, weight) = (args.shape(0)?, fixed(args.shape(1)?)?);
    (weight.len() > 2 && input.len() == weight.len()).then_some(())?;
    let extra = ints_or(output_padding, 0)?;
    let (stride, padding, dilation) = (
        window.stride.as_ref()?,
        window.padding.as_ref()?,
        window.dilation.as_ref()?,
    );
    let channels = weight[1].checked_mul(window.groups?)?;
    let mut shape = vec![input[0], Dim::fixed(channels)];
    for i in 0..input.len() - 2 {
        let steps = input[i + 2]
            .known()?
            .checked_sub(1)?
            .checked_mul(pick(stride, i)?)?;
        let reach = pick(dilation, i)?.checked_mul(weight[i + 2].checked_sub(1)?)?;
        let size = steps
            .checked_sub(pick(padding, i)?.checked_mul(2)?)?
            .checked_add(reach)?
            .checked_add(pick(&extra, i)?)?
            .checked_add(1)?;
        shape.push(Dim::fixed(Some(size).filter(|n| *n > 0)?));
    }
    Some(shape)
}

/// The number for dimension `i` in a list with one for each, or one for all.
fn pick(list: &[i64], i: usize) -> Option<i64> {
    match list {
        [one] => Some(*one),
        _ => list.get(i).copied(),
    }
}

pub(super) fn pool(name: &str, args: &Args) -> ShapeResult {
    let window = if name.starts_with("max") {
        Window::of_max_pool(args)
    } else {
        Window::of_avg_pool(args)
    };
    let (Some(input), Some(kernel)) = (args.shape(0), &window.kernel) else {
        return Ok(None);
    };
    let Some(split) = input.len().checked_sub(rank(name)) else {
        return Ok(None);
    };
    let spatial = window
        .slide(&input[split..], kernel)
        .map_err(|e| format!("{name}: {e}"))?;
    Ok(spatial.map(|spatial| input[..split].iter().copied().chain(spatial).collect()))
}

/// In how many dimensions it works: 2 of `max_pool2d`.
fn rank(name: &str) -> usize {
    let digit = name.bytes().find(u8::is_ascii_digit);
    digit.map_or(2, |digit| usize::from(digit - b'0'))
}

pub(super) fn pool_with_places(name: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![pool(name, args).ok()?; 2])
}

pub(super) fn adaptive_average(name: &str, args: &Args) -> ShapeResult {
    Ok(adaptive_pool(args, rank(name)))
}

pub(super) fn adaptive_with_places(name: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![adaptive_pool(args, rank(name)); 2])
}

/// `fractional_max_pool2d(x, kernel, output_size, samples)`
pub(super) fn fractional(name: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    Some(vec![
        resized(args, rank(name), args.get(2, "output_size")?);
        2
    ])
}

/// `max_unpool2d(x, places, output_size)`
pub(super) fn unpool(name: &str, args: &Args) -> ShapeResult {
    let size = args.get(2, "output_size");
    Ok(size.and_then(|size| resized(args, rank(name), size)))
}

fn resized(args: &Args, rank: usize, size: &Val) -> Option<Shape> {
    let input = args.shape(0)?;
    let size = size.dims()?;
    (size.len() == rank).then_some(())?;
    let split = input.len().checked_sub(rank)?;
    Some(input[..split].iter().copied().chain(size).collect())
}

/// `im2col(x, kernel, dilation, padding, stride)`: the pixels under each place of a window, as a column.
pub(super) fn columns(name: &str, args: &Args) -> ShapeResult {
    let (Some(input), Some(kernel)) = (
        args.shape(0),
        args.get(1, "kernel_size").and_then(Val::ints),
    ) else {
        return Ok(None);
    };
    let [batch, channels, spatial @ ..] = input.as_slice() else {
        return Ok(None);
    };
    if spatial.len() != 2 || kernel.len() != 2 {
        return Ok(None);
    }
    let window = Window {
        kernel: None,
        stride: ints_or(args.get(4, "stride"), 1),
        padding: ints_or(args.get(3, "padding"), 0),
        dilation: ints_or(args.get(2, "dilation"), 1),
        groups: None,
        ceil: Some(false),
        same: false,
    };
    let places = window
        .slide(spatial, &kernel)
        .map_err(|e| format!("{name}: {e}"))?;
    let shape = || {
        let pixels = Dim::fixed(kernel.iter().try_fold(1i64, |n, k| n.checked_mul(*k))?);
        let places = crate::program::value::element_count(&places?)?;
        Some(vec![*batch, channels.times(pixels)?, places])
    };
    Ok(shape())
}

/// `col2im(columns, output_size, kernel, dilation, padding, stride)`
pub(super) fn from_columns(_: &str, args: &Args) -> ShapeResult {
    let shape = || {
        let [batch, rows, _] = args.shape(0)?.as_slice() else {
            return None;
        };
        let kernel = args.get(2, "kernel_size")?.ints()?;
        let pixels = Dim::fixed(kernel.iter().try_fold(1i64, |n, k| n.checked_mul(*k))?);
        let size = args.get(1, "output_size")?.dims()?;
        (size.len() == 2).then_some(())?;
        Some(
            [*batch, rows.over(pixels)?]
                .into_iter()
                .chain(size)
                .collect(),
        )
    };
    Ok(shape())
}

fn adaptive_pool(args: &Args, rank: usize) -> Option<Shape> {
    let input = args.shape(0)?;
    let wanted = args.get(1, "output_size")?;
    let split = input.len().checked_sub(rank)?;
    let mut output = input[..split].to_vec();
    for (i, dim) in input[split..].iter().enumerate() {
        let size = match wanted.items() {
            Some(items) if items.len() == 1 => &items[0],
            Some(items) => items.get(i)?,
            None => wanted,
        };
        output.push(if size.known == Known::None {
            *dim
        } else {
            size.as_dim()?
        });
    }
    Some(output)
}
