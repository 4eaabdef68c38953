//! Activations that a convolution of ours applies itself.

use crate::program::{Op, Operand, Statement};

/// What is applied to each number of a convolution's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    /// Not below 0.
    Relu,
    /// Not below 0, nor above 6.
    Relu6,
    /// `x · relu6(x + 3) / 6`
    Hardswish,
    /// `x / (1 + exp(−x))`
    Silu,
}

/// Their numbers as arguments of operators are places here.
const ALL: [Activation; 5] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::Hardswish,
    Activation::Silu,
];

impl Activation {
    /// The number that stands for it in a call of an operator.
    #[must_use]
    pub fn number(self) -> i64 {
        self as i64
    }

    /// The one that a number stands for.
    #[must_use]
    pub fn of_number(number: i64) -> Option<Self> {
        ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The one that a statement applies to its first argument.
    #[must_use]
    pub fn of_statement(statement: &Statement) -> Option<Self> {
        if !matches!(&statement.op, Op::Call(f) if f.starts_with("torch.")) {
            return None;
        }
        let is = |place, name, usual, number| {
            let argument = statement.arg(place, name);
            argument.map_or(Some(usual), float) == Some(number)
        };
        match statement.operator()?.trim_end_matches('_') {
            "relu" => Some(Activation::Relu),
            "relu6" => Some(Activation::Relu6),
            "hardtanh" if is(1, "min_val", -1., 0.) && is(2, "max_val", 1., 6.) => {
                Some(Activation::Relu6)
            }
            "hardswish" => Some(Activation::Hardswish),
            "silu" => Some(Activation::Silu),
            _ => None,
        }
    }
}

/// A number that is written out.
pub fn float(operand: &Operand) -> Option<f64> {
    match operand {
        Operand::Literal(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_the_one_that_its_number_stands_for() {
        for activation in ALL {
            assert_eq!(Activation::of_number(activation.number()), Some(activation));
        }
        assert_eq!(Activation::of_number(-1), None);
        assert_eq!(Activation::of_number(ALL.len() as i64), None);
    }
}
