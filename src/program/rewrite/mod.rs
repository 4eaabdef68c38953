//! Edits of a method's code: a call is replaced, and what that leaves without use goes.

mod checks;
mod variables;

use std::collections::HashSet;

use super::Mention;
use super::ast::{CallId, Expr, Function, Stmt, walk, walk_mut};
use checks::Checks;
use variables::{Reads, binding_count, bound_by, bound_in, reads, times};

/// Replaces a call by the expression that `by` speaks of. `false` if the method has no such call or expression.
pub(crate) fn replace_call(method: &mut Function, id: CallId, by: &Mention) -> bool {
    let Some(stand_in) = stand_in(method, id, by) else {
        return false;
    };
    let mut replaced = false;
    walk_mut(&mut method.body, &mut |expression| {
        if is_call(expression, id) {
            *expression = stand_in.clone();
            replaced = true;
        }
    });
    replaced
}

/// Removes the statements that only make one of these calls, for what it writes: nobody reads what it gives.
pub(crate) fn drop_writes(method: &mut Function, calls: &[CallId]) {
    let reads = reads(&method.body);
    drop_writes_in(&mut method.body, calls, &reads);
}

fn drop_writes_in(body: &mut Vec<Stmt>, calls: &[CallId], reads: &Reads) {
    body.retain_mut(|statement| {
        let mut emptied = false;
        for block in statement.blocks_mut() {
            let before = block.len();
            drop_writes_in(block, calls, reads);
            emptied |= block.len() < before;
            keep_block(block);
        }
        let does_nothing = |block: &Vec<Stmt>| block.iter().all(|s| matches!(s, Stmt::Pass));
        if emptied && matches!(statement, Stmt::If { .. }) {
            return !statement.blocks().into_iter().all(does_nothing);
        }
        let Stmt::Assign(assign) = statement else {
            return true;
        };
        let unread = |target: &Expr| match target {
            Expr::Name(name) => times(reads, name) == 0,
            _ => false,
        };
        let [Expr::Call { id, .. }] = assign.values.as_slice() else {
            return true;
        };
        !(calls.contains(id) && assign.targets.iter().all(unread))
    });
}

/// A block may not be empty.
fn keep_block(block: &mut Vec<Stmt>) {
    if block.is_empty() {
        block.push(Stmt::Pass);
    }
}

/// What the variables of a method are for, before it is edited.
pub(crate) struct Before {
    /// How often each is read, but by checks.
    reads: Reads,
    checks: Checks,
    bound: HashSet<String>,
}

impl Before {
    pub(crate) fn of(method: &Function) -> Self {
        let checks = Checks::of(&method.body);
        Before {
            reads: checks.reads_besides(&method.body),
            bound: bound_in(&method.body),
            checks,
        }
    }
}

/// Removes what edits left without use: variables that were read `before` them, and checks of what is gone.
pub(crate) fn clean_up(method: &mut Function, before: &Before) {
    while remove_dead(&mut method.body, before) {}
    while drop_checks_of_what_is_gone(method, before) {}
    merge_aliases(method);
}

/// Removes checks that read what is not bound any more, and what is there for them. `false` if there are none.
fn drop_checks_of_what_is_gone(method: &mut Function, before: &Before) -> bool {
    let bound = bound_in(&method.body);
    let gone: HashSet<&String> = before.bound.difference(&bound).collect();
    !gone.is_empty() && before.checks.drop_those_of(&gone, &mut method.body)
}

/// Removes the variables that a method binds to attributes and never reads.
pub(crate) fn drop_unread_names(method: &mut Function) {
    loop {
        let reads = reads(&method.body);
        if !drop_unread_names_in(&mut method.body, &reads) {
            return;
        }
    }
}

