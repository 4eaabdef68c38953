//! The part of a program that one value needs.

use std::collections::HashSet;

use super::{Argument, Known, Op, Operand, Program, Statement, Val, Value, ValueId};

impl Program {
    /// The program as if it gave `output` alone. Statements that `output` does not need do nothing, but keep their
    /// places.
    #[must_use]
    pub fn towards(&self, output: ValueId) -> Program {
        let mut sliced = self.needing(&[output]);
        sliced.give(output);
        sliced
    }

    /// The program as if it gave one tensor: what a method of the root class, named for the place of each of these values,
    /// makes of it, rows of some features, side by side. What is added for it stands behind all statements there are.
    #[must_use]
    pub fn joined(
        &self,
        values: &[ValueId],
        method: impl Fn(usize) -> String,
    ) -> (Program, ValueId) {
        let mut joined = self.needing(values);
        let mut parts = Vec::new();
        for (place, value) in values.iter().enumerate() {
            let part = joined.add(
                format!("self.{}", method(place)),
                vec![Operand::Value(*value)],
            );
            parts.push(Operand::Value(part));
        }
        let columns = Operand::Literal("1".into());
        let parts = vec![Operand::List(parts), columns];
        let whole = joined.add("torch.cat".into(), parts);
        joined.give(whole);
        (joined, whole)
    }

    /// Adds a call that gives a tensor.
    fn add(&mut self, function: String, args: Vec<Operand>) -> ValueId {
        let output = ValueId(self.values.len() as u32);
        self.values.push(Value {
            known: Known::tensor(None),
            root: output,
            same_as: None,
        });
        self.statements
            .push(Statement::added(function, args, output));
        output
    }

    fn give(&mut self, output: ValueId) {
        self.output = Val::new(Operand::Value(output), self.value(output).known.clone());
    }

    /// The program without what these values do not need; all statements keep their places.
    fn needing(&self, values: &[ValueId]) -> Program {
        let mut sliced = self.clone();
        let root = |v: ValueId| self.value(v).root;
        let mut needed: HashSet<ValueId> = values.iter().copied().collect();
        let mut memory: HashSet<ValueId> = values.iter().map(|v| root(*v)).collect();
        for statement in sliced.statements.iter_mut().rev() {
            let writes = statement.impure && statement.reads().any(|v| memory.contains(&root(v)));
            let gives = statement.outputs.iter().any(|v| needed.contains(v));
            if gives || writes || matches!(statement.op, Op::SetAttribute { .. }) {
                needed.extend(statement.reads());
                memory.extend(statement.reads().map(root));
            } else {
                *statement = Statement::nothing(statement);
            }
        }
        sliced
    }
}

impl Statement {
    /// A call that is added to the program: no code of the network has it.
    pub(super) fn added(function: String, args: Vec<Operand>, output: ValueId) -> Statement {
        let args = args.into_iter().map(|value| Argument { name: None, value });
        Statement {
            op: Op::Call(function),
            args: args.collect(),
            outputs: vec![output],
            call: None,
            impure: false,
            macs: None,
            no_grad: false,
            line: None,
        }
    }

    /// A statement that does nothing, in the place of this one.
    fn nothing(of: &Statement) -> Statement {
        Statement {
            op: Op::Alias,
            args: Vec::new(),
            outputs: Vec::new(),
            call: of.call,
            impure: false,
            macs: None,
            no_grad: of.no_grad,
            line: of.line,
        }
    }
}
