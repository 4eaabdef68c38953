//! How redundant each block is: the criteria that a run can remove blocks by, one file each.

mod agreement;
mod block_influence;
mod cka;
mod cka_debiased;
mod consensus;
mod contest;
mod criterion;
mod l1;
mod random;
mod recoverability;

pub use crate::blocks::value::{Distribution, Name, Score, Value};
pub use criterion::{Criterion, ScoringContext, Values, ranking};
