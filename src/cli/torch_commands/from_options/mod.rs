//! What groups of options mean: here they become plain values of the other rooms.

mod gates;
mod measure;
mod pixels;
pub(super) mod robustness;
