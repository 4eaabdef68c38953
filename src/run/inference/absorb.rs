//! Additions and activations behind the operators of ours, which do them on the way to memory.

use super::Activation;
use super::ours::{self, ACTIVATION, ADD, ADDEND};
use crate::program::{Code, Operand, Program, Statement, ValueId};

/// Lets the operators do an addition and an activation behind it, where nobody else reads what they read.
pub fn absorb(program: &Program, code: &mut Code) {
    let mut i = 0;
    while i < code.statements.len() {
        let mut place = i;
        while let Some(next) = absorb_one(program, code, place) {
            place = next;
        }
        // Where it went to another place, another statement took its own.
        if place == i {
            i += 1;
        }
    }
}

/// The place of the call at `place` once it has absorbed what reads it; `None` if it cannot.
fn absorb_one(program: &Program, code: &mut Code, place: usize) -> Option<usize> {
    let statement = code.statements.get(place).filter(|s| ours::is(s))?;
    let [output] = statement.outputs[..] else {
        return None;
    };
    let is_active = statement.args[ACTIVATION].value.int() != Some(Activation::None.number());
    let adds = is_true(&statement.args[ADD].value);
    let reads = |s: &Statement| s.reads().any(|v| v == output);
    let mut readers = (0..code.statements.len()).filter(|i| reads(&code.statements[*i]));
    let (Some(reader), None) = (readers.next(), readers.next()) else {
        return None;
    };
    if is_active || code.output == output || code.statements[reader].outputs.len() != 1 {
        return None;
    }
    if let Some(activation) = Activation::of_statement(&code.statements[reader]) {
        let removed = code.statements.remove(reader);
        let statement = &mut code.statements[place];
        statement.outputs = removed.outputs;
        statement.args[ACTIVATION].value = Operand::Literal(activation.number().to_string());
        return Some(place);
    }
    let addend = added(&code.statements[reader], output)?;
    let same_shape =
        program.shape(output).is_some() && program.shape(output) == program.shape(addend);
    // It moves behind what stands between them, which must not write what it reads.
    let is_free = code.statements[place + 1..reader].iter().all(|s| !s.impure);
    if adds || !same_shape || !is_free {
        return None;
    }
    let mut statement = code.statements.remove(place);
    statement.args[ADDEND].value = Operand::Value(addend);
    statement.args[ADD].value = Operand::Literal("True".into());
    let addition = &mut code.statements[reader - 1];
    statement.outputs = std::mem::take(&mut addition.outputs);
    *addition = statement;
    Some(reader - 1)
}

fn is_true(operand: &Operand) -> bool {
    matches!(operand, Operand::Literal(text) if text == "True")
}

/// What is added to a value; `None` where that value is not what the sum is written into.
fn added(statement: &Statement, value: ValueId) -> Option<ValueId> {
    let operator = statement.operator()?;
    let [left, right, scale @ ..] = &statement.args[..] else {
        return None;
    };
    let plain = scale.iter().all(|alpha| alpha.value.int() == Some(1));
    match (&left.value, &right.value) {
        _ if !plain => None,
        (Operand::Value(l), Operand::Value(r)) if l == r => None,
        (Operand::Value(l), Operand::Value(r))
            if *l == value && matches!(operator, "add" | "add_") =>
        {
            Some(*r)
        }
        (Operand::Value(l), Operand::Value(r)) if *r == value && operator == "add" => Some(*l),
        _ => None,
    }
}
