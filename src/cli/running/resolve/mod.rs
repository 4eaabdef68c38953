//! What groups of options mean: each is turned here into plain values of the other rooms, and nothing behind reads the
//! options themselves.

mod gates;
mod pixels;
pub(super) mod robustness;
