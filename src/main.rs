//! The program's story: options from the file and the command line, a command, its outcome as exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use ckaprune::cli::Cli;
use ckaprune::commands::{self, Outcome};
use ckaprune::error::one_message;
use ckaprune::interrupt;
use ckaprune::options::with_config;
use ckaprune::progress::say;

const MISSED: u8 = 1;
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    interrupt::watch();
    let typed: Vec<OsString> = std::env::args_os().collect();
    let args = match with_config(typed.clone()) {
        Ok(args) => args,
        Err(error) => return fail(&error),
    };
    match commands::run(&Cli::read(&typed, args)) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Missed) => ExitCode::from(MISSED),
        Ok(Outcome::Interrupted) => ExitCode::from(interrupt::exit_code()),
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    say(format_args!("error: {}", one_message(error)));
    ExitCode::from(BAD_INPUT)
}
