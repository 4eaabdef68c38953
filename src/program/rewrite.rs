//! Taking one value out of a method.

use std::collections::{HashMap, HashSet};

use super::Mention;
use super::ast::{CallId, Expr, Function, Stmt, walk, walk_mut};

/// Puts what `by` speaks of in the place of a call. `false` if the method has no such call, or nothing of that kind.
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
            Expr::Name(name) => reads.get(name).is_none_or(|n| *n == 0),
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

/// How often each variable of a method is read.
type Reads = HashMap<String, usize>;

/// What the variables of a method are for, before it is edited.
pub(crate) struct Before {
    /// Without what checks read.
    reads: Reads,
    checked: Checked,
    bound: HashSet<String>,
}

/// Variables that only checks read: statements that stop the program or do nothing.
type Checked = HashSet<String>;

impl Before {
    pub(crate) fn of(method: &Function) -> Self {
        let checked = checked(&method.body);
        Before {
            reads: reads_besides(&method.body, &checked),
            bound: bound_in(&method.body),
            checked,
        }
    }
}

/// Removes what edits left without use: variables that were read `before` them, and checks of what is gone.
pub(crate) fn clean_up(method: &mut Function, before: &Before) {
    while remove_dead(&mut method.body, before) {}
    while drop_checks_of_what_is_gone(method, before) {}
    merge_aliases(method);
}

