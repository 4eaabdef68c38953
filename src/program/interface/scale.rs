//! The scale of the class scores: most networks give them before softmax, some behind it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::program::{
    Item, Network, Op, Operand, Program, Statement, ValueId, axis, is_conversion, is_view,
};

/// What the class scores of an image are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Any real numbers, of which softmax makes probabilities.
    #[default]
    Scores,
    /// Behind softmax.
    Probabilities,
    /// Behind log-softmax: softmax makes the same probabilities of them.
    LogProbabilities,
    /// Behind a sigmoid: each class has a probability of its own.
    Independent,
}

/// What is known of the numbers that a value holds for each image.
#[derive(Clone, Copy)]
enum Numbers {
    /// They are not negative, and this is their sum.
    Sum(f64),
    /// Several such values were stacked; this is their average sum.
    StackedSum(f64),
    Logarithms,
    Independent,
}

impl Scale {
    /// The scale of this value of the program.
    #[must_use]
    pub fn of(network: &Network, program: &Program, scores: Option<ValueId>) -> Self {
        let Some(scores) = scores else {
            return Scale::Scores;
        };
        let mut known = HashMap::new();
        for statement in &program.statements {
            if let [output] = statement.outputs[..]
                && let Some(numbers) = numbers(network, program, &known, statement)
            {
                known.insert(output, numbers);
            }
        }
        match known.get(&scores) {
            Some(Numbers::Sum(sum)) if (sum - 1.).abs() < 1e-3 => Scale::Probabilities,
            Some(Numbers::Logarithms) => Scale::LogProbabilities,
            Some(Numbers::Independent) => Scale::Independent,
            _ => Scale::Scores,
        }
    }

    /// Whether they are given before softmax, as by most networks.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Scale::Scores
    }

    /// What this means for loss, calibration and training, where it is not the usual thing.
    #[must_use]
    pub fn note(self) -> Option<&'static str> {
        match self {
            Scale::Scores | Scale::LogProbabilities => None,
            Scale::Probabilities => Some(
                "the network ends in softmax: loss, calibration and training take the logarithms of its probabilities",
            ),
            Scale::Independent => Some(
                "the network ends in a sigmoid, which gives each class a probability of its own: accuracy is that of the \
                 highest one, but loss, calibration and training take them for scores before softmax, which they are not",
            ),
        }
    }
}

/// What is known of the result of a statement.
fn numbers(
    network: &Network,
    program: &Program,
    known: &HashMap<ValueId, Numbers>,
    statement: &Statement,
) -> Option<Numbers> {
    let operand = |i: usize| statement.args.get(i).map(|a| &a.value);
    let given = |i: usize| match operand(i) {
        Some(Operand::Value(id)) => known.get(id).copied(),
        _ => None,
    };
    let number = |i: usize| match operand(i)? {
        Operand::Literal(text) => text.parse().ok(),
        // Traced code has its numbers among the constants.
        Operand::Constant(at) => match network.constant_items.get(at)? {
            Item::Int(n) => n.known().map(|n| n as f64),
            Item::Single(x) => Some(f64::from(*x)),
            Item::Double(x) => Some(*x),
        },
        _ => None,
    };
    let operator = statement.operator().unwrap_or_default();
    match operator.strip_suffix('_').unwrap_or(operator) {
        "softmax" | "_softmax" => is_of_classes(program, statement).then_some(Numbers::Sum(1.)),
        "log_softmax" | "_log_softmax" => {
            is_of_classes(program, statement).then_some(Numbers::Logarithms)
        }
        "sigmoid" => Some(Numbers::Independent),
        "log" => matches!(given(0), Some(Numbers::Sum(1.))).then_some(Numbers::Logarithms),
        "exp" => matches!(given(0), Some(Numbers::Logarithms)).then_some(Numbers::Sum(1.)),
        "add" if statement.args.len() == 2 || number(2) == Some(1.) => match (given(0), given(1)) {
            (Some(Numbers::Sum(a)), Some(Numbers::Sum(b))) => Some(Numbers::Sum(a + b)),
            _ => None,
        },
        "div" if statement.args.len() == 2 => match (given(0), number(1)) {
            (Some(Numbers::Sum(sum)), Some(by)) => Some(Numbers::Sum(sum / by)),
            _ => None,
        },
        "mul" => match (given(0), number(1)) {
            (Some(Numbers::Sum(sum)), Some(by)) if by > 0. => Some(Numbers::Sum(sum * by)),
            _ => None,
        },
        "stack" if number(1).is_none_or(|dim| dim == 0.) => {
            let Operand::List(items) = operand(0)? else {
                return None;
            };
            let mut sum = 0.;
            for item in items {
                match item {
                    Operand::Value(id) => match known.get(id) {
                        Some(Numbers::Sum(one)) => sum += one,
                        _ => return None,
                    },
                    _ => return None,
                }
            }
            Some(Numbers::StackedSum(sum / items.len() as f64))
        }
        "mean" if operand(1).and_then(Operand::ints).as_deref() == Some(&[0]) => match given(0) {
            Some(Numbers::StackedSum(mean)) => Some(Numbers::Sum(mean)),
            _ => None,
        },
        _ if keeps_numbers(program, statement) => given(0),
        _ => None,
    }
}

fn first(statement: &Statement) -> Option<ValueId> {
    match statement.args.first().map(|a| &a.value) {
        Some(Operand::Value(id)) => Some(*id),
        _ => None,
    }
}

/// Whether softmax is taken over the classes of each image: over the only dimension besides the images' that has more
/// than one place.
fn is_of_classes(program: &Program, softmax: &Statement) -> bool {
    let Some(along) = softmax.arg(1, "dim").and_then(Operand::int) else {
        return false;
    };
    let shape = softmax.outputs.first().and_then(|v| program.shape(*v));
    let Some(shape) = shape else {
        return along == 1 || along == -1;
    };
    let Some(along) = axis(along, shape.len()) else {
        return false;
    };
    let mut others = (0..).zip(shape).skip(1).filter(|(at, _)| *at != along);
    along > 0 && others.all(|(_, size)| size.known() == Some(1))
}

/// Whether the result has, for each image, just the numbers of the first argument.
fn keeps_numbers(program: &Program, statement: &Statement) -> bool {
    let passes = match &statement.op {
        Op::Alias => true,
        _ => statement
            .operator()
            .is_some_and(|name| is_view(name) || is_conversion(name) || name == "clone"),
    };
    let count = |value: Option<ValueId>| -> Option<i64> {
        Some(program.sample_shape(value?)?.iter().product())
    };
    let (given, taken) = (statement.outputs.first().copied(), first(statement));
    passes
        && (count(given) == count(taken) || program.shape(given.unwrap_or(program.input)).is_none())
}
