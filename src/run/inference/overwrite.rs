//! Operators that write over memory instead of making more.

use std::collections::{HashMap, HashSet};

use super::ours;
use crate::program::{Argument, Code, Op, Operand, Program, Statement, ValueId};

/// Lets activations and additions write into an argument whose memory the code made itself and does not read again.
pub fn overwrite(program: &Program, code: &mut Code) {
    let root = |v: ValueId| program.value(v).root;
    // The last statement that reads a memory.
    let mut last: HashMap<ValueId, usize> = HashMap::new();
    for (i, statement) in code.statements.iter().enumerate() {
        last.extend(statement.reads().map(|v| (root(v), i)));
    }
    last.insert(root(code.output), code.statements.len());
    let mut made: HashSet<ValueId> = HashSet::new();
    for (i, statement) in code.statements.iter_mut().enumerate() {
        let [output] = statement.outputs[..] else {
            continue;
        };
        let is_free = |argument: &Argument| match argument.value {
            Operand::Value(v) => {
                let same_shape =
                    program.shape(v).is_some() && program.shape(v) == program.shape(output);
                made.contains(&v) && last.get(&v) == Some(&i) && same_shape
            }
            _ => false,
        };
        if let Some((function, swapped)) = in_place(statement, is_free) {
            if swapped {
                statement.args.swap(0, 1);
            }
            statement.op = Op::Call(function);
            made.insert(output);
        } else if ours::is(statement) || makes_memory(statement) && root(output) == output {
            made.insert(output);
        }
    }
}

/// The operator that writes over the first argument, or over the second of an addition, if that one is free.
fn in_place(statement: &Statement, is_free: impl Fn(&Argument) -> bool) -> Option<(String, bool)> {
    let Op::Call(function) = &statement.op else {
        return None;
    };
    if !function.starts_with("torch.") {
        return None;
    }
    let written = format!("{function}_");
    match statement.operator()? {
        "relu" | "relu6" | "hardtanh" | "hardswish" | "hardsigmoid" | "silu" | "sigmoid"
        | "tanh" | "leaky_relu" | "elu" => {
            is_free(statement.args.first()?).then_some((written, false))
        }
        "add" => {
            let [left, right, rest @ ..] = &statement.args[..] else {
                return None;
            };
            let plain = rest.iter().all(|alpha| alpha.value.int() == Some(1));
            let both = [left, right]
                .iter()
                .all(|a| matches!(a.value, Operand::Value(_)) && a.name.is_none());
            match (plain && both, is_free(left), is_free(right)) {
                (true, true, _) => Some((written, false)),
                (true, false, true) => Some((written, true)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether the operator surely gives a tensor of its own.
fn makes_memory(statement: &Statement) -> bool {
    matches!(
        statement.operator(),
        Some(
            "conv1d"
                | "conv2d"
                | "conv3d"
                | "_convolution"
                | "batch_norm"
                | "linear"
                | "addmm"
                | "matmul"
                | "bmm"
                | "add"
                | "mul"
                | "relu"
                | "hardtanh"
                | "hardswish"
                | "silu"
                | "gelu"
                | "max_pool2d"
                | "avg_pool2d"
                | "layer_norm"
        )
    )
}
