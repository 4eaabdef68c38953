//! Running networks by libtorch.
//!
//! In come archives; out come modules that run, pieces of them for scoring, and files that are whole or not there. Nothing
//! else names libtorch's modules. Imports from the rooms that read files, and from `report` what it says to people.

pub mod admission;
#[cfg(feature = "torch")]
pub mod command;
pub mod device;
#[cfg(feature = "torch")]
pub mod distance;
pub mod export;
pub mod failure;
pub mod inference;
pub mod interrupt;
pub mod memory;
pub mod pick;
pub mod quick_forms;
#[cfg(feature = "torch")]
pub mod refit;
pub mod segments;
pub mod settings;
pub mod stops;
#[cfg(feature = "torch")]
pub mod torch;
