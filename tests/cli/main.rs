//! The command line as other programs and people see it: what it prints, writes, refuses, and exits with.

mod chapters;
mod config;
#[cfg(feature = "torch")]
mod criteria;
#[cfg(target_os = "linux")]
mod disk;
mod errors;
#[cfg(target_os = "linux")]
mod full_disk;
mod help;
mod inspect;
mod manual;
mod place;
mod remove;
mod shapes;
#[cfg(target_os = "linux")]
mod stdout;

#[cfg(feature = "torch")]
mod bad_files;
#[cfg(feature = "torch")]
mod candidates;
#[cfg(feature = "torch")]
mod classes;
#[cfg(feature = "torch")]
mod compare;
#[cfg(feature = "torch")]
mod demo;
#[cfg(feature = "torch")]
mod exported;
#[cfg(feature = "torch")]
mod failures;
#[cfg(feature = "torch")]
mod gates;
#[cfg(feature = "torch")]
mod idle;
#[cfg(feature = "torch")]
mod images;
#[cfg(feature = "torch")]
mod inputs;
#[cfg(feature = "torch")]
mod inside;
#[cfg(feature = "torch")]
mod kills;
#[cfg(feature = "torch")]
mod map;
#[cfg(feature = "torch")]
mod measure;
#[cfg(feature = "torch")]
mod outputs;
#[cfg(feature = "torch")]
mod pixels;
#[cfg(feature = "torch")]
mod prune;
#[cfg(feature = "torch")]
mod refusals;
#[cfg(feature = "torch")]
mod reports;
#[cfg(feature = "torch")]
mod resume;
#[cfg(feature = "torch")]
mod robustness;
#[cfg(feature = "torch")]
mod room;
#[cfg(feature = "torch")]
mod run_folder;
#[cfg(feature = "torch")]
mod signals;
#[cfg(feature = "torch")]
mod statistics;
#[cfg(feature = "torch")]
mod targets;
#[cfg(feature = "torch")]
mod trainer;
#[cfg(feature = "torch")]
mod training;
#[cfg(feature = "torch")]
mod training_modes;
#[cfg(feature = "torch")]
mod transcripts;
