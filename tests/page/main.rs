//! The page of results: what comes in by a name stays text, every chart has its data, and a browser shows it all.

mod browser;
mod sample;
mod text;
