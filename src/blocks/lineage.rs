//! Names that blocks keep while others are removed.
//!
//! A block without a module of its own is named by its place, and that is another one after each removal; and where of
//! two blocks in a larger one the first has gone, the larger one may be what is found in the place of the second. So a
//! block is known by what it is: the statements of the original that are left of it.

#![forbid(unsafe_code)]

use std::collections::HashSet;

use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, AnalysisError};
use crate::blocks::patch::{Patch, PatchError};
use crate::program::{Emitter, Skip};

/// What has become of an original's blocks in a network that removals made of it.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// Which statement of the original each statement of the network is.
    statements: Vec<usize>,
    /// The blocks met so far: their statements when they were met, and their names.
    known: Vec<(Vec<usize>, String)>,
}

/// Why removals cannot be done again.
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

    /// Gives the blocks of the network at hand the names that they had before, and blocks that are new to it names that
    /// no block had.
    pub fn name(&mut self, analysis: &mut Analysis) {
        // After an edit that is none of a removal nothing is known of where blocks came from.
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

    /// A name like this one that no block has had.
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

    /// Follows the removal of these blocks of a network that [`name`](Self::name) was called for.
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

    /// Removes from an archive what each step names, in the network that the steps before have left.
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
