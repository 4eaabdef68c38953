//! Which blocks may go, and which of them go together.

use anyhow::{Result, bail};

use crate::blocks::Block;
use crate::blocks::Globs;
use crate::blocks::analysis::Analysis;
use crate::blocks::representation::Representation;
use crate::blocks::verdict::{obstacles, some_of};

/// Which blocks may go.
#[derive(Clone, Debug)]
pub struct Rules {
    pub keep: Option<Globs>,
    pub only: Option<Globs>,
    /// Blocks that stay in each stage, shape-changing ones counted.
    pub min_blocks_per_stage: usize,
}

impl Rules {
    /// The removable blocks that may go next: for every criterion those whose absence the class scores can tell. What a
    /// block on the way to another output alone is worth, nobody measures.
    #[must_use]
    pub fn candidates<'a>(&self, analysis: &'a Analysis) -> Vec<&'a Block> {
        let blocks = &analysis.blocks;
        let shown = shown(analysis).into_iter();
        shown.filter(|b| self.may_go(b, blocks, &[])).collect()
    }

    /// Why there is no candidate: one sentence, without a full stop at its end.
    #[must_use]
    pub fn why_no_candidate(&self, analysis: &Analysis) -> String {
        let blocks = &analysis.blocks;
        let removable: Vec<&Block> = blocks.iter().filter(|b| b.is_removable()).collect();
        if removable.is_empty() {
            return obstacles(analysis);
        }
        let shown = shown(analysis);
        let listed = |blocks: &[&Block]| {
            let paths: Vec<&str> = blocks.iter().map(|b| b.path.as_str()).collect();
            some_of(&paths)
        };
        if shown.is_empty() {
            return format!(
                "the class scores do not depend on any block that could go: what is on the way to another output alone \
                 stays ({})",
                listed(&removable)
            );
        }
        let selected: Vec<&Block> = shown.iter().copied().filter(|b| self.selects(b)).collect();
        if selected.is_empty() {
            let options = [("--keep", &self.keep), ("--only", &self.only)];
            let given = options.into_iter().filter(|(_, globs)| globs.is_some());
            let given: Vec<&str> = given.map(|(option, _)| option).collect();
            return format!(
                "{} leaves none of those that could go ({})",
                given.join(" with "),
                listed(&shown)
            );
        }
        format!(
            "--min-blocks-per-stage {} keeps what could go ({})",
            self.min_blocks_per_stage,
            listed(&selected)
        )
    }

    fn selects(&self, block: &Block) -> bool {
        !self.keep.as_ref().is_some_and(|g| g.matches(&block.path))
            && self.only.as_ref().is_none_or(|g| g.matches(&block.path))
    }

    /// Whether a block may go after others have gone.
    fn may_go(&self, block: &Block, blocks: &[Block], gone: &[&Block]) -> bool {
        let of_stage = |b: &&Block| b.stage == block.stage;
        let left = blocks.iter().filter(of_stage).count();
        let gone = gone.iter().copied().filter(of_stage).count();
        block.is_removable() && self.selects(block) && left - gone > self.min_blocks_per_stage
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

/// The removable blocks whose absence the class scores can tell; all of them where what is compared cannot be told
/// either.
fn shown(analysis: &Analysis) -> Vec<&Block> {
    let compared = Representation::of(analysis).ok();
    let is_shown = |b: &&Block| compared.as_ref().is_none_or(|c| c.shows(b));
    let removable = analysis.blocks.iter().filter(|b| b.is_removable());
    removable.filter(is_shown).collect()
}
