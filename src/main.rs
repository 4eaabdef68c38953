//! The program's story: options from the file and the command line, a command, its outcome as exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use ckaprune::cli::Cli;
use ckaprune::commands::{self, INTERRUPTED, Outcome};
use ckaprune::error::{BAD_INPUT, one_message};
use ckaprune::options::with_config;
use ckaprune::progress::say;

const MISSED: u8 = 1;

fn main() -> ExitCode {
    let typed: Vec<OsString> = std::env::args_os().collect();
    let args = match with_config(typed.clone()) {
        Ok(args) => args,
        Err(error) => return fail(&error, false),
    };
    let cli = Cli::read(&typed, args);
    match commands::run(&cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Missed) => ExitCode::from(MISSED),
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => fail(&error, cli.command.talk().is_some_and(|t| t.verbose)),
    }
}

fn fail(error: &anyhow::Error, verbose: bool) -> ExitCode {
    say(format_args!("error: {}", one_message(error, verbose)));
    ExitCode::from(BAD_INPUT)
}
