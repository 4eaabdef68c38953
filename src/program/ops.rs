//! What an operator's result looks like, from what is known of its arguments.
//!
//! A rule may always answer [`Known::Nothing`]; it must never answer wrongly. An error means that the operator
//! itself would refuse these shapes.

use super::value::{Dim, Known, Shape, Val, element_count};

/// The arguments of a call, with their names where they were given by name.
pub(super) struct Args<'a>(pub &'a [(Option<String>, Val)]);

impl Args<'_> {
    /// The argument at position `i`, or the one named `name`.
    pub fn get(&self, i: usize, name: &str) -> Option<&Val> {
        let positional = self.0.get(i).filter(|(n, _)| n.is_none());
        positional
            .or_else(|| self.0.iter().find(|(n, _)| n.as_deref() == Some(name)))
            .map(|(_, v)| v)
    }

    fn at(&self, i: usize) -> Option<&Val> {
        self.get(i, "")
    }

    fn shape(&self, i: usize) -> Option<&Shape> {
        self.at(i)?.shape()
    }

    fn int(&self, i: usize, name: &str) -> Option<i64> {
        self.get(i, name)?.as_int()
    }

    fn int_or(&self, i: usize, name: &str, default: i64) -> Option<i64> {
        match self.get(i, name) {
            None => Some(default),
            Some(v) if v.known == Known::None => Some(default),
            Some(v) => v.as_int(),
        }
    }
}

/// What an operator gives, or why it would refuse.
pub(super) type Result = std::result::Result<Known, String>;

fn tensor(shape: Option<Shape>) -> Known {
    Known::Tensor { shape, item: None }
}

/// In-place operators whose twin without the underscore computes the same values.
pub(super) fn functional_twin(name: &str) -> Option<&str> {
    const TWINS: &[&str] = &[
        "relu",
        "relu6",
        "add",
        "sub",
        "mul",
        "div",
        "sigmoid",
        "tanh",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "silu",
        "mish",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "clamp",
        "clamp_min",
        "clamp_max",
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "threshold",
        "gelu",
        "neg",
        "exp",
        "sqrt",
        "pow",
        "square",
        "masked_fill",
    ];
    let twin = name.strip_suffix('_')?;
    TWINS.contains(&twin).then_some(twin)
}

/// Whether the operator writes into its first argument.
pub(super) fn writes_in_place(name: &str) -> bool {
    name.ends_with('_') && !name.ends_with("__")
}

/// Whether the operator changes the list or dictionary it is given.
pub(super) fn mutates_container(name: &str) -> bool {
    const MUTATORS: &[&str] = &[
        "append",
        "extend",
        "insert",
        "clear",
        "pop",
        "popitem",
        "remove",
        "reverse",
        "sort",
        "update",
        "setdefault",
        "_set_item",
        "__delitem__",
        "Delete",
    ];
    MUTATORS.contains(&name)
}

/// Whether the result may share memory with the first argument.
pub(super) fn may_alias(name: &str) -> bool {
    const VIEWS: &[&str] = &[
        "view",
        "view_as",
        "reshape",
        "reshape_as",
        "flatten",
        "unflatten",
        "slice",
        "select",
        "narrow",
        "transpose",
        "permute",
        "t",
        "numpy_T",
        "squeeze",
        "unsqueeze",
        "expand",
        "expand_as",
        "chunk",
        "split",
        "split_with_sizes",
        "tensor_split",
        "unbind",
        "contiguous",
        "to",
        "type_as",
        "detach",
        "dropout",
        "feature_dropout",
        "alpha_dropout",
        "movedim",
        "swapaxes",
        "swapdims",
        "as_strided",
        "diagonal",
        "unfold",
        "index",
        "float",
        "alias",
        "lift_fresh",
        "pad",
        "broadcast_tensors",
        "meshgrid",
    ];
    VIEWS.contains(&name)
}

