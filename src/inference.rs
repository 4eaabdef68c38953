//! The form of a span that is quicker to run and computes the same up to rounding: for scoring only, never exported.
//!
//! - Batch normalisation with fixed statistics is folded into the convolution before it.
//! - Activations and additions overwrite a tensor that nobody reads any more.
//! - `view` becomes `reshape`, so that images may lie in memory channels last.

use std::collections::{HashMap, HashSet};

use crate::program::{Argument, Code, Network, Op, Operand, Program, Statement, ValueId};

/// Name of the list in which a method finds its [`Layer`]s' tensors.
pub const WEIGHTS: &str = "weights";

/// A convolution whose tensors are made once, before the network runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    pub weight: Operand,
    pub bias: Option<Operand>,
    /// The normalisation to fold in.
    pub norm: Option<Norm>,
}

/// Batch normalisation of each output channel: `(x - mean) / sqrt(variance + epsilon) * scale + shift`.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub scale: Option<Operand>,
    pub shift: Option<Operand>,
    pub mean: Operand,
    pub variance: Operand,
    pub epsilon: f64,
}

impl Layer {
    /// The tensors of the archive that this one is made of.
    pub fn sources(&self) -> impl Iterator<Item = &Operand> {
        let norm = self.norm.iter().flat_map(|norm| {
            let learned = norm.scale.iter().chain(&norm.shift);
            learned.chain([&norm.mean, &norm.variance])
        });
        std::iter::once(&self.weight).chain(&self.bias).chain(norm)
    }

    /// Whether a bias is made as well.
    #[must_use]
    pub fn has_bias(&self) -> bool {
        self.bias.is_some() || self.norm.is_some()
    }
}

/// Brings code into its inference form. The tensors of its layers, weight and bias in turn where there is a bias, are
/// what [`WEIGHTS`] has to hold.
pub fn lower(network: &Network, program: &Program, code: &mut Code) -> Vec<Layer> {
    let layers = fold(network, program, code);
    overwrite(program, code);
    reshape(program, code);
    layers
}

/// Takes the weights of convolutions from [`WEIGHTS`], batch normalisation folded in.
fn fold(network: &Network, program: &Program, code: &mut Code) -> Vec<Layer> {
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
            // It gives nothing any more.
            code.statements[reader].op = Op::Alias;
            code.statements[reader].args.clear();
        }
        let args = &mut code.statements[i].args;
        args[1].value = next();
        if layer.has_bias() {
            set_bias(args, next());
        }
        layers.push(layer);
    }
    code.statements
        .retain(|s| !(s.op == Op::Alias && s.outputs.is_empty()));
    layers
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

/// Lets activations and additions write into an argument whose memory the code made itself and does not read again.
fn overwrite(program: &Program, code: &mut Code) {
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
        } else if makes_memory(statement) && root(output) == output {
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

/// Channels last, a view of other sizes is not always possible; a copy always is, and nobody sees the difference
/// unless somebody writes.
fn reshape(program: &Program, code: &mut Code) {
    let written: Vec<ValueId> = code
        .statements
        .iter()
        .filter(|s| s.impure)
        .flat_map(Statement::reads)
        .map(|v| program.value(v).root)
        .collect();
    for statement in &mut code.statements {
        let is_view = statement.operator() == Some("view") && statement.args.len() == 2;
        let read = statement.reads().next();
        if is_view && read.is_some_and(|v| !written.contains(&program.value(v).root)) {
            statement.op = Op::Call("torch.reshape".into());
        }
    }
}
