//! Options that several of the commands have which run networks, in groups as `--help` shows them.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::robustness::{self, Attacks, Corruptions, Severities};
use crate::blocks::samples;
use crate::blocks::value::{self, Per};
use crate::cli::options::{self, Shard};
use crate::data::Samples;
use crate::data::corruptions::Epsilon;
use crate::report::yardstick::Goal;
use crate::run::memory::Memory;

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Speed")]
pub struct Speed {
    /// Passes to time of each network, 0 for none [default: what 2 seconds hold, 9 to 200]
    #[arg(long, value_name = "N")]
    pub passes: Option<usize>,
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Scoring")]
pub struct Scoring {
    /// What tells how redundant a block is
    #[arg(long, value_enum, default_value_t)]
    pub criterion: value::Name,
    /// Weigh what a removal costs by the criterion against the part of the network's MACs, parameters or time (of one image,
    /// measured here) that it saves
    #[arg(long, value_enum, value_name = "WHAT")]
    pub per: Option<Per>,
    /// Seed of --criterion random, so that other choices are compared on the same data and training [default: --seed]
    #[arg(long, value_name = "N")]
    pub criterion_seed: Option<u64>,
    /// Drop blocks that are surely behind, and show every image to the others only [default of prune]
    #[arg(long, overrides_with = "exact")]
    pub race: bool,
    /// Compare every block on every image, so that all similarities can be compared [default of score]
    #[arg(long, overrides_with = "race")]
    pub exact: bool,
    /// Whether images are compared as wholes, or places in them, of which a few are drawn: those where the network answers
    /// for places, as in segmentation and detection
    #[arg(long, value_enum, value_name = "SAMPLES", default_value_t)]
    pub representation: samples::Samples,
    /// Memory for scoring beyond the network itself, such as 2GB [default: half of what is free]
    #[arg(long, value_name = "AMOUNT")]
    pub memory: Option<Memory>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Map")]
pub struct Map {
    /// Compare all blocks with each other instead of ranking them, in minibatches of 256 if --batch-size names no other:
    /// as .html, .png and .json beside the model, or as the one of these or .svg that --output names
    #[arg(long, conflicts_with_all = ["shard", "resume", "merge", "race", "criterion", "per"])]
    pub map: bool,
    /// Archive of another network to compare with: its blocks become the columns
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "map")]
    pub against: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Statistics")]
pub struct Statistics {
    /// Score the I-th of N parts of the calibration images, and write the statistics to --output
    #[arg(long, value_name = "I/N", requires = "output", conflicts_with = "race")]
    pub shard: Option<Shard>,
    /// File for the statistics the scores rest on; Ctrl-C leaves them beside the model if none is named. Of --map: the
    /// file for the map
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
    /// Go on from the statistics that an interrupted `score` left, with the same options
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub resume: Option<PathBuf>,
    /// Rank from the statistics of all shards instead of running a network
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath,
        conflicts_with_all = ["model", "data", "shard", "output", "resume", "per"])]
    pub merge: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Robustness")]
pub struct Robustness {
    /// Accuracy under attack, by the network's own gradient: fgsm (one step), pgd (several), both parted by a comma
    #[arg(long, value_name = "NAMES")]
    pub attacks: Option<Attacks>,
    /// How far an attack may move a pixel, of 0..1: a fraction or a number
    #[arg(
        long,
        value_name = "E",
        default_value = "8/255",
        allow_negative_numbers = true
    )]
    pub epsilon: Epsilon,
    /// Steps of pgd
    #[arg(long, value_name = "N", default_value = "10", allow_negative_numbers = true, value_parser = robustness::steps)]
    pub pgd_steps: NonZeroU32,
    /// How far one step of pgd moves a pixel [default: 2.5 × epsilon / steps]
    #[arg(long, value_name = "E", allow_negative_numbers = true, value_parser = robustness::step_size)]
    pub pgd_step_size: Option<Epsilon>,
    /// Accuracy under corruption: all, or some of noise, blur, contrast, brightness, jpeg, pixelate, parted by commas
    #[arg(long, value_name = "NAMES")]
    pub corruptions: Option<Corruptions>,
    /// How strong the corruptions are, of 1 to 5 [default: all five]
    #[arg(long, value_name = "N,N", requires = "corruptions")]
    pub severities: Option<Severities>,
    /// Images of another kind (a second data set): confidence on them, and how well it tells them apart
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub ood: Option<PathBuf>,
    /// Images for all this, drawn from those measured, as many of each class; or `all`
    #[arg(long, value_name = "N", default_value = "1000")]
    pub robust_samples: Samples,
    /// File for the predicted class of each image, as it is and under each attack and corruption (JSON); of `compare`
    /// those of every network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub predictions: Option<PathBuf>,
}

/// Limits that a network is held against.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Gates (exit 1 if one is missed, 2 if one cannot be measured)")]
pub struct Gates {
    /// Gates from a JSON file of the options below, without dashes in front; the command line beats it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy: Option<PathBuf>,
    /// Accuracy at least, as a fraction
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::fraction)]
    pub min_accuracy: Option<f64>,
    /// Points of accuracy less than --baseline at most, on the same images; with --measure-with, by how much worse it may be
    /// by that
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true, value_parser = options::non_negative)]
    pub max_drop: Option<f64>,
    /// MACs at most, such as 70M
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = options::count)]
    pub max_macs: Option<f64>,
    /// Parameters at most, such as 0.5M
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = options::count)]
    pub max_params: Option<f64>,
    /// Time of a pass of one image at most, as a multiple of --baseline's, measured in turn
    #[arg(long, value_name = "RATIO", allow_negative_numbers = true, value_parser = options::positive)]
    pub max_latency_ratio: Option<f64>,
    /// Lowest accuracy under --attacks, and on average under --corruptions, as a fraction
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::fraction)]
    pub min_robust_accuracy: Option<f64>,
    /// What --measure-with measures at least
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true, value_parser = options::number)]
    pub min_metric: Option<f64>,
    /// What --measure-with measures at most
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true, value_parser = options::number)]
    pub max_metric: Option<f64>,
}

/// A measure of the user's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Your own measure")]
pub struct OwnMeasure {
    /// Measure networks by this command of yours, run in a shell, in place of accuracy: it reads the network from {model},
    /// and the last line of its output is a number, or a JSON object with it
    #[arg(long, value_name = "COMMAND")]
    pub measure_with: Option<String>,
    /// What it measures, and of a JSON object the entry that counts [default: the only number]
    #[arg(long, value_name = "NAME", requires = "measure_with")]
    pub metric: Option<String>,
    /// Whether more of it is better, or less
    #[arg(
        long,
        value_name = "GOAL",
        value_enum,
        default_value_t,
        requires = "measure_with"
    )]
    pub metric_goal: Goal,
    /// End a command of yours that takes longer, such as 90s or 2h; seconds without a unit
    #[arg(long, value_name = "TIME", allow_negative_numbers = true, value_parser = options::time)]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct ReportFile {
    /// Write a page of charts to this .html file, and what it shows to the .json file beside it [default: report.html
    /// in --run-dir, where there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = options::report_file, help_heading = "Output")]
    pub report: Option<PathBuf>,
    /// Write the figures and tables of the page as Markdown as well, for pull requests; a job on GitHub shows them anyhow
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub summary: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub struct Machine {
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: crate::run::device::DeviceChoice,
    /// CPU threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = options::threads)]
    pub threads: Option<NonZeroUsize>,
    /// Run networks statement by statement as they are written, and not in a quicker form that gives the same up to
    /// rounding
    #[arg(long)]
    pub as_written: bool,
}
