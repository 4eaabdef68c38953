//! What training a network comes to where its archive says more than the weights.

use std::collections::HashSet;

use crate::blocks::analysis::Analysis;
use crate::blocks::answer::Answering;
use crate::blocks::patch::unmoved_statistics;
use crate::program::{ModuleId, ModuleTree, Operand, Statement};
use crate::report::{counted, thousands};

/// One sentence each, for the user to know before the network is trained.
#[must_use]
pub fn caveats(analysis: &Analysis) -> Vec<String> {
    let network = &analysis.network;
    let all = thousands(network.parameter_count());
    let mut said = Vec::new();
    let held = elements(analysis, |_, _, requires_grad| !requires_grad);
    match held {
        0 => {}
        held if held == network.parameter_count() => said.push(format!(
            "the archive says requires_grad=False of all {all} parameters: all of them are trained"
        )),
        held => said.push(format!(
            "{} of {all} parameters stay as they are: the archive says requires_grad=False of them",
            thousands(held)
        )),
    }
    let cut_off = cut_off(analysis);
    let cut_off = elements(analysis, |module, name, _| {
        cut_off.contains(&(module, name.to_owned()))
    });
    if cut_off > 0 {
        said.push(format!(
            "{} of {all} parameters stay as they are: the network uses them under torch.no_grad(), or detaches what it \
             makes of them",
            thousands(cut_off)
        ));
    }
    let unmoved = unmoved_statistics(&analysis.program);
    if unmoved > 0 {
        said.push(format!(
            "{} with momentum 0 or None, which would leave the statistics behind the weights: in training it is 0.1",
            counted(unmoved, "batch normalisation")
        ));
    }
    said
}

/// Elements of the distinct parameters that are of this kind.
fn elements(analysis: &Analysis, is: impl Fn(ModuleId, &str, bool) -> bool) -> i64 {
    let mut seen = HashSet::new();
    let tensors = analysis.network.modules.tensors(ModuleTree::ROOT);
    tensors
        .filter(|(module, name, info)| info.parameter && is(*module, name, info.requires_grad))
        .filter(|(_, _, info)| seen.insert(info.storage.as_str()))
        .map(|(_, _, info)| info.len())
        .sum()
}

/// The tensors that the answer needs and no gradient reaches.
fn cut_off(analysis: &Analysis) -> HashSet<(ModuleId, String)> {
    let Some(answering) = Answering::of(analysis) else {
        return HashSet::new();
    };
    let needed = answering.program;
    let reached = read(needed.learns(&Operand::Value(answering.value)));
    let mut cut_off = read(needed.statements.iter());
    cut_off.retain(|tensor| !reached.contains(tensor));
    cut_off
}

fn read<'a>(statements: impl Iterator<Item = &'a Statement>) -> HashSet<(ModuleId, String)> {
    fn tensors(operand: &Operand) -> Vec<(ModuleId, String)> {
        match operand {
            Operand::Attribute { module, name } => vec![(*module, name.clone())],
            Operand::List(items) | Operand::Tuple(items) => {
                items.iter().flat_map(tensors).collect()
            }
            Operand::Typed { value, .. } => tensors(value),
            _ => Vec::new(),
        }
    }
    let operands = statements.flat_map(|s| &s.args).map(|a| &a.value);
    operands.flat_map(tensors).collect()
}
