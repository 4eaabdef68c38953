//! What a network costs: parameters and multiply-accumulates (MACs).
//!
//! MACs are counted the paper's way: convolutions, linear layers and matrix products, for one sample; one
//! multiplication with its addition is one. Normalisation, activations and additions are not counted.

use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;

use crate::program::{
    Known, Network, Op, Operand, Program, Shape, Statement, TensorInfo, Val, element_count,
};

/// A count of multiply-accumulates for one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Macs {
    pub count: i64,
    /// False if some of the code could not be followed, so that `count` is a lower bound.
    pub exact: bool,
}

/// The MACs of these statements.
#[must_use]
pub fn macs(network: &Network, program: &Program, statements: Range<usize>) -> Macs {
    let mut total = Macs {
        count: 0,
        exact: true,
    };
    for statement in program.statements.get(statements).unwrap_or_default() {
        match statement_macs(network, program, statement) {
            Some(count) => total.count = total.count.saturating_add(count),
            None => total.exact = false,
        }
    }
    total
}

/// The number of elements of the distinct weights that these statements read.
#[must_use]
pub fn params(network: &Network, program: &Program, statements: Range<usize>) -> i64 {
    let mut seen = HashSet::new();
    let statements = program.statements.get(statements).unwrap_or_default();
    let operands = statements.iter().flat_map(|s| &s.args).map(|a| &a.value);
    operands
        .filter_map(|operand| network.weight(operand))
        .filter(|info| seen.insert(info.storage.as_str()))
        .map(TensorInfo::len)
        .sum()
}

/// The MACs of one statement, `None` where they cannot be told.
fn statement_macs(network: &Network, program: &Program, statement: &Statement) -> Option<i64> {
    let operator = match (&statement.op, statement.operator()) {
        (_, Some(operator)) => operator,
        (Op::Opaque(_) | Op::Method { .. }, _) => return None,
        _ => return Some(0),
    };
    let shape = |i: usize| operand_shape(network, program, statement.arg(i, "")?);
    let output = || match &program.value(*statement.outputs.first()?).known {
        Known::Tensor {
            shape: Some(shape), ..
        } => elements(shape),
        _ => None,
    };
    match operator {
        "conv1d" | "conv2d" | "conv3d" => {
            let weight = shape(1)?;
            output()?.checked_mul(elements(weight.get(1..)?)?)
        }
        "_convolution" if matches!(statement.arg(6, "transposed"), Some(Operand::Literal(t)) if t == "False") =>
        {
            let weight = shape(1)?;
            output()?.checked_mul(elements(weight.get(1..)?)?)
        }
        // Every input element meets every weight behind its channel once.
        "_convolution" | "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d" => {
            elements(&shape(0)?)?.checked_mul(elements(shape(1)?.get(1..)?)?)
        }
        "linear" => output()?.checked_mul(shape(1)?.last()?.known()?),
        "matmul" | "mm" | "bmm" => output()?.checked_mul(elements(&[*shape(0)?.last()?])?),
        "addmm" | "baddbmm" => output()?.checked_mul(elements(&[*shape(1)?.last()?])?),
        "scaled_dot_product_attention" => {
            let (query, key, value) = (shape(0)?, shape(1)?, shape(2)?);
            let keys = key.get(key.len().checked_sub(2)?)?.known()?;
            let scores = elements(&query)?.checked_mul(keys)?;
            let rows = elements(query.split_last()?.1)?;
            scores.checked_add(
                rows.checked_mul(keys)?
                    .checked_mul(value.last()?.known()?)?,
            )
        }
        // Matrix products inside, of shapes that are not followed.
        "einsum" | "lstm" | "gru" | "_native_multi_head_attention" | "bilinear" | "tensordot" => {
            None
        }
        // So may those of other libraries have.
        name if name.starts_with("__torch__") || name.starts_with("ops.") => None,
        _ => Some(0),
    }
}

/// The number of elements for one sample.
fn elements(shape: &[crate::program::Dim]) -> Option<i64> {
    element_count(shape)
        .filter(|count| count.batch <= 1)
        .map(|count| count.n)
}

fn operand_shape(network: &Network, program: &Program, operand: &Operand) -> Option<Shape> {
    let fixed = |shape: &[i64]| {
        shape
            .iter()
            .map(|n| crate::program::Dim::fixed(*n))
            .collect()
    };
    match operand {
        Operand::Value(id) => Val {
            operand: operand.clone(),
            known: program.value(*id).known.clone(),
        }
        .shape()
        .cloned(),
        Operand::Attribute { module, name } => match network.modules.attribute(*module, name)? {
            crate::program::Attribute::Tensor(info) => Some(fixed(&info.shape)),
            _ => None,
        },
        Operand::Constant(index) => network.constants.get(*index).map(|info| fixed(&info.shape)),
        Operand::Typed { value, .. } => operand_shape(network, program, value),
        _ => None,
    }
}
