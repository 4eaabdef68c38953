//! Which blocks may go, and which of them go together.

use anyhow::{Result, bail};

use crate::blocks::Block;
use crate::options::Globs;

/// Which blocks may go.
#[derive(Clone, Debug)]
pub struct Rules {
    pub keep: Option<Globs>,
    pub only: Option<Globs>,
    /// Blocks that stay in each stage, shape-changing ones counted.
    pub min_blocks_per_stage: usize,
}

impl Rules {
    /// The removable blocks that may go next.
    #[must_use]
    pub fn candidates<'a>(&self, blocks: &'a [Block]) -> Vec<&'a Block> {
        blocks
            .iter()
            .filter(|b| self.may_go(b, blocks, &[]))
            .collect()
    }

    /// Whether a block may go after others have gone.
    fn may_go(&self, block: &Block, blocks: &[Block], gone: &[&Block]) -> bool {
        let of_stage = |b: &&Block| b.stage == block.stage;
        let left = blocks.iter().filter(of_stage).count();
        let gone = gone.iter().copied().filter(of_stage).count();
        let selected = !self.keep.as_ref().is_some_and(|g| g.matches(&block.path))
            && self.only.as_ref().is_none_or(|g| g.matches(&block.path));
        block.is_removable() && selected && left - gone > self.min_blocks_per_stage
    }

    /// The blocks to remove together: from the best on, at most `count`, until `enough` says so of those taken.
    #[must_use]
    pub fn choose<'a>(
        &self,
        blocks: &'a [Block],
        best_first: impl Iterator<Item = &'a Block>,
        count: usize,
        enough: impl Fn(&[&Block]) -> bool,
    ) -> Vec<&'a Block> {
        let mut chosen: Vec<&Block> = Vec::new();
        for block in best_first {
            if chosen.len() >= count || (!chosen.is_empty() && enough(&chosen)) {
                break;
            }
            // A block may contain another one.
            let overlaps = chosen.iter().any(|b| {
                b.statements.start < block.statements.end
                    && block.statements.start < b.statements.end
            });
            if !overlaps && self.may_go(block, blocks, &chosen) {
                chosen.push(block);
            }
        }
        chosen
    }

    /// Refuses a glob that matches no block.
    ///
    /// # Errors
    /// One message that names the glob.
    pub fn check(&self, blocks: &[Block]) -> Result<()> {
        for (option, globs) in [("--keep", &self.keep), ("--only", &self.only)] {
            if let Some(globs) = globs
                && let Some(glob) = globs.without_match(blocks.iter().map(|b| b.path.as_str()))
            {
                bail!("{option} {glob} matches no block; `ckaprune inspect` lists their paths");
            }
        }
        Ok(())
    }
}
