//! The command line, as clap reads it. No logic: what the values mean is said in [`crate::options`].

use std::ffi::OsString;
#[cfg(feature = "torch")]
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

use crate::blocks::{Candidates, Granularity};
#[cfg(feature = "torch")]
use crate::criteria;
#[cfg(feature = "torch")]
use crate::gates::Limits;
use crate::invocation::Invocation;
#[cfg(feature = "torch")]
use crate::memory::Memory;
#[cfg(feature = "torch")]
use crate::options::Shard;
use crate::options::{self, Augmentation, Globs, Numbers, Places, SampleCount, Size};
use crate::output::OutputKey;
#[cfg(feature = "torch")]
use crate::prune::Pick;
#[cfg(feature = "torch")]
use crate::robustness::options::{self as robustness, Attacks, Corruptions, Epsilon, Severities};

/// Prune whole layers from trained CNNs: a TorchScript archive in, a shallower one of the same accuracy out.
#[derive(Debug, Parser)]
#[command(
    name = "ckaprune",
    version,
    max_term_width = 100,
    args_override_self = true
)]
#[command(
    after_help = "Exit codes: 0 done; 1 ran, but a target was missed; 2 bad usage or bad input.\n\
    Every option can stand in a JSON file named with --config (the same names, without dashes in front)."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[arg(skip)]
    pub invocation: Invocation,
}

impl Cli {
    /// The command line as clap knows it.
    #[must_use]
    pub fn known() -> clap::Command {
        let known = Cli::command();
        if cfg!(not(feature = "torch")) {
            return known;
        }
        // Merging statistics needs no model.
        known.mut_subcommand("score", |score| {
            score.mut_arg("model", |model| {
                model.required(false).required_unless_present("merge")
            })
        })
    }

    /// Reads a command line as it was typed, and with the options from a file in it. What is wrong with it ends the
    /// process with a message, as clap does.
    #[must_use]
    pub fn read(typed: &[OsString], args: Vec<OsString>) -> Self {
        let matches = Cli::known().get_matches_from(args);
        let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        Cli {
            invocation: Invocation::of(typed, &matches),
            ..cli
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the blocks of a network, what they cost, and which can be removed
    Inspect(Inspect),
    /// Rank the removable blocks by how little the network changes without them
    #[cfg(feature = "torch")]
    Score(Score),
    /// Score, remove, fine-tune; several times; then export
    #[cfg(feature = "torch")]
    Prune(Box<Prune>),
    /// Remove blocks by name: the surgery alone, exact, without running the network
    Remove(Remove),
    /// Train an archive on labelled images
    #[cfg(feature = "torch")]
    Finetune(Finetune),
    /// Measure accuracy, calibration, speed and memory; hold them against limits
    #[cfg(feature = "torch")]
    Eval(Box<Eval>),
    /// Measure several networks side by side
    #[cfg(feature = "torch")]
    Compare(Compare),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Print the manual page, or write those of all commands into a folder
    Man(Manual),
}

#[derive(Debug, Args)]
pub struct Completions {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Manual {
    /// Folder for ckaprune.1, ckaprune-prune.1 and so on
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: Option<PathBuf>,
}

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
    pub talk: Talk,
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
    pub talk: Talk,
}

#[cfg(feature = "torch")]
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune score --model resnet56.pt --data cifar10 --samples 2048\n  ckaprune score --model resnet56.pt --data cifar10 --criterion block-influence --json",
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
    pub talk: Talk,
}

#[cfg(feature = "torch")]
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
    /// Roll back a removal that costs more points of accuracy than this, on training images set aside, and stop
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true, value_parser = options::non_negative)]
    pub max_drop: Option<f64>,
    /// Try so many next best blocks after a removal was rolled back, before stopping
    #[arg(long, value_name = "N", default_value_t = 0, requires = "max_drop")]
    pub retries: usize,
    /// Blocks to remove together before the network is fine-tuned and scored again
    #[arg(long, value_name = "N", default_value = "1")]
    pub blocks_per_iteration: NonZeroUsize,
    /// Iteration whose network is exported: best (by accuracy on training images set aside, within the targets), last,
    /// or its number
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
    /// Let the unpruned network teach the pruned one
    #[arg(long, help_heading = "Fine-tuning")]
    pub distill: bool,
    /// What is repaired after each removal, without labels, where that brings the network closer to the unpruned one:
    /// nothing, the statistics of batch normalisation, or before them the scale and shift of channels too
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
    pub output: Output,
    /// Keep every iteration's archive and figures in this folder
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
    pub talk: Talk,
}

#[cfg(feature = "torch")]
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
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub talk: Talk,
}

#[cfg(feature = "torch")]
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
    pub robustness: Robustness,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub report: ReportFile,
    /// Replace the report if it exists
    #[arg(long, help_heading = "Output")]
    pub force: bool,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub talk: Talk,
}

