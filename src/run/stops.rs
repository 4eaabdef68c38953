//! A network run from stop to stop, so that what was computed up to one is not computed again for the next.

use crate::blocks::analysis::Analysis;
use crate::blocks::{self, Cut};
use crate::program::ast::Function;
use crate::program::{Emitter, Span, ValueId};
use crate::run::inference::Kernels;
use crate::run::quick_forms::QuickForms;

/// Values to look at on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// All of them follow from what is live in front of this statement.
    pub from: usize,
    /// The statement with which all of them are there.
    pub until: usize,
    pub values: Vec<ValueId>,
}

/// The methods that run a network from stop to stop. A stop is the last cut from which one can look.
#[derive(Clone, Debug, PartialEq)]
pub struct Stops {
    /// In the order of the looks.
    stops: Vec<Stop>,
    functions: Vec<Function>,
    /// From the images to the first stop.
    begin: Option<Span>,
}

/// The methods of one stop, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// From the tensor at the stop in front of it, or the images, to its own; `None`: it is the same tensor.
    pub lead: Option<String>,
    /// From the tensor at the stop to the values.
    pub look: String,
    /// Elements of its tensor for one image; `None` where its shape is not known.
    pub elements: Option<i64>,
}

impl Stops {
    /// The stops of looks that are in the order in which they begin.
    #[must_use]
    pub fn of(analysis: &Analysis, looks: &[Look]) -> Self {
        let program = &analysis.program;
        let emitter = Emitter::new(&analysis.network, program);
        let cuts = blocks::cuts(program);
        let mut at = Cut {
            position: 0,
            value: program.input,
        };
        let (mut stops, mut functions) = (Vec::new(), Vec::new());
        let mut begin = None;
        for (number, look) in looks.iter().enumerate() {
            let cut = cuts.iter().rfind(|cut| cut.position <= look.from);
            let next = cut.map_or(at, |cut| *cut);
            let lead = (next != at).then(|| {
                let span = Span {
                    input: at.value,
                    output: next.value,
                    statements: at.position..next.position,
                    without: Vec::new(),
                };
                let name = format!("ckaprune_lead_{number}");
                functions.push(emitter.method(&name, &emitter.code(&span), None));
                if number == 0 {
                    begin = Some(span);
                }
                name
            });
            let span = Span {
                input: next.value,
                output: next.value,
                statements: next.position..look.until + 1,
                without: Vec::new(),
            };
            let name = format!("ckaprune_look_{number}");
            functions.push(emitter.list_method_of(&span, &name, &look.values));
            let shape = program.sample_shape(next.value);
            stops.push(Stop {
                lead,
                look: name,
                elements: shape.map(|shape| shape.iter().product()),
            });
            at = next;
        }
        Stops {
            stops,
            functions,
            begin,
        }
    }

    #[must_use]
    pub fn stops(&self) -> &[Stop] {
        &self.stops
    }

    /// The way from the images to the first stop of the same network, in quick forms with these sets of kernels.
    #[must_use]
    pub fn quick_begin(&self, analysis: &Analysis, sets: &[Kernels]) -> QuickForms {
        let emitter = Emitter::new(&analysis.network, &analysis.program);
        let begin = self.begin.as_ref();
        begin.map_or_else(QuickForms::default, |span| {
            QuickForms::of(emitter, "begin", span, sets)
        })
    }

    /// The methods of the root class that they are.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        self.functions.clone()
    }
}
