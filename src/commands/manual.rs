//! `ckaprune completions` and `ckaprune man`: what shells and manuals want to know of the command line.

use anyhow::{Context, Result};
use clap_mangen::Man;

use super::Outcome;
use crate::cli::{Cli, Completions, Manual};
use crate::report;

pub(super) fn completions(options: &Completions) -> Result<Outcome> {
    let mut script = Vec::new();
    let mut command = Cli::known();
    let name = command.get_name().to_owned();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    print(&script)
}

pub(super) fn manual(options: &Manual) -> Result<Outcome> {
    let command = Cli::known();
    let Some(folder) = &options.output else {
        let mut page = Vec::new();
        Man::new(command)
            .render(&mut page)
            .context("the page cannot be made")?;
        return print(&page);
    };
    let named = || format!("{}: the pages cannot be written", folder.display());
    std::fs::create_dir_all(folder).with_context(named)?;
    clap_mangen::generate_to(command, folder).with_context(named)?;
    Ok(Outcome::Done)
}

fn print(text: &[u8]) -> Result<Outcome> {
    report::print(&String::from_utf8_lossy(text))?;
    Ok(Outcome::Done)
}