/// Activations that may stand behind the addition of a residual block: one input, same shape, element by element.
pub(super) fn is_activation(name: &str) -> bool {
    const ACTIVATIONS: &[&str] = &[
        "relu",
        "relu6",
        "hardtanh",
        "silu",
        "gelu",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "hardswish",
        "hardsigmoid",
        "sigmoid",
        "tanh",
        "mish",
        "softplus",
        "clamp",
        "clamp_min",
        "dropout",
        "feature_dropout",
        "prelu",
    ];
    ACTIVATIONS.contains(&name)
}

/// Whether the result depends on more than the arguments, so that the call must stay where it is.
pub(super) fn is_impure(name: &str) -> bool {
    writes_in_place(name)
        || matches!(
            name,
            "rand" | "randn" | "rand_like" | "randn_like" | "bernoulli" | "randint"
        )
}

/// What is known of the result of `torch.<name>(args)`.
pub(super) fn result(name: &str, args: &Args) -> Result {
    let name = functional_twin(name).unwrap_or(name);
    if args.0.iter().any(|(_, v)| v.is_tensor()) || matches!(name, "cat" | "stack" | "concat") {
        return tensor_result(name, args);
    }
    Ok(scalar_result(name, args).unwrap_or(Known::Nothing))
}

fn scalar_result(name: &str, args: &Args) -> Option<Known> {
    let first = args.at(0)?;
    if let Some(answer) = identity_test(name, first, args.at(1)) {
        return Some(Known::Bool(answer));
    }
    match name {
        "len" => return Some(Known::Int(Dim::fixed(first.items()?.len() as i64))),
        "__not__" => return Some(Known::Bool(!first.as_bool()?)),
        "int" | "Int" | "IntImplicit" | "ScalarImplicit" => {
            return match first.known {
                Known::Int(n) => Some(Known::Int(n)),
                Known::Float(x) => Some(Known::Int(Dim::fixed(x.trunc() as i64))),
                Known::Bool(b) => Some(Known::Int(Dim::fixed(b.into()))),
                _ => None,
            };
        }
        "float" | "Float" => return Some(Known::Float(number(first)?)),
        "bool" | "Bool" => {
            return Some(Known::Bool(
                first.as_bool().or_else(|| Some(number(first)? != 0.))?,
            ));
        }
        "neg" => {
            return match first.known {
                Known::Int(n) => Some(Known::Int(n.negated())),
                Known::Float(x) => Some(Known::Float(-x)),
                _ => None,
            };
        }
        "NumToTensor" => {
            return Some(Known::Tensor {
                shape: Some(vec![]),
                item: first.as_dim(),
            });
        }
        "floor" => return Some(Known::Int(Dim::fixed(number(first)?.floor() as i64))),
        "ceil" => return Some(Known::Int(Dim::fixed(number(first)?.ceil() as i64))),
        "sqrt" => return Some(Known::Float(number(first)?.sqrt())),
        "__contains__" => {
            let (items, wanted) = (first.items()?, args.at(1)?);
            let all_known = items
                .iter()
                .chain([wanted])
                .all(|v| v.known != Known::Nothing);
            return all_known.then(|| Known::Bool(items.iter().any(|v| v.known == wanted.known)));
        }
        _ => {}
    }
    let second = args.at(1)?;
    match (&first.known, &second.known) {
        (Known::Bool(a), Known::Bool(b)) => logic(name, *a, *b),
        (Known::Int(a), Known::Int(b)) => int_arithmetic(name, *a, *b),
        (Known::Str(a), Known::Str(b)) => compare(name, a, b),
        (Known::List(a), Known::List(b)) if name == "add" => {
            Some(Known::List(a.iter().chain(b).cloned().collect()))
        }
        (Known::List(a), Known::Int(n)) if name == "mul" => {
            let times = usize::try_from(n.known()?).ok()?;
            let repeated = std::iter::repeat_n(a, times.min(1 << 10))
                .flatten()
                .cloned()
                .collect();
            (times <= 1 << 10 && a.len() <= 1 << 10).then_some(Known::List(repeated))
        }
        (Known::List(_), Known::List(_)) => compare(name, &first.ints()?, &second.ints()?),
        _ => float_arithmetic(name, number(first)?, number(second)?),
    }
}

