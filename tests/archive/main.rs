//! The archive reader and writer, on archives built byte by byte here.

mod build;
mod pickles;
mod refusals;
mod round_trip;
