//! Sums of two tensors, where skip connections end.

use crate::program::{Operand, Program, Statement, ValueId};

/// A sum of two tensors, one of which may be scaled or subtracted.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub left: ValueId,
    pub right: ValueId,
    /// The sides that are neither scaled nor subtracted.
    pub whole: (bool, bool),
}

/// The sum that a statement computes: `x + y`, `x + alpha·y`, `x − y`.
pub(super) fn addition(program: &Program, statement: &Statement) -> Option<Sum> {
    let alpha = statement.arg(2, "alpha");
    let plain = alpha.is_none_or(|alpha| alpha.int() == Some(1));
    let whole = match statement.operator()? {
        "add" => (true, plain),
        "sub" | "subtract" => (true, false),
        "rsub" => (false, true),
        _ => return None,
    };
    match (statement.arg(0, "self"), statement.arg(1, "other")) {
        (Some(Operand::Value(left)), Some(Operand::Value(right)))
            if program.is_tensor(*left)
                && program.is_tensor(*right)
                && (whole == (true, true) || alike(program, *left, *right)) =>
        {
            Some(Sum {
                left: *left,
                right: *right,
                whole,
            })
        }
        _ => None,
    }
}

/// A difference to a tensor of another shape, such as the mean, is no residual sum.
fn alike(program: &Program, left: ValueId, right: ValueId) -> bool {
    program.shape(left).is_some() && program.shape(left) == program.shape(right)
}