/// `is`, `is not` against `None`.
fn identity_test(name: &str, first: &Val, second: Option<&Val>) -> Option<bool> {
    let negated = match name {
        "__is__" => false,
        "__isnot__" => true,
        _ => return None,
    };
    match (&first.known, &second?.known) {
        (Known::Nothing, _) | (_, Known::Nothing) => None,
        (a, b) if (*a == Known::None) || (*b == Known::None) => Some((a == b) != negated),
        _ => None,
    }
}

fn number(value: &Val) -> Option<f64> {
    match value.known {
        Known::Int(n) => n.known().map(|n| n as f64),
        Known::Float(x) => Some(x),
        Known::Bool(b) => Some(f64::from(u8::from(b))),
        _ => None,
    }
}

fn logic(name: &str, a: bool, b: bool) -> Option<Known> {
    Some(Known::Bool(match name {
        "__and__" => a && b,
        "__or__" => a || b,
        "__xor__" | "ne" => a != b,
        "eq" => a == b,
        _ => return None,
    }))
}

fn compare<T: PartialOrd>(name: &str, a: &T, b: &T) -> Option<Known> {
    Some(Known::Bool(match name {
        "eq" => a == b,
        "ne" => a != b,
        "lt" => a < b,
        "le" => a <= b,
        "gt" => a > b,
        "ge" => a >= b,
        _ => return None,
    }))
}

fn int_arithmetic(name: &str, a: Dim, b: Dim) -> Option<Known> {
    match name {
        "add" => return a.plus(b).map(Known::Int),
        "sub" => return a.plus(b.negated()).map(Known::Int),
        "mul" => return a.times(b).map(Known::Int),
        "floordiv" | "floor_divide" => return a.over(b).map(Known::Int),
        _ => {}
    }
    let (a, b) = (a.known()?, b.known()?);
    match name {
        "remainder" | "mod" if b > 0 => Some(Known::Int(Dim::fixed(a.rem_euclid(b)))),
        "min" => Some(Known::Int(Dim::fixed(a.min(b)))),
        "max" => Some(Known::Int(Dim::fixed(a.max(b)))),
        "pow" => Some(Known::Int(Dim::fixed(
            a.checked_pow(u32::try_from(b).ok()?)?,
        ))),
        "div" => Some(Known::Float(a as f64 / b as f64)),
        _ => compare(name, &a, &b),
    }
}

fn float_arithmetic(name: &str, a: f64, b: f64) -> Option<Known> {
    Some(Known::Float(match name {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" => a / b,
        "pow" => a.powf(b),
        "min" => a.min(b),
        "max" => a.max(b),
        _ => return compare(name, &a, &b),
    }))
}

fn tensor_result(name: &str, args: &Args) -> Result {
    match name {
        "__is__" | "__isnot__" => {
            let test = args
                .at(0)
                .and_then(|first| identity_test(name, first, args.at(1)));
            return Ok(test.map_or(Known::Nothing, Known::Bool));
        }
        "dim" => {
            return Ok(args
                .shape(0)
                .map_or(Known::Nothing, |s| Known::Int(Dim::fixed(s.len() as i64))));
        }
        "len" => {
            return Ok(args
                .shape(0)
                .and_then(|s| s.first())
                .map_or(Known::Nothing, |d| Known::Int(*d)));
        }
        "numel" => {
            return Ok(args
                .shape(0)
                .and_then(|s| element_count(s))
                .map_or(Known::Nothing, Known::Int));
        }
        "size" | "dtype" | "device" | "is_cuda" | "layout" | "requires_grad"
        | "is_floating_point" | "item" | "is_nested" | "format" | "is_contiguous"
        | "isinstance" => return Ok(Known::Nothing),
        "int" | "Int" | "IntImplicit" | "ScalarImplicit" => {
            return Ok(match args.at(0).map(|v| &v.known) {
                Some(Known::Tensor { item: Some(n), .. }) => Known::Int(*n),
                _ => Known::Nothing,
            });
        }
        "chunk" | "split" | "unbind" | "split_with_sizes" | "tensor_split" => {
            return Ok(pieces(name, args));
        }
        "float" | "Float" | "bool" | "Bool"
            if args.0.len() == 1 && args.shape(0).is_none_or(|s| s.is_empty()) =>
        {
            return Ok(Known::Nothing);
        }
        // Operators with several results: their number is what the assignment says.
        "max" | "min" | "topk" | "sort" | "std_mean" | "var_mean" | "native_layer_norm"
        | "native_batch_norm" | "lstm" | "gru" => return Ok(Known::Nothing),
        _ => {}
    }
    Ok(tensor(tensor_shape(name, args)?))
}

