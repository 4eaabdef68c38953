//! Options that several commands have, in groups as `--help` shows them.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::*;
use crate::archive::Focus;
use crate::blocks::{Candidates, Globs, Granularity};
use crate::cli::options::{self, Augmentation, ChannelValues, Milestones, Sides, Size, Teach};
use crate::data::{Interpolation, PixelRange, ResizeTo, Samples};
use crate::program::interface::arguments::Argument;
use crate::program::output::OutputKeys;
use crate::report::progress::Progress;

#[derive(Clone, Debug, Args)]
pub struct Model {
    /// TorchScript archive (torch.jit.script(model).save("model.pt"), or of torch.jit.trace), or program of
    /// torch.export.save(torch.export.export(model, (images,)), "model.pt2")
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub model: PathBuf,
    /// Module of the network, such as backbone.body, that is all that counts: the rest stays as it is
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
    /// Options from a JSON file; the command line beats it [default: ckaprune.json beside the model or
    /// here, where no --data is typed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

impl Model {
    /// What of the archive counts.
    #[must_use]
    pub fn focus(&self) -> Focus {
        Focus::of(self.inside.as_deref(), &self.arguments)
    }
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
    pub mean: Option<ChannelValues>,
    /// Standard deviation of the pixels, a value per channel
    #[arg(long, value_name = "R,G,B", allow_hyphen_values = true, value_parser = options::deviations)]
    pub std: Option<ChannelValues>,
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
    pub samples: Samples,
    /// Images in a batch [default: 128; for scoring what suits the network and --memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    pub batch_size: Option<u32>,
    /// Seed of every random choice
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
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

#[derive(Debug, Args)]
#[command(next_help_heading = "Fine-tuning")]
pub struct Training {
    /// Passes over the training part; 0 for no training (for `prune` when --schedule-removals says, beside what --repair does)
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
    pub milestones: Milestones,
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
    /// its own: the best epoch's weights are kept, or those before the first where none is better; 0 to keep the last ones
    /// whatever they are [default: 0.1 where there is training on labels; else closeness to the teacher's answers decides]
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::part)]
    pub val_split: Option<f64>,
    /// Stop after so many epochs without better weights
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: Option<u32>,
    /// What is learned from, one or more parted by commas: labels; the scores of a teacher, which is the unpruned network,
    /// or of `finetune` --teacher; the features of a teacher, which are its maps at the end of each stage and before they
    /// are pooled. Without labels in it no label is looked at [default: features,labels; for `finetune` scores,labels]
    #[arg(long, value_name = "KINDS")]
    pub teach: Option<Teach>,
    /// Softness of a teacher's scores
    #[arg(long, value_name = "T", default_value_t = 4.0, allow_negative_numbers = true, value_parser = options::positive)]
    pub temperature: f64,
    /// Part of a teacher's scores in the loss, the labels having the rest
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

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// File to write: of a .pt2 a .pt2 if its name ends so, else TorchScript [default: beside the model:
    /// model.pruned.pt, of finetune model.finetuned.pt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Write the weights as well, as safetensors, under the names they have in the archive
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub export_weights: Option<PathBuf>,
    /// Replace the output if it exists
    #[arg(long)]
    pub force: bool,
}

/// What a command says, and how.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Messages")]
pub struct Messages {
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

impl Messages {
    pub(super) fn progress(self) -> Progress {
        Progress { quiet: self.quiet }
    }
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
