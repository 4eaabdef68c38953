//! Progress on stderr: bars with rate and time left, notes and warnings. All of it is silent with `--quiet`.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where progress goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub quiet: bool,
}

impl Progress {
    /// A bar over `total` images. Where stderr is no terminal, nothing is drawn.
    #[must_use]
    pub fn bar(self, what: impl Display, total: usize) -> Bar {
        self.bar_of(what, total, "images")
    }

    /// A bar over `total` things that are not images but `unit`.
    #[must_use]
    pub fn bar_of(self, what: impl Display, total: usize, unit: &'static str) -> Bar {
        let target = if self.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(total as u64), target);
        let template =
            "{msg:<30} {wide_bar} {human_pos}/{human_len}  {per_sec}  {eta_precise} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let style = style.with_key(
                "per_sec",
                move |state: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
                    let _ = write!(w, "{:.0} {unit}/s", state.per_sec());
                },
            );
            bar.set_style(style);
        }
        bar.set_message(what.to_string());
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar(bar)
    }

    /// One line about what happened.
    pub fn note(self, text: impl Display) {
        if !self.quiet {
            say(text);
        }
    }

    /// One step of a long job, in a log: where stderr is a terminal, a bar shows it.
    pub fn step(self, text: impl Display) {
        if !io::stderr().is_terminal() {
            self.note(text);
        }
    }

    /// Something the user has to know even with `--quiet`.
    pub fn warn(self, text: impl Display) {
        say(format_args!("warning: {text}"));
    }
}

/// Writes a line to stderr. It is no error if nobody reads it (`2>&1 | head`).
pub fn say(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
}

/// The text with control characters spelled out: what a file says must not steer the terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_debug()),
            c => shown.push(c),
        }
    }
    shown
}

/// A running bar; it disappears when dropped.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Bar {
    pub fn advance(&self, images: usize) {
        self.0.inc(images as u64);
    }

    /// Tells the bar that so many images need not be done after all.
    pub fn shorten(&self, images: usize) {
        let length = self.0.length().unwrap_or_default();
        self.0.set_length(length.saturating_sub(images as u64));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn messages_do_not_steer_the_terminal() {
        assert_eq!(printable("é\tn\u{b0}\n"), "é\tn\u{b0}\n");
        assert_eq!(printable("\x1b[2J\r\x07"), "\\u{1b}[2J\\r\\u{7}");
    }
}