#[cfg(feature = "torch")]
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "Examples:\n  ckaprune compare resnet56.pt pruned.pt finetuned.pt --data cifar10"
)]
pub struct Compare {
    /// TorchScript archives; the others are held against the first
    #[arg(value_name = "FILE", num_args = 2.., required = true, value_hint = ValueHint::FilePath)]
    pub models: Vec<PathBuf>,
    /// Output that holds the class scores, of several: index, key or field [default: the only one of n × classes]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub output_key: Option<OutputKey>,
    /// Options from a JSON file; the command line beats it [default: ckaprune.json here]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub speed: Speed,
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
    pub talk: Talk,
}

#[derive(Debug, Args)]
pub struct Model {
    /// TorchScript archive: torch.jit.script(model).save("model.pt"), or of torch.jit.trace
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
    /// Output that holds the class scores, of several: index, key or field [default: the only one of n × classes]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub output_key: Option<OutputKey>,
    /// Options from a JSON file; the command line beats it [default: ckaprune.json beside the model or here]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct Data {
    /// CIFAR binary folder, IDX folder (MNIST family), .npz, or image folder with a directory per class
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub data: Option<PathBuf>,
    /// Mean of the pixels in 0..1, a value per channel
    #[arg(long, value_name = "R,G,B", allow_hyphen_values = true)]
    pub mean: Option<Numbers>,
    /// Standard deviation of the pixels in 0..1, a value per channel
    #[arg(long, value_name = "R,G,B", allow_hyphen_values = true, value_parser = options::deviations)]
    pub std: Option<Numbers>,
    /// Input as SIDE, HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH [default: as the images are]
    #[arg(long, value_name = "SIZE")]
    pub input_size: Option<Size>,
    /// Calibration images, drawn from the training part, as many of each class; or `all`
    #[arg(long, value_name = "N", default_value = "1024")]
    pub samples: SampleCount,
    /// Images in a batch [default: 128; for scoring what suits the network and --memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub batch_size: Option<u32>,
    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

#[cfg(feature = "torch")]
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Speed")]
pub struct Speed {
    /// Passes to time of each network, 0 for none [default: what 2 seconds hold, 9 to 200]
    #[arg(long, value_name = "N")]
    pub passes: Option<usize>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// Never remove these blocks: path globs, parted by commas
    #[arg(long, value_name = "GLOBS")]
    pub keep: Option<Globs>,
    /// Remove none but these blocks: path globs, parted by commas
    #[arg(long, value_name = "GLOBS")]
    pub only: Option<Globs>,
    /// Blocks that stay in each stage at least
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub min_blocks_per_stage: usize,
}

#[cfg(feature = "torch")]
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Scoring")]
pub struct Scoring {
    /// What tells how redundant a block is
    #[arg(long, value_enum, default_value_t)]
    pub criterion: criteria::Name,
    /// Seed of --criterion random, so that other choices are compared on the same data and training [default: --seed]
    #[arg(long, value_name = "N")]
    pub criterion_seed: Option<u64>,
    /// Drop blocks that are surely behind, and show every image to the others only [default of prune]
    #[arg(long, overrides_with = "exact")]
    pub race: bool,
    /// Compare every block on every image, so that all similarities can be compared [default of score]
    #[arg(long, overrides_with = "race")]
    pub exact: bool,
    /// Memory for scoring beyond the network itself, such as 2GB [default: half of what is free]
    #[arg(long, value_name = "AMOUNT")]
    pub memory: Option<Memory>,
}

#[cfg(feature = "torch")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Map")]
pub struct Map {
    /// Compare all blocks with each other instead of ranking them, in minibatches of 256 if --batch-size names no other:
    /// as .html, .png and .json beside the model, or as the one of these or .svg that --output names
    #[arg(long, conflicts_with_all = ["shard", "resume", "merge", "race", "criterion"])]
    pub map: bool,
    /// Archive of another network to compare with: its blocks become the columns
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "map")]
    pub against: Option<PathBuf>,
}

#[cfg(feature = "torch")]
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
        conflicts_with_all = ["model", "data", "shard", "output", "resume"])]
    pub merge: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Fine-tuning")]
