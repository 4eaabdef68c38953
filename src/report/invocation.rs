//! What a command was asked for, so that its report can say how to get the same result again.

use serde::Serialize;
use serde_json::{Map, Value};

/// A command line as it was typed, and the values that its options had.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Invocation {
    /// The command line, quoted so that a shell can read it.
    pub command_line: String,
    /// The value of every option that has one, given or default, under its name without dashes.
    pub configuration: Map<String, Value>,
    /// Names of the options that were given, on the command line or in a file.
    pub given: Vec<String>,
}
