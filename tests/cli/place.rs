//! A folder for one test, in which the program runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::cargo::cargo_bin;
use serde_json::Value;
use tempfile::TempDir;

pub struct Place(TempDir);

/// What one run printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    line: String,
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    /// A folder with copies of these fixtures in it.
    pub fn with(models: &[&str]) -> Self {
        let place = Place(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        for model in models {
            place.write(model, fs::read(fixture(model)).unwrap());
        }
        place
    }

    /// Another folder with the same files.
    #[cfg(feature = "torch")]
    pub fn copy(&self) -> Self {
        let copy = Place::with(&[]);
        for (path, bytes) in self.files() {
            let name = path.strip_prefix(self.0.path()).unwrap();
            copy.write(name.to_str().unwrap(), bytes);
        }
        copy
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Every file below the folder with its bytes.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.0.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    files.insert(path, bytes);
                }
            }
        }
        files
    }

    /// The program, ready to run here.
    pub fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(cargo_bin!("ckaprune"));
        command
            .current_dir(self.0.path())
            .stdin(std::process::Stdio::null())
            // libtorch's idle threads would spin against the tests beside this one.
            .env("OMP_WAIT_POLICY", "passive")
            .env_remove("GITHUB_STEP_SUMMARY");
        command
    }

    /// Runs `ckaprune LINE`; words are parted by blanks.
    pub fn run(&self, line: &str) -> Said {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run_words(&words)
    }

    /// The same where words hold blanks.
    pub fn run_words(&self, words: &[&str]) -> Said {
        let output = self.command().args(words).output().unwrap();
        Said {
            line: words.join(" "),
            code: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs what has to succeed.
    pub fn done(&self, line: &str) -> Said {
        let said = self.run(line);
        assert_eq!(said.code, 0, "{said:#?}");
        said
    }

    /// Runs what has to succeed and give one JSON document.
    pub fn json(&self, line: &str) -> Value {
        self.done(line).json()
    }

    /// Runs what has to be refused: exit code 2, nothing on stdout, no file made, changed or gone, and a message
    /// without the traces of a crash. Gives a transcript for a snapshot.
    pub fn refused(&self, line: &str) -> String {
        let before = self.files();
        let said = self.run(line);
        assert_eq!(said.code, 2, "{said:#?}");
        assert_eq!(said.stdout, "", "{said:#?}");
        assert!(said.stderr.contains("error: "), "{said:#?}");
        for trace in ["panicked", "frame #", "Exception raised", "Traceback"] {
            assert!(!said.stderr.contains(trace), "{said:#?}");
        }
        let after = self.files();
        assert!(
            before.keys().eq(after.keys()),
            "files came or went: {said:#?}"
        );
        assert!(before == after, "a file was changed: {said:#?}");
        format!("$ ckaprune {line}\n{}", said.stderr)
    }

    /// The transcripts of several refusals.
    pub fn all_refused(&self, lines: &[&str]) -> String {
        let transcripts: Vec<String> = lines.iter().map(|line| self.refused(line)).collect();
        transcripts.join("\n")
    }

    /// Paths of the blocks that `inspect` finds in an archive.
    pub fn blocks(&self, model: &str) -> Vec<String> {
        let report = self.json(&format!("inspect --model {model} --input-size 8 --json"));
        strings(&report["blocks"], |block| &block["path"])
    }
}

impl Said {
    /// The one document on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("ckaprune {}: {error}: {}", self.line, self.stdout))
    }
}

/// A text of each element of a JSON array.
pub fn strings(array: &Value, text: impl Fn(&Value) -> &Value) -> Vec<String> {
    let text = |element| text(element).as_str().unwrap().to_owned();
    array.as_array().unwrap().iter().map(text).collect()
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/archives")
        .join(name)
}
