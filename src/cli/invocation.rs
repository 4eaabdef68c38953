//! The command line as reports show it.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::Value;

use crate::cli::Cli;
use crate::report::Invocation;

/// Makes it from the words of the command line, and from what clap read in them and in the file of options.
#[must_use]
pub fn invocation(typed: &[OsString], matches: &ArgMatches) -> Invocation {
    let words: Vec<String> = typed
        .iter()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let mut invocation = Invocation {
        // Only a word with a NUL cannot be quoted, and no program is ever given one.
        command_line: shlex::try_join(words.iter().map(String::as_str))
            .unwrap_or_else(|_| words.join(" ")),
        ..Invocation::default()
    };
    let known = Cli::known();
    let Some((name, matches)) = matches.subcommand() else {
        return invocation;
    };
    let options = known
        .find_subcommand(name)
        .into_iter()
        .flat_map(clap::Command::get_arguments);
    for option in options {
        let id = option.get_id().as_str();
        let (Some(name), Ok(Some(raw))) = (option.get_long(), matches.try_get_raw(id)) else {
            continue;
        };
        let mut values: Vec<Value> = raw.map(|text| value_of(&text.to_string_lossy())).collect();
        let value = match values.len() {
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        invocation.configuration.insert(name.to_owned(), value);
        if matches.value_source(id) == Some(ValueSource::CommandLine) {
            invocation.given.push(name.to_owned());
        }
    }
    invocation
}

/// A number, true, false, or a text.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_told_with_their_defaults() {
        let typed = [
            "ckaprune",
            "inspect",
            "--model",
            "it's a model.pt",
            "--tree",
            "--input-size",
            "8",
        ];
        let typed = typed.map(OsString::from);
        let matches = Cli::known().try_get_matches_from(&typed).unwrap();
        let invocation = invocation(&typed, &matches);
        let words = shlex::split(&invocation.command_line).unwrap();
        assert_eq!(words, typed.map(|w| w.into_string().unwrap()));
        let configuration = &invocation.configuration;
        assert_eq!(configuration["model"], "it's a model.pt");
        assert_eq!(configuration["input-size"], 8);
        assert_eq!(configuration["tree"], json!(true));
        assert_eq!(configuration["json"], json!(false));
        assert_eq!(configuration["granularity"], "block");
        assert!(
            !configuration.contains_key("output-key"),
            "it was not given and has no default"
        );
        assert_eq!(invocation.given, ["model", "input-size", "tree"]);
    }
}
