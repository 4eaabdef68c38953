//! Small bars beside numbers, on terminals.

use std::env;
use std::io::{self, IsTerminal};

/// What a bar is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    /// Eighths of a character.
    Blocks,
    /// Letters that every terminal has.
    Letters,
    /// No bar: programs read the text, or it is kept in a file.
    Nothing,
}

/// A bar for a value of `0..=max`, filled up with blanks to `width` characters. It is empty if stdout is no terminal, and
/// plain ASCII with `NO_COLOR` (<https://no-color.org>) or on a terminal that can show nothing else.
#[must_use]
pub fn bar(value: f64, max: f64, width: usize) -> String {
    let is_set = |name| env::var_os(name).is_some_and(|v| !v.is_empty());
    let ink = if !io::stdout().is_terminal() {
        Ink::Nothing
    } else if is_set("NO_COLOR") || env::var_os("TERM").is_some_and(|t| t == "dumb") {
        Ink::Letters
    } else {
        Ink::Blocks
    };
    drawn(value, max, width, ink)
}

fn drawn(value: f64, max: f64, width: usize, ink: Ink) -> String {
    let part = value / max;
    // What is no number has no length.
    let part = if part.is_finite() { part } else { 0. };
    let length = part.clamp(0., 1.) * width as f64;
    match ink {
        Ink::Nothing => String::new(),
        Ink::Letters => format!("{:<width$}", "#".repeat(length.round() as usize)),
        Ink::Blocks => {
            const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
            let eighths = (length * 8.).round() as usize;
            let text = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
            format!("{text:<width$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        let blocks = |value| drawn(value, 1., 4, Ink::Blocks);
        assert_eq!(
            [0., 0.25, 0.5, 0.66, 1., 7.].map(blocks),
            ["    ", "█   ", "██  ", "██▋ ", "████", "████"]
        );
        assert_eq!(drawn(3., 4., 4, Ink::Letters), "### ");
        assert_eq!(drawn(3., 4., 4, Ink::Nothing), "");
    }

    #[test]
    fn what_is_no_length_is_none() {
        for (value, max) in [(f64::NAN, 1.), (-1., 1.), (1., 0.)] {
            assert_eq!(drawn(value, max, 3, Ink::Blocks), "   ");
        }
    }
}
