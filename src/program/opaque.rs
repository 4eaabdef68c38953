//! Control flow left as it is: its variables get the flat program's names.

use std::collections::{BTreeSet, HashMap};

use super::ast::{Expr, Stmt, walk, walk_mut};

/// The variables of a statement that stay visible outside it.
pub(super) struct Renaming {
    /// Variables from outside that it only reads.
    pub reads: BTreeSet<String>,
    /// Variables it assigns.
    pub writes: BTreeSet<String>,
}

impl Renaming {
    /// `None` if the statement leaves the function from its middle, so that it cannot stand alone.
    pub fn of(statement: &Stmt, is_bound: impl Fn(&str) -> bool) -> Option<Self> {
        let mut writes = BTreeSet::new();
        if !collect_writes(std::slice::from_ref(statement), &mut writes) {
            return None;
        }
        let mut reads = BTreeSet::new();
        walk(std::slice::from_ref(statement), &mut |expression| {
            if let Expr::Name(name) = expression
                && !writes.contains(name)
                && is_bound(name)
            {
                reads.insert(name.clone());
            }
        });
        Some(Renaming { reads, writes })
    }

    /// All variables from outside that it reads or assigns.
    pub fn mentioned(&self) -> impl Iterator<Item = &String> {
        self.reads.iter().chain(&self.writes)
    }

    /// The statement with every variable in `names` replaced.
    pub fn apply(&self, statement: &Stmt, names: &HashMap<String, Expr>) -> Stmt {
        let mut renamed = [statement.clone()];
        walk_mut(&mut renamed, &mut |expression| {
            if let Expr::Name(name) = expression
                && let Some(replacement) = names.get(name)
            {
                *expression = replacement.clone();
            }
        });
        let [statement] = renamed;
        statement
    }
}

/// Gathers the assigned names; `false` where a statement cannot be moved into another function.
fn collect_writes(statements: &[Stmt], writes: &mut BTreeSet<String>) -> bool {
    statements.iter().all(|statement| {
        let targets: &[Expr] = match statement {
            Stmt::Return(_) | Stmt::Function(_) | Stmt::Break | Stmt::Continue => return false,
            Stmt::Assign(assign) => &assign.targets,
            Stmt::For { targets, .. } => targets,
            _ => &[],
        };
        writes.extend(targets.iter().filter_map(|t| match t {
            Expr::Name(name) => Some(name.clone()),
            _ => None,
        }));
        statement
            .blocks()
            .into_iter()
            .all(|block| collect_writes(block, writes))
    })
}
