//! What of an archive's code something needs.

use std::collections::{BTreeMap, HashSet};

use super::ast::{Expr, Function, Item, unquoted, walk};
use super::{Sources, is_of_archive};

/// The classes and functions that `root` needs, by qualified name.
#[must_use]
pub fn reachable(sources: &Sources, root: &str) -> HashSet<String> {
    let mut mentioned: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, file) in sources.files() {
        for item in &file.items {
            if let Some(name) = item.name() {
                mentioned.insert(format!("{module}.{name}"), names_in(item));
            }
        }
    }
    let mut found = HashSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(name) = open.pop() {
        if let Some(names) = mentioned.get(&name)
            && found.insert(name)
        {
            open.extend(names.iter().cloned());
        }
    }
    found
}

/// Every dotted name in an item, with all its prefixes: `__torch__.Colour.RED` needs `__torch__.Colour`.
fn names_in(item: &Item) -> Vec<String> {
    let mut names = Vec::new();
    let mut visit = |expression: &Expr| {
        let dotted = match expression {
            Expr::Str(text) => Some(unquoted(text).to_owned()),
            other => other.dotted(),
        };
        names.extend(dotted.filter(|d| is_of_archive(d)));
    };
    walk_item(item, &mut visit);
    names
}

fn walk_item<'a>(item: &'a Item, visit: &mut impl FnMut(&'a Expr)) {
    match item {
        Item::Class(class) => {
            for field in class.fields() {
                let parts = field.targets.iter().chain(&field.annotation);
                parts.chain(&field.values).for_each(|e| e.walk(visit));
            }
            class.methods().for_each(|m| walk_function(m, visit));
        }
        Item::Function(function) => walk_function(function, visit),
        Item::Statement(statement) => walk(std::slice::from_ref(statement), visit),
    }
}

fn walk_function<'a>(function: &'a Function, visit: &mut impl FnMut(&'a Expr)) {
    let annotations = function
        .params
        .iter()
        .flat_map(|p| p.annotation.iter().chain(&p.default));
    annotations
        .chain(&function.returns)
        .for_each(|e| e.walk(visit));
    walk(&function.body, visit);
}
