//! What option values mean, and options from a JSON file.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use clap::error::ErrorKind;
use clap::{Arg, ValueHint};
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Cli;
use crate::data::{Augment, Samples};
use crate::progress::say;

/// `0.485,0.456,0.406`
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers(pub Vec<f32>);

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.trim().parse::<f32>().ok().filter(|x| x.is_finite());
        let numbers: Option<Vec<f32>> = text.split(',').map(number).collect();
        numbers
            .map(Numbers)
            .ok_or_else(|| "expected numbers parted by commas, such as 0.485,0.456,0.406".into())
    }
}

/// An input size; channels only where they were named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub channels: Option<usize>,
    pub height: usize,
    pub width: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LARGEST: usize = 1 << 16;
        let part = |part: &str| {
            part.trim()
                .parse::<usize>()
                .ok()
                .filter(|n| (1..=LARGEST).contains(n))
        };
        let parts: Option<Vec<usize>> = text.split(['x', '×', ',']).map(part).collect();
        match parts.as_deref() {
            Some([side]) => Ok(Size { channels: None, height: *side, width: *side }),
            Some([height, width]) => Ok(Size { channels: None, height: *height, width: *width }),
            Some([channels, height, width]) => Ok(Size { channels: Some(*channels), height: *height, width: *width }),
            _ => Err("expected a side (32), height x width (224x224) or channels x height x width (3x32x32)".into()),
        }
    }
}

/// A number of images, or `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleCount(pub Samples);

impl FromStr for SampleCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(SampleCount(Samples::All)),
            _ => text
                .parse::<NonZeroUsize>()
                .ok()
                .filter(|n| n.get() >= 2)
                .map(|n| SampleCount(Samples::N(n)))
                .ok_or_else(|| "expected a number of images, at least 2, or all".into()),
        }
    }
}

impl fmt::Display for SampleCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Samples::All => f.write_str("all"),
            Samples::N(n) => n.fmt(f),
        }
    }
}

/// One of several parts of a job: `3/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Counted from 1.
    pub number: usize,
    pub of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        parts
            .and_then(|(number, of)| {
                Some(Shard {
                    number: number.trim().parse().ok()?,
                    of: of.trim().parse().ok()?,
                })
            })
            .filter(|shard| (1..=shard.of).contains(&shard.number))
            .ok_or_else(|| "expected a part and their number, such as 3/16".into())
    }
}

impl Shard {
    /// The images of this part, of so many.
    #[must_use]
    pub fn range(self, images: usize) -> std::ops::Range<usize> {
        let bound = |parts: usize| (images as u128 * parts as u128 / self.of as u128) as usize;
        bound(self.number - 1)..bound(self.number)
    }
}

/// Random changes to training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augmentation(pub Augment);

impl FromStr for Augmentation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut augment = Augment {
            crop_padding: 0,
            flip: false,
        };
        for word in text.split(',').map(str::trim) {
            match word {
                "crop" => augment.crop_padding = Augment::default().crop_padding,
                "flip" => augment.flip = true,
                "none" => {}
                _ => return Err("expected crop, flip, crop,flip or none".into()),
            }
        }
        Ok(Augmentation(augment))
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0.crop_padding > 0, self.0.flip) {
            (true, true) => "crop,flip",
            (true, false) => "crop",
            (false, true) => "flip",
            (false, false) => "none",
        })
    }
}

/// Path globs such as `layer1.*`; a dot is an ordinary character.
#[derive(Clone, Debug)]
pub struct Globs {
    texts: Vec<String>,
    set: GlobSet,
}

impl FromStr for Globs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let texts: Vec<String> = text
            .split(',')
            .map(|t| t.trim().to_owned())
            .filter(|t| !t.is_empty())
            .collect();
        let mut set = GlobSetBuilder::new();
        for glob in &texts {
            set.add(Glob::new(glob).map_err(|e| e.to_string())?);
        }
        let set = set.build().map_err(|e| e.to_string())?;
        Ok(Globs { texts, set })
    }
}

impl Globs {
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.set.is_match(path)
    }

    /// A glob that matches none of the paths: most likely a typing error.
    #[must_use]
    pub fn without_match<'a>(&self, paths: impl Iterator<Item = &'a str> + Clone) -> Option<&str> {
        let unmatched = |glob: &&String| {
            Glob::new(glob).is_ok_and(|g| !paths.clone().any(|p| g.compile_matcher().is_match(p)))
        };
        self.texts.iter().find(unmatched).map(String::as_str)
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts.join(","))
    }
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(f32::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

/// Numbers to divide by.
///
/// # Errors
/// What was expected instead.
pub fn deviations(text: &str) -> Result<Numbers, String> {
    text.parse()
        .ok()
        .filter(|numbers: &Numbers| numbers.0.iter().all(|x| *x > 0.))
        .ok_or_else(|| {
            "expected positive numbers parted by commas, such as 0.229,0.224,0.225".into()
        })
}

/// A number of threads.
///
/// # Errors
/// What was expected instead.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "expected a whole number, 1 or more".into())
}