fn tensor_shape(name: &str, args: &Args) -> std::result::Result<Option<Shape>, String> {
    if SAME_SHAPE.contains(&name) {
        return Ok(args.shape(0).cloned());
    }
    match name {
        "add" | "sub" | "mul" | "div" | "true_divide" | "pow" | "maximum" | "minimum" | "rsub"
        | "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "logical_and" | "logical_or"
        | "floor_divide" | "remainder" => elementwise(name, args),
        "conv1d" | "conv2d" | "conv3d" => convolution(name, args, &Window::of_conv(args)),
        "_convolution" if args.at(6).and_then(Val::as_bool) == Some(false) => convolution(
            name,
            args,
            &Window {
                groups: args.int(8, "groups"),
                ..Window::of_conv(args)
            },
        ),
        "linear" => linear(args),
        "matmul" | "mm" | "bmm" => Ok(matmul(args.shape(0), args.shape(1))),
        "addmm" | "baddbmm" => Ok(matmul(args.shape(1), args.shape(2))),
        "scaled_dot_product_attention" => Ok(attention(args)),
        "max_pool1d" | "max_pool2d" | "max_pool3d" => pool(name, args, &Window::of_max_pool(args)),
        "avg_pool1d" | "avg_pool2d" | "avg_pool3d" => pool(name, args, &Window::of_avg_pool(args)),
        "adaptive_avg_pool1d" | "adaptive_max_pool1d" => Ok(adaptive_pool(args, 1)),
        "adaptive_avg_pool2d" | "adaptive_max_pool2d" => Ok(adaptive_pool(args, 2)),
        "adaptive_avg_pool3d" | "adaptive_max_pool3d" => Ok(adaptive_pool(args, 3)),
        "flatten" => Ok(flatten(args)),
        "view" | "reshape" => reshape(name, args),
        "permute" => Ok(permute(args)),
        "transpose" | "swapaxes" | "swapdims" => Ok(transpose(args)),
        "t" | "numpy_T" => Ok(args.shape(0).map(|s| s.iter().rev().copied().collect())),
        "unsqueeze" => Ok(unsqueeze(args)),
        "squeeze" => Ok(squeeze(args)),
        "expand" => Ok(expand(args)),
        "cat" | "concat" => cat(args),
        "stack" => Ok(None),
        "slice" => Ok(slice(args)),
        "select" => Ok(select(args)),
        "pad" | "constant_pad_nd" | "reflection_pad2d" | "replication_pad2d" => Ok(pad(args)),
        "mean" | "sum" | "amax" | "amin" | "norm" | "var" | "std" => Ok(reduce(args)),
        "pixel_shuffle" | "where" | "einsum" => Ok(None),
        _ => Ok(None),
    }
}

