//! What becomes of a result that nobody can take.

use std::fs::File;
use std::process::{Output, Stdio};

use crate::place::Place;

fn run(line: &str, stdout: impl Into<Stdio>) -> Output {
    let place = Place::with(&["basic_scripted.pt"]);
    let mut command = place.command();
    command.args(line.split_whitespace()).stdout(stdout);
    command.stderr(Stdio::piped()).output().unwrap()
}

const LINES: [&str; 7] = [
    "inspect --model basic_scripted.pt",
    "inspect --model basic_scripted.pt --json",
    "remove --model basic_scripted.pt --blocks stage1.1 --json",
    "completions bash",
    "man",
    "inspect --help",
    "--version",
];

/// No success where the result is lost.
#[test]
fn a_full_disk_behind_stdout() {
    for line in LINES {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = run(line, full);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert_eq!(
            stderr,
            "error: the result cannot be written to stdout: No space left on device (os error 28)\n",
            "{line}"
        );
    }
}

/// `| head` has seen enough.
#[test]
fn a_reader_that_is_gone() {
    for line in LINES {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(line, writer);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
        assert_eq!(output.status.code(), Some(0), "{line}");
    }
}

/// Progress is no result: nobody has to listen.
#[test]
fn a_full_disk_behind_stderr() {
    let place = Place::with(&["basic_scripted.pt"]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = place.command();
    command.args(["remove", "--model", "missing.pt", "--blocks", "a"]);
    assert_eq!(command.stderr(full).status().unwrap().code(), Some(2));
}
