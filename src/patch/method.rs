//! Taking one call out of a method.

use crate::program::ast::{CallId, Expr, Function, Stmt, walk, walk_mut};

/// Replaces the call by one of its arguments and removes what that leaves without use. `false` if there is no such call.
pub(super) fn remove_call(method: &mut Function, id: CallId, argument: usize) -> bool {
    let mut receiver = None;
    let mut replaced = false;
    walk_mut(&mut method.body, &mut |expression| {
        if let Expr::Call {
            id: found,
            callee,
            args,
            ..
        } = expression
            && *found == id
            && argument < args.len()
        {
            if let Expr::Attribute { base, .. } = &**callee {
                receiver = Some(base.unparenthesised().clone());
            }
            let value = args.swap_remove(argument).value;
            *expression = value;
            replaced = true;
        }
    });
    if replaced {
        if let Some(Expr::Name(variable)) = receiver {
            remove_unused(&mut method.body, &variable);
        }
        merge_aliases(method);
    }
    replaced
}

/// Removes `variable = …` if nobody reads the variable; only used where the value is an attribute.
fn remove_unused(body: &mut Vec<Stmt>, variable: &str) {
    if occurrences(body, variable) != 1 {
        return;
    }
    retain(body, &|statement| match statement {
        Stmt::Assign(a) => match (a.targets.as_slice(), a.values.as_slice()) {
            ([Expr::Name(target)], [value]) => {
                !(target == variable && value.as_attribute().is_some())
            }
            _ => true,
        },
        _ => true,
    });
}

fn retain(body: &mut Vec<Stmt>, keep: &impl Fn(&Stmt) -> bool) {
    body.retain(keep);
    for statement in body {
        for block in statement.blocks_mut() {
            retain(block, keep);
        }
    }
}

fn occurrences(body: &[Stmt], variable: &str) -> usize {
    let mut count = 0;
    walk(body, &mut |e| {
        count += usize::from(matches!(e, Expr::Name(name) if name == variable))
    });
    count
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
