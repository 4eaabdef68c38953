//! A measure of the user's own, in accuracy's place: a command that says what a network is worth.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::report::progress::Progress;
use crate::report::yardstick::{Goal, Yardstick};
use crate::run::command::{Failed, UserCommand, quoted, scratch};
use crate::run::export::{ending, save_archive};
use crate::run::torch::Model;

/// What a measure is called that has no name.
const UNNAMED: &str = "measure";

/// A command that measures the network in a file. The last line of its standard output is a number, or a JSON object
/// with it.
#[derive(Clone, Debug)]
pub struct Measure {
    command: UserCommand,
    /// The entry that was asked for.
    asked: Option<String>,
    /// What the first answer called its number.
    found: OnceLock<String>,
    goal: Goal,
}

impl Measure {
    /// The command `text`, of whose answers the entry `metric` counts, or else the only number.
    ///
    /// # Errors
    /// If the command has no place for a file.
    pub fn of(
        text: &str,
        metric: Option<&str>,
        goal: Goal,
        timeout: Option<Duration>,
    ) -> Result<Self> {
        let command = UserCommand::new(text, "measure", "--measure-with", timeout);
        command.require(&["{model}"], "it has to read the network from {model}")?;
        Ok(Measure {
            command,
            asked: metric.map(str::to_owned),
            found: OnceLock::new(),
            goal,
        })
    }

    /// The command as it was given.
    #[must_use]
    pub fn command(&self) -> &str {
        self.command.text()
    }

    #[must_use]
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// What it measures; the name is known once it has measured something, if nobody gave it.
    #[must_use]
    pub fn yardstick(&self) -> Yardstick {
        let name = self.asked.as_ref().or(self.found.get());
        Yardstick::Own {
            name: name.map_or(UNNAMED, String::as_str).to_owned(),
            goal: self.goal,
        }
    }

    /// Of a network in memory, in a file that is gone afterwards. `folder` keeps what the command says.
    ///
    /// # Errors
    /// Those of [`Self::of_file`], and if the file cannot be written.
    pub fn of_model(
        &self,
        model: &Model,
        folder: Option<&Path>,
        progress: Progress,
    ) -> Result<f64> {
        let place = scratch(folder)?;
        let ending = ending(model.archive().is_exported());
        let file = place.path().join(format!("model.{ending}"));
        save_archive(model.archive(), &file, false)?;
        self.of_file(&file, folder, progress)
    }

    /// Of the network in this file.
    ///
    /// # Errors
    /// If the command fails, takes too long, or ends with no finite number; and [`Stopped`](crate::run::interrupt::Stopped).
    pub fn of_file(&self, file: &Path, folder: Option<&Path>, progress: Progress) -> Result<f64> {
        let said = (self.command).run(&[("{model}", quoted(file)?)], folder, progress)?;
        let wrong = |why: String| {
            let (command, last) = (self.command.text(), said.last_lines());
            Failed(format!("the measure {why}: {command}{last}"))
        };
        let Reading { name, value } = read(said.answer(), self.asked.as_deref()).map_err(wrong)?;
        let first = self.found.get_or_init(|| name.clone());
        if *first != name {
            bail!(wrong(format!(
                "called its number `{first}` before and `{name}` now; name one with --metric"
            )));
        }
        Ok(value)
    }
}

/// A number and what it is called.
#[derive(Debug, PartialEq)]
struct Reading {
    name: String,
    value: f64,
}

/// What the last line of a measure's output says, of which the entry `asked` counts; why it says nothing, if so.
fn read(line: &str, asked: Option<&str>) -> Result<Reading, String> {
    let line = line.trim();
    if line.is_empty() {
        return Err("said nothing on its standard output".into());
    }
    if let Ok(value) = line.parse() {
        return finite(asked.unwrap_or(UNNAMED), value);
    }
    let Ok(Value::Object(entries)) = serde_json::from_str(line) else {
        return Err(format!(
            "ended its output with `{}`, which is neither a number nor a JSON object (NaN and Infinity are no JSON)",
            shortened(line)
        ));
    };
    let mut numbers = entries
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_f64()?)));
    if let Some(asked) = asked {
        return match numbers.find(|(name, _)| *name == asked) {
            Some((name, value)) => finite(name, value),
            None => Err(format!("gave no number `{asked}` (--metric)")),
        };
    }
    let numbers: Vec<_> = numbers.collect();
    match numbers[..] {
        [(name, value)] => finite(name, value),
        [] => Err("gave a JSON object without a number".into()),
        _ => {
            let names: Vec<&str> = numbers.iter().map(|(name, _)| name.as_str()).collect();
            Err(format!(
                "gave several numbers ({}); name one with --metric",
                names.join(", ")
            ))
        }
    }
}

fn finite(name: &str, value: f64) -> Result<Reading, String> {
    match value.is_finite() {
        true => Ok(Reading {
            name: name.to_owned(),
            value,
        }),
        false => Err(format!(
            "gave {value} for {name}, where a finite number is expected"
        )),
    }
}

/// The beginning of a line.
fn shortened(line: &str) -> String {
    const SHOWN: usize = 80;
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str, asked: Option<&str>) -> (String, f64) {
        let reading = read(line, asked).unwrap();
        (reading.name, reading.value)
    }

    #[test]
    fn a_number_has_the_name_that_it_was_given() {
        assert_eq!(of(" 0.25 ", None), ("measure".into(), 0.25));
        assert_eq!(of("-3e2", Some("PSNR")), ("PSNR".into(), -300.));
        assert_eq!(of(r#"{"mAP": 0.5}"#, None), ("mAP".into(), 0.5));
        assert_eq!(
            of(r#"{"split": "val", "mAP": 1, "of": [3]}"#, None),
            ("mAP".into(), 1.)
        );
        assert_eq!(
            of(r#"{"mAP": 0.5, "loss": 2}"#, Some("loss")),
            ("loss".into(), 2.)
        );
    }

    #[test]
    fn what_is_no_finite_number_is_told_apart() {
        for (line, asked, why) in [
            ("", None, "said nothing"),
            ("nan", None, "gave NaN for measure"),
            ("inf", Some("mAP"), "gave inf for mAP"),
            ("-Infinity", None, "gave -inf"),
            ("1e999", None, "gave inf"),
            (r#"{"mAP": NaN}"#, None, "NaN and Infinity are no JSON"),
            ("mAP 0.5", None, "neither a number nor a JSON object"),
            ("[0.5]", None, "neither a number nor a JSON object"),
            (r#"{"mAP": "0.5"}"#, None, "without a number"),
            (r#"{"mAP": 0.5, "loss": 2}"#, None, "(mAP, loss); name one"),
            (r#"{"mAP": 0.5}"#, Some("IoU"), "gave no number `IoU`"),
            (r#"{"mAP": null}"#, Some("mAP"), "gave no number `mAP`"),
        ] {
            let error = read(line, asked).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
