//! Values that may share memory.

use super::value::ValueId;
use super::{Op, Statement, Value, is_of_archive};

/// Which values may share memory, also through code that was not followed.
pub(super) struct Families {
    /// For each value an older one of its family, or itself.
    older: Vec<ValueId>,
}

impl Families {
    pub fn of(values: &[Value], statements: &[Statement]) -> Self {
        let mut families = Families {
            older: values.iter().map(|v| v.root).collect(),
        };
        // A list shares memory with all its items.
        let joins = |s: &&Statement| is_foreign(&s.op) || s.op == Op::Alias;
        for statement in statements.iter().filter(joins) {
            let mut members = statement.reads().chain(statement.outputs.iter().copied());
            if let Some(first) = members.next() {
                members.for_each(|member| families.join(first, member));
            }
        }
        families
    }

    /// The oldest value of a family.
    pub fn root(&self, mut value: ValueId) -> ValueId {
        loop {
            let older = self.older[value.0 as usize];
            if older == value {
                return value;
            }
            value = older;
        }
    }

    fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.root(a), self.root(b));
        self.older[a.max(b).0 as usize] = a.min(b);
    }
}

/// Whether this is code that was not followed: it may write into all its arguments, and return any of them.
pub(super) fn is_foreign(op: &Op) -> bool {
    match op {
        Op::Method { .. } | Op::Opaque(_) => true,
        Op::Call(function) => is_of_archive(function),
        _ => false,
    }
}
