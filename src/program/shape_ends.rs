//! Where shapes end: the statements whose inputs have known shapes and whose results do not.

use std::collections::HashSet;

use super::{
    CodeLine, Known, ModuleId, ModuleTree, Network, Op, Program, Statement, ValueId, is_of_archive,
    ops,
};

const COUNTED_BY_DATA: &str = "data say how many elements it gives";

/// A statement of known inputs that gives a tensor of unknown shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeEnd {
    pub statement: usize,
    /// The operator as the code calls it; `None` for code that is not followed.
    pub operator: Option<String>,
    /// The module whose code it is.
    pub module: ModuleId,
    pub line: Option<CodeLine>,
    pub reason: &'static str,
}

impl ShapeEnd {
    /// `torch.nonzero in blocks.0 (__torch__/net.py:12)`
    #[must_use]
    pub fn place(&self, network: &Network) -> String {
        let what = self
            .operator
            .as_deref()
            .unwrap_or("code that is not followed");
        let path = match network.modules.get(self.module).path.as_str() {
            "" => "the root".to_owned(),
            path => path.to_owned(),
        };
        let line = self.line.map(|line| network.sources.show_line(line));
        let line = line.map_or(String::new(), |line| format!(" ({line})"));
        format!("{what} in {path}{line}")
    }
}

impl Program {
    /// The places where shapes end, in order.
    #[must_use]
    pub fn shape_ends(&self) -> Vec<ShapeEnd> {
        let numbers = self.numbers();
        let statements = self.statements.iter().enumerate();
        let ends = statements.filter_map(|(i, statement)| self.shape_end(&numbers, i, statement));
        ends.collect()
    }

    /// The values that are no tensors, though nothing more is known of them: what operators gave that give no tensor,
    /// and what was computed from such values alone.
    fn numbers(&self) -> HashSet<ValueId> {
        let mut numbers = HashSet::new();
        for statement in &self.statements {
            let Some(operator) = statement.operator() else {
                continue;
            };
            let of_numbers = ops::computes_numbers(operator)
                && statement.reads().all(|v| match self.value(v).known {
                    Known::Nothing => numbers.contains(&v),
                    Known::Tensor { .. } | Known::List(_) | Known::Tuple(_) => false,
                    _ => true,
                });
            if ops::gives_no_tensor(operator) || of_numbers {
                numbers.extend(&statement.outputs);
            }
        }
        numbers
    }

    fn shape_end(
        &self,
        numbers: &HashSet<ValueId>,
        i: usize,
        statement: &Statement,
    ) -> Option<ShapeEnd> {
        let operator = match (&statement.op, statement.operator()) {
            (Op::Call(_), Some(name)) if ops::gives_no_tensor(name) => return None,
            (Op::Call(function), _) if !is_of_archive(function) => Some(function),
            (Op::Call(_) | Op::Method { .. } | Op::Opaque(_), _) => None,
            _ => return None,
        };
        let unknown = |v: &ValueId| is_unknown(&self.value(*v).known);
        let lost_before = |v: ValueId| match &self.value(v).known {
            Known::Nothing => !numbers.contains(&v),
            Known::List(items) | Known::Tuple(items) => items.iter().any(|v| is_unknown(&v.known)),
            known => is_unknown(known),
        };
        let is_number = |v: &ValueId| numbers.contains(v);
        if !statement.outputs.iter().any(unknown)
            || statement.outputs.iter().all(is_number)
            || statement.reads().any(lost_before)
        {
            return None;
        }
        let reason = match statement.operator().filter(|_| operator.is_some()) {
            None => "its code is not followed",
            Some("index" | "_unsafe_index") => COUNTED_BY_DATA,
            Some(name) if ops::is_counted_by_data(name) => COUNTED_BY_DATA,
            Some(name) if !ops::has_rule(name) => "what it gives is not known here",
            Some(_) if statement.reads().any(|v| numbers.contains(&v)) => "data decide its sizes",
            Some(_) => "its rule does not cover these arguments",
        };
        let module = statement.call.map(|call| self.calls[call.0].module);
        Some(ShapeEnd {
            statement: i,
            operator: operator.cloned(),
            module: module.unwrap_or(ModuleTree::ROOT),
            line: statement.line,
            reason,
        })
    }
}

fn is_unknown(known: &Known) -> bool {
    matches!(known, Known::Nothing | Known::Tensor { shape: None, .. })
}
