//! What a network costs: parameters and multiply-accumulates (MACs).
//!
//! MACs are counted the paper's way: convolutions, linear layers and matrix products, for one sample; one
//! multiplication with its addition is one. Normalisation, activations and additions are not counted.

use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;

use crate::program::{Network, Op, Program, TensorInfo, statement_macs};

/// A count of multiply-accumulates for one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Macs {
    pub count: i64,
    /// False if some of the code could not be followed, so that `count` is a lower bound.
    pub exact: bool,
}

/// The MACs of these statements.
#[must_use]
pub fn macs(network: &Network, program: &Program, statements: Range<usize>) -> Macs {
    let mut total = Macs {
        count: 0,
        exact: true,
    };
    for statement in program.statements.get(statements).unwrap_or_default() {
        match statement_macs(network, &program.values, statement) {
            Some(count) => total.count = total.count.saturating_add(count),
            None => total.exact = false,
        }
    }
    total
}

/// The number of elements of the distinct weights that these statements read.
#[must_use]
pub fn params(network: &Network, program: &Program, statements: Range<usize>) -> i64 {
    let mut seen = HashSet::new();
    let statements = program.statements.get(statements).unwrap_or_default();
    let operands = statements.iter().flat_map(|s| &s.args).map(|a| &a.value);
    let unfollowed = statements.iter().filter_map(|s| match s.op {
        Op::Method { module, .. } => Some(network.modules.tensors(module)),
        _ => None,
    });
    let unfollowed = unfollowed.flatten().map(|(_, _, info)| info);
    operands
        .filter_map(|operand| network.weight(operand))
        .chain(unfollowed.filter(|info| info.parameter))
        .filter(|info| seen.insert(info.storage.as_str()))
        .map(TensorInfo::len)
        .sum()
}
