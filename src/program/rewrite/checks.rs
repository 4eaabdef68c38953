//! The checks in a method: statements that stop the program or do nothing, and variables that are there for them alone.

use std::collections::HashSet;

use super::variables::{Reads, bound_by, reads, times};
use super::{keep_block, only_binds};
use crate::program::ast::{Expr, Stmt};

pub(super) struct Checks {
    /// The variables that only checks read.
    variables: HashSet<String>,
}

impl Checks {
    pub fn of(body: &[Stmt]) -> Self {
        let all = reads(body);
        let mut checks = Checks {
            variables: HashSet::new(),
        };
        // Once a variable is found to be for checks alone, so may be those that it is computed from.
        loop {
            let besides = checks.reads_besides(body);
            let is_read = |reads: &Reads, names: &[&str]| names.iter().any(|n| times(reads, n) > 0);
            let found: Vec<&str> = assignments(body)
                .into_iter()
                .map(bound_by)
                .filter(|names| is_read(&all, names) && !is_read(&besides, names))
                .flatten()
                .filter(|name| !checks.variables.contains(*name))
                .collect();
            if found.is_empty() {
                return checks;
            }
            checks
                .variables
                .extend(found.into_iter().map(str::to_owned));
        }
    }

    /// Counts the reads of each variable, but those of statements that are there for checks alone.
    pub fn reads_besides(&self, body: &[Stmt]) -> Reads {
        let mut count = reads(body);
        self.take_out(body, &mut count);
        count
    }

    fn take_out(&self, body: &[Stmt], count: &mut Reads) {
        for statement in body {
            if self.needs_alone(statement) {
                for (name, times) in reads(std::slice::from_ref(statement)) {
                    if let Some(n) = count.get_mut(&name) {
                        *n = n.saturating_sub(times);
                    }
                }
            } else {
                for block in statement.blocks() {
                    self.take_out(block, count);
                }
            }
        }
    }

    /// Removes the checks that read a variable which is gone, and what is there for them. `false` if there are none.
    pub fn drop_those_of(&self, gone: &HashSet<&String>, body: &mut Vec<Stmt>) -> bool {
        let count = body.len();
        body.retain(|statement| {
            let reads = reads(std::slice::from_ref(statement));
            let reads_gone = gone.iter().any(|name| times(&reads, name) > 0);
            !(self.needs_alone(statement) && reads_gone)
        });
        let mut dropped = body.len() < count;
        for block in body.iter_mut().flat_map(Stmt::blocks_mut) {
            dropped |= self.drop_those_of(gone, block);
            keep_block(block);
        }
        dropped
    }

    /// Whether a statement is a check, or there for checks alone.
    fn needs_alone(&self, statement: &Stmt) -> bool {
        let for_checks = || {
            let names = bound_by(statement);
            matches!(statement, Stmt::Assign(_))
                && !names.is_empty()
                && names.iter().all(|name| self.variables.contains(*name))
        };
        is_check(statement) || for_checks()
    }
}

/// All statements that bind variables and do nothing else, also in blocks.
fn assignments(body: &[Stmt]) -> Vec<&Stmt> {
    let inner = body.iter().flat_map(Stmt::blocks);
    let inner = inner.flat_map(|block| assignments(block));
    let own = body
        .iter()
        .filter(|s| matches!(s, Stmt::Assign(_)) && only_binds(s));
    own.chain(inner).collect()
}

/// `if condition: pass` with an exception on the other side.
fn is_check(statement: &Stmt) -> bool {
    let Stmt::If {
        then, otherwise, ..
    } = statement
    else {
        return false;
    };
    let passes = |block: &[Stmt]| block.iter().all(|s| matches!(s, Stmt::Pass));
    let raises = |block: &[Stmt]| match block {
        [Stmt::Expr(Expr::Call { callee, .. })] => {
            callee.dotted().as_deref() == Some("ops.prim.RaiseException")
        }
        _ => false,
    };
    let otherwise = otherwise.as_deref().unwrap_or_default();
    (passes(then) && raises(otherwise)) || (raises(then) && passes(otherwise))
}
