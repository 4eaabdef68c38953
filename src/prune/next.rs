//! The next removal of a run: scored, chosen, done.

use std::ops::ControlFlow;

use anyhow::Result;

use super::{Begun, Figures, Iteration, PruningLoop, Run, Stop};
use crate::archive::Archive;
use crate::blocks::Block;
use crate::blocks::analysis::Analysis;
use crate::blocks::patch::{Patch, PatchError};
use crate::run::torch::Model;
use crate::score::criteria::Score;

impl PruningLoop<'_> {
    /// Scores the candidates and removes the best of them; why not, if there is none.
    pub(super) fn remove_next(&mut self) -> Result<ControlFlow<Stop, Begun>> {
        let number = self.state.iterations.len() + 1;
        let tried: Vec<String> = self.state.tried().flat_map(|i| i.removed.clone()).collect();
        let pruned = self.state.model.clone();
        let analysis = pruned.analysis();
        let mut candidates = self.run.rules.candidates(analysis);
        candidates.retain(|b| !tried.contains(&b.path));
        if candidates.is_empty() {
            if !tried.is_empty() {
                return Ok(ControlFlow::Break(Stop::MaxDrop));
            }
            let why = self.run.rules.why_no_candidate(analysis);
            self.run.warn_of_end(number - 1, &why);
            return Ok(ControlFlow::Break(Stop::NoCandidates));
        }
        let scored = self.scorer.scores(&mut self.state, &candidates, self.saved);
        let mut scores = scored?;
        loop {
            let chosen = self.run.choose(analysis, &candidates, &scores, &self.whole);
            if chosen.is_empty() && !tried.is_empty() {
                return Ok(ControlFlow::Break(Stop::MaxDrop));
            }
            if chosen.is_empty() {
                let why = "none of those left can be taken out";
                self.run.warn_of_end(number - 1, why);
                return Ok(ControlFlow::Break(Stop::NoCandidates));
            }
            // Stages that may lose no more, and blocks that cannot go, let others be picked than those the race looks for.
            if self.scorer.has_dropped(&scores, &chosen) {
                scores = self.scorer.finished(&self.state, scores)?;
                continue;
            }
            match without(&pruned, &chosen) {
                Ok(archive) => {
                    let mut iteration = Iteration::of(number, &chosen, scores);
                    let model = pruned.changed_into(archive)?;
                    let model = self.recovery.repaired(model, &mut iteration)?;
                    return Ok(ControlFlow::Continue(Begun { model, iteration }));
                }
                Err(error) => {
                    let stay = those_that_stay(&pruned, &chosen);
                    self.run.progress().warn(format_args!(
                        "{} stays, and the next candidate is tried: {error}",
                        stay.join(", ")
                    ));
                    candidates.retain(|b| !stay.contains(&b.path));
                }
            }
        }
    }
}

impl Run {
    /// Paths of the blocks to remove together, the best first.
    fn choose(
        &self,
        analysis: &Analysis,
        candidates: &[&Block],
        scores: &[Score],
        whole: &Figures,
    ) -> Vec<String> {
        let is_candidate = |b: &&Block| candidates.iter().any(|c| c.path == b.path);
        let best_first = scores
            .iter()
            .filter_map(|s| analysis.block(&s.path))
            .filter(is_candidate);
        let now = Figures::of(analysis);
        let enough = |gone: &[&Block]| self.targets.met(0, whole, &now.without(gone)).is_some();
        let chosen = self.rules.choose(
            &analysis.blocks,
            best_first,
            self.blocks_per_iteration,
            enough,
        );
        chosen.into_iter().map(|b| b.path.clone()).collect()
    }

    fn warn_of_end(&self, done: usize, why: &str) {
        let asked = self
            .targets
            .iterations
            .map_or(String::new(), |n| format!(" of {n}"));
        self.progress().warn(format_args!(
            "stopping after {done}{asked} iterations: no candidate is left: {why}"
        ));
    }
}

fn without(model: &Model, paths: &[String]) -> Result<Archive, PatchError> {
    Patch::remove(model.analysis(), paths)?.apply(model.archive(), model.analysis())
}

/// Of blocks that cannot go together, those that cannot go alone either; the last of them, if each could.
fn those_that_stay(model: &Model, paths: &[String]) -> Vec<String> {
    let cannot_go = |path: &&String| without(model, &[(*path).clone()]).is_err();
    let stay: Vec<String> = paths.iter().filter(cannot_go).cloned().collect();
    if stay.is_empty() {
        paths.last().cloned().into_iter().collect()
    } else {
        stay
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::Device;

    use super::*;
    use crate::blocks::Reason;
    use crate::blocks::analysis::Request;

    /// What one block does not allow costs the others nothing; where each could go alone, the worst of them stays.
    #[test]
    fn of_blocks_that_cannot_go_together_only_those_at_fault_stay() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let archive = Archive::open(&root.join("tests/archives/basic_scripted.pt")).unwrap();
        let mut analysis = Analysis::of(&archive, &Request::shape(&[3, 8, 8])).unwrap();
        let held = analysis.blocks.iter_mut().find(|b| b.path == "stage1.2");
        held.unwrap().obstacle = Some(Reason::RunsTwice);
        let model = Model::new(archive, analysis, Device::Cpu);
        let stay = |paths: [&str; 3]| those_that_stay(&model, &paths.map(str::to_owned));
        assert_eq!(stay(["stage1.1", "stage1.2", "stage2.1"]), ["stage1.2"]);
        assert_eq!(stay(["stage1.1", "stage2.2", "stage2.1"]), ["stage2.1"]);
    }
}