pub struct Training {
    /// Passes over the training part (for `prune`: after each removal; 0 to leave the weights as they are)
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub epochs: usize,
    /// SGD with Nesterov momentum, or AdamW
    #[arg(long, value_enum, default_value_t)]
    pub optimizer: Optimizer,
    /// Learning rate, at its highest
    #[arg(long, value_name = "RATE", default_value_t = 0.01, allow_negative_numbers = true, value_parser = options::non_negative)]
    pub lr: f64,
    /// Course of the learning rate over the epochs: the same, a tenth at each of the milestones, or half a cosine to 0
    #[arg(long, value_enum, default_value_t)]
    pub schedule: Schedule,
    /// Where `--schedule steps` makes the rate a tenth, in parts of the epochs
    #[arg(long, value_name = "PARTS", default_value = "0.5,0.75")]
    pub milestones: Places,
    /// Epochs in which the rate rises to its highest
    #[arg(long, value_name = "N", default_value_t = 0.0, allow_negative_numbers = true, value_parser = options::non_negative)]
    pub warm_up: f64,
    /// Nesterov momentum of SGD
    #[arg(long, value_name = "M", default_value_t = 0.9, allow_negative_numbers = true, value_parser = options::momentum)]
    pub momentum: f64,
    /// Weight decay; normalisation and biases are spared
    #[arg(long, value_name = "D", default_value_t = 0.0, allow_negative_numbers = true, value_parser = options::non_negative)]
    pub weight_decay: f64,
    /// Part of each label that is spread over all classes
    #[arg(long, value_name = "PART", default_value_t = 0.0, allow_negative_numbers = true, value_parser = options::part)]
    pub label_smoothing: f64,
    /// Norm that the gradient of all parameters together may have at most
    #[arg(long, value_name = "NORM", allow_negative_numbers = true, value_parser = options::positive)]
    pub clip_norm: Option<f64>,
    /// Part of the training images, of each class, that is validated on instead: the best epoch's weights are kept
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::part)]
    pub val_split: Option<f64>,
    /// Stop after so many epochs without a better validation accuracy
    #[arg(long, value_name = "N", requires = "val_split", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
    /// Softness of a teacher's scores
    #[arg(long, value_name = "T", default_value_t = 4.0, allow_negative_numbers = true, value_parser = options::positive)]
    pub temperature: f64,
    /// Part of a teacher in the loss, the labels having the rest
    #[arg(long, value_name = "PART", default_value_t = 0.9, allow_negative_numbers = true, value_parser = options::fraction)]
    pub distill_weight: f64,
    /// Random changes to training images: crop, flip, both parted by a comma, or none
    #[arg(long, value_name = "KINDS", default_value = "crop,flip")]
    pub augment: Augmentation,
    /// Mix images in pairs, each weighted by a number from Beta(ALPHA, ALPHA), and their labels alike
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true, value_parser = options::positive)]
    pub mixup: Option<f64>,
    /// Paste a box of another image into each, of an area from Beta(ALPHA, ALPHA), and weigh the labels by it; with
    /// --mixup each batch gets one of the two
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true, value_parser = options::positive)]
    pub cutmix: Option<f64>,
    /// Mixed precision: bfloat16 on a GPU that has it, or nowhere
    #[arg(long, value_enum, default_value_t)]
    pub amp: Amp,
}

#[cfg(feature = "torch")]
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
    pub robust_samples: SampleCount,
    /// File for the predicted class of each image, as it is and under each attack and corruption (JSON)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub predictions: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Archive to write [default: beside the model, e.g. model.pruned.pt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write the weights as well, as safetensors, under the names they have in the archive
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub export_weights: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
}

/// A page of charts.
#[cfg(feature = "torch")]
#[derive(Debug, Args)]
pub struct ReportFile {
    /// Write a page of charts to this .html file, and what it shows to the .json file beside it [default: report.html
    /// in --run-dir]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = options::report_file, help_heading = "Output")]
    pub report: Option<PathBuf>,
}

#[cfg(feature = "torch")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Machine")]
pub struct Machine {
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: crate::torch::DeviceChoice,
    /// CPU threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = options::threads)]
    pub threads: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct Talk {
    /// No progress and no notes on stderr
    #[arg(long, short)]
    pub quiet: bool,
    /// The result as one JSON document on stdout
    #[arg(long)]
    pub json: bool,
}

/// What counts as a block.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Blocks")]
pub struct Search {
    /// Modules as a whole, or each residual sum in them (the attention and the MLP of a transformer block)
    #[arg(long, value_enum, default_value_t)]
    pub granularity: Granularity,
    /// Residual blocks, or any span with parameters that keeps the shape of its input
    #[arg(long, value_enum, default_value_t)]
    pub candidates: Candidates,
}

impl From<Search> for crate::blocks::Search {
    fn from(search: Search) -> Self {
        Self {
            granularity: search.granularity,
            candidates: search.candidates,
        }
    }
}

/// What candidates are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reference {
    Current,
    Original,
}

/// How gradients become steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    #[default]
    Sgd,
    Adamw,
}

/// The course of the learning rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    #[default]
    Constant,
    Steps,
    Cosine,
}

/// Where training multiplies in bfloat16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Amp {
    #[default]
    Auto,
    Off,
}

/// What is repaired after a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    None,
    Bn,
    #[default]
    Channels,
}
