//! The part of a program that one value needs.

use std::collections::HashSet;

use super::{Op, Operand, Program, Statement, Val, ValueId};

impl Program {
    /// The program as if it gave `output` alone. Statements which that does not need do nothing, but keep their places.
    #[must_use]
    pub fn towards(&self, output: ValueId) -> Program {
        let mut sliced = self.clone();
        sliced.output = Val {
            operand: Operand::Value(output),
            known: self.value(output).known.clone(),
            object: None,
        };
        let root = |v: ValueId| self.value(v).root;
        let mut needed = HashSet::from([output]);
        let mut memory = HashSet::from([root(output)]);
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
        }
    }
}
