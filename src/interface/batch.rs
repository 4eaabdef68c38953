//! Whether a trace has fixed the number of images in a batch.

use crate::program::{Dim, Known, Network, Operand, Program, Statement, ValueId, element_count};

/// The step that gives one image a shape in numbers alone, so that two cannot be run: its operator, and the module it
/// is in.
#[must_use]
pub fn fixed_to_one(network: &Network, program: &Program) -> Option<(String, String)> {
    let fixed = program
        .statements
        .iter()
        .find(|statement| is_fixed_to_one(program, statement))?;
    let module = fixed.call.and_then(|call| program.calls.get(call.0));
    let path = module.map(|call| network.modules.get(call.module).path.clone());
    let operator = fixed.operator().unwrap_or_default().to_owned();
    Some((operator, path.unwrap_or_default()))
}

fn is_fixed_to_one(program: &Program, statement: &Statement) -> bool {
    if !matches!(statement.operator(), Some("reshape" | "view")) {
        return false;
    }
    let Some(Operand::Value(tensor)) = statement.arg(0, "self") else {
        return false;
    };
    let sizes = statement
        .arg(1, "shape")
        .or_else(|| statement.arg(1, "size"));
    let Some(sizes) = sizes.and_then(Operand::ints) else {
        return false;
    };
    let positive = |n: &i64| *n > 0;
    let wanted = match sizes.iter().all(positive) {
        true => sizes
            .iter()
            .try_fold(1_i64, |product, n| product.checked_mul(*n)),
        false => None,
    };
    wanted.is_some() && wanted == one_image(program, *tensor)
}

/// Elements of one image in a tensor that holds those of a batch.
fn one_image(program: &Program, tensor: ValueId) -> Option<i64> {
    let Known::Tensor {
        shape: Some(shape), ..
    } = &program.value(tensor).known
    else {
        return None;
    };
    match element_count(shape)? {
        Dim { n, batch: 1 } => Some(n),
        _ => None,
    }
}
