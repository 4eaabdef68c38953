//! The end of building: which writes in place have to stay, and which statements nobody needs.

use std::collections::{HashMap, HashSet};

use super::{Builder, Families, Program, Val, ValueId};

impl Builder<'_> {
    /// The in-place operators that changed memory which later statements read through another value.
    pub fn conflicts(&self, output: &Val) -> HashSet<usize> {
        let mut defined_at: HashMap<ValueId, usize> = HashMap::new();
        for (i, statement) in self.statements.iter().enumerate() {
            defined_at.extend(statement.outputs.iter().map(|v| (*v, i)));
        }
        let looks = self
            .statements
            .iter()
            .enumerate()
            .flat_map(|(i, s)| {
                s.args
                    .iter()
                    .flat_map(|a| a.value.values())
                    .map(move |v| (i, v))
            })
            .chain(
                output
                    .operand
                    .values()
                    .into_iter()
                    .map(|v| (self.statements.len(), v)),
            );
        let families = Families::of(&self.values, &self.statements);
        let mut found = HashSet::new();
        for (at, value) in looks {
            let root = families.root(value);
            let born = defined_at.get(&value);
            found.extend(
                self.writes
                    .iter()
                    .filter(|w| {
                        families.root(w.root) == root
                            && w.statement < at
                            && born.is_none_or(|b| *b < w.statement)
                    })
                    .map(|w| w.ordinal),
            );
        }
        found
    }

    /// The finished program, without the statements that nothing needs.
    pub fn finish(mut self, input: ValueId, output: Val) -> Program {
        let families = Families::of(&self.values, &self.statements);
        for (i, value) in self.values.iter_mut().enumerate() {
            value.root = families.root(ValueId(i as u32));
        }
        let mut needed: HashSet<ValueId> = output.operand.values().into_iter().collect();
        let mut keep = vec![false; self.statements.len()];
        for (i, statement) in self.statements.iter().enumerate().rev() {
            if statement.impure || statement.outputs.iter().any(|v| needed.contains(v)) {
                keep[i] = true;
                needed.extend(statement.args.iter().flat_map(|a| a.value.values()));
            }
        }
        let mut new_index = Vec::with_capacity(keep.len() + 1);
        let mut count = 0;
        for kept in &keep {
            new_index.push(count);
            count += usize::from(*kept);
        }
        new_index.push(count);
        let open = self.open(&needed);
        let mut calls = self.calls;
        for call in &mut calls {
            call.range = new_index[call.range.start]..new_index[call.range.end];
        }
        let statements = self
            .statements
            .into_iter()
            .zip(keep)
            .filter_map(|(s, kept)| kept.then_some(s))
            .collect();
        Program {
            values: self.values,
            statements,
            calls,
            not_followed: self.not_followed,
            input,
            output,
            autocast: self.autocast,
            open,
        }
    }
}
