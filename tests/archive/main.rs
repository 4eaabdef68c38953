//! The archive reader and writer, on archives built byte by byte here.

mod build;
#[path = "../common/mod.rs"]
mod common;
mod pickles;
mod refusals;
mod round_trip;
