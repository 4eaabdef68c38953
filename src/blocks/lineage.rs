//! Names that blocks keep while others are removed.
//!
//! A block without a module of its own is named by its place, which changes with each removal. And if a larger block
//! has two blocks in it and the first of them goes, the larger one may be found in the place of the second. So a block
//! is recognised by its statements: those of the original that are left of it.

#![forbid(unsafe_code)]

use std::collections::HashSet;

use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, AnalysisError};
use crate::blocks::patch::{Patch, PatchError};
use crate::program::{Emitter, Skip};

/// The blocks of an original network, as they are found after removals.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// Which statement of the original each statement of the network is.
    statements: Vec<usize>,
    /// The blocks met so far: their statements when they were first met, and their names.
    known: Vec<(Vec<usize>, String)>,
}

/// Why removals cannot be repeated.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Patch(#[from] PatchError),
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
}

impl Lineage {
    /// Before the first removal: blocks are named as they are found.
    #[must_use]
    pub fn of(original: &Analysis) -> Self {
        let known = original.blocks.iter();
        Lineage {
            statements: (0..original.program.statements.len()).collect(),
            known: known
                .map(|b| (b.statements.clone().collect(), b.path.clone()))
                .collect(),
        }
    }

    /// Gives the blocks of this network the names that they had before, and new blocks names that no block had.
    pub fn name(&mut self, analysis: &mut Analysis) {
        // After an edit other than a removal it is not known where the blocks came from.
        let followed = self.statements.len() == analysis.program.statements.len();
        let left: HashSet<usize> = self.statements.iter().copied().collect();
        for block in &mut analysis.blocks {
            let now = if followed {
                self.statements[block.statements.clone()].to_vec()
            } else {
                Vec::new()
            };
            let of_now = |then: &[usize]| then.iter().filter(|s| left.contains(s)).eq(&now);
            let known = self.known.iter();
            let mut known = known.filter(|(then, name)| {
                if followed {
                    of_now(then)
                } else {
                    *name == block.path
                }
            });
            match known.next_back() {
                Some((_, name)) => block.path.clone_from(name),
                None => {
                    block.path = self.unused(&block.path);
                    self.known.push((now, block.path.clone()));
                }
            }
        }
    }

    /// A name like this one that no block had so far.
    fn unused(&self, name: &str) -> String {
        let is_used = |name: &str| self.known.iter().any(|(_, known)| known == name);
        let mut unused = name.to_owned();
        let mut number = 1;
        while is_used(&unused) {
            number += 1;
            unused = format!("{name}_{number}");
        }
        unused
    }

    /// Follows the removal of these blocks from a network whose blocks [`name`](Self::name) has named.
    pub fn follow(&mut self, analysis: &Analysis, removed: &[String]) {
        let blocks = removed.iter().filter_map(|path| analysis.block(path));
        let skips: Vec<Skip> = blocks
            .map(|block| Skip {
                statements: block.statements.clone(),
                input: block.input,
                output: block.output,
            })
            .collect();
        let left = Emitter::new(&analysis.network, &analysis.program).left(&skips);
        let originals = left.iter().filter_map(|i| self.statements.get(*i));
        self.statements = originals.copied().collect();
    }

    /// Removes from an archive the blocks that each step names, each from what the steps before it have left.
    ///
    /// # Errors
    /// If a block is not there, or cannot be removed.
    pub fn replay(
        original: &Archive,
        began: &Analysis,
        steps: &[Vec<String>],
    ) -> Result<(Archive, Lineage), ReplayError> {
        let mut lineage = Lineage::of(began);
        let mut archive = original.clone();
        for step in steps {
            let mut analysis = Analysis::of(&archive, &began.request)?;
            lineage.name(&mut analysis);
            archive = Patch::remove(&analysis, step)?.apply(&archive, &analysis)?;
            lineage.follow(&analysis, step);
        }
        Ok((archive, lineage))
    }
}
