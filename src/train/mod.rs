//! Training a network, and measuring it.
//!
//! In come modules in memory and images; out come changed weights, and figures with their uncertainty. Imports from all
//! rooms up to `score`.

pub mod agreement;
pub mod eval;
pub mod finetune;
pub mod measure;
pub mod repair;
pub mod robustness;
