//! The options that `-h` shows; `--help` shows all.

use std::ffi::OsString;

use clap::Command;

/// What each of these commands is mostly used with. The others have few enough options to show them all.
const FIRST: [(&str, &[&str]); 6] = [
    (
        "remove",
        &[
            "model",
            "blocks",
            "plan",
            "input-size",
            "granularity",
            "output",
            "export-weights",
            "force",
            "json",
        ],
    ),
    (
        "score",
        &[
            "model",
            "data",
            "mean",
            "std",
            "input-size",
            "keep",
            "criterion",
            "device",
            "json",
        ],
    ),
    (
        "prune",
        &[
            "model",
            "iterations",
            "target-macs",
            "max-drop",
            "data",
            "mean",
            "std",
            "epochs",
            "output",
            "run-dir",
            "report",
        ],
    ),
    (
        "finetune",
        &[
            "model",
            "data",
            "mean",
            "std",
            "input-size",
            "epochs",
            "lr",
            "schedule",
            "teacher",
            "checkpoint",
            "output",
            "device",
        ],
    ),
    (
        "eval",
        &[
            "model",
            "baseline",
            "data",
            "mean",
            "std",
            "input-size",
            "attacks",
            "corruptions",
            "min-accuracy",
            "max-drop",
            "report",
            "device",
            "json",
        ],
    ),
    (
        "compare",
        &[
            "data",
            "mean",
            "std",
            "input-size",
            "attacks",
            "corruptions",
            "report",
            "force",
            "device",
            "json",
        ],
    ),
];

/// Whether the short help is asked for.
pub(super) fn is_short_help(args: &[OsString]) -> bool {
    args.iter().any(|word| word == "-h")
}

/// The command line with those options alone in its help, and with a word on where the others are. What it reads is the
/// same.
pub(super) fn with_short_help(known: Command) -> Command {
    FIRST.into_iter().fold(known, |known, (name, first)| {
        known.mut_subcommand(name, |command| shortened(command, first))
    })
}

fn shortened(command: Command, first: &[&str]) -> Command {
    let examples = command.get_after_help().map(ToString::to_string);
    let examples = examples.unwrap_or_default();
    // The title and the first of them.
    let example = examples.lines().take(2).collect::<Vec<_>>().join("\n");
    let count = command.get_opts().count();
    let more = format!(
        "These options matter first; --help explains all {count}, and `ckaprune help` lists more to read."
    );
    let command = command.mut_args(|option| {
        let is_other = option.get_long().is_some_and(|name| !first.contains(&name));
        option.hide(is_other)
    });
    command.after_help(format!("{example}\n\n{more}"))
}

#[cfg(test)]
mod tests {
    use super::FIRST;
    use crate::cli::Cli;

    #[test]
    fn each_option_that_is_shown_first_is_one_of_its_command() {
        let known = Cli::known();
        for (name, first) in FIRST {
            let command = known.find_subcommand(name).unwrap();
            for option in first {
                let mut options = command.get_arguments();
                assert!(
                    options.any(|o| o.get_long() == Some(option)),
                    "{name}: {option}"
                );
            }
        }
    }
}
