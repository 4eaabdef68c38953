//! Options that several commands have, in groups as `--help` shows them.

#[cfg(feature = "torch")]
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::*;
use crate::blocks::{Candidates, Granularity};
#[cfg(feature = "torch")]
use crate::criteria;
use crate::data::{Interpolation, PixelRange, ResizeTo};
#[cfg(feature = "torch")]
use crate::memory::Memory;
#[cfg(feature = "torch")]
use crate::options::Shard;
use crate::options::{self, Augmentation, Globs, Numbers, Places, SampleCount, Sides, Size};
use crate::output::OutputKey;
#[cfg(feature = "torch")]
use crate::robustness::options::{self as robustness, Attacks, Corruptions, Epsilon, Severities};

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
    /// CIFAR binary folder, IDX folder (MNIST family), .npz or .npy arrays, or image folder with a directory per class
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub data: Option<PathBuf>,
    /// Names of the network's classes in the order of their numbers, one a line or as JSON, that give image folders
    /// their numbers [default: the order of the folders' names, as ImageFolder]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub classes: Option<PathBuf>,
    /// Label of the first class, where the data has numbers for labels
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first_class: u32,
    /// Train on labels, and hold accuracies to limits, although the data's classes may not be those of the network
    #[arg(long)]
    pub allow_class_mismatch: bool,
    /// Pixels reach from 0 to this, 1 or 255, and so do the values of --mean and --std; 255 alone for a network that
    /// normalises bytes itself
    #[arg(long, value_name = "MAX", value_enum, default_value_t)]
    pub pixel_range: PixelRange,
    /// Mean of the pixels, a value per channel
    #[arg(long, value_name = "R,G,B", allow_hyphen_values = true)]
    pub mean: Option<Numbers>,
    /// Standard deviation of the pixels, a value per channel
    #[arg(long, value_name = "R,G,B", allow_hyphen_values = true, value_parser = options::deviations)]
    pub std: Option<Numbers>,
    /// Input as SIDE, HEIGHTxWIDTH or CHANNELSxHEIGHTxWIDTH [default: as the images are]
    #[arg(long, value_name = "SIZE")]
    pub input_size: Option<Size>,
    /// Resize images so that the shorter side has so many pixels, or to HEIGHTxWIDTH, as torchvision and Pillow do, before
    /// the centre is cut out
    #[arg(long, value_name = "SIDE", value_parser = options::resize)]
    pub resize: Option<ResizeTo>,
    /// Cut the centre out of resized images, SIDE or HEIGHTxWIDTH; it is the input [default: --input-size]
    #[arg(long, value_name = "SIZE")]
    pub crop: Option<Sides>,
    /// Part of the shorter side that --crop leaves, instead of --resize: 0.875 is --resize 256 for --crop 224
    #[arg(long, value_name = "PART", conflicts_with = "resize", allow_negative_numbers = true, value_parser = options::crop_pct)]
    pub crop_pct: Option<f64>,
    /// How images are resized [default: bilinear]
    #[arg(long, value_enum)]
    pub interpolation: Option<Interpolation>,
    /// Leave out image files that cannot be decoded, instead of refusing them, and say how many
    #[arg(long)]
    pub skip_bad: bool,
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
    /// Blocks that stay in each stage at least, those that change the shape counted
    #[arg(long, value_name = "N", default_value_t = 1)]
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
    /// Part of the training images, of each class, that is validated on instead, where the data has no validation part of
    /// its own: the best epoch's weights are kept
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::part)]
    pub val_split: Option<f64>,
    /// Stop after so many epochs without a better validation accuracy
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
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
    /// File for the predicted class of each image, as it is and under each attack and corruption (JSON); of `compare`
    /// those of every network
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
    /// After an error in libtorch, its own words as well
    #[arg(long)]
    pub verbose: bool,
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
