//! What an operator's result looks like, from what is known of its arguments.
//!
//! A rule may always answer [`Known::Nothing`]; it must never answer wrongly. An error means that the operator
//! itself would refuse these shapes.

mod scalar;
mod shapes;
mod traits;
mod window;

use super::value::{Dim, Known, Shape, Val, element_count};
use window::Window;

pub(super) use traits::{
    functional_twin, is_activation, is_impure, may_alias, mutates_container, writes_in_place,
};

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

/// A shape, `None` where it cannot be told, or why the operator would refuse.
type ShapeResult = std::result::Result<Option<Shape>, String>;

fn tensor(shape: Option<Shape>) -> Known {
    Known::Tensor { shape, item: None }
}

/// What is known of the result of `torch.<name>(args)`.
pub(super) fn result(name: &str, args: &Args) -> Result {
    let name = functional_twin(name).unwrap_or(name);
    if args.0.iter().any(|(_, v)| v.is_tensor()) || matches!(name, "cat" | "stack" | "concat") {
        return tensor_result(name, args);
    }
    Ok(scalar::result(name, args).unwrap_or(Known::Nothing))
}

fn tensor_result(name: &str, args: &Args) -> Result {
    match name {
        "__is__" | "__isnot__" => {
            let test = args
                .at(0)
                .and_then(|first| scalar::identity_test(name, first, args.at(1)));
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
            return Ok(shapes::pieces(name, args));
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

fn tensor_shape(name: &str, args: &Args) -> ShapeResult {
    if is_activation(name) || SAME_SHAPE.contains(&name) {
        return Ok(args.shape(0).cloned());
    }
    match name {
        "add" | "sub" | "mul" | "div" | "true_divide" | "pow" | "maximum" | "minimum" | "rsub"
        | "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "logical_and" | "logical_or"
        | "floor_divide" | "remainder" => shapes::elementwise(name, args),
        "conv1d" | "conv2d" | "conv3d" => window::convolution(name, args, &Window::of_conv(args)),
        "_convolution" if args.at(6).and_then(Val::as_bool) == Some(false) => window::convolution(
            name,
            args,
            &Window::of_conv(args).grouped(args.int(8, "groups")),
        ),
        "linear" => shapes::linear(args),
        "matmul" | "mm" | "bmm" => Ok(shapes::matmul(args.shape(0), args.shape(1))),
        "addmm" | "baddbmm" => Ok(shapes::matmul(args.shape(1), args.shape(2))),
        "scaled_dot_product_attention" => Ok(shapes::attention(args)),
        "max_pool1d" | "max_pool2d" | "max_pool3d" => {
            window::pool(name, args, &Window::of_max_pool(args))
        }
        "avg_pool1d" | "avg_pool2d" | "avg_pool3d" => {
            window::pool(name, args, &Window::of_avg_pool(args))
        }
        "adaptive_avg_pool1d" | "adaptive_max_pool1d" => Ok(window::adaptive_pool(args, 1)),
        "adaptive_avg_pool2d" | "adaptive_max_pool2d" => Ok(window::adaptive_pool(args, 2)),
        "adaptive_avg_pool3d" | "adaptive_max_pool3d" => Ok(window::adaptive_pool(args, 3)),
        "flatten" => Ok(shapes::flatten(args)),
        "view" | "reshape" => shapes::reshape(name, args),
        "permute" => Ok(shapes::permute(args)),
        "transpose" | "swapaxes" | "swapdims" => Ok(shapes::transpose(args)),
        "t" | "numpy_T" => Ok(args.shape(0).map(|s| s.iter().rev().copied().collect())),
        "unsqueeze" => Ok(shapes::unsqueeze(args)),
        "squeeze" => Ok(shapes::squeeze(args)),
        "expand" => Ok(shapes::expand(args)),
        "cat" | "concat" => shapes::cat(args),
        "slice" => Ok(shapes::slice(args)),
        "select" => Ok(shapes::select(args)),
        "pad" | "constant_pad_nd" | "reflection_pad2d" | "replication_pad2d" => {
            Ok(shapes::pad(args))
        }
        "mean" | "sum" | "amax" | "amin" | "norm" | "var" | "std" => Ok(shapes::reduce(args)),
        _ => Ok(None),
    }
}

/// Operators, besides the activations, whose result has the shape of their first argument.
const SAME_SHAPE: &[&str] = &[
    "clamp_max",
    "rrelu",
    "threshold",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "softmax",
    "log_softmax",
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
