//! What an operator costs in multiply-accumulates (MACs).

use super::einsum;
use crate::program::ast::unquoted;
use crate::program::value::{Dim, Known, Operand, Shape, element_count};
use crate::program::{Attribute, Network, Op, Statement, Value};

/// The MACs of one statement for one sample, `None` where they cannot be told.
pub(crate) fn statement_macs(
    network: &Network,
    values: &[Value],
    statement: &Statement,
) -> Option<i64> {
    let operator = match (&statement.op, statement.operator()) {
        (_, Some(operator)) => operator,
        (Op::Opaque(_) | Op::Method { .. }, _) => return statement.macs,
        _ => return Some(0),
    };
    let shape = |i: usize| operand_shape(network, values, statement.arg(i, "")?);
    let output_shape = || match &values.get(statement.outputs.first()?.0 as usize)?.known {
        Known::Tensor { shape, .. } => shape.as_ref(),
        _ => None,
    };
    let output = || elements(output_shape()?);
    match operator {
        "conv1d" | "conv2d" | "conv3d" | "_convolution_mode" | "conv_depthwise3d" => {
            let weight = shape(1)?;
            output()?.checked_mul(elements(weight.get(1..)?)?)
        }
        "_convolution" | "convolution" if matches!(statement.arg(6, "transposed"), Some(Operand::Literal(t)) if t == "False") =>
        {
            let weight = shape(1)?;
            output()?.checked_mul(elements(weight.get(1..)?)?)
        }
        // Every input element meets every weight behind its channel once.
        "_convolution" | "convolution" | "conv_transpose1d" | "conv_transpose2d"
        | "conv_transpose3d" => elements(&shape(0)?)?.checked_mul(elements(shape(1)?.get(1..)?)?),
        "linear" => output()?.checked_mul(shape(1)?.last()?.known()?),
        "matmul" | "mm" | "bmm" | "linalg_matmul" => {
            output()?.checked_mul(elements(&[*shape(0)?.last()?])?)
        }
        // One for each element of the matrix or of one of the vectors.
        "mv" | "dot" | "vdot" => elements(&shape(0)?),
        "addmv" => elements(&shape(1)?),
        "outer" | "ger" | "addr" => output(),
        "addmm" | "baddbmm" | "_addmm_activation" => {
            output()?.checked_mul(elements(&[*shape(1)?.last()?])?)
        }
        "scaled_dot_product_attention" => {
            let (query, key, value) = (shape(0)?, shape(1)?, shape(2)?);
            let keys = key.get(key.len().checked_sub(2)?)?.known()?;
            let (width, weighed) = (query.last()?.known()?, value.last()?.known()?);
            let rows = elements(output_shape()?.split_last()?.1)?;
            rows.checked_mul(keys)?
                .checked_mul(width.checked_add(weighed)?)
        }
        "einsum" => {
            let Some(Operand::Literal(equation)) = statement.arg(0, "equation") else {
                return None;
            };
            let (Operand::List(items) | Operand::Tuple(items)) = statement.arg(1, "tensors")?
            else {
                return None;
            };
            let shapes: Vec<Shape> = items
                .iter()
                .map(|item| operand_shape(network, values, item))
                .collect::<Option<_>>()?;
            let shapes: Vec<&Shape> = shapes.iter().collect();
            single(einsum::macs(unquoted(equation), &shapes)?)
        }
        "_native_multi_head_attention" => native_attention(&shape(0)?, &shape(1)?, &shape(2)?),
        name if HOLDS_PRODUCTS.contains(&name) => None,
        // Functions that were not followed, and operators of other libraries.
        name if name.contains('.') => statement.macs,
        _ => Some(0),
    }
}

/// Operators with matrix products inside that are not counted.
const HOLDS_PRODUCTS: &[&str] = &[
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "lstm_cell",
    "gru_cell",
    "rnn_tanh_cell",
    "rnn_relu_cell",
    "bilinear",
    "tensordot",
    "inner",
    "kron",
    "addbmm",
    "chain_matmul",
    "linalg_multi_dot",
    "linalg_vecdot",
    "linalg_matrix_power",
    "matrix_power",
    "__matmul__",
    "cdist",
    "_euclidean_dist",
    "conv_tbc",
    "_transformer_encoder_layer_fwd",
];

/// Attention of one batch-first sequence to itself: the projections of query, key and value and that of the
/// result, the scores, and the values they weigh. `None` for sequences of different shapes.
fn native_attention(query: &Shape, key: &Shape, value: &Shape) -> Option<i64> {
    let [_, length, width] = query.as_slice() else {
        return None;
    };
    if key != query || value != query {
        return None;
    }
    let tokens = elements(query)?;
    let projections = tokens.checked_mul(width.known()?)?.checked_mul(4)?;
    let products = tokens.checked_mul(length.known()?)?.checked_mul(2)?;
    projections.checked_add(products)
}

/// The number of elements for one sample.
fn elements(shape: &[Dim]) -> Option<i64> {
    single(element_count(shape)?)
}

/// A count for one sample.
fn single(count: Dim) -> Option<i64> {
    (count.batch <= 1).then_some(count.n)
}

fn operand_shape(network: &Network, values: &[Value], operand: &Operand) -> Option<Shape> {
    let fixed = |shape: &[i64]| shape.iter().map(|n| Dim::fixed(*n)).collect();
    match operand {
        Operand::Value(id) => match &values.get(id.0 as usize)?.known {
            Known::Tensor { shape, .. } => shape.clone(),
            _ => None,
        },
        Operand::Attribute { module, name } => match network.modules.attribute(*module, name)? {
            Attribute::Tensor(info) => Some(fixed(&info.shape)),
            _ => None,
        },
        Operand::Constant(index) => network.constants.get(*index).map(|info| fixed(&info.shape)),
        Operand::Typed { value, .. } => operand_shape(network, values, value),
        _ => None,
    }
}
