//! The program's story: options from the file and the command line, a command, its outcome as exit code.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use ckaprune::cli::Cli;
use ckaprune::cli::commands::Outcome;
use ckaprune::cli::error::{BAD_INPUT, one_message};
use ckaprune::cli::fault::tell_in_our_words;
use ckaprune::cli::handover;
use ckaprune::cli::options::with_config;
use ckaprune::report::progress::say;
use ckaprune::run::export::survive_size_limits;
use ckaprune::run::interrupt;
use ckaprune::run::memory::keep_freed;

const MISSED: u8 = 1;

fn main() -> ExitCode {
    handover::take_back_library_path();
    let typed: Vec<OsString> = std::env::args_os().collect();
    #[cfg(not(feature = "torch"))]
    if let Err(error) = handover::hand_over(&typed) {
        return fail(&error, false);
    }
    keep_freed();
    survive_size_limits();
    interrupt::watch();
    let args = match with_config(typed.clone()) {
        Ok(args) => args,
        Err(error) => return fail(&error, false),
    };
    let cli = Cli::read(&typed, args);
    let verbose = cli
        .command
        .messages()
        .is_some_and(|messages| messages.verbose);
    tell_in_our_words(verbose);
    match catch_unwind(AssertUnwindSafe(|| cli.run())) {
        Ok(Ok(Outcome::Done)) => ExitCode::SUCCESS,
        Ok(Ok(Outcome::Missed)) => ExitCode::from(MISSED),
        Ok(Ok(Outcome::Interrupted)) => ExitCode::from(interrupt::exit_code()),
        Ok(Err(error)) => fail(&error, verbose),
        // It is told already.
        Err(_) => ExitCode::from(BAD_INPUT),
    }
}

fn fail(error: &anyhow::Error, verbose: bool) -> ExitCode {
    say(format_args!("error: {}", one_message(error, verbose)));
    ExitCode::from(BAD_INPUT)
}
