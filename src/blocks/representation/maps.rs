//! The maps by which one network can imitate another: the ends of the stages, and what the representation is pooled from.

use super::Representation;
use crate::blocks::analysis::Analysis;
use crate::program::{Operand, Program, Statement, ValueId};

/// A map of features of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureMap {
    /// The stage that it is the end of; `None`: the representation comes of it.
    pub stage: Option<usize>,
    pub value: ValueId,
    /// Of one image.
    pub shape: Vec<i64>,
    /// The dimension of its channels, images being the first one.
    pub channels: usize,
}

impl FeatureMap {
    /// The maps of a network, in the order in which they are made. None twice, and none whose shape is not known.
    #[must_use]
    pub fn all(analysis: &Analysis) -> Vec<FeatureMap> {
        let program = &analysis.program;
        let stages = analysis.blocks.iter().map(|block| block.stage).max();
        let ends = (0..=stages.unwrap_or_default()).filter_map(|stage| {
            let blocks = analysis.blocks.iter().filter(|block| block.stage == stage);
            let last = blocks.max_by_key(|block| block.statements.end)?;
            Some((Some(stage), last.output, last.channels(program)))
        });
        let last = analysis
            .blocks
            .iter()
            .max_by_key(|block| block.statements.end);
        let channels = last.map_or(1, |block| block.channels(program));
        let parts = Representation::of(analysis).map(|r| r.parts);
        let parts = parts.unwrap_or_default().into_iter();
        let pooled = parts.map(|part| (None, in_front_of_pooling(program, part), channels));
        let mut maps: Vec<FeatureMap> = Vec::new();
        for (stage, value, channels) in ends.chain(pooled) {
            let is_new = maps.iter().all(|map| map.value != value);
            if let Some(shape) = program.sample_shape(value).filter(|_| is_new) {
                maps.push(FeatureMap {
                    stage,
                    value,
                    channels: if channels == 1 { 1 } else { shape.len() },
                    shape,
                });
            }
        }
        maps
    }
}

/// Operators that take means or parts of a map, or change its shape.
const POOLING: &[&str] = &[
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "dropout",
    "dropout_",
    "feature_dropout",
    "flatten",
    "mean",
    "reshape",
    "select",
    "squeeze",
    "view",
];

/// What a value was pooled from; the value itself where it was not.
fn in_front_of_pooling(program: &Program, mut value: ValueId) -> ValueId {
    let is_pooling = |s: &&Statement| s.operator().is_some_and(|name| POOLING.contains(&name));
    let pooling = |value| {
        let mut all = program.statements.iter();
        all.find(|s| s.outputs == [value]).filter(is_pooling)
    };
    while let Some(statement) = pooling(value) {
        match statement.args.first().map(|a| &a.value) {
            Some(Operand::Value(before)) => value = *before,
            _ => break,
        }
    }
    value
}
