//! The options of the commands that run networks. They are read, listed and explained without libtorch.

mod arguments;
mod groups;
mod robustness;

use clap::Subcommand;

use crate::cli::Messages;

pub use arguments::*;
pub use groups::*;
pub use robustness::AttackName;

#[derive(Debug, Subcommand)]
pub enum TorchCommand {
    /// Rank the removable blocks by how little the network changes without them
    #[command(display_order = 1)]
    Score(Score),
    /// Score, remove, fine-tune; several times; then export
    #[command(display_order = 2)]
    Prune(Box<Prune>),
    /// Train an archive on labelled images
    #[command(display_order = 4)]
    Finetune(Finetune),
    /// Measure accuracy, calibration, speed and memory; hold them against limits
    #[command(display_order = 5)]
    Eval(Box<Eval>),
    /// Measure several networks side by side
    #[command(display_order = 6)]
    Compare(Compare),
    /// See it work: prune a small network that the program carries, in some minutes
    #[command(display_order = 7)]
    Demo(Demo),
}

impl TorchCommand {
    pub(in crate::cli) fn messages(&self) -> Messages {
        match self {
            TorchCommand::Score(options) => options.messages,
            TorchCommand::Prune(options) => options.messages,
            TorchCommand::Finetune(options) => options.messages,
            TorchCommand::Eval(options) => options.messages,
            TorchCommand::Compare(options) => options.messages,
            TorchCommand::Demo(options) => options.messages,
        }
    }
}
