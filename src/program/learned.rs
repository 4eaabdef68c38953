//! Shapes that are known from running the network, where no rule tells them.
//!
//! What is kept is that a statement gives a tensor of some shape when it is given tensors of certain shapes. It is
//! found again by the module whose code it is, its operator, and how many of that operator run there before: another
//! analysis knows more and follows more, and a network without some blocks has other statements.

use std::collections::{HashMap, HashSet};

use super::builder::{Builder, short_name};
use super::{
    Argument, CallIndex, Dim, Known, ModuleId, Op, Program, Shape, Statement, ValueId, ops,
};

/// One result of a statement, wherever it is in the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The path of the module, and which of its runs it is.
    module: String,
    run: usize,
    operator: String,
    /// How many calls of that operator the run has before it.
    before: usize,
    output: usize,
}

/// A value whose shape is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenValue {
    pub value: ValueId,
    place: Place,
    reads: Vec<ValueId>,
}

/// The shapes that running the network told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned(HashMap<(Place, Vec<Shape>), Shape>);

impl Learned {
    /// Keeps the shapes that open values were found to have. Returns whether more is known now than before.
    pub fn add(&mut self, program: &Program, shapes: &HashMap<ValueId, Shape>) -> bool {
        let before = self.0.len();
        for open in &program.open {
            let Some(shape) = shapes.get(&open.value) else {
                continue;
            };
            let read = open.reads.iter().filter_map(|v| {
                let known = program.shape(*v).or_else(|| shapes.get(v));
                known.cloned()
            });
            self.0
                .insert((open.place.clone(), read.collect()), shape.clone());
        }
        self.0.len() > before
    }

    fn of(&self, place: &Place, inputs: &[Shape]) -> Option<&Shape> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&(place.clone(), inputs.to_vec()))
    }
}

/// The size of a dimension that has these sizes for batches of two and of three. `None`: it is no multiple of a power
/// of the batch size.
#[must_use]
pub fn dim_of_batches(of_two: i64, of_three: i64) -> Option<Dim> {
    if of_two == of_three {
        return Some(Dim::fixed(of_two));
    }
    (1..=2u8).find_map(|batch| {
        let (two, three) = (2i64.pow(batch.into()), 3i64.pow(batch.into()));
        let n = of_two / two;
        (n > 0 && n.checked_mul(two) == Some(of_two) && n.checked_mul(three) == Some(of_three))
            .then_some(Dim { n, batch })
    })
}

impl Builder<'_> {
    /// What is known of one result of a statement that is about to be pushed: what was learned, where no rule told.
    pub fn settled(&self, op: &Op, args: &[Argument], output: usize, known: Known) -> Known {
        if self.learned.0.is_empty() || !is_open(&known) {
            return known;
        }
        let Some(place) = self.place(op, output) else {
            return known;
        };
        let read = args.iter().flat_map(|a| a.value.values());
        let shapes = read.filter_map(|v| match &self.values[v.0 as usize].known {
            Known::Tensor { shape, .. } => Some(shape.clone()),
            _ => None,
        });
        let shapes: Option<Vec<Shape>> = shapes.collect();
        match shapes.and_then(|shapes| self.learned.of(&place, &shapes).cloned()) {
            Some(shape) => Known::tensor(Some(shape)),
            None => known,
        }
    }

    fn place(&self, op: &Op, output: usize) -> Option<Place> {
        let operator = operator_of(op)?;
        let current = self.current_call?;
        let call = &self.calls[current.0];
        let runs = self.calls[..current.0].iter();
        let inside = self.statements.get(call.range.start..)?.iter();
        let same = |s: &&Statement| s.call == Some(current) && operator_of(&s.op) == Some(operator);
        Some(Place {
            module: self.paths[call.module.0 as usize].to_owned(),
            run: runs.filter(|c| c.module == call.module).count(),
            before: inside.filter(same).count(),
            operator: operator.to_owned(),
            output,
        })
    }

    /// The values of unknown shape that others read.
    pub fn open(&self, needed: &HashSet<ValueId>) -> Vec<OpenValue> {
        let mut runs: HashMap<ModuleId, usize> = HashMap::new();
        let runs: Vec<usize> = self
            .calls
            .iter()
            .map(|call| {
                let count = runs.entry(call.module).or_default();
                *count += 1;
                *count - 1
            })
            .collect();
        let mut counts: HashMap<(CallIndex, &str), usize> = HashMap::new();
        let mut open = Vec::new();
        for statement in &self.statements {
            let (Some(operator), Some(call)) = (operator_of(&statement.op), statement.call) else {
                continue;
            };
            let count = counts.entry((call, operator)).or_default();
            let before = *count;
            *count += 1;
            for (output, value) in statement.outputs.iter().enumerate() {
                // A value that nothing reads may not exist when the network runs: a variable of one side of a branch.
                if is_open(&self.values[value.0 as usize].known) && needed.contains(value) {
                    open.push(OpenValue {
                        value: *value,
                        place: Place {
                            module: self.paths[self.calls[call.0].module.0 as usize].to_owned(),
                            run: runs[call.0],
                            operator: operator.to_owned(),
                            before,
                            output,
                        },
                        reads: statement.reads().collect(),
                    });
                }
            }
        }
        open
    }
}

fn is_open(known: &Known) -> bool {
    matches!(known, Known::Nothing | Known::Tensor { shape: None, .. })
}

/// `None` for what gives no tensor, and for results that say all there is.
fn operator_of(op: &Op) -> Option<&str> {
    Some(match op {
        Op::Call(function) if ops::gives_no_tensor(short_name(function)) => return None,
        Op::Call(function) => function,
        Op::Method { name, .. } => name,
        Op::Opaque(_) => "if",
        Op::Index => "[]",
        Op::Unpack => "a, b =",
        Op::Field(_) => ".",
        Op::Alias | Op::SetAttribute { .. } => return None,
    })
}
