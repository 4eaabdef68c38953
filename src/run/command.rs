//! Command lines of the user's own, run in a shell: a trainer, a measure.
//!
//! Each runs in a process group of its own, to which a signal that stops this process is passed on. The group is ended
//! where the command takes longer than it may, and where this process is gone, be it by `kill -9`: two trainings at once
//! would be in each other's way after the run was resumed.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::export::TEMPORARY;
use super::interrupt;
use crate::report::progress::Progress;

/// Lines of its output that an error quotes.
const LAST_LINES: usize = 12;
/// Time between two looks at whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);
/// What a command that was asked to end has for that.
const PATIENCE: Duration = Duration::from_secs(10);

/// A command line with places for files and numbers, such as `{model}`.
#[derive(Clone, Debug)]
pub struct UserCommand {
    text: String,
    what: &'static str,
    option: &'static str,
    timeout: Option<Duration>,
}

/// A command of the user's own failed, or did not what it should; what was done before is none the worse for that.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failed(pub String);

/// What a command said that ended well.
#[derive(Debug, Default)]
pub struct Said {
    last: VecDeque<String>,
    answer: String,
}

impl Said {
    /// The last line of its standard output that is not empty.
    #[must_use]
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// The last lines of what it said, each on a line of its own behind an error.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let lines = self.last.iter().map(|line| format!("\n  {line}"));
        lines.collect()
    }
}

impl UserCommand {
    /// The command line that `option` gave, called `what` in messages and in the name of its log. It may take as long as
    /// `timeout`.
    #[must_use]
    pub fn new(
        text: &str,
        what: &'static str,
        option: &'static str,
        timeout: Option<Duration>,
    ) -> Self {
        UserCommand {
            text: text.to_owned(),
            what,
            option,
            timeout,
        }
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Refuses a command line that lacks a place which it needs; `why` says what for.
    ///
    /// # Errors
    /// One message that names the option and the place.
    pub fn require(&self, places: &[&str], why: &str) -> Result<()> {
        match places.iter().find(|place| !self.text.contains(**place)) {
            Some(place) => bail!("{}: the command has no {place}; {why}", self.option),
            None => Ok(()),
        }
    }

    /// Runs it, with values in its places, and shows what it says. A folder keeps that as well, in a file named after the
    /// command.
    ///
    /// # Errors
    /// If it cannot be started, fails, or takes too long: with its last lines. And [`Stopped`](interrupt::Stopped).
    pub fn run(
        &self,
        places: &[(&str, String)],
        folder: Option<&Path>,
        progress: Progress,
    ) -> Result<Said> {
        let mut line = self.text.clone();
        for (place, value) in places {
            line = line.replace(place, value);
        }
        let what = self.what;
        let mut listener = Listener {
            log: folder.map(|folder| opened(folder, what)).transpose()?,
            progress,
            said: Said::default(),
        };
        listener.begin(what, &line);
        let group = Group::start(&line);
        let mut group =
            group.with_context(|| format!("no shell (sh) can be started for {}", self.option))?;
        let end = group.followed(self.timeout, &mut listener);
        let end = end.with_context(|| format!("the {what} cannot be waited for"))?;
        interrupt::check()?;
        let how = match (end, self.timeout) {
            (Some(status), _) if status.success() => return Ok(listener.said),
            (Some(status), _) => match status.code() {
                Some(code) => format!("ended with exit code {code}"),
                None => "was ended by a signal".into(),
            },
            (None, timeout) => format!(
                "took longer than {} (--timeout) and was ended",
                humantime::format_duration(timeout.unwrap_or_default())
            ),
        };
        let last = listener.said.last_lines();
        let all = folder.map_or(String::new(), |folder| {
            format!("; all it said is in {}", log_in(folder, what).display())
        });
        bail!(Failed(format!("the {what} {how}: {line}{all}{last}")))
    }
}

/// A path as one word of a shell.
///
/// # Errors
/// If it is no text.
pub fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str();
    let text = text.with_context(|| format!("{}: this path is no text", path.display()))?;
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A folder for the files of one run of a command, gone with what is returned: in the folder of the run, or in the system's
/// place for such files.
///
/// # Errors
/// If it cannot be made.
pub fn scratch(folder: Option<&Path>) -> Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(TEMPORARY);
    let made = match folder {
        Some(folder) => builder.tempdir_in(folder),
        None => builder.tempdir(),
    };
    made.context("no folder can be made for the files of a command")
}

fn log_in(folder: &Path, what: &str) -> PathBuf {
    folder.join(format!("{what}.log"))
}

/// The file in a run's folder that keeps what a command says.
fn opened(folder: &Path, what: &str) -> Result<File> {
    let log = log_in(folder, what);
    let file = OpenOptions::new().create(true).append(true).open(&log);
    file.with_context(|| format!("{}: cannot be written", log.display()))
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Output,
    Errors,
}

/// Shows what is said, and keeps it.
struct Listener {
    log: Option<File>,
    progress: Progress,
    said: Said,
}

impl Listener {
    fn begin(&mut self, what: &str, line: &str) {
        self.progress.note(format_args!("{what}: {line}"));
        self.write(&format!("$ {line}"));
    }

