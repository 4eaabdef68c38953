//! Where values live, and the places at which just one does.

use std::collections::{HashMap, HashSet};

use crate::program::{Program, ValueId};

/// A place between two statements where exactly one value is live, and that value is a tensor. Sizes that it tells by
/// itself do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The statement in front of which the cut lies.
    pub position: usize,
    pub value: ValueId,
}

/// When each value is born and when it is last read.
pub(super) struct Lifetimes {
    /// Statement that makes the value; the program's input is born before all.
    born: HashMap<ValueId, usize>,
    /// Last statement that reads it, or the number of statements if the program returns it.
    last_read: HashMap<ValueId, usize>,
}

impl Lifetimes {
    pub fn of(program: &Program) -> Self {
        let mut born = HashMap::new();
        let mut last_read = HashMap::new();
        // Values that share memory with a given root, as far as they are born.
        let mut family: HashMap<ValueId, Vec<ValueId>> = HashMap::new();
        family
            .entry(program.value(program.input).root)
            .or_default()
            .push(program.input);
        for (i, statement) in program.statements.iter().enumerate() {
            for value in statement.reads() {
                last_read.insert(value, i);
                if statement.impure {
                    // The statement may write the memory, which all its views see, so none of them may be live across a
                    // cut before it.
                    for relative in family.get(&program.value(value).root).into_iter().flatten() {
                        last_read.insert(*relative, i);
                    }
                }
            }
            for output in &statement.outputs {
                born.insert(*output, i);
                family
                    .entry(program.value(*output).root)
                    .or_default()
                    .push(*output);
            }
        }
        for value in program.output.operand.values() {
            last_read.insert(value, program.statements.len());
        }
        Lifetimes { born, last_read }
    }

    /// The statement that makes the value; `None` for the program's input.
    pub fn born_at(&self, value: ValueId) -> Option<usize> {
        self.born.get(&value).copied()
    }

    pub fn born_before(&self, value: ValueId, position: usize) -> bool {
        self.born.get(&value).is_none_or(|b| *b < position)
    }

    pub fn read_from(&self, value: ValueId, position: usize) -> bool {
        self.last_read.get(&value).is_some_and(|r| *r >= position)
    }
}

/// All cuts of the program, the one before the first statement included.
#[must_use]
pub fn cuts(program: &Program) -> Vec<Cut> {
    let lifetimes = Lifetimes::of(program);
    let mut live: HashSet<ValueId> = HashSet::from([program.input]);
    let mut found = Vec::new();
    for position in 0..=program.statements.len() {
        live.retain(|v| lifetimes.read_from(*v, position));
        let mut tensors = live.iter().filter(|v| program.is_tensor(**v));
        if let (Some(&value), None) = (tensors.next(), tensors.next()) {
            let is_told = |v: &ValueId| *v == value || program.size_told_by(value, *v).is_some();
            if live.iter().all(is_told) {
                found.push(Cut { position, value });
            }
        }
        if let Some(statement) = program.statements.get(position) {
            live.extend(&statement.outputs);
        }
    }
    found
}
