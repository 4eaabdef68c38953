//! How much of the image one element of a value sees, and how many pixels lie between two such elements.
//!
//! Both follow from the kernels and strides on the way (Araujo, Norris, Sim: *Computing Receptive Fields of
//! Convolutional Neural Networks*, Distill 2019). What a rule does not cover is unknown, and so is what follows from
//! it.

mod rules;
mod window;

use std::collections::HashMap;

use crate::program::{Network, Program, ValueId};
use rules::Rules;

/// How much of the image one element sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// So many pixels, height and width.
    Pixels([i64; 2]),
    /// All of it: behind global pooling, attention or a linear layer over positions.
    Whole,
    Unknown,
}

impl Field {
    /// The field of a value that is computed from both.
    fn with(self, other: Field) -> Field {
        match (self, other) {
            (Field::Whole, _) | (_, Field::Whole) => Field::Whole,
            (Field::Pixels(a), Field::Pixels(b)) => Field::Pixels([a[0].max(b[0]), a[1].max(b[1])]),
            _ => Field::Unknown,
        }
    }
}

/// Where in a tensor the positions of the image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Rows and columns are dimensions of their own.
    Map([usize; 2]),
    /// All positions are one dimension.
    Tokens(usize),
    /// All positions are in one dimension with the channels.
    Flat,
    Unknown,
}

/// What is known of a value that is computed from the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    pub field: Field,
    /// Pixels of the image from one position to the next, down and across; `None` where there is one position, or it
    /// is not known.
    pub stride: Option<[i64; 2]>,
    layout: Layout,
    /// Number of positions.
    positions: i64,
}

impl View {
    const UNKNOWN: View = View {
        field: Field::Unknown,
        stride: None,
        layout: Layout::Unknown,
        positions: 0,
    };

    /// The view of a part along this dimension. If it has only some of the positions, it is not known which ones.
    fn cut(self, dim: usize) -> View {
        let parts_positions = match self.layout {
            Layout::Map(axes) => axes.contains(&dim),
            Layout::Tokens(tokens) => tokens == dim,
            Layout::Flat | Layout::Unknown => true,
        };
        if parts_positions {
            View {
                layout: Layout::Unknown,
                ..self
            }
        } else {
            self
        }
    }

    /// The view behind an operator that joins all positions: every element sees the whole image.
    fn whole() -> View {
        View {
            field: Field::Whole,
            ..View::UNKNOWN
        }
    }
}

/// The views of all values that are computed from the image.
#[must_use]
pub fn views(network: &Network, program: &Program) -> HashMap<ValueId, View> {
    let mut rules = Rules {
        network,
        program,
        views: HashMap::new(),
    };
    let input = match rules.shape(program.input).as_deref() {
        Some([_, _, height, width]) => View {
            field: Field::Pixels([1, 1]),
            stride: Some([1, 1]),
            layout: Layout::Map([2, 3]),
            positions: height.n.saturating_mul(width.n),
        },
        _ => View::UNKNOWN,
    };
    rules.views.insert(program.input, input);
    for statement in &program.statements {
        if let Some(view) = rules.result(statement) {
            let outputs = statement.outputs.iter();
            rules.views.extend(outputs.map(|v| (*v, view)));
        }
    }
    rules.views
}
