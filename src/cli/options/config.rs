//! Options from a JSON file.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ValueHint};
use serde_json::Value;

use crate::cli::Cli;
use crate::report::progress::say;

/// Name of the file of options that is read although no option names it.
pub(super) const CONFIG_NAME: &str = "ckaprune.json";

/// Options that run a command or replace files: they count only in a file that `--config` names, since whoever has a model
/// of others need not have read what lies beside it.
const NAMED_ALONE: [&str; 3] = ["tune-with", "measure-with", "force"];

/// The command line with the options of the configuration file put in front, so that what was typed comes later and
/// wins.
///
/// # Errors
/// If the file cannot be read, is no JSON object, or has a key that no command knows.
pub fn with_config(args: Vec<OsString>) -> Result<Vec<OsString>> {
    // This reading only finds the file, and ignores errors. They are told when the command line is read as a whole.
    let Ok(matches) = Cli::known().ignore_errors(true).try_get_matches_from(&args) else {
        return Ok(args);
    };
    let Some((name, typed)) = matches.subcommand() else {
        return Ok(args);
    };
    if typed.try_get_one::<PathBuf>("config").is_err() {
        return Ok(args);
    }
    let path = |id: &str| typed.try_get_one::<PathBuf>(id).ok().flatten();
    let Some(file) = path("config")
        .cloned()
        .or_else(|| usual_config(path("model"), path("data")))
    else {
        return Ok(args);
    };
    let options = read_config(&file, name, path("config").is_some())?;
    let quiet = typed.try_get_one::<bool>("quiet").ok().flatten() == Some(&true);
    if path("config").is_none() && !quiet {
        say(format_args!("note: options from {}", file.display()));
    }
    // Behind program and subcommand come the file's options, then those that were typed. A program may have the name of a
    // subcommand.
    let mut words = args.iter().skip(1);
    let place = words
        .position(|a| a.to_str() == Some(name))
        .map_or(args.len(), |i| i + 2);
    let mut all = args[..place].to_vec();
    all.extend(options);
    all.extend_from_slice(&args[place..]);
    Ok(all)
}

/// `ckaprune.json` beside the model or in the current folder, where no data is named on the command line.
fn usual_config(model: Option<&PathBuf>, data: Option<&PathBuf>) -> Option<PathBuf> {
    if data.is_some() {
        return None;
    }
    let beside = model.map(|m| m.with_file_name(CONFIG_NAME));
    [beside, Some(PathBuf::from(CONFIG_NAME))]
        .into_iter()
        .flatten()
        .find(|p| p.is_file())
}

/// The entries of a JSON file that holds one object; `what` says what the file should be.
///
/// # Errors
/// If it cannot be read or holds something else.
pub fn read_object(file: &Path, what: &str) -> Result<serde_json::Map<String, Value>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| anyhow!("{shown}: cannot be read ({error}); {what}"))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{shown}: this is not JSON"))?;
    match value {
        Value::Object(entries) => Ok(entries),
        _ => bail!("{shown}: expected a JSON object of options"),
    }
}

fn read_config(file: &Path, command: &str, is_named: bool) -> Result<Vec<OsString>> {
    let shown = file.display();
    let entries = read_object(file, "--config names a JSON file of options")?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let cli = Cli::known();
    let mut options = Vec::new();
    for (key, value) in entries {
        let option = |c: &clap::Command| {
            c.get_arguments()
                .find(|a| a.get_long() == Some(&key))
                .cloned()
        };
        let known = cli.get_subcommands().find_map(option);
        if known.is_none() || key == "config" {
            bail!(
                "{shown}: there is no option `{key}`; the keys are those of the command line, such as \"input-size\""
            );
        }
        if !is_named && NAMED_ALONE.contains(&key.as_str()) {
            bail!("{shown}: `{key}` counts only in a file of options that --config names");
        }
        // One file serves several commands. Each takes the options that it knows.
        if let Some((command, option)) = cli
            .find_subcommand(command)
            .and_then(|c| Some((c, option(c)?)))
        {
            for value in typed_one_by_one(&option, &value) {
                let text = text_of(value).with_context(|| format!("{shown}: {key}"))?;
                let named = || format!("{shown}: {key} {value}");
                if let Some(argument) = argument(&option, &key, text, folder).with_context(named)? {
                    check(command, &argument).with_context(named)?;
                    options.push(argument);
                }
            }
        }
    }
    Ok(options)
}

/// A list of what is typed behind an option each, or the value of any other option.
fn typed_one_by_one<'a>(option: &Arg, value: &'a Value) -> &'a [Value] {
    let is_repeated = matches!(option.get_action(), ArgAction::Append);
    match value {
        Value::Array(items) if is_repeated && option.get_value_delimiter().is_none() => items,
        one => std::slice::from_ref(one),
    }
}

/// The option as one would type it; `None` for a switch that is off.
fn argument(option: &Arg, key: &str, value: String, folder: &Path) -> Result<Option<OsString>> {
    let flag = format!("--{key}");
    if !option.get_action().takes_values() {
        return match value.as_str() {
            "false" => Ok(None),
            "true" => Ok(Some(flag.into())),
            _ => bail!("expected true or false"),
        };
    }
    let is_path = matches!(
        option.get_value_hint(),
        ValueHint::FilePath | ValueHint::DirPath | ValueHint::AnyPath
    );
    let mut assignment = OsString::from(format!("{flag}="));
    // Paths in the file start from the folder of the file.
    assignment.push(if is_path {
        folder.join(value).into_os_string()
    } else {
        value.into()
    });
    Ok(Some(assignment))
}

/// Refuses a value from a file here, because clap would blame the command line.
fn check(command: &clap::Command, argument: &OsString) -> Result<()> {
    let alone = command.clone().mut_args(|a| a.required(false));
    let Err(error) = alone.try_get_matches_from([OsString::from(CONFIG_NAME), argument.clone()])
    else {
        return Ok(());
    };
    // The options that it needs may stand on the command line or elsewhere in the file.
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return Ok(());
    }
    match error.source() {
        Some(expected) => bail!("{expected}"),
        None => bail!("{}", first_line(&error)),
    }
}

/// What clap says, without the usage behind it.
pub fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// A JSON value as one would type it on the command line.
pub fn text_of(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(text_of)
            .collect::<Result<Vec<_>>>()?
            .join(","),
        Value::Null | Value::Object(_) => {
            bail!("expected a number, a text, true, false, or a list of those")
        }
    })
}
