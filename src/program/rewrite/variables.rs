//! Which variables the code of a method binds and reads.

use std::collections::{HashMap, HashSet};

use crate::program::ast::{Expr, Function, Stmt, walk};

/// How often each variable is read.
pub(super) type Reads = HashMap<String, usize>;

/// How often one variable is read.
pub(super) fn times(reads: &Reads, name: &str) -> usize {
    reads.get(name).copied().unwrap_or(0)
}

/// Counts the reads of each variable.
pub(super) fn reads(body: &[Stmt]) -> Reads {
    let mut count = Reads::new();
    walk(body, &mut |expression| {
        if let Expr::Name(name) = expression {
            *count.entry(name.clone()).or_default() += 1;
        }
    });
    for name in body.iter().flat_map(bound_by) {
        if let Some(n) = count.get_mut(name) {
            *n = n.saturating_sub(1);
        }
    }
    count
}

/// The variables that a statement binds, also in the blocks it holds; one that is bound twice is there twice.
pub(super) fn bound_by(statement: &Stmt) -> Vec<&str> {
    let own = statement.targets().into_iter().filter_map(|t| match t {
        Expr::Name(name) => Some(name.as_str()),
        _ => None,
    });
    let inner = statement.blocks().into_iter().flatten().flat_map(bound_by);
    own.chain(inner).collect()
}

pub(super) fn bound_in(body: &[Stmt]) -> HashSet<String> {
    body.iter().flat_map(bound_by).map(str::to_owned).collect()
}

/// How often a method binds a variable: as a parameter, by assignment, by a loop or a `with`.
pub(super) fn binding_count(method: &Function, variable: &str) -> usize {
    let params = method.params.iter().map(|p| p.name.as_str());
    let bound = params.chain(method.body.iter().flat_map(bound_by));
    bound.filter(|name| *name == variable).count()
}