fn drop_unread_names_in(body: &mut Vec<Stmt>, reads: &Reads) -> bool {
    let is_name = |statement: &Stmt| match statement {
        Stmt::Assign(assign) => match (assign.targets.as_slice(), assign.values.as_slice()) {
            ([Expr::Name(name)], [value]) => {
                value.as_attribute().is_some() && times(reads, name) == 0
            }
            _ => false,
        },
        _ => false,
    };
    let before = body.len();
    body.retain(|statement| !is_name(statement));
    let mut dropped = body.len() < before;
    for block in body.iter_mut().flat_map(Stmt::blocks_mut) {
        dropped |= drop_unread_names_in(block, reads);
        keep_block(block);
    }
    dropped
}

fn is_call(expression: &Expr, wanted: CallId) -> bool {
    matches!(expression, Expr::Call { id, .. } if *id == wanted)
}

fn stand_in(method: &Function, id: CallId, by: &Mention) -> Option<Expr> {
    let mut found = None;
    walk(&method.body, &mut |expression| match (by, expression) {
        (Mention::Argument(position), Expr::Call { id: call, args, .. }) if *call == id => {
            found = args.get(*position).map(|a| a.value.clone());
        }
        (Mention::Expression(inner), _) if is_call(expression, *inner) => {
            found = Some(expression.clone());
        }
        _ => {}
    });
    match by {
        Mention::Variable(name) => Some(Expr::Name(name.clone())),
        _ => found,
    }
}

/// Removes one statement whose variables were read before the edit and are not any more. `false` if there is none.
fn remove_dead(body: &mut Vec<Stmt>, before: &Before) -> bool {
    let now = before.checks.reads_besides(body);
    remove_dead_in(body, before, &now)
}

fn remove_dead_in(body: &mut Vec<Stmt>, before: &Before, now: &Reads) -> bool {
    let is_dead = |statement: &Stmt| {
        let own = before.checks.reads_besides(std::slice::from_ref(statement));
        let bound = bound_by(statement);
        let is_read_here_alone = |name: &&str| times(now, name) == times(&own, name);
        let was_read_elsewhere = |name: &&str| times(&before.reads, name) > times(&own, name);
        only_binds(statement)
            && bound.iter().all(is_read_here_alone)
            && bound.iter().any(was_read_elsewhere)
    };
    if let Some(at) = body.iter().rposition(is_dead) {
        body.remove(at);
        return true;
    }
    body.iter_mut().flat_map(Stmt::blocks_mut).any(|block| {
        let removed = remove_dead_in(block, before, now);
        keep_block(block);
        removed
    })
}

/// Whether binding variables is all a statement does.
fn only_binds(statement: &Stmt) -> bool {
    let plain = match statement {
        Stmt::Assign(a) => a.targets.iter().all(|t| matches!(t, Expr::Name(_))),
        Stmt::If { .. } | Stmt::For { .. } | Stmt::While { .. } | Stmt::Pass => true,
        _ => false,
    };
    plain && statement.blocks().into_iter().flatten().all(only_binds)
}

/// Where a call was replaced, `y = x` is left: both become one variable if each is bound just once.
fn merge_aliases(method: &mut Function) {
    while let Some((at, alias, origin)) = find_alias(method) {
        method.body.remove(at);
        walk_mut(&mut method.body, &mut |expression| {
            if let Expr::Name(name) = expression
                && *name == alias
            {
                name.clone_from(&origin);
            }
        });
    }
}

fn find_alias(method: &Function) -> Option<(usize, String, String)> {
    method.body.iter().enumerate().find_map(|(at, statement)| {
        let Stmt::Assign(assign) = statement else {
            return None;
        };
        let ([Expr::Name(alias)], [Expr::Name(origin)], None) = (
            assign.targets.as_slice(),
            assign.values.as_slice(),
            &assign.annotation,
        ) else {
            return None;
        };
        let are_bound_once = [origin, alias].map(|name| binding_count(method, name)) == [1, 1];
        are_bound_once.then(|| (at, alias.clone(), origin.clone()))
    })
}
