//! Limits a network has to keep, for scripts that go by the exit code.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, FromArgMatches, ValueHint};
use serde::{Deserialize, Serialize};

use crate::options::{self, read_object, text_of};
use crate::report::{accuracy, thousands};

/// What must hold, as far as anything was asked.
#[derive(Clone, Debug, Default, PartialEq, Args)]
#[command(next_help_heading = "Gates (exit 1 if one is missed, 2 if one cannot be measured)")]
pub struct Limits {
    /// Gates from a JSON file of the options below, without dashes in front; the command line beats it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub policy: Option<PathBuf>,
    /// Accuracy at least, as a fraction
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::fraction)]
    pub min_accuracy: Option<f64>,
    /// Points of accuracy less than --baseline at most, on the same images
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true, value_parser = options::non_negative)]
    pub max_drop: Option<f64>,
    /// MACs at most, such as 70M
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = options::count)]
    pub max_macs: Option<f64>,
    /// Parameters at most, such as 0.5M
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = options::count)]
    pub max_params: Option<f64>,
    /// Time of a pass of one image at most, as a multiple of --baseline's, measured in turn
    #[arg(long, value_name = "RATIO", allow_negative_numbers = true, value_parser = options::positive)]
    pub max_latency_ratio: Option<f64>,
    /// Lowest accuracy under --attacks, and on average under --corruptions, as a fraction
    #[arg(long, value_name = "PART", allow_negative_numbers = true, value_parser = options::fraction)]
    pub min_robust_accuracy: Option<f64>,
}

/// One kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    MinAccuracy,
    MaxDrop,
    MaxMacs,
    MaxParams,
    MaxLatencyRatio,
    MinRobustAccuracy,
}

impl Gate {
    /// As options and policies call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Gate::MinAccuracy => "min-accuracy",
            Gate::MaxDrop => "max-drop",
            Gate::MaxMacs => "max-macs",
            Gate::MaxParams => "max-params",
            Gate::MaxLatencyRatio => "max-latency-ratio",
            Gate::MinRobustAccuracy => "min-robust-accuracy",
        }
    }

    /// A value of its kind, for people.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Gate::MinAccuracy | Gate::MinRobustAccuracy => accuracy(value),
            Gate::MaxDrop => format!("{value:.2} points"),
            Gate::MaxMacs | Gate::MaxParams => thousands(value.round() as i64),
            Gate::MaxLatencyRatio => format!("×{value:.3}"),
        }
    }

    /// Whether what it is about means nothing if labels have other numbers than the network's classes.
    #[must_use]
    pub fn rests_on_labels(self) -> bool {
        matches!(
            self,
            Gate::MinAccuracy | Gate::MaxDrop | Gate::MinRobustAccuracy
        )
    }

    fn is_least(self) -> bool {
        matches!(self, Gate::MinAccuracy | Gate::MinRobustAccuracy)
    }
}

/// A limit beside what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    pub gate: Gate,
    pub limit: f64,
    pub measured: f64,
    pub met: bool,
    /// How far on the right side of the limit; negative where it was missed.
    pub margin: f64,
}

impl Limits {
    /// With those of the policy file, if one is named; those of the command line win.
    ///
    /// # Errors
    /// If the file cannot be read, holds no gate, or holds a key or a value that is none: a gate that was meant and is
    /// not checked must not look green.
    pub fn with_policy(&self) -> Result<Self> {
        let Some(file) = &self.policy else {
            return Ok(self.clone());
        };
        let policy = read_policy(file)?;
        Ok(Limits {
            policy: self.policy.clone(),
            min_accuracy: self.min_accuracy.or(policy.min_accuracy),
            max_drop: self.max_drop.or(policy.max_drop),
            max_macs: self.max_macs.or(policy.max_macs),
            max_params: self.max_params.or(policy.max_params),
            max_latency_ratio: self.max_latency_ratio.or(policy.max_latency_ratio),
            min_robust_accuracy: self.min_robust_accuracy.or(policy.min_robust_accuracy),
        })
    }

    /// The limits that were asked for.
    pub fn asked(&self) -> impl Iterator<Item = (Gate, f64)> {
        let all = [
            (Gate::MinAccuracy, self.min_accuracy),
            (Gate::MaxDrop, self.max_drop),
            (Gate::MaxMacs, self.max_macs),
            (Gate::MaxParams, self.max_params),
            (Gate::MaxLatencyRatio, self.max_latency_ratio),
            (Gate::MinRobustAccuracy, self.min_robust_accuracy),
        ];
        all.into_iter()
            .filter_map(|(gate, limit)| Some((gate, limit?)))
    }

    /// Refuses limits whose `obstacle` is known before anything is measured.
    ///
    /// # Errors
    /// One message that names the gate and what to do.
    pub fn require(&self, obstacle: impl Fn(Gate) -> Option<&'static str>) -> Result<()> {
        match self
            .asked()
            .find_map(|(gate, _)| Some((gate, obstacle(gate)?)))
        {
            Some((gate, reason)) => bail!(unmeasured(gate, reason)),
            None => Ok(()),
        }
    }

    /// Holds every limit against what `measured` says, which gives the reason where it has no number.
    ///
    /// # Errors
    /// If something was not measured that a limit is about.
    pub fn check(&self, measured: impl Fn(Gate) -> Result<f64, String>) -> Result<Vec<Verdict>> {
        let verdict = |(gate, limit): (Gate, f64)| {
            let measured = match measured(gate) {
                Ok(number) if number.is_finite() => number,
                Ok(number) => bail!(unmeasured(gate, &format!("what was measured is {number}"))),
                Err(reason) => bail!(unmeasured(gate, &reason)),
            };
            let margin = match gate.is_least() {
                true => measured - limit,
                false => limit - measured,
            };
            Ok(Verdict {
                gate,
                limit,
                measured,
                met: margin >= 0.,
                margin,
            })
        };
        self.asked().map(verdict).collect()
    }
}

