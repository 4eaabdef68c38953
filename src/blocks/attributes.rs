//! Which modules and tensors a block needs that nothing else needs.

use std::collections::HashSet;

use super::Block;
use crate::program::{ModuleId, Network, Operand, Program};

/// The attributes to take away with a block: by owner and name, none inside another.
pub(crate) fn used_by_block_alone(
    network: &Network,
    program: &Program,
    block: &Block,
) -> Vec<(ModuleId, String)> {
    let modules: Vec<ModuleId> = match block.call {
        Some(call) => vec![program.calls[call.0].module],
        None => program.called_in(block.frame, &block.statements),
    };
    let below: HashSet<ModuleId> = modules
        .iter()
        .flat_map(|module| network.modules.subtree(*module))
        .collect();
    let holders = modules.iter().filter_map(|module| {
        let (owner, name) = network.modules.place(*module)?;
        Some((owner, name.to_owned()))
    });
    let tensors = read_alone(program, block).into_iter();
    holders
        .chain(tensors.filter(|(owner, _)| !below.contains(owner)))
        .collect()
}

/// The tensors of modules that only the statements of a block read.
fn read_alone(program: &Program, block: &Block) -> Vec<(ModuleId, String)> {
    let read = |range: &[crate::program::Statement]| -> Vec<(ModuleId, String)> {
        let operands = range.iter().flat_map(|s| &s.args).map(|a| &a.value);
        operands.flat_map(tensors_of).collect()
    };
    let (start, end) = (block.statements.start, block.statements.end);
    let elsewhere: HashSet<(ModuleId, String)> = read(&program.statements[..start])
        .into_iter()
        .chain(read(&program.statements[end..]))
        .collect();
    let mut inside = read(&program.statements[start..end]);
    inside.retain(|tensor| !elsewhere.contains(tensor));
    let mut seen = HashSet::new();
    inside.retain(|tensor| seen.insert(tensor.clone()));
    inside
}

fn tensors_of(operand: &Operand) -> Vec<(ModuleId, String)> {
    match operand {
        Operand::Attribute { module, name } => vec![(*module, name.clone())],
        Operand::List(items) | Operand::Tuple(items) => items.iter().flat_map(tensors_of).collect(),
        Operand::Typed { value, .. } => tensors_of(value),
        _ => Vec::new(),
    }
}
