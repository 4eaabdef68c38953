//! Which values learn: how far gradients come from the output.

use std::collections::HashSet;

use super::{Operand, Program, Statement, ValueId};

impl Program {
    /// The statements through which a gradient of `output` passes.
    ///
    /// A tensor of the archive that only other statements read cannot be trained: it stands under `torch.no_grad()`,
    /// or all that is made of it is detached.
    pub fn learns(&self, output: &Operand) -> impl Iterator<Item = &Statement> {
        let mut reached: HashSet<ValueId> = output.values().into_iter().collect();
        let mut passed = Vec::new();
        for statement in self.statements.iter().rev() {
            let written = statement.impure && statement.reads().any(|v| reached.contains(&v));
            let gives = statement.outputs.iter().any(|v| reached.contains(v));
            if (gives || written) && !blocks_gradients(statement) {
                reached.extend(statement.reads());
                passed.push(statement);
            }
        }
        passed.into_iter().rev()
    }
}

fn blocks_gradients(statement: &Statement) -> bool {
    statement.no_grad || matches!(statement.operator(), Some("detach" | "detach_" | "data"))
}
