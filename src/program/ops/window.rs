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
    pub fn of_conv(args: &Args) -> Self {
        let padding = args.get(4, "padding");
        let word = padding.and_then(|v| match &v.known {
            Known::Str(word) => Some(word.as_str()),
            _ => None,
        });
        Window {
            kernel: None,
            stride: ints_or(args.get(3, "stride"), 1),
            padding: if word.is_some() {
                Some(vec![0])
            } else {
                ints_or(padding, 0)
            },
            dilation: ints_or(args.get(5, "dilation"), 1),
            groups: args.int_or(6, "groups", 1),
            ceil: Some(false),
            same: word == Some("same"),
        }
    }

    /// The same with another number of channel groups.
    pub fn grouped(self, groups: Option<i64>) -> Self {
        Window { groups, ..self }
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
        let pick = |list: &[i64], i: usize| {
            if list.len() == 1 {
                Some(list[0])
            } else {
                list.get(i).copied()
            }
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
            if room < 0 || s < 1 {
                return Err(format!(
                    "a window of {reach} does not fit into {size} pixels"
                ));
            }
            let mut out = room / s + 1;
            // The last window of ceil mode must start inside the input or its left padding.
            if ceil && room % s != 0 && out * s < size + p {
                out += 1;
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

pub(super) fn convolution(name: &str, args: &Args, window: &Window) -> ShapeResult {
    let (Some(input), Some(weight)) = (args.shape(0), args.shape(1)) else {
        return Ok(None);
    };
    let (Some(weight), Some(groups)) = (
        weight
            .iter()
            .map(|d| d.known())
            .collect::<Option<Vec<i64>>>(),
        window.groups,
    ) else {
        return Ok(None);
    };
    if weight.len() < 3 || input.len() != weight.len() {
        return Err(format!(
            "{name}: an input of {} dimensions for a weight of {}",
            input.len(),
            weight.len()
        ));
    }
    let channels = weight[1].saturating_mul(groups);
    if input[1].known().is_some_and(|c| c != channels) {
        return Err(format!(
            "{name}: {channels} channels are expected, the input has {}",
            input[1].n
        ));
    }
    let spatial = window
        .slide(&input[2..], &weight[2..])
        .map_err(|e| format!("{name}: {e}"))?;
    Ok(spatial.map(|spatial| {
        [input[0], Dim::fixed(weight[0])]
            .into_iter()
            .chain(spatial)
            .collect()
    }))
}

pub(super) fn pool(name: &str, args: &Args, window: &Window) -> ShapeResult {
    let (Some(input), Some(kernel)) = (args.shape(0), &window.kernel) else {
        return Ok(None);
    };
    let rank = name
        .as_bytes()
        .get(8)
        .map_or(2, |digit| usize::from(digit.saturating_sub(b'0')));
    let Some(split) = input.len().checked_sub(rank) else {
        return Ok(None);
    };
    let spatial = window
        .slide(&input[split..], kernel)
        .map_err(|e| format!("{name}: {e}"))?;
    Ok(spatial.map(|spatial| input[..split].iter().copied().chain(spatial).collect()))
}

pub(super) fn adaptive_pool(args: &Args, rank: usize) -> Option<Shape> {
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
