//! The options of each command.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::*;
use crate::cli::options::{self, Size};

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune inspect --model resnet56.pt\n  ckaprune inspect --model detector.pt --input-size 640 --tree"
)]
pub struct Inspect {
    #[command(flatten)]
    pub model: Model,
    /// Input as SIDE, HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH [default: guessed from the network]
    #[arg(long, value_name = "SIZE")]
    pub input_size: Option<Size>,
    /// Show the tree of modules as well: class, parameters, MACs and output of each, and which is a block
    #[arg(long)]
    pub tree: bool,
    #[command(flatten)]
    pub search: Search,
    #[command(flatten)]
    pub messages: Messages,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune remove --model resnet56.pt --blocks layer1.3,layer2.5\n  ckaprune remove --model resnet56.pt --plan run/plan.json --export-weights pruned.safetensors"
)]
pub struct Remove {
    #[command(flatten)]
    pub model: Model,
    /// Paths of the blocks, parted by commas, as `inspect` lists them
    #[arg(long, value_name = "PATHS", value_delimiter = ',', required_unless_present = "plan", value_parser = options::block_path)]
    pub blocks: Vec<String>,
    /// Remove what a run of `prune` removed: the plan.json in its --run-dir
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["blocks", "granularity", "candidates"])]
    pub plan: Option<PathBuf>,
    /// Input size the blocks are looked for with [default: guessed from the network]
    #[arg(long, value_name = "SIZE")]
    pub input_size: Option<Size>,
    #[command(flatten)]
    pub search: Search,
    /// Make the weights of a frozen network parameters again, so that it can be trained
    #[arg(long)]
    pub thaw: bool,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub messages: Messages,
}
