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
    /// The way to the next stop begins at the one value that is looked at.
    pub goes_on_from_look: bool,
    /// Elements for one image of its tensor, or of the value that the way goes on from where that is larger; `None` where
    /// its shape is not known.
    pub elements: Option<i64>,
}

impl Stops {
    /// The stops of looks that are in the order in which they begin.
    #[must_use]
    pub fn of(analysis: &Analysis, looks: &[Look]) -> Self {
        Self::along(analysis, looks, |_, _| None)
    }

    /// The same; where it looks at one value, from which alone the next stop follows, the way goes on from that.
    #[must_use]
    pub fn from_look_to_look(analysis: &Analysis, looks: &[Look]) -> Self {
        Self::along(analysis, looks, |cuts, look| match look.values[..] {
            [value] => cuts
                .iter()
                .find(|cut| cut.value == value && cut.position == look.until + 1)
                .copied(),
            _ => None,
        })
    }

    /// `seen` gives the cut, of all there are, that a look is at.
    fn along(
        analysis: &Analysis,
        looks: &[Look],
        seen: impl Fn(&[Cut], &Look) -> Option<Cut>,
    ) -> Self {
        let program = &analysis.program;
        let emitter = Emitter::new(&analysis.network, program);
        let cuts = blocks::cuts(program);
        let mut at = Cut {
            position: 0,
            value: program.input,
        };
        let (mut stops, mut functions) = (Vec::new(), Vec::new());
        let mut begin = None;
        let last_in_front = |look: &Look| cuts.iter().rfind(|cut| cut.position <= look.from);
        for (number, look) in looks.iter().enumerate() {
            let next = last_in_front(look).map_or(at, |cut| *cut);
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
            let following = looks.get(number + 1).and_then(last_in_front);
            let seen = seen(&cuts, look)
                .filter(|seen| following.is_some_and(|cut| cut.position >= seen.position));
            let elements = |cut: Cut| {
                let shape = program.sample_shape(cut.value)?;
                Some(shape.iter().product())
            };
            stops.push(Stop {
                lead,
                look: name,
                goes_on_from_look: seen.is_some(),
                elements: elements(next).max(seen.and_then(elements)),
            });
            at = seen.unwrap_or(next);
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

    /// The statement at which the way from the images to the first stop ends.
    #[must_use]
    pub fn begin_at(&self) -> usize {
        self.begin.as_ref().map_or(0, |span| span.statements.end)
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
