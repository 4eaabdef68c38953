//! `ckaprune help`: commands as clap describes them, and chapters about what is no matter of one command.

mod chapter;
mod page;
mod text;

use anyhow::{Context, Result};

use crate::cli::commands::Outcome;
use crate::cli::{Cli, Help};
use crate::report::{print, screen};

use chapter::read;
use text::Look;

/// Text is easiest to read in lines that are no longer.
const WIDEST: usize = 100;

/// A chapter that the program carries.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    pub name: &'static str,
    /// What it tells, in one line.
    pub about: &'static str,
    /// Other words that people look for it by.
    pub words: &'static [&'static str],
    /// Markdown, whose links lead from where the file lies in the repository.
    pub markdown: &'static str,
}

/// All chapters, in the order of a reader who is new to them.
pub const TOPICS: [Topic; 12] = [
    Topic {
        name: "recipes",
        about: "Files of options for whole jobs, and two of them run, with every figure",
        words: &["config", "configs"],
        markdown: include_str!("../../../configs/README.md"),
    },
    Topic {
        name: "data",
        about: "Images and labels: formats, pixels, sizes, which class is which",
        words: &["images", "labels"],
        markdown: include_str!("data.md"),
    },
    Topic {
        name: "formats",
        about: "Networks that are read, and the files that are written",
        words: &["json", "pt2", "report"],
        markdown: include_str!("formats.md"),
    },
    Topic {
        name: "blocks",
        about: "What counts as a block, and by what criterion one goes first",
        words: &["criteria", "stages"],
        markdown: include_str!("blocks.md"),
    },
    Topic {
        name: "runs",
        about: "Where a run stops, what it learns from, what it leaves, how it goes on",
        words: &["resume", "training"],
        markdown: include_str!("runs.md"),
    },
    Topic {
        name: "measuring",
        about: "Accuracy, speed, robustness, maps of similarity, gates for CI",
        words: &["gates", "ci", "accuracy"],
        markdown: include_str!("measuring.md"),
    },
    Topic {
        name: "exit-codes",
        about: "What scripts go by, and what happens when something goes wrong",
        words: &["errors"],
        markdown: include_str!("exit-codes.md"),
    },
    Topic {
        name: "method",
        about: "How it works, step by step",
        words: &[],
        markdown: include_str!("method.md"),
    },
    Topic {
        name: "speed",
        about: "Times beside PyTorch, and how they were taken",
        words: &[],
        markdown: include_str!("speed.md"),
    },
    Topic {
        name: "checks",
        about: "Every removal held against PyTorch",
        words: &[],
        markdown: include_str!("checks.md"),
    },
    Topic {
        name: "limits",
        about: "What it does not do",
        words: &[],
        markdown: include_str!("limits.md"),
    },
    Topic {
        name: "security",
        about: "Archives of strangers: what is refused, and what is not promised",
        words: &[],
        markdown: include_str!("security.md"),
    },
];

impl Topic {
    /// The chapter of a name, or of another word for it.
    #[must_use]
    pub fn named(name: &str) -> Option<Topic> {
        let means = |topic: &Topic| topic.name == name || topic.words.contains(&name);
        TOPICS.into_iter().find(means)
    }

    /// The chapter as a manual page of section 7, in roff.
    #[must_use]
    pub fn manual_page(&self) -> String {
        page::page(self, &read(self.markdown))
    }

    /// File name of the manual page.
    #[must_use]
    pub fn manual_name(&self) -> String {
        format!("ckaprune-{}.7", self.name)
    }
}

/// The chapters as the list below the commands shows them.
#[must_use]
pub(super) fn list() -> String {
    let longest = TOPICS.iter().map(|topic| topic.name.len()).max();
    let width = longest.unwrap_or_default();
    let lines = TOPICS.map(|topic| format!("  {:<width$}  {}", topic.name, topic.about));
    format!("Topics (ckaprune help TOPIC):\n{}", lines.join("\n"))
}

/// Prints a chapter, the help of a command, or that of the program.
///
/// # Errors
/// If stdout cannot be written.
pub(super) fn run(options: &Help) -> Result<Outcome> {
    let text = match options
        .name
        .as_deref()
        .map(|name| (name, Topic::named(name)))
    {
        Some((_, Some(topic))) => text::text(&read(topic.markdown), Look::of_stdout(WIDEST)),
        named => of_commands(named.map(|(name, _)| name))?,
    };
    print(&text)?;
    Ok(Outcome::Done)
}

/// The help of a command, or of the program.
fn of_commands(name: Option<&str>) -> Result<String> {
    let mut program = Cli::known();
    program.build();
    let command = match name {
        None => &mut program,
        Some(name) => program
            .find_subcommand_mut(name)
            .with_context(|| format!("there is no command {name}"))?,
    };
    let help = command.render_help();
    Ok(if screen::has_colours() {
        help.ansi().to_string()
    } else {
        help.to_string()
    })
}