/// A page to write; the file beside it with the extension `json` must not be taken for options later on.
///
/// # Errors
/// What was expected instead.
pub fn report_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_none_or(|extension| extension != "html") {
        return Err("expected a file name that ends in .html".into());
    }
    if path.with_extension("json").file_name() == Some(CONFIG_NAME.as_ref()) {
        return Err(format!(
            "expected another name: {CONFIG_NAME}, which would be written as well, holds options"
        ));
    }
    Ok(path)
}

/// A number that is not negative.
///
/// # Errors
/// What was expected instead.
pub fn non_negative(text: &str) -> Result<f64, String> {
    number_in(text, |x| x >= 0.).ok_or_else(|| "expected a number, 0 or more".into())
}

/// A momentum: from 1 on, steps grow without bound.
///
/// # Errors
/// What was expected instead.
pub fn momentum(text: &str) -> Result<f64, String> {
    number_in(text, |x| (0. ..1.).contains(&x))
        .ok_or_else(|| "expected a number from 0 to below 1".into())
}

/// A number above 0.
///
/// # Errors
/// What was expected instead.
pub fn positive(text: &str) -> Result<f64, String> {
    number_in(text, |x| x > 0.).ok_or_else(|| "expected a number above 0".into())
}

/// A part of something: less than all of it.
///
/// # Errors
/// What was expected instead.
pub fn part(text: &str) -> Result<f64, String> {
    number_in(text, |x| (0. ..1.).contains(&x))
        .ok_or_else(|| "expected a number from 0 to below 1".into())
}

/// A part of something, or all of it.
///
/// # Errors
/// What was expected instead.
pub fn fraction(text: &str) -> Result<f64, String> {
    number_in(text, |x| (0. ..=1.).contains(&x))
        .ok_or_else(|| "expected a number from 0 to 1".into())
}

/// Places between 0 and 1 in rising order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Places(pub Vec<f64>);

impl FromStr for Places {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let places: Result<Vec<f64>, String> =
            text.split(',').map(|n| fraction(n.trim())).collect();
        places
            .ok()
            .filter(|places| places.is_sorted())
            .map(Places)
            .ok_or_else(|| {
                "expected rising numbers from 0 to 1 parted by commas, such as 0.5,0.75".into()
            })
    }
}

fn number_in(text: &str, allowed: impl Fn(f64) -> bool) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|x: &f64| x.is_finite() && allowed(*x))
}

/// The path of a block.
///
/// # Errors
/// What was expected instead.
pub fn block_path(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected paths of blocks parted by commas, such as layer1.1,layer1.2".into()),
        path => Ok(path.to_owned()),
    }
}

/// Name of the configuration file that is used without being named.
const CONFIG_NAME: &str = "ckaprune.json";

/// The command line with the options of the configuration file put in front, so that what was typed comes later and
/// wins.
///
/// # Errors
/// If the file cannot be read, is no JSON object, or has a key that no command knows.
pub fn with_config(args: Vec<OsString>) -> Result<Vec<OsString>> {
    // A first, forgiving look: only to find the file. The real reading reports what is wrong.
    let Ok(matches) = Cli::known().ignore_errors(true).try_get_matches_from(&args) else {
        return Ok(args);
    };
    let Some((name, typed)) = matches.subcommand() else {
        return Ok(args);
    };
    let path = |id: &str| typed.try_get_one::<PathBuf>(id).ok().flatten();
    let Some(file) = path("config")
        .cloned()
        .or_else(|| usual_config(path("model"), path("data")))
    else {
        return Ok(args);
    };
    let options = read_config(&file, name)?;
    let quiet = typed.try_get_one::<bool>("quiet").ok().flatten() == Some(&true);
    if path("config").is_none() && !quiet {
        say(format_args!("note: options from {}", file.display()));
    }
    // Behind program and subcommand come the file's options, then those that were typed.
    let place = args
        .iter()
        .position(|a| a.to_str() == Some(name))
        .map_or(args.len(), |i| i + 1);
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

fn read_config(file: &Path, command: &str) -> Result<Vec<OsString>> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        anyhow!("{shown}: cannot be read ({error}); --config names a JSON file of options")
    })?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{shown}: this is not JSON"))?;
    let Value::Object(entries) = value else {
        bail!("{shown}: expected a JSON object of options")
    };
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
        // One file serves several commands; each takes what it has.
        if let Some((command, option)) = cli
            .find_subcommand(command)
            .and_then(|c| Some((c, option(c)?)))
        {
            let text = text_of(&value).with_context(|| format!("{shown}: {key}"))?;
            let named = || format!("{shown}: {key} {value}");
            if let Some(argument) = argument(&option, &key, text, folder).with_context(named)? {
                check(command, &argument).with_context(named)?;
                options.push(argument);
            }
        }
    }
    Ok(options)
}

/// The option as it would be typed; nothing for a switch that is off.
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
    // Paths in the file are seen from the file.
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
    // What it needs beside it may stand elsewhere.
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return Ok(());
    }
    match error.source() {
        Some(expected) => bail!("{expected}"),
        None => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            bail!("{}", line.strip_prefix("error: ").unwrap_or(line))
        }
    }
}

fn text_of(value: &Value) -> Result<String> {
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
