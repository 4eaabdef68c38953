//! What statements are given: values, and tensors of the network.

use crate::program::{Argument, ModuleId, Operand, ValueId};

/// A tensor of a network: the module that has it, and its name there.
pub type Named = (ModuleId, String);

pub(super) fn read(argument: &Argument) -> Option<ValueId> {
    match argument.value {
        Operand::Value(value) => Some(value),
        _ => None,
    }
}

pub(super) fn named(operand: &Operand) -> Option<Named> {
    match operand {
        Operand::Attribute { module, name } => Some((*module, name.clone())),
        _ => None,
    }
}
