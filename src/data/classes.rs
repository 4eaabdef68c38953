//! The names of a network's classes, from a file: they tell which number the name of a class folder stands for.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{Problem, Result, listed};

/// Above any data set of labelled images known, and small enough to name them all.
pub(super) const MOST_CLASSES: usize = 1 << 16;
/// Room for 256 bytes of each class.
const LONGEST: u64 = 1 << 24;

/// How the labels of a data set are to be understood, where it does not say so itself.
#[derive(Clone, Debug, Default)]
pub struct Labelling {
    /// The network's classes. Class folders get the numbers of their names; labels that are numbers get names.
    pub classes: Option<ClassNames>,
    /// The label of the first class, where labels are numbers.
    pub first: u32,
}

/// Where the number of a class comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Numbered {
    /// The labels are numbers.
    #[default]
    ByLabel,
    /// The format has a certain number of classes.
    ByFormat,
    /// By the place of its folder's name in the sorted list of all.
    ByFolder,
    /// By this file.
    ByFile(PathBuf),
}

/// Names of classes in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassNames {
    file: PathBuf,
    names: Vec<String>,
}

impl ClassNames {
    /// Reads a name a line, or JSON: a list of names, an object of names by number (`{"0": "tench"}`, of several
    /// names the first: `{"0": ["n01440764", "tench"]}`), or one of numbers by name (`{"tench": 0}`).
    ///
    /// # Errors
    /// If the file cannot be read, leaves a number out, or has a name twice.
    pub fn read(file: &Path) -> Result<Self> {
        let located = |problem: Problem| problem.at(file);
        let length = fs::metadata(file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                malformed("no such file; --classes names a file of the network's classes").at(file)
            }
            _ => located(e.into()),
        })?;
        if length.len() > LONGEST {
            return Err(located(malformed("too long for a list of classes")));
        }
        let text = fs::read_to_string(file).map_err(|e| located(Problem::Io(e)))?;
        let names = parse(&text).map_err(located)?;
        Ok(ClassNames {
            file: file.to_owned(),
            names,
        })
    }

    /// The names in the order of their numbers.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The file that they are from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The numbers of classes that a data set has names for.
    pub(super) fn numbers_of(&self, own: &[String]) -> Result<Vec<i64>, Problem> {
        let number = |name: &String| self.names.iter().position(|given| given == name);
        let unknown = own.iter().filter(|name| number(name).is_none()).cloned();
        let unknown = listed(unknown);
        if !unknown.is_empty() {
            let file = self.file.clone();
            return Err(Problem::UnnamedClass {
                classes: unknown,
                file,
            });
        }
        Ok(own.iter().filter_map(number).map(|at| at as i64).collect())
    }

    /// A short text that differs for other names or another order.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut checksum = flate2::Crc::new();
        checksum.update(self.names.join("\n").as_bytes());
        let (count, sum) = (self.names.len(), checksum.sum());
        format!("{count} names, CRC-32 {sum:08x}")
    }
}

fn malformed(what: &str) -> Problem {
    Problem::Malformed(what.to_owned())
}

fn parse(text: &str) -> Result<Vec<String>, Problem> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let names = if text.starts_with(['[', '{']) {
        of_json(text)?
    } else {
        of_lines(text)?
    };
    if names.is_empty() {
        return Err(malformed("holds no names of classes"));
    }
    if names.len() > MOST_CLASSES {
        return Err(malformed(&format!(
            "names more than {MOST_CLASSES} classes"
        )));
    }
    let mut seen = HashSet::new();
    let twice = names.iter().filter(|name| !seen.insert(*name)).cloned();
    match listed(twice) {
        none if none.is_empty() => Ok(names),
        twice => Err(malformed(&format!(
            "has a name twice: {twice}; of classes that have the same name, give each its folder's"
        ))),
    }
}

fn of_lines(text: &str) -> Result<Vec<String>, Problem> {
    let lines = text.lines().map(str::trim).enumerate();
    let name = |(at, line): (usize, &str)| match line {
        "" => Err(malformed(&format!(
            "line {} is empty, which would shift the numbers of all classes behind it",
            at + 1
        ))),
        name => Ok(name.to_owned()),
    };
    lines.map(name).collect()
}

fn of_json(text: &str) -> Result<Vec<String>, Problem> {
    let value: Value =
        serde_json::from_str(text).map_err(|e| malformed(&format!("this is not JSON: {e}")))?;
    let mut numbered = BTreeMap::new();
    let entries: Vec<(Option<u64>, Option<String>)> = match value {
        Value::Array(names) => {
            let names = names.iter().enumerate();
            names
                .map(|(at, name)| (Some(at as u64), name_of(name)))
                .collect()
        }
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| match value.as_u64() {
                Some(number) => (Some(number), Some(key.clone())),
                None => (key.parse().ok(), name_of(value)),
            };
            entries.iter().map(entry).collect()
        }
        _ => Vec::new(),
    };
    for entry in entries {
        let (Some(number), Some(name)) = entry else {
            return Err(malformed(
                "expected a list of names, or an object of names by number or of numbers by name",
            ));
        };
        if numbered.insert(number, name).is_some() {
            return Err(malformed(&format!("has two names for class {number}")));
        }
    }
    let mut names = Vec::new();
    for (number, name) in numbered {
        if number != names.len() as u64 {
            return Err(malformed(&format!(
                "has no name for class {}; the numbers go from 0 on and leave none out",
                names.len()
            )));
        }
        names.push(name);
    }
    Ok(names)
}

/// The name of a class, or the first of its names.
fn name_of(value: &Value) -> Option<String> {
    let name = match value {
        Value::Array(names) => names.first()?,
        name => name,
    };
    name.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_form_that_people_have_them() {
        for text in [
            "cat\ndog\n10\n",
            "\u{feff}cat\r\ndog\r\n10\r\n\r\n",
            r#"["cat", "dog", "10"]"#,
            r#"{"2": "10", "0": "cat", "1": "dog"}"#,
            r#"{"0": ["cat", "tabby"], "1": ["dog"], "2": ["10", "cat"]}"#,
            r#"{"cat": 0, "10": 2, "dog": 1}"#,
        ] {
            assert_eq!(parse(text).unwrap(), ["cat", "dog", "10"], "{text}");
        }
    }

    #[test]
    fn files_that_would_shift_or_mix_classes_are_refused() {
        for (text, said) in [
            ("", "no names"),
            ("[]", "no names"),
            ("cat\n\ndog", "line 2 is empty"),
            ("cat\ndog\ncat", "twice: cat"),
            (r#"{"cat": 0, "dog": 2}"#, "no name for class 1"),
            (r#"{"1": "cat", "2": "dog"}"#, "no name for class 0"),
            (r#"{"cat": 0, "dog": 0}"#, "two names for class 0"),
            (r#"["cat", 7]"#, "expected a list"),
            (r#"["cat", []]"#, "expected a list"),
            (r#"{"cat": -1}"#, "expected a list"),
            (r#"["cat""#, "not JSON"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(said), "{text}: {message}");
        }
    }
}
