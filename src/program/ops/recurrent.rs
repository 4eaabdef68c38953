//! Layers with a memory: as many results for each step as the memory has, once for each direction.

use super::Args;
use crate::program::value::{Dim, Shape, Val};

/// `lstm(input, [h, c], params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`
pub(super) fn lstm(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let states = args.at(1)?.items()?;
    let state = |i: usize| states.get(i).and_then(Val::shape).cloned();
    Some(vec![output(args, &state(0)?), state(0), state(1)])
}

/// `gru(input, h, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)`
pub(super) fn one_state(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let state = args.shape(1)?;
    Some(vec![output(args, state), Some(state.clone())])
}

fn output(args: &Args, state: &Shape) -> Option<Shape> {
    let directions = 1 + i64::from(args.get(7, "bidirectional")?.as_bool()?);
    let (_, steps) = args.shape(0)?.split_last()?;
    let width = state.last()?.times(Dim::fixed(directions))?;
    Some(steps.iter().copied().chain([width]).collect())
}

/// `lstm_cell(input, [h, c], …)`
pub(super) fn lstm_cell(_: &str, args: &Args) -> Option<Vec<Option<Shape>>> {
    let states = args.at(1)?.items()?;
    Some(states.iter().map(|v| v.shape().cloned()).collect())
}
