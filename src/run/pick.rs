//! The name of the iteration whose network a run exports.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// The iteration to export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// The highest validation accuracy of those within the targets, or of all if none is; of equal ones the smaller
    /// network.
    Best,
    #[default]
    Last,
    /// Counted from 1.
    Number(NonZeroUsize),
}

impl FromStr for Pick {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "best" => Ok(Pick::Best),
            "last" => Ok(Pick::Last),
            _ => text
                .parse()
                .map(Pick::Number)
                .map_err(|_| "expected best, last or the number of an iteration".into()),
        }
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pick::Best => f.write_str("best"),
            Pick::Last => f.write_str("last"),
            Pick::Number(n) => n.fmt(f),
        }
    }
}
