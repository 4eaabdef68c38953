//! No option is taken and ignored without a word.

use ckaprune::cli::Cli;
use ckaprune::cli::idle::{IDLE, idle_options};

use crate::place::Place;
use crate::prune::PRUNE;

/// Options that do what they say wherever a command has them, unless [`IDLE`] knows when not.
const READ: &[&str] = &[
    "model",
    "inside",
    "argument",
    "output-key",
    "representation",
    "config",
    "input-size",
    "tree",
    "granularity",
    "candidates",
    "quiet",
    "json",
    "verbose",
    "blocks",
    "plan",
    "thaw",
    "output",
    "summary",
    "export-weights",
    "force",
    "data",
    "classes",
    "first-class",
    "allow-class-mismatch",
    "pixel-range",
    "mean",
    "std",
    "resize",
    "crop",
    "crop-pct",
    "interpolation",
    "skip-bad",
    "samples",
    "batch-size",
    "seed",
    "keep",
    "only",
    "min-blocks-per-stage",
    "criterion",
    "race",
    "map",
    "against",
    "shard",
    "resume",
    "merge",
    "device",
    "threads",
    "iterations",
    "target-macs",
    "target-params",
    "target-latency",
    "max-drop",
    "retries",
    "blocks-per-iteration",
    "pick",
    "reference",
    "baseline",
    "epochs",
    "optimizer",
    "lr",
    "schedule",
    "warm-up",
    "weight-decay",
    "label-smoothing",
    "clip-norm",
    "val-split",
    "patience",
    "augment",
    "mixup",
    "cutmix",
    "amp",
    "distill",
    "repair",
    "pretrain",
    "pretrain-lr",
    "final-epochs",
    "run-dir",
    "dry-run",
    "report",
    "teacher",
    "teach",
    "per",
    "tune-with",
    "schedule-removals",
    "checkpoint",
    "passes",
    "attacks",
    "corruptions",
    "as-written",
    "severities",
    "ood",
    "predictions",
    "policy",
    "min-accuracy",
    "max-macs",
    "max-params",
    "max-latency-ratio",
    "min-robust-accuracy",
    "min-metric",
    "max-metric",
    "measure-with",
    "metric",
    "metric-goal",
];

#[test]
fn of_every_option_of_every_command_somebody_knows_when_it_is_read() {
    for command in Cli::known().get_subcommands() {
        let name = command.get_name();
        for option in command.get_arguments().filter_map(|a| a.get_long()) {
            let known = IDLE
                .iter()
                .any(|e| e.commands.contains(&name) && e.options.contains(&option));
            assert!(
                known || READ.contains(&option) || option == "help",
                "{name} --{option}"
            );
        }
    }
    for entry in IDLE {
        for (command, option) in entry
            .commands
            .iter()
            .flat_map(|c| entry.options.iter().map(move |o| (c, o)))
        {
            let known = Cli::known();
            let command = known.find_subcommand(command).unwrap();
            let is_it = |a: &clap::Arg| a.get_long() == Some(option);
            assert!(
                command.get_arguments().any(is_it),
                "{} has no --{option}",
                command.get_name()
            );
        }
    }
}

/// What is said of a command line, with options of a file in front.
fn said(file: &[&str], line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let all = words[..2].iter().chain(file).chain(&words[2..]);
    let matches = |words: Vec<&str>| Cli::known().try_get_matches_from(words).unwrap();
    let (typed, all) = (matches(words.clone()), matches(all.copied().collect()));
    let (name, all) = all.subcommand().unwrap();
    idle_options(name, typed.subcommand().unwrap().1, all)
}

#[test]
fn what_does_nothing_is_told_once_and_what_does_something_is_not() {
    let nothing: [&str; 0] = [];
    let prune = "ckaprune prune --model m.pt --iterations 1 --data d";
    assert_eq!(said(&[], prune), nothing);
    assert_eq!(
        said(
            &[],
            &format!("{prune} --optimizer adamw --momentum 0.8 --milestones 0.5")
        ),
        [
            "--momentum does nothing with --optimizer adamw",
            "--milestones does nothing without --schedule steps"
        ]
    );
    assert_eq!(
        said(
            &[],
            &format!("{prune} --momentum 0.8 --schedule steps --milestones 0.5")
        ),
        nothing
    );
    // A file serves several commands; what it says counts for what was typed.
    assert_eq!(
        said(&["--momentum=0.8"], &format!("{prune} --optimizer adamw")),
        nothing
    );
    assert_eq!(
        said(&["--optimizer=adamw"], &format!("{prune} --momentum 0.8")).len(),
        1
    );
    assert_eq!(
        said(&[], "ckaprune score --merge a.json --exact"),
        ["--exact does nothing with --merge, which ranks what was scored before"]
    );
    assert_eq!(
        said(
            &[],
            "ckaprune eval --model m.pt --data d --attacks fgsm --epsilon 1/255 --pgd-steps 3"
        ),
        ["--pgd-steps does nothing without --attacks pgd"]
    );
    assert_eq!(
        said(
            &[],
            "ckaprune eval --model m.pt --attacks fgsm,pgd --pgd-steps 3"
        ),
        nothing
    );
}

#[test]
fn it_is_a_note_and_the_command_runs() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --epochs 0 --temperature 2");
    let told =
        "note: --temperature does nothing where no scores are learned (--teach scores,labels)";
    let said = place.done(&format!("{line} --iterations 1"));
    assert!(said.stderr.contains(told), "{said:#?}");
    let quiet = place.done(&format!("{line} --iterations 1 --force --quiet"));
    assert_eq!(quiet.stderr, "");
}
