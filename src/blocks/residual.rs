//! Residual regions, and which of them are the network's blocks.

use std::collections::BTreeMap;

use super::Granularity;
use super::region::{Graph, Region};
use super::sums::addition;
use crate::program::CallIndex;

/// The residual regions to show; no two of them overlap.
pub(super) fn find(graph: &Graph, granularity: Granularity) -> Vec<Region> {
    let sums = Sums::of(graph);
    let mut regions = match granularity {
        Granularity::Block => sums.blocks(),
        Granularity::Fine => sums.halves(),
    };
    regions = select(regions);
    // Of spans that still overlap, none is better than the other: the first one stays.
    let mut shown: Vec<Region> = Vec::new();
    regions.sort_by_key(|r| (r.statements.start, r.statements.end));
    for region in regions {
        if !shown.iter().any(|other| other.overlaps(&region)) {
            shown.push(region);
        }
    }
    shown
}

/// The additions that join a value with what is computed from it.
struct Sums {
    /// Module calls that own an addition: no smaller one has both its sides.
    owners: Vec<Region>,
    /// For each addition the span it ends, and its owner's place in `owners`.
    spans: Vec<(Region, Option<usize>)>,
}

impl Sums {
    fn of(graph: &Graph) -> Self {
        let calls: Vec<Region> = (1..graph.program.calls.len())
            .filter_map(|i| Region::of_call(graph, CallIndex(i)))
            .collect();
        let mut owners: BTreeMap<Option<CallIndex>, Region> = BTreeMap::new();
        let mut spans = Vec::new();
        for (i, statement) in graph.program.statements.iter().enumerate() {
            let Some(sum) = addition(graph.program, statement) else {
                continue;
            };
            // Of two calls that span the same statements, the deeper one.
            let owner = calls
                .iter()
                .filter(|r| r.statements.contains(&i) && r.joins(&sum))
                .min_by_key(|r| (r.statements.len(), std::cmp::Reverse(r.call)));
            if let Some(owner) = owner {
                owners.insert(owner.call, owner.clone());
            }
            if let Some(span) = Region::of_sum(graph, i) {
                spans.push((span, owner.and_then(|r| r.call)));
            }
        }
        let place = |call| owners.keys().position(|k| *k == Some(call));
        let spans = spans
            .into_iter()
            .map(|(span, owner)| (span, owner.and_then(place)))
            .collect();
        Sums {
            spans,
            owners: owners.into_values().collect(),
        }
    }

    /// Module calls, and spans where no module call is around them alone.
    fn blocks(&self) -> Vec<Region> {
        let spans = self.spans.iter().filter(|(span, owner)| match owner {
            None => true,
            Some(owner) if self.owners[*owner].skips => false,
            // The call may have a layer in front of the sum that changes the shape, or be a wrapper that owns all sums.
            Some(owner) => span.skips || self.halves_of(*owner).len() > 1,
        });
        let spans = spans.map(|(span, _)| span);
        self.owners.iter().chain(spans).cloned().collect()
    }

    /// Spans, and module calls that are no more than one span.
    fn halves(&self) -> Vec<Region> {
        let split = |owner: usize| {
            if self.owners[owner].skips {
                self.halves_of(owner).len() > 1
            } else {
                !self.halves_of(owner).is_empty()
            }
        };
        let whole = (0..self.owners.len()).filter(|i| !split(*i));
        let spans = self
            .spans
            .iter()
            .filter(|(_, owner)| owner.is_none_or(split));
        whole
            .map(|i| self.owners[i].clone())
            .chain(spans.map(|(span, _)| span.clone()))
            .collect()
    }

    /// The identity spans in a module call's own code, where there is more to the call than one.
    fn halves_of(&self, owner: usize) -> Vec<&Region> {
        let spans = self.spans.iter().filter(|(_, o)| *o == Some(owner));
        let skipping: Vec<&Region> = spans.map(|(s, _)| s).filter(|s| s.skips).collect();
        // A sum inside one side of another sum is a part of it.
        skipping
            .iter()
            .filter(|s| !skipping.iter().any(|outer| outer.holds(s)))
            .copied()
            .collect()
    }
}

/// Of regions that lie in one another, the block: the outermost one that can go, but not one that is a chain of such.
fn select(regions: Vec<Region>) -> Vec<Region> {
    let is_block: Vec<bool> = regions
        .iter()
        .map(|outer| outer.skips && !holds_a_chain(outer, &regions))
        .collect();
    let hidden = |i: usize| {
        let region = &regions[i];
        let others = || regions.iter().zip(&is_block).filter(|(_, block)| **block);
        let in_block = others().any(|(outer, _)| outer.holds(region));
        let around_block = !is_block[i] && others().any(|(inner, _)| region.holds(inner));
        in_block || around_block
    };
    let shown: Vec<bool> = (0..regions.len()).map(|i| !hidden(i)).collect();
    regions
        .into_iter()
        .zip(shown)
        .filter_map(|(region, shown)| shown.then_some(region))
        .collect()
}

/// Whether two identity regions in this one follow each other: it is a stage then, with a skip of its own.
fn holds_a_chain(outer: &Region, regions: &[Region]) -> bool {
    let inner: Vec<&Region> = regions
        .iter()
        .filter(|r| r.skips && outer.holds(r))
        .collect();
    inner
        .iter()
        .any(|a| inner.iter().any(|b| a.output == b.input))
}
