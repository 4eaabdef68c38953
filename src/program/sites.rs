//! Where the code of a method speaks of a value.

use std::ops::Range;

use super::ast::CallId;
use super::{CallIndex, ModuleId, Op, Operand, Program, ValueId};

/// An expression in the code of a method that stands for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mention {
    /// An argument of the call that is replaced, by position.
    Argument(usize),
    Variable(String),
    /// A call expression.
    Expression(CallId),
}

impl Program {
    /// The call expression in the code of `frame`'s method that gives `value`; `None` if there is none, or it runs
    /// more than once.
    #[must_use]
    pub fn expression_of(&self, frame: CallIndex, value: ValueId) -> Option<CallId> {
        let expressions = &self.calls.get(frame.0)?.expressions;
        // Later ones only hand the value on.
        let (id, _) = expressions.iter().find(|(_, v)| *v == value)?;
        self.runs_once(frame, *id).then_some(*id)
    }

    /// Whether a call expression in the code of `frame`'s method runs exactly once: it stands in no loop.
    #[must_use]
    pub fn runs_once(&self, frame: CallIndex, expression: CallId) -> bool {
        let expressions = &self.calls[frame.0].expressions;
        expressions
            .iter()
            .filter(|(id, _)| *id == expression)
            .count()
            == 1
    }

    /// How the code of `frame`'s method can speak of `value`.
    #[must_use]
    pub fn mention_of(&self, frame: CallIndex, value: ValueId) -> Option<Mention> {
        let variables = &self.calls.get(frame.0)?.variables;
        let bound_once = |name: &String| variables.iter().filter(|(n, _)| n == name).count() == 1;
        let named = variables.iter().find(|(n, v)| *v == value && bound_once(n));
        match named {
            Some((name, _)) => Some(Mention::Variable(name.clone())),
            None => self.expression_of(frame, value).map(Mention::Expression),
        }
    }

    /// How the code that makes `call` can speak of a value that the call takes.
    #[must_use]
    pub fn argument_of(&self, call: CallIndex, value: ValueId) -> Option<Mention> {
        let args = &self.calls.get(call.0)?.args;
        let position = args.iter().position(|a| a.operand == Operand::Value(value));
        position.map(Mention::Argument)
    }

    /// The modules that the code of `frame`'s method calls within these statements and that run nowhere else, in the
    /// order of their calls.
    #[must_use]
    pub fn called_in(&self, frame: CallIndex, statements: &Range<usize>) -> Vec<ModuleId> {
        let within =
            |run: &Range<usize>| statements.start <= run.start && run.end <= statements.end;
        let own = self.calls[frame.0].module;
        let called = self.runs().filter(|(caller, module, run)| {
            *caller == Some(frame) && *module != own && within(run)
        });
        let mut found: Vec<(usize, ModuleId)> = called
            .filter(|(_, module, _)| {
                let mut runs = self.runs().filter(|(_, other, _)| other == module);
                runs.all(|(_, _, run)| within(&run))
            })
            .map(|(_, module, run)| (run.start, module))
            .collect();
        found.sort_by_key(|(start, _)| *start);
        let mut modules: Vec<ModuleId> = Vec::new();
        for (_, module) in found {
            if !modules.contains(&module) {
                modules.push(module);
            }
        }
        modules
    }

    /// Every run of a module, followed or not: its caller and its statements.
    fn runs(&self) -> impl Iterator<Item = (Option<CallIndex>, ModuleId, Range<usize>)> {
        let followed = self
            .calls
            .iter()
            .map(|c| (c.caller, c.module, c.range.clone()));
        let left = self.statements.iter().enumerate();
        let left = left.filter_map(|(i, statement)| match statement.op {
            Op::Method { module, .. } => Some((statement.call, module, i..i + 1)),
            _ => None,
        });
        followed.chain(left)
    }
}
