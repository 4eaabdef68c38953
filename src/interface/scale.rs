//! On what scale the class scores are: most networks give them before softmax, some behind it.

use serde::{Deserialize, Serialize};

use crate::program::{Op, Operand, Program, Statement, ValueId, is_view};

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

impl Scale {
    /// Of this value of the program.
    #[must_use]
    pub fn of(program: &Program, scores: Option<ValueId>) -> Self {
        let mut value = scores;
        // Each step leads to an earlier statement.
        while let Some(at) = value {
            let Some(statement) = program.statements.iter().rfind(|s| s.outputs == [at]) else {
                break;
            };
            match statement.operator() {
                Some("softmax" | "_softmax") if is_of_classes(program, statement) => {
                    return Scale::Probabilities;
                }
                Some("log_softmax" | "_log_softmax") if is_of_classes(program, statement) => {
                    return Scale::LogProbabilities;
                }
                Some("sigmoid" | "sigmoid_") => return Scale::Independent,
                Some("log") => {
                    return match Scale::of(program, first(statement)) {
                        Scale::Probabilities => Scale::LogProbabilities,
                        _ => Scale::Scores,
                    };
                }
                Some("exp") => {
                    return match Scale::of(program, first(statement)) {
                        Scale::LogProbabilities => Scale::Probabilities,
                        _ => Scale::Scores,
                    };
                }
                _ if keeps_numbers(program, statement) => value = first(statement),
                _ => break,
            }
        }
        Scale::Scores
    }

    /// Before softmax, as most networks give them.
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
    let rank = shape.len() as i64;
    let along = if along < 0 { along + rank } else { along };
    let mut others = (0..).zip(shape).skip(1).filter(|(at, _)| *at != along);
    along > 0 && others.all(|(_, size)| size.known() == Some(1))
}

/// Whether the result has the numbers of the first argument and no others, image by image.
fn keeps_numbers(program: &Program, statement: &Statement) -> bool {
    let passes = match &statement.op {
        Op::Alias => true,
        _ => statement.operator().is_some_and(|name| {
            is_view(name)
                || matches!(
                    name,
                    "to" | "float" | "double" | "half" | "type_as" | "clone"
                )
        }),
    };
    let count = |value: Option<ValueId>| -> Option<i64> {
        Some(program.sample_shape(value?)?.iter().product())
    };
    let (given, taken) = (statement.outputs.first().copied(), first(statement));
    passes
        && (count(given) == count(taken) || program.shape(given.unwrap_or(program.input)).is_none())
}