/// Operators whose result has the shape of their first argument.
const SAME_SHAPE: &[&str] = &[
    "relu",
    "relu6",
    "hardtanh",
    "silu",
    "gelu",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "mish",
    "softplus",
    "clamp",
    "clamp_min",
    "clamp_max",
    "prelu",
    "rrelu",
    "threshold",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "softmax",
    "log_softmax",
    "dropout",
    "feature_dropout",
    "alpha_dropout",
    "contiguous",
    "clone",
    "detach",
    "to",
    "type_as",
    "neg",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "abs",
    "square",
    "sin",
    "cos",
    "roll",
    "flip",
    "channel_shuffle",
    "bernoulli",
    "masked_fill",
    "zeros_like",
    "ones_like",
    "cumsum",
    "reciprocal",
    "erf",
    "local_response_norm",
    "logical_not",
    "floor",
    "ceil",
    "round",
    "nan_to_num",
    "normalize",
    "log_sigmoid",
    "softsign",
    "rms_norm",
    "alias",
    "half",
    "double",
    "rand_like",
    "randn_like",
    "tril",
    "triu",
    "float",
    "sort",
    "fill",
];

fn axis(dim: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let wrapped = if dim < 0 { dim.checked_add(rank)? } else { dim };
    (0..rank).contains(&wrapped).then_some(wrapped as usize)
}

fn elementwise(name: &str, args: &Args) -> std::result::Result<Option<Shape>, String> {
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
pub(super) fn show(shape: &[Dim]) -> String {
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

/// How a convolution or a pooling slides. `None`: not known.
struct Window {
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
    fn of_conv(args: &Args) -> Self {
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

    fn of_max_pool(args: &Args) -> Self {
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

    fn of_avg_pool(args: &Args) -> Self {
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
    fn slide(&self, input: &[Dim], kernel: &[i64]) -> std::result::Result<Option<Shape>, String> {
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

fn convolution(
    name: &str,
    args: &Args,
    window: &Window,
) -> std::result::Result<Option<Shape>, String> {
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
            "{name}: an input of {} channels where {channels} are expected",
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

fn pool(name: &str, args: &Args, window: &Window) -> std::result::Result<Option<Shape>, String> {
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

fn linear(args: &Args) -> std::result::Result<Option<Shape>, String> {
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

fn matmul(a: Option<&Shape>, b: Option<&Shape>) -> Option<Shape> {
    let (a, b) = (a?, b?);
    let ([a_lead @ .., rows, _], [b_lead @ .., _, columns]) = (a.as_slice(), b.as_slice()) else {
        return None;
    };
    let mut shape = broadcast(&a_lead.to_vec(), &b_lead.to_vec())?;
    shape.extend([*rows, *columns]);
    Some(shape)
}

fn attention(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    *shape.last_mut()? = *args.shape(2)?.last()?;
    Some(shape)
}

fn flatten(args: &Args) -> Option<Shape> {
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

fn reshape(name: &str, args: &Args) -> std::result::Result<Option<Shape>, String> {
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

fn permute(args: &Args) -> Option<Shape> {
    let input = args.shape(0)?;
    let order = args.get(1, "dims")?.ints()?;
    (order.len() == input.len()).then_some(())?;
    order
        .iter()
        .map(|&d| axis(d, input.len()).map(|d| input[d]))
        .collect()
}

fn transpose(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let a = axis(args.int(1, "dim0")?, shape.len())?;
    let b = axis(args.int(2, "dim1")?, shape.len())?;
    shape.swap(a, b);
    Some(shape)
}

fn unsqueeze(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int(1, "dim")?, shape.len() + 1)?;
    shape.insert(at, Dim::fixed(1));
    Some(shape)
}

fn squeeze(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int(1, "dim")?, shape.len())?;
    if shape[at] == Dim::fixed(1) {
        shape.remove(at);
    }
    Some(shape)
}

fn expand(args: &Args) -> Option<Shape> {
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

fn cat(args: &Args) -> std::result::Result<Option<Shape>, String> {
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

fn slice(args: &Args) -> Option<Shape> {
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

fn select(args: &Args) -> Option<Shape> {
    let mut shape = args.shape(0)?.clone();
    let at = axis(args.int(1, "dim")?, shape.len())?;
    shape.remove(at);
    Some(shape)
}

fn pad(args: &Args) -> Option<Shape> {
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

fn reduce(args: &Args) -> Option<Shape> {
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
fn pieces(name: &str, args: &Args) -> Known {
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
                    operand: super::value::Operand::Literal(String::new()),
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
