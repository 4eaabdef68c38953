//! Convolutions that operators of ours run: [`crate::run::torch::kernels`].

use super::Kernel;
use super::activation::float;
use crate::program::{Argument, Code, Network, Op, Operand, Program, Statement};

/// Channels are divided into groups of this size. Convolutions to fewer channels are left to libtorch, and so are those
/// by [`Kernel::Winograd`] that do not divide so.
pub const CHANNELS: usize = 16;

/// Namespace of the operators.
const NAMESPACE: &str = "ops.ckaprune.";
/// Arguments are images, weights, bias, a tensor to add, whether to add it, the number of an activation, the stride, and
/// rows and columns of zeros at the top, left, bottom, and right.
pub const ADDEND: usize = 3;
pub const ADD: usize = 4;
pub const ACTIVATION: usize = 5;

/// How a convolution is called.
pub struct Call {
    pub kernel: Kernel,
    /// Side of the kernel.
    side: i64,
    stride: i64,
    /// At the top, left, bottom, and right.
    padding: [i64; 4],
}

/// Whether it is a call of an operator of ours.
pub fn is(statement: &Statement) -> bool {
    matches!(&statement.op, Op::Call(function) if function.starts_with(NAMESPACE))
}

/// How an operator of ours runs a convolution; `None` if none does.
pub fn call(network: &Network, program: &Program, statement: &Statement) -> Option<Call> {
    let groups = match statement.operator()? {
        "conv2d" => 6,
        "_convolution" => 8,
        _ => return None,
    };
    let Operand::Value(images) = statement.args.first()?.value else {
        return None;
    };
    let [outputs, inputs, height, width] = network.tensor(&statement.args.get(1)?.value)?.shape[..]
    else {
        return None;
    };
    let pair = |place, name, usual| statement.pair(place, name, usual);
    let groups = statement
        .arg(groups, "groups")
        .map_or(Some(1), Operand::int)?;
    let [stride, other] = pair(3, "stride", 1)?;
    let [vertical, horizontal] = pair(4, "padding", 0)?;
    let is_plain = program.shape(images)?.len() == 4
        && (height, stride) == (width, other)
        && pair(5, "dilation", 1)? == [1, 1];
    if !is_plain {
        return None;
    }
    let mut call = Call {
        kernel: Kernel::Dense,
        side: height,
        stride,
        padding: [0; 4],
    };
    call.kernel = call.kernel(groups, inputs, outputs)?;
    call.pad([vertical, horizontal, vertical, horizontal])
        .then_some(call)
}

impl Call {
    /// What runs a convolution of so many groups from `inputs` channels in each.
    fn kernel(&self, groups: i64, inputs: i64, outputs: i64) -> Option<Kernel> {
        let size = CHANNELS as i64;
        let divides = |channels: i64| channels > 0 && channels % size == 0;
        match (groups, self.side, self.stride) {
            _ if outputs < size || inputs < 1 => None,
            (1, 3, 1) if divides(inputs) && divides(outputs) => Some(Kernel::Winograd),
            (1, 1, 1..) => Some(Kernel::Dense),
            (_, 3 | 5 | 7, 1 | 2) if (groups, inputs) == (outputs, 1) => Some(Kernel::Depthwise),
            _ => None,
        }
    }

    /// Pads the images with more zeros, unless a kernel would see nothing else or there are less than none.
    fn pad(&mut self, zeros: [i64; 4]) -> bool {
        let mut padding = self.padding;
        for (side, zeros) in padding.iter_mut().zip(zeros) {
            let sum = side.checked_add(zeros);
            match sum.filter(|sum| zeros >= 0 && *sum < self.side) {
                Some(sum) => *side = sum,
                None => return false,
            }
        }
        self.padding = padding;
        true
    }

    /// Lets the convolution at `place` pad with zeros itself, where a statement does so in front of it for nobody else:
    /// the place of that statement, which is not needed any more.
    pub fn absorb_padding(&mut self, code: &mut Code, place: usize) -> Option<usize> {
        let (padding, zeros) = padding_in_front(code, place)?;
        if !self.pad(zeros) {
            return None;
        }
        let source = code.statements[padding].args.first()?.value.clone();
        code.statements[place].args[0].value = source;
        Some(padding)
    }

    /// Makes a statement of a convolution this call.
    pub fn write(&self, statement: &mut Statement, [weight, bias]: [Operand; 2]) {
        let images = statement.args[0].value.clone();
        let no = Operand::Literal("False".into());
        let mut args = vec![images.clone(), weight, bias, images, no];
        let numbers = [0, self.stride].into_iter().chain(self.padding);
        args.extend(numbers.map(|n| Operand::Literal(n.to_string())));
        let operator = match self.kernel {
            Kernel::Winograd => "winograd",
            Kernel::Dense => "dense",
            Kernel::Depthwise => "depthwise",
        };
        statement.op = Op::Call(format!("{NAMESPACE}{operator}"));
        let args = args.into_iter();
        statement.args = args.map(|value| Argument { name: None, value }).collect();
    }
}

/// The statement that pads the images of the one at `place` with zeros and is read by nobody else, and how many zeros
/// there are at the top, left, bottom, and right.
fn padding_in_front(code: &Code, place: usize) -> Option<(usize, [i64; 4])> {
    let Operand::Value(images) = code.statements[place].args[0].value else {
        return None;
    };
    let front = &code.statements[..place];
    let padding = front.iter().rposition(|s| s.outputs[..] == [images])?;
    let statement = &front[padding];
    let reads = |s: &&Statement| s.reads().any(|v| v == images);
    let readers = code.statements.iter().filter(reads);
    // The convolution moves in front of what stands between them, which must not write what it reads.
    let is_free = front[padding + 1..].iter().all(|s| !s.impure);
    if readers.count() != 1 || code.output == images || !is_free || !pads_with_zeros(statement) {
        return None;
    }
    match statement.arg(1, "pad")?.ints()?[..] {
        [left, right] => Some((padding, [0, left, 0, right])),
        [left, right, top, bottom] => Some((padding, [top, left, bottom, right])),
        _ => None,
    }
}

fn pads_with_zeros(statement: &Statement) -> bool {
    let value = match statement.operator() {
        Some("constant_pad_nd") => 2,
        Some("pad") => match statement.arg(2, "mode") {
            None => 3,
            Some(Operand::Literal(mode)) if mode.trim_matches(['"', '\'']) == "constant" => 3,
            Some(_) => return false,
        },
        _ => return false,
    };
    let is_zero = |operand: &Operand| {
        matches!(operand, Operand::Literal(text) if text == "None") || float(operand) == Some(0.)
    };
    statement.arg(value, "value").is_none_or(is_zero)
}
