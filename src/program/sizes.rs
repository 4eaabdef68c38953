//! Sizes that any part of a program can tell by itself, although they were computed in front of it.

use super::value::{Dim, Known, Operand, ValueId};
use super::{Argument, Op, Program, Statement};

impl Program {
    /// The size that a value is, if a part of the program that begins with `tensor` can tell it: a number that is known,
    /// or how many images there are.
    #[must_use]
    pub fn size_told_by(&self, tensor: ValueId, value: ValueId) -> Option<Dim> {
        match self.value(value).known {
            Known::Int(size) if size.batch == 0 => Some(size),
            Known::Int(Dim::BATCH) if self.sample_shape(tensor).is_some() => Some(Dim::BATCH),
            _ => None,
        }
    }

    /// The statement by which `tensor` tells that size.
    pub(super) fn tell_size(&self, tensor: ValueId, value: ValueId) -> Option<Statement> {
        let size = self.size_told_by(tensor, value)?;
        let literal = |number: i64| Operand::Literal(number.to_string());
        let (op, operands) = match size.known() {
            Some(number) => (Op::Alias, vec![literal(number)]),
            None => {
                let first_dimension = vec![Operand::Value(tensor), literal(0)];
                (Op::Call("torch.size".into()), first_dimension)
            }
        };
        let args = operands.into_iter();
        Some(Statement {
            op,
            args: args.map(|value| Argument { name: None, value }).collect(),
            outputs: vec![value],
            call: None,
            impure: false,
            macs: None,
            no_grad: false,
            line: None,
        })
    }
}
