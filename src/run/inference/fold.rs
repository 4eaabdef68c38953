//! Convolutions whose weights are made beforehand, normalisation included.

use super::ours;
use super::{Kernels, Layer, Norm, WEIGHTS};
use crate::program::{Argument, Code, Network, Op, Operand, Program, Statement, ValueId};

/// Takes the weights of convolutions from [`WEIGHTS`], batch normalisation folded in.
pub fn fold(network: &Network, program: &Program, code: &mut Code, kernels: Kernels) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut tensors = 0;
    let mut next = || {
        tensors += 1;
        Operand::Literal(format!("{WEIGHTS}[{}]", tensors - 1))
    };
    for i in 0..code.statements.len() {
        let Some(mut layer) = convolution(network, &code.statements[i]) else {
            continue;
        };
        if let Some((reader, norm)) = norm_behind(network, program, code, i) {
            layer.norm = Some(norm);
            code.statements[i].outputs = std::mem::take(&mut code.statements[reader].outputs);
            remove(&mut code.statements[reader]);
        }
        let call = ours::call(network, program, &code.statements[i]);
        if let Some(mut call) = call.filter(|_| kernels == Kernels::Ours) {
            layer.kernel = Some(call.kernel);
            if let Some(padding) = call.absorb_padding(code, i) {
                remove(&mut code.statements[padding]);
            }
            call.write(&mut code.statements[i], [next(), next()]);
        } else {
            let statement = &mut code.statements[i];
            statement.args[1].value = next();
            if layer.has_bias() {
                set_bias(&mut statement.args, next());
            }
        }
        layers.push(layer);
    }
    code.statements
        .retain(|s| !(s.op == Op::Alias && s.outputs.is_empty()));
    layers
}

/// Makes a statement one that gives nothing; such ones are left out at last, so that places stay the same until then.
fn remove(statement: &mut Statement) {
    statement.op = Op::Alias;
    statement.args.clear();
    statement.outputs.clear();
}

fn set_bias(args: &mut Vec<Argument>, value: Operand) {
    let is_bias = |(i, a): (usize, &Argument)| match a.name.as_deref() {
        None => i == 2,
        Some(name) => name == "bias",
    };
    match args.iter().enumerate().position(is_bias) {
        Some(place) => args[place].value = value,
        None => args.insert(2, Argument { name: None, value }),
    }
}

/// The weights of a convolution that is not transposed.
fn convolution(network: &Network, statement: &Statement) -> Option<Layer> {
    match statement.operator()? {
        "conv1d" | "conv2d" | "conv3d" => {}
        "_convolution" if is_false(statement.arg(6, "transposed")?) => {}
        _ => return None,
    }
    let weight = statement.args.get(1).filter(|a| a.name.is_none())?;
    network.tensor(&weight.value)?;
    Some(Layer {
        weight: weight.value.clone(),
        bias: optional(network, statement.arg(2, "bias"))?,
        norm: None,
        kernel: None,
    })
}

/// The batch normalisation that alone reads what statement `i` gives.
fn norm_behind(
    network: &Network,
    program: &Program,
    code: &Code,
    i: usize,
) -> Option<(usize, Norm)> {
    let [output] = code.statements[i].outputs[..] else {
        return None;
    };
    let family = |v: ValueId| program.value(v).root == program.value(output).root;
    let mut readers =
        (0..code.statements.len()).filter(|&s| code.statements[s].reads().any(family));
    let (Some(reader), None) = (readers.next(), readers.next()) else {
        return None;
    };
    let statement = &code.statements[reader];
    let applies = statement.operator() == Some("batch_norm")
        && statement.args.first()?.value == Operand::Value(output)
        && is_false(statement.arg(5, "training")?)
        && !family(code.output);
    let tensor = |i, name| {
        let operand = statement.arg(i, name)?;
        network.tensor(operand).map(|_| operand.clone())
    };
    let norm = Norm {
        scale: optional(network, statement.arg(1, "weight"))?,
        shift: optional(network, statement.arg(2, "bias"))?,
        mean: tensor(3, "running_mean")?,
        variance: tensor(4, "running_var")?,
        epsilon: match statement.arg(7, "eps")? {
            Operand::Literal(text) => text.parse().ok()?,
            _ => return None,
        },
    };
    applies.then_some((reader, norm))
}

/// A tensor of the archive or none; `None` if it is something else.
fn optional(network: &Network, operand: Option<&Operand>) -> Option<Option<Operand>> {
    match operand {
        None => Some(None),
        Some(Operand::Literal(text)) if text == "None" => Some(None),
        Some(operand) => network.tensor(operand).map(|_| Some(operand.clone())),
    }
}

fn is_false(operand: &Operand) -> bool {
    matches!(operand, Operand::Literal(text) if text == "False")
}
