//! The options of each command that runs networks.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::groups::*;
use crate::blocks::value::Reference;
use crate::cli::options;
use crate::cli::*;
use crate::program::interface::arguments::Argument;
use crate::program::output::OutputKeys;
use crate::run::pick::Pick;

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune score --model resnet56.pt --data cifar10 --samples 2048\n  ckaprune score --model resnet56.pt --data cifar10 --criterion block-influence --json\n  ckaprune score --map --model resnet56.pt --against pruned.pt --data cifar10",
    override_usage = "ckaprune score [OPTIONS] --model <FILE>\n       ckaprune score --merge <FILE>..."
)]
pub struct Score {
    #[command(flatten)]
    pub model: Option<Model>,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub search: Search,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub scoring: Scoring,
    #[command(flatten)]
    pub map: Map,
    #[command(flatten)]
    pub statistics: Statistics,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub messages: Messages,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune prune --model resnet56.pt --iterations 8 --data cifar10 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225\n  ckaprune prune --model resnet56.pt --target-macs 0.5 --max-drop 1 --data cifar10 --distill --run-dir run\n  ckaprune prune --config configs/fashion-mnist.json --model resnet20.pt --dry-run"
)]
pub struct Prune {
    #[command(flatten)]
    pub model: Model,
    /// How many times to remove at most, --blocks-per-iteration each time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
        required_unless_present_any = ["target_macs", "target_params", "target_latency", "max_drop"])]
    pub iterations: Option<u32>,
    /// Stop once no more than this part of the MACs is left
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::part)]
    pub target_macs: Option<f64>,
    /// Stop once no more than this part of the parameters is left
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::part)]
    pub target_params: Option<f64>,
    /// Stop once a forward pass of one image takes no more milliseconds, measured in turn with the original
    #[arg(long, value_name = "MS", allow_negative_numbers = true, value_parser = options::positive)]
    pub target_latency: Option<f64>,
    /// Roll back a removal that costs more points of accuracy than this, on training images set aside, and stop; with
    /// --measure-with, one that is worse by more than this by that measure
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true, value_parser = options::non_negative)]
    pub max_drop: Option<f64>,
    /// Try so many next best blocks after a removal was rolled back, before stopping
    #[arg(long, value_name = "N", default_value_t = 0, requires = "max_drop")]
    pub retries: usize,
    /// Fine-tune by this command of yours, run in a shell, in place of ckaprune's own training: it reads the network from
    /// {model}, trains it for {epochs} epochs, and writes it to {output}
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["distill", "teach"])]
    pub tune_with: Option<String>,
    /// Blocks to remove together before the network is fine-tuned and scored again
    #[arg(long, value_name = "N", default_value = "1")]
    pub blocks_per_iteration: NonZeroUsize,
    /// Iteration whose network is exported: best (by accuracy on training images set aside or by --measure-with, within the
    /// targets), last, or its number
    #[arg(long, value_name = "WHICH", default_value_t)]
    pub pick: Pick,
    /// Representation that candidates are compared with: of the network as pruned so far, or of the original
    #[arg(long, value_enum, default_value_t = Reference::Current)]
    pub reference: Reference,
    /// Also fine-tune the unpruned network for as many epochs, as the honest comparison
    #[arg(long)]
    pub baseline: bool,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub search: Search,
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub scoring: Scoring,
    #[command(flatten)]
    pub training: Training,
    /// When the network is fine-tuned: after each removal, or once after the last one
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        help_heading = "Fine-tuning"
    )]
    pub schedule_removals: Removals,
    /// The same as --teach scores,labels
    #[arg(long, conflicts_with = "teach", help_heading = "Fine-tuning")]
    pub distill: bool,
    /// What is repaired after each removal, without labels, where that brings the network closer to the unpruned one:
    /// nothing, the statistics of batch normalisation, or before them the scale and shift of channels, or all weights of
    /// the linear maps around the removed block
    #[arg(long, value_enum, default_value_t, help_heading = "Fine-tuning")]
    pub repair: Repair,
    /// Train the network for so many epochs before anything is removed
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Fine-tuning"
    )]
    pub pretrain: usize,
    /// Fine-tune the network that is exported for so many epochs more
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Fine-tuning"
    )]
    pub final_epochs: usize,
    /// Learning rate of --pretrain, at its highest [default: that of --lr]
    #[arg(long, value_name = "RATE", requires = "pretrain", allow_negative_numbers = true, value_parser = options::non_negative, help_heading = "Fine-tuning")]
    pub pretrain_lr: Option<f64>,
    #[command(flatten)]
    pub measure: OwnMeasure,
    #[command(flatten)]
    pub output: Output,
    /// Keep every iteration's archive and figures in this folder, and what a run needs to go on after it was stopped
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub run_dir: Option<PathBuf>,
    /// Say what would be scored, and about how long and how much memory it would take; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on with the run in --run-dir
    #[arg(long, requires = "run_dir")]
    pub resume: bool,
    #[command(flatten)]
    pub report: ReportFile,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub messages: Messages,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune finetune --model pruned.pt --data cifar10 --epochs 10 --schedule cosine\n  ckaprune finetune --model pruned.pt --teacher resnet56.pt --data photos"
)]
pub struct Finetune {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub training: Training,
    /// Archive of a network to learn from; the images then need no labels
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Fine-tuning")]
    pub teacher: Option<PathBuf>,
    /// Keep in this file how far training came: after every epoch, every ten minutes, and when it is stopped
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Fine-tuning")]
    pub checkpoint: Option<PathBuf>,
    /// Go on from the file that --checkpoint names, with the same options
    #[arg(long, requires = "checkpoint", help_heading = "Fine-tuning")]
    pub resume: bool,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub messages: Messages,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune eval --model pruned.pt --data cifar10\n  ckaprune eval --model pruned.pt --baseline resnet56.pt --data cifar10 --max-drop 1 --max-macs 70M\n  ckaprune eval --model pruned.pt --data cifar10 --policy gates.json --json"
)]
pub struct Eval {
    #[command(flatten)]
    pub model: Model,
    /// Archive to compare with, on the same images and in turn: the network before it was pruned
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub baseline: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub speed: Speed,
    #[command(flatten)]
    pub measure: OwnMeasure,
    #[command(flatten)]
    pub robustness: Robustness,
    #[command(flatten)]
    pub gates: Gates,
    #[command(flatten)]
    pub report: ReportFile,
    /// Replace the report if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub messages: Messages,
}