    fn hear(&mut self, stream: Stream, line: String) {
        self.progress.note(format_args!("  {line}"));
        self.write(&line);
        if stream == Stream::Output && !line.trim().is_empty() {
            line.clone_into(&mut self.said.answer);
        }
        if self.said.last.len() == LAST_LINES {
            self.said.last.pop_front();
        }
        self.said.last.push_back(line);
    }

    /// A log that cannot be written is no reason to end hours of training.
    fn write(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            let _ = writeln!(log, "{line}");
        }
    }
}

/// Ends the group of the shell that reads it once the pipe behind its standard input is closed, which the end of this
/// process does as well. In a child's child, so that the command's own `wait` does not wait for it.
const LIFELINE: &str =
    "exec 3<&0 </dev/null; ( { read -r _; kill -TERM 0; } <&3 >/dev/null 2>&1 & ); exec 3<&-";

/// A command under way, and all that it started.
struct Group {
    leader: Child,
    lines: Receiver<(Stream, String)>,
}

impl Group {
    fn start(line: &str) -> std::io::Result<Self> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{LIFELINE}\n{line}"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut leader = command.spawn()?;
        /// Lines that may wait to be shown.
        const WAITING: usize = 1024;
        let (sender, lines) = sync_channel(WAITING);
        if let Some(output) = leader.stdout.take() {
            forward(output, Stream::Output, sender.clone());
        }
        if let Some(errors) = leader.stderr.take() {
            forward(errors, Stream::Errors, sender);
        }
        Ok(Group { leader, lines })
    }

    /// Listens to the end of the command; once, if the user asks for that, it is asked to end. `None` where it took too
    /// long.
    fn followed(
        &mut self,
        timeout: Option<Duration>,
        listener: &mut Listener,
    ) -> std::io::Result<Option<ExitStatus>> {
        let begun = Instant::now();
        let mut is_told = false;
        loop {
            self.listen(listener);
            if let Some(status) = self.leader.try_wait()? {
                // What it left running would be heard for ever.
                drop(self.leader.stdin.take());
                self.last_words(listener);
                return Ok(Some(status));
            }
            if interrupt::is_asked() && !is_told {
                is_told = true;
                self.signal(TERMINATE);
            }
            if timeout.is_some_and(|timeout| begun.elapsed() > timeout) {
                self.signal(TERMINATE);
                self.last_words(listener);
                self.signal(KILL);
                self.last_words(listener);
                let _ = self.leader.try_wait();
                return Ok(None);
            }
        }
    }

    /// Hears what is said until a look is due; whether somebody may still speak.
    fn listen(&self, listener: &mut Listener) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < LOOK {
            match self.lines.recv_timeout(LOOK) {
                Ok((stream, line)) => listener.hear(stream, line),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    thread::sleep(LOOK);
                    return false;
                }
            }
        }
        true
    }

    /// Hears what is still to be said, but not for ever: a process that left the group may hold the pipe.
    fn last_words(&self, listener: &mut Listener) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.listen(listener) {}
    }

    #[cfg(unix)]
    fn signal(&mut self, signal: i32) {
        if let Ok(group) = i32::try_from(self.leader.id()) {
            // SAFETY: sends a signal to the group that this child leads; nothing here is touched.
            unsafe {
                libc::kill(-group, signal);
            }
        }
    }

    #[cfg(not(unix))]
    fn signal(&mut self, _: i32) {
        let _ = self.leader.kill();
    }
}

#[cfg(unix)]
const TERMINATE: i32 = libc::SIGTERM;
#[cfg(unix)]
const KILL: i32 = libc::SIGKILL;
#[cfg(not(unix))]
const TERMINATE: i32 = 15;
#[cfg(not(unix))]
const KILL: i32 = 9;

/// Reads lines until the other end is closed or nobody listens any more.
fn forward(from: impl Read + Send + 'static, stream: Stream, to: SyncSender<(Stream, String)>) {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if to.send((stream, shown(&line))).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// A line as a terminal would show it: of what was written over again and again, such as a bar, the last.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end();
    text.rsplit('\r').next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<Said> {
        UserCommand::new(text, "measure", "--measure-with", None).run(
            &[("{model}", "'a b'".into())],
            None,
            Progress { quiet: true },
        )
    }

    #[test]
    fn the_answer_is_the_last_line_of_its_output_that_is_not_empty() {
        let said = run("echo 1; echo 0.5; echo; echo done >&2").unwrap();
        assert_eq!(said.answer(), "0.5");
        let said = run(r"printf '10 %%\r100 %%\n'; printf '\377\n' >&2; echo {model}").unwrap();
        assert_eq!(said.answer(), "a b");
        assert_eq!(run("true").unwrap().answer(), "");
    }

    /// A process that the command leaves behind holds its output; nobody waits for that.
    #[test]
    fn what_it_leaves_running_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let ended = folder.path().join("ended");
        let script = format!(
            "(trap 'echo x > {}; exit' TERM; sleep 1000 & wait) & sleep 0.2; echo 1",
            quoted(&ended).unwrap()
        );
        assert_eq!(run(&script).unwrap().answer(), "1");
        assert!(ended.exists());
    }

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        let path = Path::new("it's a \"$HOME\" `x`");
        let said = run(&format!("printf '%s\\n' {}", quoted(path).unwrap())).unwrap();
        assert_eq!(said.answer(), path.to_str().unwrap());
    }
}
