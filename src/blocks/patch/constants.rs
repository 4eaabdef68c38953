//! The constants that code refers to as `CONSTANTS.cN`.

use std::collections::{BTreeMap, BTreeSet};

use crate::program::Sources;
use crate::program::ast::{Expr, Item, Member, walk_mut};

/// The numbers of the constants that the code reads.
pub(super) fn read_by(sources: &mut Sources) -> BTreeSet<usize> {
    let mut read = BTreeSet::new();
    for (_, file) in sources.files_mut() {
        for item in &mut file.items {
            for_each_expression(item, &mut |e| read.extend(e.constant_number()));
        }
    }
    read
}

/// Numbers the constants that are left from zero, in their order.
pub(super) fn renumber(sources: &mut Sources, left: &BTreeSet<usize>) {
    let new: BTreeMap<usize, usize> = left.iter().copied().zip(0..).collect();
    for (_, file) in sources.files_mut() {
        for item in &mut file.items {
            for_each_expression(item, &mut |expression| {
                if let Some(number) = expression.constant_number().and_then(|old| new.get(&old))
                    && let Expr::Attribute { name, .. } = expression
                {
                    *name = format!("c{number}");
                }
            });
        }
    }
}

/// A text of code with its constants renumbered as [`renumber`] does.
pub(super) fn renumbered_text(text: &str, left: &BTreeSet<usize>) -> String {
    const MARK: &str = "CONSTANTS.c";
    let mut parts = text.split(MARK);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        let place = number
            .parse()
            .ok()
            .and_then(|n: usize| left.iter().position(|l| *l == n));
        let number = place.map_or_else(|| number.to_owned(), |p| p.to_string());
        out += MARK;
        out += &number;
        out += rest;
    }
    out
}

pub(super) fn for_each_expression(item: &mut Item, visit: &mut impl FnMut(&mut Expr)) {
    match item {
        Item::Class(class) => {
            for member in &mut class.members {
                match member {
                    Member::Field(field) => {
                        field.values.iter_mut().for_each(|e| e.walk_mut(visit));
                    }
                    Member::Method(method) => walk_mut(&mut method.body, visit),
                    Member::Pass => {}
                }
            }
        }
        Item::Function(function) => walk_mut(&mut function.body, visit),
        Item::Statement(statement) => walk_mut(std::slice::from_mut(statement), visit),
    }
}
