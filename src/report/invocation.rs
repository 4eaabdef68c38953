//! What a command was asked for, so that its report tells how to get the same again.

use serde::Serialize;
use serde_json::{Map, Value};

/// A command as it was typed, and what that came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Invocation {
    /// For a shell to read, quoted where that takes it.
    pub command_line: String,
    /// Every option that has a value, by its name without dashes: as given, or the default.
    pub configuration: Map<String, Value>,
    /// Names of the options that were given, on the command line or in a file.
    pub given: Vec<String>,
}
