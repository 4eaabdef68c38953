//! A trainer of the user's own, called where a network would be fine-tuned.
//!
//! It is given a file and leaves another with the same structure: the same blocks, shapes and MACs, and numbers for
//! weights. It runs in a process group of its own, to which a signal that stops this process is passed on.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::recovery::Tune;
use crate::archive::Archive;
use crate::blocks::patch::to_evaluation_mode;
use crate::report::BlockReport;
use crate::report::progress::say;
use crate::run::export::{ending, save_archive};
use crate::run::interrupt;
use crate::run::torch::Model;
use crate::train::finetune::{Trained, Tuning};

/// Lines of its output that an error quotes.
const LAST_LINES: usize = 12;
/// What it is asked for between two looks at whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);
/// Name of the file in a run's folder that keeps what it says.
const LOG: &str = "trainer.log";

/// A command line with places for the files and the number of epochs.
#[derive(Clone, Debug)]
pub struct Trainer {
    command: String,
}

impl Trainer {
    /// # Errors
    /// If the command line has no place for a file that it needs.
    pub fn of(command: &str) -> Result<Self> {
        for place in ["{model}", "{output}"] {
            if !command.contains(place) {
                bail!(
                    "--tune-with: the command has no {place}; it has to read the network from {{model}} and write it to \
                     {{output}}"
                );
            }
        }
        Ok(Trainer {
            command: command.to_owned(),
        })
    }

    /// As it was given.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Has a network trained. Its files lie in `folder`, which keeps what the trainer says, or in the system's place for
    /// such files.
    ///
    /// # Errors
    /// If the trainer fails, or leaves another network than it was given; and [`Stopped`](interrupt::Stopped).
    pub(super) fn tuned(
        &self,
        model: &Model,
        tune: &Tune,
        folder: Option<&Path>,
    ) -> Result<Trained> {
        let place = match folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        let place = place.context("no folder can be made for the trainer's files")?;
        let ending = ending(model.archive().is_exported());
        let [given, left] =
            ["model", "tuned"].map(|name| place.path().join(format!("{name}.{ending}")));
        save_archive(model.archive(), &given, false)?;
        let epochs = tune.training.epochs;
        let line = self
            .command
            .replace("{model}", &quoted(&given)?)
            .replace("{output}", &quoted(&left)?)
            .replace("{epochs}", &epochs.to_string());
        let mut log = folder.map(|folder| opened(&folder.join(LOG))).transpose()?;
        let last = run(&line, log.as_mut())?;
        if !left.is_file() {
            bail!(
                "the trainer ended well but left no file at {{output}}{}",
                told(&last)
            );
        }
        let archive = Archive::open(&left).context("what the trainer left")?;
        let model = taken(model, archive).context("what the trainer left")?;
        let tuning = Tuning {
            kept_epoch: epochs,
            ..Tuning::default()
        };
        Ok(Trained {
            model,
            tuning,
            images_per_second: None,
        })
    }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str();
    let text = text.with_context(|| format!("{}: this path is no text", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

fn opened(log: &PathBuf) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("{}: cannot be written", log.display()))
}

/// Runs a command line in a shell, shows what it says, and gives the last lines of it.
fn run(line: &str, mut log: Option<&mut File>) -> Result<VecDeque<String>> {
    say(format_args!("trainer: {line}"));
    if let Some(log) = &mut log {
        let _ = writeln!(log, "$ {line}");
    }
    let mut child = started(line)?;
    let output = child.stdout.take().context("a trainer without output")?;
    let mut last = VecDeque::new();
    let status = thread::scope(|scope| {
        let shown = scope.spawn(|| {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                say(format_args!("  {line}"));
                if let Some(log) = &mut log {
                    let _ = writeln!(log, "{line}");
                }
                if last.len() == LAST_LINES {
                    last.pop_front();
                }
                last.push_back(line);
            }
        });
        let status = waited_for(&mut child);
        let _ = shown.join();
        status
    })?;
    interrupt::check()?;
    if status.success() {
        return Ok(last);
    }
    let how = match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".into(),
    };
    bail!("the trainer {how}: {line}{}", told(&last))
}

fn started(line: &str) -> Result<Child> {
    let mut command = Command::new("sh");
    // What goes wrong is told where what goes well is.
    command.arg("-c").arg(format!("exec 2>&1\n{line}"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
        .spawn()
        .context("no shell (sh) can be started for --tune-with")
}

/// Waits for the end of the child; once, if the user asks for that, it is asked to end.
fn waited_for(child: &mut Child) -> Result<std::process::ExitStatus> {
    let mut is_told = false;
    loop {
        if let Some(status) = child
            .try_wait()
            .context("the trainer cannot be waited for")?
        {
            return Ok(status);
        }
        if interrupt::is_asked() && !is_told {
            is_told = true;
            end(child);
        }
        thread::sleep(LOOK);
    }
}

/// Asks the child and all that it started to end.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(group) = i32::try_from(child.id()) {
        // SAFETY: sends a signal to the group that this child leads; nothing here is touched.
        unsafe {
            libc::kill(-group, libc::SIGTERM);
        }
    }
    #[cfg(not(unix))]
    let _ = child.kill();
}

/// The network in the archive that a trainer left, if it is that which it was given, with other weights.
fn taken(given: &Model, mut archive: Archive) -> Result<Model> {
    if archive.is_exported() != given.archive().is_exported() {
        bail!("it is of another kind of file than it was given");
    }
    let network = archive.network()?;
    to_evaluation_mode(&mut archive, &network);
    let mut model = given.changed_into(archive)?;
    let [before, after] = [given, &model].map(Model::analysis);
    let blocks = |analysis| {
        let all: Vec<BlockReport> = BlockReport::all(analysis);
        let all = all.into_iter();
        all.map(|b| (b.path, b.output_shape, b.params))
            .collect::<Vec<_>>()
    };
    let counts = [before, after].map(|a| (a.params(), a.macs().count));
    if blocks(before) != blocks(after) || counts[0] != counts[1] {
        bail!(
            "it has other blocks, parameters or MACs than it was given; a trainer changes weights alone"
        );
    }
    for weight in model.weights()? {
        let finite = weight.f_isfinite().and_then(|t| t.f_all());
        let finite = finite.and_then(|t| t.f_int64_value(&[])).unwrap_or(0);
        if finite == 0 {
            bail!("some of its weights are no numbers");
        }
    }
    model.unload();
    Ok(model)
}

/// The last lines of what a trainer said.
fn told(last: &VecDeque<String>) -> String {
    let lines = last.iter().map(|line| format!("\n  {line}"));
    lines.collect()
}
