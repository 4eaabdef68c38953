//! The form in which a network takes its images.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::forward::asserts_bytes;
use crate::program::{
    Learned, Network, Operand, Program, ProgramError, Statement, ValueId, is_conversion,
};

/// The order of a batch's dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// n × channels × height × width
    #[default]
    ChannelsFirst,
    /// n × height × width × channels
    ChannelsLast,
}

impl Layout {
    /// The shape `[channels, height, width]` of an image, in this order.
    #[must_use]
    pub fn arranged(self, shape: &[i64]) -> Vec<i64> {
        match (self, shape) {
            (Layout::ChannelsLast, [channels, height, width]) => vec![*height, *width, *channels],
            _ => shape.to_vec(),
        }
    }

    /// The flat program for images of a shape `[channels, height, width]`, and the order in which the network takes
    /// them: channels last where it refuses them otherwise, and turns them round itself.
    ///
    /// # Errors
    /// Those for channels first.
    pub fn follow(network: &Network, shape: &[i64]) -> Result<(Program, Self), ProgramError> {
        Self::follow_with(network, shape, &Learned::default())
    }

    /// The same where running the network has told some shapes.
    ///
    /// # Errors
    /// Those for channels first.
    pub fn follow_with(
        network: &Network,
        shape: &[i64],
        learned: &Learned,
    ) -> Result<(Program, Self), ProgramError> {
        let refused = match Program::with_learned(network, shape, learned) {
            Ok(program) => return Ok((program, Layout::ChannelsFirst)),
            Err(refused) => refused,
        };
        if matches!(refused, ProgramError::Refused { .. })
            && let Ok(program) =
                Program::with_learned(network, &Layout::ChannelsLast.arranged(shape), learned)
            && Layout::ChannelsLast.is_of(&program, shape)
        {
            return Ok((program, Layout::ChannelsLast));
        }
        Err(refused)
    }

    /// Whether a network that refuses images of this shape channels first would run them channels last. If nothing in
    /// it turns them round, nobody can tell which of the two is meant.
    #[must_use]
    pub fn may_be_last(network: &Network, shape: &[i64], learned: &Learned) -> bool {
        let last = Layout::ChannelsLast.arranged(shape);
        Program::with_learned(network, &last, learned).is_ok()
    }

    /// Whether a program that was followed for images in this order does not contradict it.
    pub(super) fn is_of(self, program: &Program, shape: &[i64]) -> bool {
        self == Layout::ChannelsFirst || turns_round(program, shape)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::ChannelsFirst => "n × channels × height × width",
            Layout::ChannelsLast => "n × height × width × channels",
        })
    }
}

/// Order and scale of the images that a network takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    pub layout: Layout,
    /// Bytes of 0 to 255, which the network converts and normalises itself.
    pub bytes: bool,
}

impl Input {
    /// The input of a program that was followed in this order. Unless the network insists on bytes, its images are
    /// taken for bytes only if they come channels last: decoders give bytes in that order, and such a network converts
    /// them first.
    #[must_use]
    pub fn of(network: &Network, program: &Program, layout: Layout) -> Self {
        let converts = || untouched(program).converted || is_conversion_first(network, program);
        Input {
            layout,
            bytes: asserts_bytes(network) || (layout == Layout::ChannelsLast && converts()),
        }
    }

    /// Whether images are given as most networks take them.
    #[must_use]
    pub fn is_usual(self) -> bool {
        self == Input::default()
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.bytes {
            ", bytes of 0 to 255"
        } else {
            ""
        };
        write!(f, "{}{of}", self.layout)
    }
}

/// The values that hold the input's own numbers, whatever their order and type.
struct Untouched {
    values: HashSet<ValueId>,
    /// Some of them after a conversion to another type.
    converted: bool,
}

fn rearranges(operator: &str) -> bool {
    matches!(
        operator,
        "permute" | "transpose" | "movedim" | "moveaxis" | "contiguous" | "clone" | "detach"
    )
}

fn untouched(program: &Program) -> Untouched {
    let mut found = Untouched {
        values: HashSet::from([program.input]),
        converted: false,
    };
    for statement in &program.statements {
        if !statement.reads().any(|v| found.values.contains(&v)) {
            continue;
        }
        let operator = statement.operator().unwrap_or_default();
        let converts = is_conversion(operator);
        found.converted |= converts;
        if converts || rearranges(operator) {
            found.values.extend(&statement.outputs);
        }
    }
    found
}

/// Whether the network makes `[channels, height, width]` of its input by turning it round, as it is or normalised.
fn turns_round(program: &Program, shape: &[i64]) -> bool {
    let mut pixels = HashSet::from([program.input]);
    for statement in &program.statements {
        let of_pixels = |v: ValueId| pixels.contains(&v);
        let operator = statement.operator().unwrap_or_default();
        let normalises = matches!(
            operator.strip_suffix('_').unwrap_or(operator),
            "add" | "sub" | "mul" | "div" | "true_divide" | "clamp" | "index" | "flip"
        );
        if statement.reads().any(of_pixels)
            && (normalises || is_conversion(operator) || rearranges(operator))
        {
            pixels.extend(&statement.outputs);
        }
    }
    pixels.into_iter().any(|value| {
        value != program.input && program.sample_shape(value).as_deref() == Some(shape)
    })
}

/// Whether the first arithmetic on the input divides it by a number, which converts bytes on the way.
fn is_conversion_first(network: &Network, program: &Program) -> bool {
    divides_input_by(program, |divisor| match divisor {
        Operand::Literal(text) => is_255(text),
        // Tracing makes a constant of a number; its value is not read here.
        other => network
            .tensor(other)
            .is_some_and(|info| info.shape.is_empty()),
    })
}

/// Whether the network divides its input by 255, so that pixels of 0 to 255 may be meant.
#[must_use]
pub fn divides_by_255(program: &Program) -> bool {
    divides_input_by(
        program,
        |divisor| matches!(divisor, Operand::Literal(text) if is_255(text)),
    )
}

fn is_255(literal: &str) -> bool {
    literal.parse::<f64>() == Ok(255.)
}

fn divides_input_by(program: &Program, is_divisor: impl Fn(&Operand) -> bool) -> bool {
    let values = untouched(program).values;
    let divides = |s: &&Statement| {
        matches!(s.operator(), Some("div" | "div_" | "true_divide"))
            && s.reads().any(|v| values.contains(&v))
    };
    let mut divisions = program.statements.iter().filter(divides);
    divisions.any(|s| s.arg(1, "other").is_some_and(&is_divisor))
}
