//! Options that were given and do nothing: because of other options, or in this command.

use clap::ArgMatches;
use clap::parser::ValueSource;

/// The options of a command, and how they were given.
pub struct GivenOptions<'a>(&'a ArgMatches);

impl GivenOptions<'_> {
    /// Whether an option was given, on the command line or in a file.
    fn has(&self, option: &str) -> bool {
        self.0.value_source(&id(option)) == Some(ValueSource::CommandLine)
    }

    /// Whether an option has this value, given or by default.
    fn is(&self, option: &str, value: &str) -> bool {
        let values = self.0.try_get_raw(&id(option)).ok().flatten();
        values
            .into_iter()
            .flatten()
            .any(|v| v.to_str() == Some(value))
    }

    /// Whether this is one of the words of an option's value.
    fn names(&self, option: &str, word: &str) -> bool {
        let values = self.0.try_get_raw(&id(option)).ok().flatten();
        let mut texts = values.into_iter().flatten().filter_map(|v| v.to_str());
        texts.any(|text| text.split(',').any(|part| part.trim() == word))
    }
}

fn id(option: &str) -> String {
    option.replace('-', "_")
}

/// Options that do something only under a condition.
pub struct Idle {
    pub commands: &'static [&'static str],
    pub options: &'static [&'static str],
    does_something: fn(&GivenOptions) -> bool,
    /// Why they do nothing otherwise: the end of the sentence "--option does nothing ...".
    otherwise: &'static str,
}

const fn idle(
    commands: &'static [&'static str],
    options: &'static [&'static str],
    does_something: fn(&GivenOptions) -> bool,
    otherwise: &'static str,
) -> Idle {
    Idle {
        commands,
        options,
        does_something,
        otherwise,
    }
}

const SCORES: &[&str] = &["score", "prune"];
const TRAINS: &[&str] = &["prune", "finetune"];
const MEASURES: &[&str] = &["eval", "compare"];
const PIXELS: &[&str] = &["mean", "std", "resize", "crop", "crop-pct", "interpolation"];
const SELECTION: &[&str] = &["keep", "only", "min-blocks-per-stage"];

/// All such options. Combinations that clap refuses are not among them.
pub const IDLE: &[Idle] = &[
    idle(
        TRAINS,
        &["momentum"],
        |o| o.is("optimizer", "sgd"),
        "with --optimizer adamw",
    ),
    idle(
        TRAINS,
        &["milestones"],
        |o| o.is("schedule", "steps"),
        "without --schedule steps",
    ),
    idle(
        &["prune"],
        &["temperature", "distill-weight"],
        |o| o.has("distill") || o.names("teach", "scores"),
        "where no scores are learned (--teach scores,labels)",
    ),
    idle(
        &["finetune"],
        &["temperature", "distill-weight"],
        |o| o.has("teacher"),
        "without --teacher",
    ),
    idle(
        &["finetune"],
        &["samples"],
        |_| false,
        "in finetune, which learns from all training images",
    ),
    idle(
        SCORES,
        &["criterion-seed"],
        |o| o.is("criterion", "random"),
        "without --criterion random",
    ),
    idle(
        SCORES,
        &["exact"],
        |o| {
            ["cka", "recoverability", "agreement"]
                .iter()
                .any(|name| o.is("criterion", name))
        },
        "with this --criterion, by which all blocks are compared on all images anyway",
    ),
    idle(
        SCORES,
        &["memory"],
        |o| !o.is("criterion", "l1") && !o.is("criterion", "random"),
        "with this --criterion",
    ),
    idle(
        &["score"],
        SELECTION,
        |o| !o.has("map"),
        "with --map, which compares all blocks",
    ),
    idle(
        &["score"],
        &["exact", "criterion-seed"],
        |o| !o.has("map"),
        "with --map",
    ),
    idle(
        &["score"],
        &[
            "output-key",
            "mean",
            "std",
            "resize",
            "crop",
            "crop-pct",
            "interpolation",
            "input-size",
            "samples",
            "batch-size",
            "seed",
            "granularity",
            "candidates",
            "keep",
            "only",
            "min-blocks-per-stage",
            "criterion",
            "criterion-seed",
            "race",
            "exact",
            "memory",
            "force",
            "device",
            "threads",
        ],
        |o| !o.has("merge"),
        "with --merge, which ranks what was scored before",
    ),
    idle(
        &["score", "prune", "eval", "compare"],
        PIXELS,
        |o| o.has("data") || o.has("merge"),
        "without --data: noise is taken as it is",
    ),
    idle(
        &["prune"],
        &["timeout"],
        |o| o.has("tune-with") || o.has("measure-with"),
        "without --tune-with or --measure-with",
    ),
    idle(
        MEASURES,
        &["timeout"],
        |o| o.has("measure-with"),
        "without --measure-with",
    ),
    idle(
        MEASURES,
        &["epsilon"],
        |o| o.has("attacks"),
        "without --attacks",
    ),
    idle(
        MEASURES,
        &["pgd-steps", "pgd-step-size"],
        |o| o.names("attacks", "pgd"),
        "without --attacks pgd",
    ),
    idle(
        MEASURES,
        &["robust-samples"],
        |o| {
            ["attacks", "corruptions", "ood", "predictions"]
                .iter()
                .any(|other| o.has(other))
        },
        "without --attacks, --corruptions, --ood or --predictions",
    ),
    idle(
        MEASURES,
        &["force"],
        |o| o.has("report"),
        "without --report",
    ),
    idle(
        &["eval"],
        &["samples"],
        |o| o.has("baseline") || !o.has("data"),
        "without --baseline, on which CKA is taken",
    ),
];

/// A sentence on each option that was typed and does nothing. `all` has the options from a file as well: nothing is said
/// of those, because one file serves several commands.
#[must_use]
pub fn idle_options(command: &str, typed: &ArgMatches, all: &ArgMatches) -> Vec<String> {
    let (typed, all) = (GivenOptions(typed), GivenOptions(all));
    let mut said: Vec<(&str, String)> = Vec::new();
    for entry in IDLE
        .iter()
        .filter(|entry| entry.commands.contains(&command))
    {
        for option in entry.options.iter().filter(|option| typed.has(option)) {
            let is_told = said.iter().any(|(told, _)| told == option);
            if !is_told && !(entry.does_something)(&all) {
                said.push((
                    option,
                    format!("--{option} does nothing {}", entry.otherwise),
                ));
            }
        }
    }
    said.into_iter().map(|(_, sentence)| sentence).collect()
}
