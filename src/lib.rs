//! ckaprune prunes whole layers from trained CNNs.
//!
//! Data flows one way:
//!
//! ```text
//! model.pt ──► archive ──► program ──► blocks ──► score ──► prune ◄──► finetune ──► export ──► pruned.pt
//! (zip)        zip+pickle  one flat     cuts and   CKA of    greedy     SGD through   atomic
//!              +source     SSA graph    candidates each cut  loop       libtorch      save
//! ```
//!
//! Everything left of `score` is pure Rust and never touches libtorch: it reads files nobody vouches for.
//! Everything right of it executes the model and needs the Cargo feature `torch`.
//!
//! The method is *Effective Layer Pruning Through Similarity Metric Perspective*
//! (Pons, Yamamoto, Costa, Jordao; arXiv 2405.17081).

pub mod admission;
pub mod analysis;
pub mod archive;
pub mod blocks;
pub mod cka;
pub mod cli;
pub mod commands;
pub mod cost;
pub mod criteria;
pub mod data;
pub mod dtype;
pub mod error;
pub mod export;
pub mod failure;
pub mod fault;
pub mod gates;
pub mod inference;
pub mod interface;
pub mod interrupt;
pub mod invocation;
pub mod lineage;
pub mod matrix;
pub mod memory;
pub mod options;
pub mod output;
pub mod page;
pub mod patch;
pub mod plan;
pub mod program;
pub mod progress;
pub mod receptive;
pub mod report;
pub mod representation;
pub mod resolution;
pub mod segments;
pub mod settings;
pub mod tree;
pub mod verdict;
pub mod weights;

#[cfg(feature = "torch")]
pub mod eval;
#[cfg(feature = "torch")]
pub mod finetune;
#[cfg(feature = "torch")]
pub mod picture;
#[cfg(feature = "torch")]
pub mod prune;
#[cfg(feature = "torch")]
pub mod repair;
#[cfg(feature = "torch")]
pub mod robustness;
#[cfg(feature = "torch")]
pub mod run_dir;
#[cfg(feature = "torch")]
pub mod run_shapes;
#[cfg(feature = "torch")]
pub mod score;
#[cfg(feature = "torch")]
pub mod similarity;
#[cfg(feature = "torch")]
pub mod torch;
#[cfg(feature = "torch")]
pub mod winograd;
