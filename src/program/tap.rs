//! Values of the program that are looked at while it runs.

use super::{Known, Operand, Program, Statement, Value, ValueId};

/// A value to look at, and when: in front of the statement at `position`, as later ones may write over its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    pub value: ValueId,
    pub position: usize,
    /// The method of the root class, from one tensor to another, that looks at it.
    pub method: String,
}

impl Program {
    /// The program with the calls of these methods in it, and what each of them gives.
    ///
    /// The result is only good for emitting: the statements behind an added call have moved, so that the places which
    /// blocks and calls name are no longer right.
    #[must_use]
    pub fn tapped(&self, taps: &[Tap]) -> (Program, Vec<ValueId>) {
        let mut program = self.clone();
        let first = program.values.len() as u32;
        let given: Vec<ValueId> = (first..).map(ValueId).take(taps.len()).collect();
        program.values.extend(given.iter().map(|&root| Value {
            known: Known::tensor(None),
            root,
            same_as: None,
        }));
        let mut calls: Vec<(usize, Statement)> = taps
            .iter()
            .zip(&given)
            .map(|(tap, output)| (tap.position, call(tap, *output)))
            .collect();
        calls.sort_by_key(|(position, _)| *position);
        // From the last on, so that the places of those before stay.
        for (position, call) in calls.into_iter().rev() {
            let position = position.min(program.statements.len());
            program.statements.insert(position, call);
        }
        (program, given)
    }
}

fn call(tap: &Tap, output: ValueId) -> Statement {
    let called = format!("self.{}", tap.method);
    Statement::added(called, vec![Operand::Value(tap.value)], output)
}