#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune compare resnet56.pt pruned.pt finetuned.pt --data cifar10"
)]
pub struct Compare {
    /// TorchScript archives or .pt2; the others are held against the first
    #[arg(value_name = "FILE", num_args = 2.., required = true, value_hint = ValueHint::FilePath)]
    pub models: Vec<PathBuf>,
    /// Module of the network, such as backbone.body, that takes images and is all that counts: the rest stays as it is
    #[arg(long, value_name = "PATH")]
    pub inside: Option<String>,
    /// Constant for an argument of forward beside the images, such as mode=1, or step=[500] where it is a tensor; for each a
    /// --argument
    #[arg(long = "argument", value_name = "NAME=VALUE")]
    pub arguments: Vec<Argument>,
    /// Outputs that count, of several: index, key or field, parted by commas [default: the only one of n × classes, or else
    /// all]
    #[arg(long, value_name = "KEYS", allow_hyphen_values = true)]
    pub output_key: Option<OutputKeys>,
    /// Options from a JSON file; the command line beats it [default: ckaprune.json here, where no
    /// --data is typed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub speed: Speed,
    #[command(flatten)]
    pub measure: OwnMeasure,
    #[command(flatten)]
    pub robustness: Robustness,
    #[command(flatten)]
    pub report: ReportFile,
    /// Replace the report if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub messages: Messages,
}

#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct Demo {
    /// Folder for the network, the images, the pruned network and its page
    #[arg(long, value_name = "DIR", default_value = "ckaprune-demo", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Write into the folder if it exists
    #[arg(long)]
    pub force: bool,
    /// CPU threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = options::threads)]
    pub threads: Option<NonZeroUsize>,
    #[command(flatten)]
    pub messages: Messages,
}
