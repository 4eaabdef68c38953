//! What an operator's result looks like, from what is known of its arguments.
//!
//! A rule may always answer [`Known::Nothing`]; it must never answer wrongly. An error means that the operator
//! itself would refuse these shapes.

mod create;
mod einsum;
mod lists;
mod macs;
mod scalar;
mod shapes;
mod traits;
mod window;

use super::value::{Dim, Known, Shape, Val, element_count};
use window::Window;

pub(crate) use macs::statement_macs;
pub(super) use traits::{
    changes_shape_in_place, functional_twin, is_activation, is_impure, is_view, may_alias,
    mutates_container, writes_in_place,
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
    if args.0.iter().any(|(_, v)| v.is_tensor()) || TAKES_TENSOR_LIST.contains(&name) {
        return tensor_result(name, args);
    }
    if let Some(known) = create::new_tensor(name, args) {
        return Ok(known);
    }
    Ok(scalar::result(name, args).unwrap_or(Known::Nothing))
}

/// Operators whose tensors stand in a list.
const TAKES_TENSOR_LIST: &[&str] = &["cat", "stack", "concat", "einsum", "meshgrid"];

/// What is known of each of the results of `a, b = torch.<name>(args)`.
pub(super) fn results(name: &str, args: &Args, count: usize) -> Vec<Known> {
    let shapes = match (name, count) {
        ("_native_multi_head_attention", 2) => vec![shapes::native_attention(args), None],
        ("max" | "min" | "sort" | "topk" | "std_mean" | "var_mean", _) => vec![None; count],
        _ => return vec![Known::Nothing; count],
    };
    shapes.into_iter().map(tensor).collect()
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
        "is_nested" => {
            // The input is an ordinary tensor, and so is all of known sizes that is made of it.
            return Ok(args.shape(0).map_or(Known::Nothing, |_| Known::Bool(false)));
        }
        "size" | "stride" | "dtype" | "device" | "is_cuda" | "layout" | "requires_grad"
        | "is_floating_point" | "is_complex" | "format" | "is_contiguous" | "isinstance"
        | "equal" | "allclose" | "is_sparse" | "is_quantized" | "tolist" => {
            return Ok(Known::Nothing);
        }
        "int" | "Int" | "IntImplicit" | "ScalarImplicit" | "item" => {
            return Ok(args
                .at(0)
                .and_then(scalar::item)
                .map_or(Known::Nothing, Known::Int));
        }
        "meshgrid" => return Ok(create::meshgrid(args)),
        "chunk" | "split" | "unbind" | "split_with_sizes" | "tensor_split" => {
            return Ok(shapes::pieces(name, args));
        }
        "float" | "Float" | "bool" | "Bool"
            if args.0.len() == 1 && args.shape(0).is_none_or(|s| s.is_empty()) =>
        {
            return Ok(Known::Nothing);
        }
        "max" | "min" if args.0.len() == 2 && args.0.iter().all(|(_, v)| v.is_tensor()) => {
            return Ok(tensor(shapes::elementwise(name, args)?));
        }
        "max" | "min" if args.0.len() == 1 => return Ok(tensor(Some(Vec::new()))),
        // Operators with several results: their number is what the assignment says.
        "max"
        | "min"
        | "topk"
        | "sort"
        | "std_mean"
        | "var_mean"
        | "native_layer_norm"
        | "native_batch_norm"
        | "lstm"
        | "gru"
        | "_native_multi_head_attention" => {
            return Ok(Known::Nothing);
        }
        _ => {}
    }
    Ok(Known::Tensor {
        shape: tensor_shape(name, args)?,
        item: scalar::item_arithmetic(name, args),
    })
}

fn tensor_shape(name: &str, args: &Args) -> ShapeResult {
    if changes_shape_in_place(name) {
        return Ok(None);
    }
    if name.starts_with("clamp") && args.0.iter().skip(1).any(|(_, v)| v.is_tensor()) {
        return Ok(None);
    }
    if is_activation(name) || SAME_SHAPE.contains(&name) || writes_in_place(name) {
        return Ok(args.shape(0).cloned());
    }
    match name {
        "add" | "sub" | "mul" | "div" | "true_divide" | "pow" | "maximum" | "minimum" | "rsub"
        | "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "logical_and" | "logical_or"
        | "floor_divide" | "remainder" | "masked_fill" | "atan2" | "fmod" | "__and__"
        | "__or__" | "bitwise_and" | "bitwise_or" => shapes::elementwise(name, args),
        "index" => Ok(shapes::index(args)),
        "new_zeros" | "new_ones" | "new_full" | "new_empty" => {
            Ok(args.get(1, "size").and_then(Val::dims))
        }
        "view_as" | "reshape_as" | "expand_as" => Ok(args.shape(1).cloned()),
        "narrow" => Ok(shapes::narrow(args)),
        "unflatten" => Ok(shapes::unflatten(args)),
        "repeat" => Ok(shapes::repeat(args)),
        "stack" => Ok(shapes::stack(args)),
        "pixel_shuffle" => Ok(shapes::pixel_shuffle(args)),
        "einsum" => Ok(einsum::shape(args)),
        _ if name.starts_with("upsample_") => Ok(shapes::upsample(args)),
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
        "mean" | "sum" | "amax" | "amin" | "prod" | "argmax" | "argmin" => {
            Ok(shapes::reduce(args, 1, 2))
        }
        "norm" | "linalg_vector_norm" => Ok(shapes::reduce(args, 2, 3)),
        "var" | "std" => Ok(shapes::reduce(args, 1, 3)),
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
    "data",
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
