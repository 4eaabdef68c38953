//! What of a network the method compares.

use crate::program::{Operand, Program, Statement, ValueId};

/// The input of the last learned layer (arXiv 2405.17081, section 3.1) of a program that gives class scores and nothing
/// else.
#[must_use]
pub fn representation(program: &Program) -> Option<ValueId> {
    let is_classifier = |s: &&Statement| {
        matches!(
            s.operator(),
            Some("linear" | "conv1d" | "conv2d" | "conv3d" | "_convolution" | "matmul" | "addmm")
        )
    };
    let statement = program.statements.iter().rev().find(is_classifier)?;
    let data = usize::from(statement.operator() == Some("addmm"));
    match statement.args.get(data).map(|a| &a.value) {
        Some(Operand::Value(id)) => Some(*id),
        _ => None,
    }
}
