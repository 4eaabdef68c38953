//! Stages, and names for blocks.

use std::collections::HashMap;

use super::region::Region;
use super::{Block, Reason};
use crate::program::{ModuleId, ModuleTree, Network, Program};

/// Numbers the stages: consecutive blocks of one output shape.
pub(super) fn number_stages(blocks: &mut [Block]) {
    let mut stage = 0;
    for i in 1..blocks.len() {
        let (before, block) = (&blocks[i - 1], &blocks[i]);
        let begins = match (&before.output_shape, &block.output_shape) {
            (Some(a), Some(b)) => a != b,
            _ => matches!(
                block.obstacle,
                Some(Reason::ChangesShape { .. } | Reason::ShortcutComputes)
            ),
        };
        stage += usize::from(begins);
        blocks[i].stage = stage;
    }
}

/// The path of the module a region stands for: the module that runs in it, the heaviest of several, or the first and
/// last of a row of siblings, `features.4-6`. `None` where no module does.
pub(super) fn path_in_tree(
    network: &Network,
    program: &Program,
    region: &Region,
) -> Option<String> {
    let modules = &network.modules;
    if let Some(call) = region.call {
        return Some(modules.get(program.calls[call.0].module).path.clone());
    }
    let inside = program.called_in(region.frame, &region.statements);
    let path = |id: ModuleId| modules.get(id).path.clone();
    let parent = |id: ModuleId| modules.get(id).parent;
    match inside.as_slice() {
        [] => None,
        [only] => Some(path(*only)),
        [first, .., last]
            if !region.skips && inside.iter().all(|id| parent(*id) == parent(*first)) =>
        {
            let name = path(*last);
            let name = name
                .rsplit_once('.')
                .map_or(name.as_str(), |(_, name)| name);
            Some(format!("{}-{name}", path(*first)))
        }
        _ => {
            let heaviest = inside
                .iter()
                .rev()
                .max_by_key(|id| modules.parameter_count(**id))?;
            (modules.parameter_count(*heaviest) > 0).then(|| path(*heaviest))
        }
    }
}

/// Names blocks by their places if they have no name of their own, or the same name as another: `stage2.block3`, or
/// `features.3.block2` in the code of a module.
pub(super) fn name_by_place(network: &Network, program: &Program, blocks: &mut [Block]) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for block in blocks.iter() {
        *count.entry(block.path.clone()).or_default() += 1;
    }
    let mut place: HashMap<String, usize> = HashMap::new();
    for block in blocks.iter_mut() {
        let module = program.calls[block.frame.0].module;
        let parent = match module {
            ModuleTree::ROOT => format!("stage{}", block.stage + 1),
            module => network.modules.get(module).path.clone(),
        };
        let number = place.entry(parent.clone()).or_default();
        *number += 1;
        let ambiguous = block.call.is_none() && count.get(&block.path).is_some_and(|n| *n > 1);
        if block.path.is_empty() || ambiguous {
            block.path = format!("{parent}.block{number}");
        }
    }
}
