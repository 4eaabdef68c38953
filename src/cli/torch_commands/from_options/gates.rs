//! Limits, from the options of gates and from the file that can hold them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Args, FromArgMatches};

use crate::cli::Gates;
use crate::cli::options::{self, read_object, text_of};
use crate::prune::gates::Limits;

impl Gates {
    /// The limits of the command line, and those of the policy file if one is named. The command line wins.
    ///
    /// # Errors
    /// If the file cannot be read, has no gate, or has a key or a value that is not one of a gate. Otherwise a gate that
    /// somebody meant would pass unchecked.
    pub fn limits(&self) -> Result<Limits> {
        let policy = match &self.policy {
            Some(file) => read_policy(file)?,
            None => Gates::default(),
        };
        Ok(Limits {
            min_accuracy: self.min_accuracy.or(policy.min_accuracy),
            max_drop: self.max_drop.or(policy.max_drop),
            max_macs: self.max_macs.or(policy.max_macs),
            max_params: self.max_params.or(policy.max_params),
            max_latency_ratio: self.max_latency_ratio.or(policy.max_latency_ratio),
            min_robust_accuracy: self.min_robust_accuracy.or(policy.min_robust_accuracy),
            min_metric: self.min_metric.or(policy.min_metric),
            max_metric: self.max_metric.or(policy.max_metric),
        })
    }
}

fn read_policy(file: &Path) -> Result<Gates> {
    let shown = file.display();
    let entries = read_object(file, "--policy names a JSON file of gates")?;
    let command = Gates::augment_args(clap::Command::new("policy"));
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
        .and_then(|matches| Gates::from_arg_matches(&matches));
    read.map_err(|error| anyhow::anyhow!("{shown}: {}", options::first_line(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prune::gates::Gate;

    fn limits(arguments: &[&str]) -> Limits {
        gates(arguments).limits().unwrap()
    }

    fn gates(arguments: &[&str]) -> Gates {
        let command = Gates::augment_args(clap::Command::new("test"));
        let all = ["test"].iter().chain(arguments);
        Gates::from_arg_matches(&command.get_matches_from(all)).unwrap()
    }

    /// Whether each of the measured values keeps the limit.
    fn kept(argument: &str, measured: [f64; 3]) -> [bool; 3] {
        measured.map(|value| limits(&[argument]).check(|_| Ok(value)).unwrap()[0].met)
    }

    #[test]
    fn every_gate_opens_at_its_limit_and_closes_beyond_it() {
        for argument in [
            "--min-accuracy=0.9",
            "--min-robust-accuracy=0.9",
            "--min-metric=0.9",
        ] {
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
            "--max-metric=1",
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
            "--min-metric=-1",
            "--max-metric=100",
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
        let typed = Gates {
            policy: Some(file),
            ..gates(&["--max-params=5"])
        };
        typed.limits()
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
