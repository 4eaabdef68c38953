//! Windows that slide over the positions: convolutions and poolings.

use super::rules::Rules;
use crate::program::{Operand, Statement};

/// What a window adds to the field and to the stride.
pub(super) struct Window {
    /// From its first to its last position.
    pub reach: [i64; 2],
    pub stride: [i64; 2],
}

impl Window {
    pub fn of_convolution(rules: &Rules, statement: &Statement) -> Option<Self> {
        let weight = rules.taken(statement, 1)?;
        let [_, _, height, width] = weight.as_slice() else {
            return None;
        };
        let dilation = pair(rules, statement.arg(5, "dilation"), [1, 1])?;
        Some(Window {
            reach: [(height - 1) * dilation[0], (width - 1) * dilation[1]],
            stride: pair(rules, statement.arg(3, "stride"), [1, 1])?,
        })
    }

    pub fn of_pool(rules: &Rules, statement: &Statement, dilation: Option<usize>) -> Option<Self> {
        let kernel = pair(rules, statement.arg(1, "kernel_size"), [1, 1])?;
        let dilation = dilation.and_then(|i| statement.arg(i, "dilation"));
        let dilation = pair(rules, dilation, [1, 1])?;
        let stride = statement
            .arg(2, "stride")
            .filter(|s| rules.ints(s).is_none_or(|s| !s.is_empty()));
        Some(Window {
            reach: [0, 1].map(|i| (kernel[i] - 1) * dilation[i]),
            stride: pair(rules, stride, kernel)?,
        })
    }
}

/// `3`, `[3]` or `[3, 3]`.
fn pair(rules: &Rules, operand: Option<&Operand>, default: [i64; 2]) -> Option<[i64; 2]> {
    let Some(operand) = operand else {
        return Some(default);
    };
    match operand
        .int()
        .map(|n| vec![n])
        .or_else(|| rules.ints(operand))?
        .as_slice()
    {
        [both] => Some([*both, *both]),
        [height, width] => Some([*height, *width]),
        _ => None,
    }
}
