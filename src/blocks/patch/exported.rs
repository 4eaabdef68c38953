//! Blocks of an exported program, by the names that its graph has for their values.

use std::collections::{HashMap, HashSet};

use super::Removal;
use crate::archive::exported::{Cut, value_of};
use crate::program::{Program, ValueId};

/// The values of a program that the graph names: the variables of the code are its names.
struct Names<'a>(HashMap<ValueId, Vec<&'a str>>);

impl<'a> Names<'a> {
    fn of(program: &'a Program) -> Self {
        let mut names: HashMap<ValueId, Vec<&str>> = HashMap::new();
        for (variable, id) in program.calls.iter().flat_map(|call| &call.variables) {
            let of_value = names.entry(*id).or_default();
            if let Some(name) = value_of(variable)
                && !of_value.contains(&name)
            {
                of_value.push(name);
            }
        }
        Names(names)
    }

    fn of_value(&self, id: ValueId) -> &[&'a str] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// The blocks as the graph has them; `None` if it has no name for what goes into one or comes out of it.
pub(super) fn cuts(program: &Program, removals: &[Removal]) -> Option<Vec<Cut>> {
    let names = Names::of(program);
    let cut = |removal: &Removal| {
        let skip = &removal.skip;
        let made = program.statements[skip.statements.clone()].iter();
        let made = made.flat_map(|statement| &statement.outputs);
        let values: HashSet<String> = made
            .flat_map(|id| names.of_value(*id))
            .map(|name| (*name).to_owned())
            .collect();
        let [input, output] = [skip.input, skip.output].map(|id| names.of_value(id));
        Some(Cut {
            values,
            // Of several names the last is what the block was given.
            input: (*input.last()?).to_owned(),
            output: (*output.first()?).to_owned(),
        })
    };
    removals.iter().map(cut).collect()
}
