//! ckaprune prunes whole layers from trained CNNs.
//!
//! ```text
//! model.pt ─► archive ─► program ─► blocks ─► score ─► prune ─► export ─► pruned.pt
//!             (zip,      (one flat  (what      (CKA of  ▲   │    (whole or
//! images ───► pickle,    list of    may go)    each) ◄──┘   ▼     not at all)
//!             source)    statements)                      train
//! ```
//!
//! The source has ten rooms. Each imports only from those above it, and `tests/rooms.rs` checks that:
//!
//! | room | what happens in it |
//! |---|---|
//! | [`program`] | source text is parsed and followed to one flat list of statements, with shapes, costs and interface |
//! | [`archive`] | files are read into an inert model of their bytes, and written |
//! | [`blocks`] | the parts that may go are found, named, and taken out of the code |
//! | [`data`] | images are read, split, transformed and put into batches |
//! | [`report`] | documents, tables, pages, charts and progress |
//! | [`run`] | libtorch: what it may be given, modules in memory, the quick form for scoring, signals, finished files |
//! | [`score`] | each block gets a value by a criterion: CKA and others, the race, similarity maps |
//! | [`train`] | fine-tuning, repair, measuring, robustness |
//! | [`prune`] | the greedy loop, its folder on disk, gates |
//! | [`cli`] | options, commands, errors as people see them |
//!
//! The first five never touch libtorch: they read files nobody vouches for. What runs a network needs the Cargo feature
//! `torch`.
//!
//! The method is *Effective Layer Pruning Through Similarity Metric Perspective*
//! (Pons, Yamamoto, Costa, Jordao; arXiv 2405.17081).

pub mod archive;
pub mod blocks;
pub mod cli;
pub mod data;
pub mod program;
#[cfg(feature = "torch")]
pub mod prune;
pub mod report;
pub mod run;
#[cfg(feature = "torch")]
pub mod score;
#[cfg(feature = "torch")]
pub mod train;
