//! Spans with parameters that keep the shape of their input, residual or not.

use std::collections::HashMap;

use super::region::{Graph, Region};
use crate::program::{CallIndex, Network, Statement, ValueId, is_activation};

/// The spans that could go besides the blocks in `taken`; no two of them overlap.
pub(super) fn find(graph: &Graph, network: &Network, taken: &[Region]) -> Vec<Region> {
    let calls = (1..graph.program.calls.len()).filter_map(|i| Region::of_call(graph, CallIndex(i)));
    let layers = (0..graph.program.statements.len()).filter_map(|i| layer(graph, i));
    let mut regions: Vec<Region> = calls
        .chain(layers)
        .filter(|r| keeps_shape(graph, r) && has_layer(graph, network, r))
        .filter(|r| !taken.iter().any(|other| other.overlaps(r)))
        .collect();
    // The larger first; of a call and a span over the same statements, the call.
    regions.sort_by_key(|r| {
        (
            std::cmp::Reverse(r.statements.len()),
            r.call.is_none(),
            r.call,
        )
    });
    let mut from: HashMap<ValueId, Vec<&Region>> = HashMap::new();
    for region in &regions {
        from.entry(region.input).or_default().push(region);
    }
    let mut shown: Vec<Region> = Vec::new();
    for region in &regions {
        let free = !shown.iter().any(|other| other.overlaps(region));
        if free && !is_concatenation(region, &from) {
            shown.push(region.clone());
        }
    }
    shown
}

/// A learned operator with the normalisation and activation behind it.
fn layer(graph: &Graph, at: usize) -> Option<Region> {
    let statement = &graph.program.statements[at];
    if !is_learned(statement) {
        return None;
    }
    let follows = |s: &Statement| {
        s.operator()
            .is_some_and(|o| is_activation(o) || is_normalisation(o))
    };
    let end = graph.chain_behind(*statement.outputs.first()?, at + 1, follows);
    Region::of_span(graph, at..end)
}

fn is_learned(statement: &Statement) -> bool {
    matches!(
        statement.operator(),
        Some("conv1d" | "conv2d" | "conv3d" | "_convolution" | "linear")
    )
}

fn is_normalisation(operator: &str) -> bool {
    matches!(
        operator,
        "batch_norm" | "layer_norm" | "group_norm" | "instance_norm" | "rms_norm"
    )
}

fn keeps_shape(graph: &Graph, region: &Region) -> bool {
    let shape = |v| graph.program.shape(v);
    shape(region.input).is_some() && shape(region.input) == shape(region.output)
}

/// Whether there is a layer in it that multiplies by weights: removing normalisation alone saves nothing.
fn has_layer(graph: &Graph, network: &Network, region: &Region) -> bool {
    graph.program.statements[region.statements.clone()]
        .iter()
        .any(|s| is_learned(s) && s.args.iter().any(|a| network.weight(&a.value).is_some()))
}

/// Whether the region is a chain of smaller spans. `from` has all spans by their input.
fn is_concatenation(region: &Region, from: &HashMap<ValueId, Vec<&Region>>) -> bool {
    let mut value = region.input;
    let mut steps = 0;
    while value != region.output {
        let starting = from.get(&value).map(Vec::as_slice).unwrap_or_default();
        let next = starting
            .iter()
            .find(|r| region.spans(r) && r.statements.len() < region.statements.len());
        match next {
            Some(next) => value = next.output,
            None => return false,
        }
        steps += 1;
    }
    steps > 1
}
