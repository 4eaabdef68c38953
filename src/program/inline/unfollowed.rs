//! Statements that stay as they are, with their variables renamed to the values of the flat program.

use std::collections::HashMap;

use super::branches::{Outcome, Variables};
use super::containers::may_change_containers;
use super::{Flow, Frame, Inliner, Step, opaque};
use crate::program::ast::{Expr, Stmt, walk};
use crate::program::builder::positional;
use crate::program::opaque::Renaming;
use crate::program::value::{Known, Operand, Val};
use crate::program::{Argument, Op, emit};

/// What a statement that stays is given, and what it gives.
#[derive(Default)]
struct Surroundings {
    /// What its variables are called in the flat program.
    names: HashMap<String, Expr>,
    reads: Vec<Argument>,
    /// The variables that it assigns.
    writes: Vec<(String, Val)>,
}

impl Inliner<'_> {
    /// Leaves a statement as it is. `outcome` is what is known of it nevertheless.
    pub(super) fn leave_opaque(
        &mut self,
        frame: &mut Frame,
        statement: &Stmt,
        outcome: Option<Outcome<Variables>>,
    ) -> Step<Flow> {
        let renamed = self.renaming(frame, statement)?;
        let reason = match statement {
            Stmt::If { .. } => self.undecided_by,
            Stmt::While { .. } | Stmt::For { .. } => "a loop whose length data decide",
            _ => "a statement that is not followed",
        };
        self.builder.leave(None, reason);
        if may_change_containers(statement) {
            self.give_variables_away(frame, &renamed);
        }
        let (results, macs) = outcome.map_or_else(Default::default, |o| (o.results, o.macs));
        let mut around = Surroundings::default();
        self.read(frame, &renamed, &mut around);
        self.write(frame, &renamed, &results, &mut around);

        let body = renamed.apply(statement, &around.names);
        let outputs = around.writes.iter().flat_map(|(_, v)| v.operand.values());
        let outputs = outputs.collect();
        self.builder
            .push(Op::Opaque(vec![body]), around.reads, outputs, true);
        if let Some(macs) = macs {
            self.builder.costs(macs);
        }
        for (name, value) in around.writes {
            let value = self.unfolded(value);
            frame.variables.insert(name, value);
        }
        Ok(Flow::Next)
    }

    /// The variables of a statement that is to stay, if it can.
    fn renaming(&mut self, frame: &Frame, statement: &Stmt) -> Step<Renaming> {
        let Some(renamed) = Renaming::of(statement, |name| frame.variables.contains_key(name))
        else {
            return opaque("control flow that returns from its middle");
        };
        self.count_work(copying_work(frame, statement, &renamed))?;
        let is_object = |name: &String| {
            let value = frame.variables.get(name);
            value.is_some_and(|v| matches!(v.known, Known::Object(_)))
        };
        if renamed.mentioned().any(is_object) {
            return opaque("control flow that data decide around an object of a class");
        }
        Ok(renamed)
    }

    fn give_variables_away(&mut self, frame: &mut Frame, renamed: &Renaming) {
        for name in renamed.mentioned() {
            if let Some(value) = frame.variables.get(name).cloned() {
                let value = self.give_away(value);
                frame.variables.insert(name.clone(), value);
            }
        }
    }

    /// Names the variables that the statement only reads.
    fn read(&mut self, frame: &Frame, renamed: &Renaming, around: &mut Surroundings) {
        for name in &renamed.reads {
            if let Some(value) = frame.variables.get(name) {
                let operand = self.builder.current(value).operand;
                let expression = emit::operand(self.network, &operand);
                around.names.insert(name.clone(), expression);
                around.reads.push(positional(operand));
            }
        }
    }

    /// Makes a value of each variable that the statement assigns. One that holds something already is copied to that
    /// value first, as the statement may read it, or leave it as it is.
    fn write(
        &mut self,
        frame: &Frame,
        renamed: &Renaming,
        results: &Variables,
        around: &mut Surroundings,
    ) {
        let control = Op::Opaque(Vec::new());
        let only_read = around.reads.clone();
        for (output, name) in renamed.writes.iter().enumerate() {
            let known = results.get(name).cloned().flatten();
            let known = known.unwrap_or(Known::Nothing);
            let known = self.builder.settled(&control, &only_read, output, known);
            let id = self.builder.value(known.clone(), None);
            let operand = Operand::Value(id);
            if let Some(value) = frame.variables.get(name) {
                let held = self.builder.current(value).operand;
                self.builder
                    .push(Op::Alias, vec![positional(held)], vec![id], false);
                around.reads.push(positional(operand.clone()));
            }
            around.names.insert(name.clone(), emit::value_name(id));
            let value = Val::new(operand, known);
            around.writes.push((name.clone(), value));
        }
    }
}

/// Work of copying a statement: each mention of a variable becomes what the variable holds.
fn copying_work(frame: &Frame, statement: &Stmt, renamed: &Renaming) -> usize {
    let mut expressions = 0;
    walk(std::slice::from_ref(statement), &mut |_| expressions += 1);
    let read = renamed.reads.iter().filter_map(|n| frame.variables.get(n));
    let largest = read.map(Val::weight).max().unwrap_or(0);
    (1 + largest).saturating_mul(expressions)
}
