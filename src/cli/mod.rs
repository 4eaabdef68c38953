//! The command line: options as clap reads them, commands, and errors as people see them.
//!
//! In comes what was typed; out come results on stdout, files, and an exit code. [`commands`] need no libtorch, those in
//! `torch_commands` do. How the text of an option is read is said in [`options`], and what groups of options mean in
//! `torch_commands/from_options`. Imports from everywhere; nothing imports from here.

mod arguments;
pub mod commands;
pub mod error;
pub mod fault;
mod first;
mod groups;
pub mod handover;
pub mod help;
pub mod idle;
pub mod invocation;
pub mod options;
#[cfg(feature = "torch")]
pub mod torch_commands;
mod torch_options;
mod values;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::cli::commands::{Outcome, inspect, manual, remove};
use crate::cli::error::BAD_INPUT;
use crate::cli::first::{is_short_help, with_short_help};
use crate::report::Invocation;
use crate::report::progress::say;

pub use arguments::*;
pub use groups::*;
use idle::idle_options;
pub use torch_options::*;
pub use values::*;

/// Prune whole layers from trained CNNs: a TorchScript archive or .pt2 in, a shallower one of the same accuracy out.
#[derive(Debug, Parser)]
#[command(
    name = "ckaprune",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    args_override_self = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[arg(skip)]
    pub invocation: Invocation,
    /// What is to be said of options that do nothing.
    #[arg(skip)]
    pub idle: Vec<String>,
}

impl Cli {
    /// The command line as clap knows it.
    #[must_use]
    pub fn known() -> clap::Command {
        let known = with_topics(Cli::command());
        // Merging statistics needs no model.
        let known = known.mut_subcommand("score", |score| {
            score.mut_arg("model", |model| {
                model.required(false).required_unless_present("merge")
            })
        });
        // These two commands calibrate nothing.
        ["eval", "compare"].into_iter().fold(known, |known, name| {
            known.mut_subcommand(name, |command| {
                command.mut_arg("samples", |samples| {
                    samples.help("Images to hold representations against each other on (CKA), drawn from those measured; or `all`")
                })
            })
        })
    }

    /// Reads a command line as it was typed, and with the options from a file in it. What is wrong with it ends the
    /// process with a message, as clap does.
    #[must_use]
    pub fn read(typed: &[OsString], args: Vec<OsString>) -> Self {
        let known = match is_short_help(&args) {
            true => with_short_help(Cli::known()),
            false => Cli::known(),
        };
        let matches = known.try_get_matches_from(args);
        let matches = matches.unwrap_or_else(|error| leave(&error));
        let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| leave(&error));
        let as_typed = Cli::known().ignore_errors(true).try_get_matches_from(typed);
        let idle = match (
            as_typed.as_ref().map(ArgMatches::subcommand),
            matches.subcommand(),
        ) {
            (Ok(Some((_, typed))), Some((name, all))) => idle_options(name, typed, all),
            _ => Vec::new(),
        };
        Cli {
            invocation: invocation::invocation(typed, &matches),
            idle,
            ..cli
        }
    }
}

impl Cli {
    /// Does what the command line asks for.
    ///
    /// # Errors
    /// Bad usage or bad input, as one message.
    pub fn run(&self) -> Result<Outcome> {
        if let Some(messages) = self.command.messages() {
            for idle in &self.idle {
                messages.progress().note(format_args!("note: {idle}"));
            }
        }
        match &self.command {
            Command::Inspect(options) => inspect::run(options),
            Command::Remove(options) => remove::run(options),
            Command::Completions(options) => manual::completions(options),
            Command::Man(options) => manual::manual(options),
            Command::Help(options) => help::run(options),
            #[cfg(feature = "torch")]
            Command::Torch(command) => torch_commands::run(command, &self.invocation),
            #[cfg(not(feature = "torch"))]
            Command::Torch(_) => anyhow::bail!(
                "this ckaprune was built without libtorch and runs no networks; install its wheel, or build it with \
                 `make build`"
            ),
        }
    }
}

impl Command {
    /// What the command says, and how; `None` for those that say one thing only.
    #[must_use]
    pub fn messages(&self) -> Option<Messages> {
        match self {
            Command::Inspect(options) => Some(options.messages),
            Command::Remove(options) => Some(options.messages),
            Command::Torch(command) => Some(command.messages()),
            Command::Completions(_) | Command::Man(_) | Command::Help(_) => None,
        }
    }
}

/// What is said below the commands of the program.
const BELOW_COMMANDS: &str = "Exit codes: 0 done; 1 ran, but a target was missed; 2 bad usage or bad input; 130 stopped \
    with Ctrl-C; 143 stopped by SIGTERM.\n\
    Every option can stand in a JSON file named with --config (the same names, without dashes in front).";

/// Lists the chapters, and lets `help` take their names and those of the commands.
fn with_topics(known: clap::Command) -> clap::Command {
    let topics = help::TOPICS.map(|topic| {
        PossibleValue::new(topic.name)
            .aliases(topic.words)
            .help(topic.about)
    });
    let commands = known.get_subcommands().map(|command| {
        let about = command.get_about().map(ToString::to_string);
        PossibleValue::new(command.get_name().to_owned()).help(about.unwrap_or_default())
    });
    let names = PossibleValuesParser::new(commands.chain(topics));
    known
        .after_help(format!("{}\n\n{BELOW_COMMANDS}", help::list()))
        .mut_subcommand("help", |help| {
            help.mut_arg("name", |name| name.value_parser(names))
        })
}

/// Ends the process with what clap has to say: help, the version, or what is wrong with the command line.
fn leave(said: &clap::Error) -> ! {
    let told = said.print();
    // It is no error if nobody reads stderr, or if the reader of stdout has seen enough. But a reader of stdout must not
    // take a part of the text for the whole.
    if let Err(error) = told
        && !said.use_stderr()
        && error.kind() != ErrorKind::BrokenPipe
    {
        say(format_args!(
            "error: the result cannot be written to stdout: {error}"
        ));
        std::process::exit(BAD_INPUT.into());
    }
    std::process::exit(said.exit_code())
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the blocks of a network, what they cost, and which can be removed
    #[command(display_order = 0)]
    Inspect(Inspect),
    /// Remove blocks by name: the surgery alone, exact, without running the network
    #[command(display_order = 3)]
    Remove(Remove),
    #[command(flatten)]
    Torch(Box<TorchCommand>),
    /// Print the completion script of a shell
    #[command(display_order = 8)]
    Completions(Completions),
    /// Print the manual page, or write those of all commands into a folder
    #[command(display_order = 9)]
    Man(Manual),
    /// Explain a command, or one of the topics below
    #[command(display_order = 10)]
    Help(Help),
}

#[derive(Debug, Args)]
pub struct Help {
    /// A command, or a topic that `ckaprune help` lists
    #[arg(value_name = "COMMAND|TOPIC", hide_possible_values = true)]
    pub name: Option<String>,
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
