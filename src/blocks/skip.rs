//! The ways on which a region's input reaches its sums.

use std::collections::{HashMap, HashSet};

use super::layout::Layout;
use super::sums::{Sum, addition};
use crate::program::{Op, Operand, Program, Statement, ValueId, is_activation};

/// The values that depend on `input`, and which of them are `input` plus something, element by element (also with an
/// activation behind the sum).
pub(super) fn flow(
    program: &Program,
    statements: &[Statement],
    input: ValueId,
) -> (HashSet<ValueId>, HashSet<ValueId>) {
    let mut depends = HashSet::from([input]);
    let mut skip = SkipPaths::from(program, input);
    for statement in statements {
        if statement.reads().any(|v| depends.contains(&v)) {
            depends.extend(&statement.outputs);
        }
        skip.follow(statement);
    }
    (depends, skip.sums_in_order())
}

/// For each carrier, where the input's elements are; `None` if shapes are not known.
type Carriers = HashMap<ValueId, Option<Layout>>;

struct SkipPaths<'a> {
    program: &'a Program,
    /// The input itself.
    same: Carriers,
    sums: Carriers,
}

impl<'a> SkipPaths<'a> {
    fn from(program: &'a Program, input: ValueId) -> Self {
        let layout = program.shape(input).and_then(|shape| Layout::of(shape));
        SkipPaths {
            program,
            same: HashMap::from([(input, layout)]),
            sums: HashMap::new(),
        }
    }

    fn follow(&mut self, statement: &Statement) {
        if let Some(sum) = addition(self.program, statement) {
            if let Some(carried) = self.carried_by(&sum, statement) {
                let outputs = statement.outputs.iter();
                self.sums.extend(outputs.map(|v| (*v, carried.clone())));
            }
            return;
        }
        let alias = statement.op == Op::Alias;
        let activation = statement.operator().is_some_and(is_activation);
        hand_on(self.program, &mut self.same, statement, alias);
        hand_on(self.program, &mut self.sums, statement, alias || activation);
    }

    /// The layout of the one side that the input reaches, if that side is neither scaled nor subtracted.
    fn carried_by(&self, sum: &Sum, statement: &Statement) -> Option<Option<Layout>> {
        let skip = |v: ValueId| self.same.get(&v).or_else(|| self.sums.get(&v));
        let carried = match (skip(sum.left), skip(sum.right)) {
            (Some(left), None) if sum.whole.0 => left,
            (None, Some(right)) if sum.whole.1 => right,
            _ => return None,
        };
        keeps_shape(self.program, sum.left, sum.right, statement).then(|| carried.clone())
    }

    /// The sums whose skip has every element of the input in its place.
    fn sums_in_order(self) -> HashSet<ValueId> {
        let in_order = |layout: &Option<Layout>| layout.as_ref().is_none_or(Layout::is_in_order);
        let sums = self.sums.into_iter();
        sums.filter(|(_, layout)| in_order(layout))
            .map(|(value, _)| value)
            .collect()
    }
}

/// Makes carriers of a statement's results, if its argument is one. With `keeps` they have its layout; otherwise the
/// layout is that of the rearranged elements, if the statement does nothing else.
fn hand_on(program: &Program, carriers: &mut Carriers, statement: &Statement, keeps: bool) {
    for output in &statement.outputs {
        let unchanged = program.value(*output).same_as;
        let unchanged = unchanged.and_then(|of| carriers.get(&of)).cloned();
        let first = match statement.args.first().map(|a| &a.value) {
            Some(Operand::Value(first)) => carriers.get(first),
            _ => None,
        };
        let moved = || match (keeps, first?) {
            (true, layout) => Some(layout.clone()),
            (false, layout) => layout.as_ref()?.rearranged(program, statement).map(Some),
        };
        if let Some(layout) = unchanged.or_else(moved) {
            carriers.insert(*output, layout);
        }
    }
}

/// An addition that broadcasts its skip is no identity.
fn keeps_shape(program: &Program, a: ValueId, b: ValueId, statement: &Statement) -> bool {
    let shape = |v: ValueId| program.shape(v);
    let out = statement.outputs.first().and_then(|v| shape(*v));
    match (shape(a), shape(b), out) {
        (Some(a), Some(b), Some(out)) => a == out && b == out,
        _ => true,
    }
}