fn unmeasured(gate: Gate, reason: &str) -> String {
    format!("the gate {} cannot be checked: {reason}", gate.name())
}

fn read_policy(file: &Path) -> Result<Limits> {
    let shown = file.display();
    let entries = read_object(file, "--policy names a JSON file of gates")?;
    let command = Limits::augment_args(clap::Command::new("policy"));
    let mut arguments = vec!["policy".to_owned()];
    for (key, value) in &entries {
        let is_gate = |a: &clap::Arg| a.get_long() == Some(key) && key != "policy";
        if !command.get_arguments().any(is_gate) {
            bail!(
                "{shown}: there is no gate `{key}`; the gates are those of `ckaprune eval --help`, such as \"min-accuracy\""
            );
        }
        let text = text_of(value).with_context(|| format!("{shown}: {key}"))?;
        arguments.push(format!("--{key}={text}"));
    }
    if entries.is_empty() {
        bail!("{shown}: the policy holds no gate, so nothing would be checked");
    }
    let read = command
        .try_get_matches_from(arguments)
        .and_then(|matches| Limits::from_arg_matches(&matches));
    read.map_err(|error| anyhow::anyhow!("{shown}: {}", options::first_line(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(arguments: &[&str]) -> Limits {
        let command = Limits::augment_args(clap::Command::new("test"));
        let all = ["test"].iter().chain(arguments);
        Limits::from_arg_matches(&command.get_matches_from(all)).unwrap()
    }

    /// One limit, and whether each of the measured values keeps it.
    fn kept(argument: &str, measured: [f64; 3]) -> [bool; 3] {
        measured.map(|value| limits(&[argument]).check(|_| Ok(value)).unwrap()[0].met)
    }

    #[test]
    fn every_gate_opens_at_its_limit_and_closes_beyond_it() {
        for argument in ["--min-accuracy=0.9", "--min-robust-accuracy=0.9"] {
            assert_eq!(
                kept(argument, [0.8999, 0.9, 0.9001]),
                [false, true, true],
                "{argument}"
            );
        }
        for argument in [
            "--max-drop=1",
            "--max-macs=1",
            "--max-params=1",
            "--max-latency-ratio=1",
        ] {
            assert_eq!(
                kept(argument, [0.9999, 1., 1.0001]),
                [true, true, false],
                "{argument}"
            );
        }
    }

    #[test]
    fn a_limit_with_a_unit_is_the_whole_number_that_it_names() {
        for n in 1..2000u32 {
            let limit = format!("--max-macs={}.{:03}M", n / 1000, n % 1000);
            let macs = f64::from(n * 1000);
            assert_eq!(
                kept(&limit, [macs - 1., macs, macs + 1.]),
                [true, true, false],
                "{limit}"
            );
        }
        let exact = "--max-macs=125.485696M";
        assert_eq!(
            kept(exact, [125_485_695., 125_485_696., 125_485_697.]),
            [true, true, false]
        );
        assert_eq!(limits(&["--max-params=1.5e3k"]).max_params, Some(1.5e6));
    }

    #[test]
    fn what_could_not_be_measured_is_an_error_whatever_the_gate() {
        let all = [
            "--min-accuracy=0",
            "--max-drop=100",
            "--max-macs=1T",
            "--max-params=1T",
            "--max-latency-ratio=100",
            "--min-robust-accuracy=0",
        ];
        for argument in all {
            let name = argument.trim_start_matches("--").split('=').next().unwrap();
            let error = limits(&[argument])
                .check(|_| Err("no data".into()))
                .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("the gate {name} cannot be checked: no data")
            );
            assert!(
                limits(&[argument]).check(|_| Ok(f64::NAN)).is_err(),
                "{argument}"
            );
        }
    }

    #[test]
    fn a_margin_says_by_how_much() {
        let verdict = limits(&["--max-macs=70M"]).check(|_| Ok(80e6)).unwrap()[0];
        assert_eq!((verdict.margin, verdict.met), (-10e6, false));
    }

    fn policy(text: &str) -> Result<Limits> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.json");
        std::fs::write(&file, text).unwrap();
        let typed = Limits {
            policy: Some(file),
            ..limits(&["--max-params=5"])
        };
        typed.with_policy()
    }

    #[test]
    fn a_policy_adds_its_gates_and_the_command_line_wins() {
        let all = policy(r#"{"min-accuracy": 0.9, "max-macs": "70M", "max-params": 1}"#).unwrap();
        let asked: Vec<_> = all.asked().collect();
        assert_eq!(
            asked,
            [
                (Gate::MinAccuracy, 0.9),
                (Gate::MaxMacs, 70e6),
                (Gate::MaxParams, 5.)
            ]
        );
    }

    #[test]
    fn a_policy_that_checks_less_than_was_meant_is_refused() {
        for (text, said) in [
            ("{}", "holds no gate"),
            (r#"{"min-acuracy": 0.9}"#, "no gate `min-acuracy`"),
            (r#"{"policy": "other.json"}"#, "no gate `policy`"),
            (r#"{"min-accuracy": 93.5}"#, "from 0 to 1"),
            (r#"{"min-accuracy": null}"#, "expected a number"),
            ("[]", "expected a JSON object"),
            ("{", "not JSON"),
        ] {
            let error = format!("{:#}", policy(text).unwrap_err());
            assert!(
                error.contains(said) && error.contains("policy.json"),
                "{error}"
            );
        }
    }
}
