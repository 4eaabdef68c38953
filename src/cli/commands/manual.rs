//! `ckaprune completions` and `ckaprune man`: what shells and manuals want to know of the command line.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clap_mangen::Man;

use super::Outcome;
use crate::cli::help::TOPICS;
use crate::cli::{Cli, Completions, Manual};
use crate::report;
use crate::run::export::{NewFolder, Staged, write_all};

pub(in crate::cli) fn completions(options: &Completions) -> Result<Outcome> {
    let mut script = Vec::new();
    let mut command = Cli::known();
    let name = command.get_name().to_owned();
    clap_complete::generate(options.shell, &mut command, name, &mut script);
    print(&script)
}

pub(in crate::cli) fn manual(options: &Manual) -> Result<Outcome> {
    let command = Cli::known();
    let Some(folder) = &options.output else {
        let mut page = Vec::new();
        Man::new(command)
            .render(&mut page)
            .context("the page cannot be made")?;
        return print(&page);
    };
    let new = NewFolder::make(folder).map_err(|error| {
        let shown = folder.display();
        anyhow!("{shown}: this folder cannot be made ({error}); name another with --output")
    })?;
    let mut command = command;
    command.build();
    let stage = || {
        let mut files = Vec::new();
        pages(command, folder, &mut files)?;
        for topic in TOPICS {
            let page = folder.join(topic.manual_name());
            files.push(Staged::bytes(&page, topic.manual_page().as_bytes())?);
        }
        Ok(files)
    };
    write_all(stage, true)?;
    new.keep();
    Ok(Outcome::Done)
}

/// The page of a command and those of all below it.
fn pages(command: clap::Command, folder: &Path, files: &mut Vec<Staged>) -> Result<()> {
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        pages(inner.clone(), folder, files)?;
    }
    let page = Man::new(command);
    let mut text = Vec::new();
    page.render(&mut text).context("the page cannot be made")?;
    files.push(Staged::bytes(&folder.join(page.get_filename()), &text)?);
    Ok(())
}

fn print(text: &[u8]) -> Result<Outcome> {
    report::print(&String::from_utf8_lossy(text))?;
    Ok(Outcome::Done)
}
