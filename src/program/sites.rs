//! Where the code of a method speaks of a value.

use super::ast::CallId;
use super::{CallIndex, Operand, Program, ValueId};

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
        (expressions.iter().filter(|(other, _)| other == id).count() == 1).then_some(*id)
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
}
