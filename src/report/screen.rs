//! What stdout can show.

use std::env;
use std::io::{self, IsTerminal};

/// Width of a terminal that does not tell its own, and of what is no terminal, in characters.
const USUAL_WIDTH: usize = 80;

/// Whether stdout can show colours and weights of type, and the user wants them (<https://no-color.org>).
#[must_use]
pub fn has_colours() -> bool {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let dumb = env::var_os("TERM").is_none_or(|v| v == "dumb");
    io::stdout().is_terminal() && !unwanted && !dumb
}

/// Characters in a line of the terminal.
#[must_use]
pub fn width() -> usize {
    terminal_size::terminal_size().map_or(USUAL_WIDTH, |(width, _)| width.0.into())
}
