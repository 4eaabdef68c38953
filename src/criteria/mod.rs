//! How redundant each block is: the criteria that a run can remove blocks by, one file each.

#[cfg(feature = "torch")]
mod block_influence;
#[cfg(feature = "torch")]
mod cka;
#[cfg(feature = "torch")]
mod cka_debiased;
#[cfg(feature = "torch")]
mod consensus;
#[cfg(feature = "torch")]
mod criterion;
#[cfg(feature = "torch")]
mod l1;
#[cfg(feature = "torch")]
mod random;
mod value;

#[cfg(feature = "torch")]
pub use criterion::{Criterion, Found, Look, ranking};
pub use value::{Distribution, Name, Score, Value};
