//! From the program of the wheel, which starts at once, to the one that runs networks.
//!
//! libtorch takes a fifth of a second to load, and a loader that cannot find it ends a program before its first line. So
//! the wheel holds two: this crate built without libtorch, which reads the command line, explains, inspects, and looks
//! for the environment's torch; and the whole one, [`FULL`] beside the Python packages, which takes this one's place in
//! the same process when libtorch is needed. Signals, terminals and exit codes are therefore those of one program.

mod python;

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::{ArgMatches, Subcommand};

use crate::cli::{Cli, TorchCommand};

pub use python::{Site, Torch, sites_around};

/// The whole program, in a folder of Python packages.
pub const FULL: &str = "ckaprune/ckaprune";
/// Where the loader looks for libraries before all other places.
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";
/// What that was before the whole program was given libtorch's folder; empty if it was not set.
const LIBRARY_PATH_BEFORE: &str = "CKAPRUNE_LIBRARY_PATH_BEFORE";
/// The versions of torch that the whole program can be loaded with: their C++ interface is the one it was built for.
const SERIES: &str = "2.11";

/// Lets the whole program do what this one, built without libtorch, cannot; comes back where it can, or where no other
/// program was installed with it. Nothing was done before, so that the other one begins anew.
///
/// # Errors
/// If there is no torch that the whole program can be loaded with, or it cannot be started.
pub fn hand_over(typed: &[OsString]) -> Result<()> {
    let read = Cli::known().ignore_errors(true).try_get_matches_from(typed);
    // Help is an error to clap, and any build can give it.
    let needs_libtorch = |name: &str| name == "remove" || TorchCommand::has_subcommand(name);
    let name = read.as_ref().ok().and_then(ArgMatches::subcommand_name);
    if !name.is_some_and(needs_libtorch) {
        return Ok(());
    }
    let own = env::current_exe().context("this program cannot tell where it lies")?;
    match successor(&own, env::home_dir().as_deref())? {
        Some(successor) => replace(&successor, typed),
        None => Ok(()),
    }
}

/// What takes this program's place.
#[derive(Debug, PartialEq, Eq)]
pub struct Successor {
    pub program: PathBuf,
    /// The folder of the libtorch that it is to be loaded with.
    pub libraries: PathBuf,
}

/// The whole program that was installed with the program `own`; `None` if none was. `home` is the user's folder.
///
/// # Errors
/// If no torch that it can be loaded with is in its environment.
pub fn successor(own: &Path, home: Option<&Path>) -> Result<Option<Successor>> {
    let sites = sites_around(own);
    let sites: Vec<&Site> = sites.iter().filter(|site| site.has(FULL)).collect();
    let mut failure = None;
    for site in &sites {
        match libraries(site, home) {
            Ok(libraries) => {
                let program = site.folder.join(FULL);
                return Ok(Some(Successor { program, libraries }));
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(None), Err)
}

/// The folder of libtorch in the environment of a site.
fn libraries(site: &Site, home: Option<&Path>) -> Result<PathBuf> {
    let remedy = format!("install it there: pip install 'torch=={SERIES}.*'");
    let Some(torch) = site.torch(home) else {
        bail!(
            "{}: running networks needs torch {SERIES}, and there is no torch in this environment; {remedy}",
            site.folder.display()
        );
    };
    let shown = torch.folder.display();
    if !torch.is_of(SERIES) {
        bail!(
            "{shown}: this is torch {}, and this ckaprune runs networks with torch {SERIES} alone; {remedy}",
            torch.version
        );
    }
    torch
        .libraries()
        .ok_or_else(|| anyhow!("{shown}: there is no lib/libtorch_cpu.so in it; {remedy}"))
}

/// Puts the whole program in this one's place; comes back only if that failed.
///
/// # Errors
/// If it cannot be started.
#[cfg(unix)]
pub fn replace(successor: &Successor, typed: &[OsString]) -> Result<()> {
    use std::os::unix::process::CommandExt;

    let before = env::var_os(LIBRARY_PATH).unwrap_or_default();
    let mut path = successor.libraries.clone().into_os_string();
    if !before.is_empty() {
        path.push(":");
        path.push(&before);
    }
    let mut command = std::process::Command::new(&successor.program);
    command.env(LIBRARY_PATH, path);
    command.env(LIBRARY_PATH_BEFORE, before);
    if let Some((name, words)) = typed.split_first() {
        command.arg0(name).args(words);
    }
    let error = command.exec();
    let shown = successor.program.display();
    Err(anyhow!(
        "{shown}: it cannot be started ({error}); install ckaprune anew"
    ))
}

/// Puts the whole program in this one's place.
///
/// # Errors
/// Always: only Unix can do that.
#[cfg(not(unix))]
pub fn replace(successor: &Successor, _: &[OsString]) -> Result<()> {
    let shown = successor.program.display();
    bail!("{shown}: it can be started on Unix only")
}

/// Gives the loader's folders back as the user had them, for the commands that this program starts. It is called once,
/// first of all, by the program that [`replace`] started.
pub fn take_back_library_path() {
    let Some(before) = env::var_os(LIBRARY_PATH_BEFORE) else {
        return;
    };
    // SAFETY: nothing else of this program runs yet, so nobody reads the environment meanwhile.
    unsafe {
        if before.is_empty() {
            env::remove_var(LIBRARY_PATH);
        } else {
            env::set_var(LIBRARY_PATH, before);
        }
        env::remove_var(LIBRARY_PATH_BEFORE);
    }
}