fn checked(body: &[Stmt]) -> Checked {
    let all = reads(body);
    let read = |reads: &Reads, name: &str| reads.get(name).is_some_and(|n| *n > 0);
    let mut checked = Checked::new();
    loop {
        let besides = reads_besides(body, &checked);
        let only = |names: &[&str]| {
            names.iter().any(|name| read(&all, name))
                && !names.iter().any(|name| read(&besides, name))
        };
        let found: Vec<&str> = assignments(body)
            .into_iter()
            .map(binds)
            .filter(|names| only(names))
            .flatten()
            .filter(|name| !checked.contains(*name))
            .collect();
        if found.is_empty() {
            return checked;
        }
        checked.extend(found.into_iter().map(str::to_owned));
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

/// Whether a statement is there for checks alone.
fn only_checks(statement: &Stmt, checked: &Checked) -> bool {
    let for_checks = || {
        let names = binds(statement);
        matches!(statement, Stmt::Assign(_))
            && !names.is_empty()
            && names.iter().all(|name| checked.contains(*name))
    };
    is_check(statement) || for_checks()
}

/// Counts the reads of each variable, but those of statements that are there for checks alone.
fn reads_besides(body: &[Stmt], checked: &Checked) -> Reads {
    let mut count = reads(body);
    fn uncount(body: &[Stmt], checked: &Checked, count: &mut Reads) {
        for statement in body {
            if only_checks(statement, checked) {
                for (name, times) in reads(std::slice::from_ref(statement)) {
                    if let Some(n) = count.get_mut(&name) {
                        *n = n.saturating_sub(times);
                    }
                }
            } else {
                for block in statement.blocks() {
                    uncount(block, checked, count);
                }
            }
        }
    }
    uncount(body, checked, &mut count);
    count
}

/// Removes checks that read what is not bound any more, and what is there for them. `false` if there are none.
fn drop_checks_of_what_is_gone(method: &mut Function, before: &Before) -> bool {
    let bound = bound_in(&method.body);
    let gone: HashSet<&String> = before.bound.difference(&bound).collect();
    !gone.is_empty() && drop_checks_in(&mut method.body, &gone, &before.checked)
}

fn drop_checks_in(body: &mut Vec<Stmt>, gone: &HashSet<&String>, checked: &Checked) -> bool {
    let count = body.len();
    body.retain(|statement| {
        let reads = reads(std::slice::from_ref(statement));
        let reads_gone = reads.iter().any(|(name, n)| *n > 0 && gone.contains(name));
        !(only_checks(statement, checked) && reads_gone)
    });
    let mut dropped = body.len() < count;
    for block in body.iter_mut().flat_map(Stmt::blocks_mut) {
        dropped |= drop_checks_in(block, gone, checked);
        keep_block(block);
    }
    dropped
}

/// Removes the names that a method gives to attributes and never speaks of them by.
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
                value.as_attribute().is_some() && reads.get(name).is_none_or(|n| *n == 0)
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

/// Counts the reads of each variable.
fn reads(body: &[Stmt]) -> Reads {
    let mut count = Reads::new();
    walk(body, &mut |expression| {
        if let Expr::Name(name) = expression {
            *count.entry(name.clone()).or_default() += 1;
        }
    });
    for name in body.iter().flat_map(binds) {
        if let Some(n) = count.get_mut(name) {
            *n = n.saturating_sub(1);
        }
    }
    count
}

fn bound_in(body: &[Stmt]) -> HashSet<String> {
    body.iter().flat_map(binds).map(str::to_owned).collect()
}

/// The variables that a statement binds, also in the blocks it holds.
fn binds(statement: &Stmt) -> Vec<&str> {
    let targets: Vec<&Expr> = match statement {
        Stmt::Assign(a) => a.targets.iter().collect(),
        Stmt::For { targets, .. } => targets.iter().collect(),
        Stmt::With { items, .. } => items.iter().filter_map(|(_, b)| b.as_ref()).collect(),
        _ => Vec::new(),
    };
    let own = targets.into_iter().filter_map(|t| match t {
        Expr::Name(name) => Some(name.as_str()),
        _ => None,
    });
    let inner = statement.blocks().into_iter().flatten().flat_map(binds);
    own.chain(inner).collect()
}

/// Removes one statement whose variables were read before the edit and are not any more. `false` if there is none.
fn remove_dead(body: &mut Vec<Stmt>, before: &Before) -> bool {
    let now = reads_besides(body, &before.checked);
    remove_dead_in(body, before, &now)
}

fn remove_dead_in(body: &mut Vec<Stmt>, before: &Before, now: &Reads) -> bool {
    let is_dead = |statement: &Stmt| {
        let own = reads_besides(std::slice::from_ref(statement), &before.checked);
        let count = |reads: &Reads, name: &str| reads.get(name).copied().unwrap_or(0);
        let bound = binds(statement);
        only_binds(statement)
            && bound
                .iter()
                .all(|name| count(now, name) == count(&own, name))
            && bound
                .iter()
                .any(|name| count(&before.reads, name) > count(&own, name))
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

/// `y = x` is left where a call stood: both become one variable where each is bound just once.
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
        let is_variable = bindings(method, origin) == 1;
        (is_variable && bindings(method, alias) == 1).then(|| (at, alias.clone(), origin.clone()))
    })
}

/// How often a method binds a variable: as a parameter, by assignment, by a loop or a `with`.
fn bindings(method: &Function, variable: &str) -> usize {
    let is_it = |e: &Expr| matches!(e, Expr::Name(name) if name == variable);
    fn count(body: &[Stmt], is_it: &impl Fn(&Expr) -> bool) -> usize {
        body.iter()
            .map(|statement| {
                let here = match statement {
                    Stmt::Assign(a) => a.targets.iter().filter(|e| is_it(e)).count(),
                    Stmt::For { targets, .. } => targets.iter().filter(|e| is_it(e)).count(),
                    Stmt::With { items, .. } => items
                        .iter()
                        .filter_map(|(_, b)| b.as_ref())
                        .filter(|e| is_it(e))
                        .count(),
                    _ => 0,
                };
                here + statement
                    .blocks()
                    .into_iter()
                    .map(|b| count(b, is_it))
                    .sum::<usize>()
            })
            .sum()
    }
    method.params.iter().filter(|p| p.name == variable).count() + count(&method.body, &is_it)
}
