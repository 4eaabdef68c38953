//! Convolutions that an operator of ours runs: [`crate::run::torch::winograd`].

use crate::program::{Argument, Code, Network, Op, Operand, Program, Statement, ValueId};

/// Channels are divided into groups of this size: what does not divide so is left to libtorch.
pub const CHANNELS: usize = 16;

/// Its arguments are images, weights, bias, a tensor to add, whether to add it, whether to clamp at 0, and the padding.
const OPERATOR: &str = "ops.ckaprune.winograd";
const ADDEND: usize = 3;
const ADD: usize = 4;
const RECTIFY: usize = 5;

/// Whether it is a call of the operator.
pub fn is(statement: &Statement) -> bool {
    matches!(&statement.op, Op::Call(function) if function == OPERATOR)
}

/// The padding of a convolution, if the operator can run it.
pub fn padding(network: &Network, program: &Program, statement: &Statement) -> Option<i64> {
    let groups = match statement.operator()? {
        "conv2d" => 6,
        "_convolution" => 8,
        _ => return None,
    };
    let (images, weight) = (
        &statement.args.first()?.value,
        &statement.args.get(1)?.value,
    );
    let Operand::Value(images) = images else {
        return None;
    };
    let [outputs, inputs, 3, 3] = network.tensor(weight)?.shape[..] else {
        return None;
    };
    let number = |place, name, usual| match statement.arg(place, name) {
        None => Some(usual),
        Some(list) => {
            let numbers = list.ints()?;
            let first = *numbers.first()?;
            numbers.iter().all(|n| *n == first).then_some(first)
        }
    };
    let groups = statement
        .arg(groups, "groups")
        .map_or(Some(1), Operand::int)?;
    let padding = number(4, "padding", 0)?;
    let suits = program.shape(*images)?.len() == 4
        && [outputs, inputs]
            .iter()
            .all(|n| *n > 0 && n % CHANNELS as i64 == 0)
        && (number(3, "stride", 1)?, number(5, "dilation", 1)?, groups) == (1, 1, 1)
        && (0..=2).contains(&padding);
    suits.then_some(padding)
}

/// Makes a call of the operator of a convolution.
pub fn replace(statement: &mut Statement, [weight, bias]: [Operand; 2], padding: i64) {
    let images = statement.args[0].value.clone();
    let no = || Operand::Literal("False".into());
    let padding = Operand::Literal(padding.to_string());
    let args = [images.clone(), weight, bias, images, no(), no(), padding];
    statement.op = Op::Call(OPERATOR.into());
    statement.args = args.map(|value| Argument { name: None, value }).into();
}

/// Lets the operator do an addition and an activation behind it, where nobody else reads what they read.
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
    let statement = code.statements.get(place).filter(|s| is(s))?;
    let [output] = statement.outputs[..] else {
        return None;
    };
    let rectifies = is_true(&statement.args[RECTIFY].value);
    let adds = is_true(&statement.args[ADD].value);
    let reads = |s: &Statement| s.reads().any(|v| v == output);
    let mut readers = (0..code.statements.len()).filter(|i| reads(&code.statements[*i]));
    let (Some(reader), None) = (readers.next(), readers.next()) else {
        return None;
    };
    if rectifies || code.output == output || code.statements[reader].outputs.len() != 1 {
        return None;
    }
    if is_activation(&code.statements[reader]) {
        let removed = code.statements.remove(reader);
        let statement = &mut code.statements[place];
        statement.outputs = removed.outputs;
        statement.args[RECTIFY].value = Operand::Literal("True".into());
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

fn is_activation(statement: &Statement) -> bool {
    matches!(&statement.op, Op::Call(f) if f.starts_with("torch."))
        && matches!(statement.operator(), Some("relu" | "relu_"))
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
