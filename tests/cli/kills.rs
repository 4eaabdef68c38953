//! Runs that are killed: SIGKILL leaves a process no last word.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::place::Place;
use crate::prune::PRUNE;
use crate::signals::Running;

/// Everything that a run can do, in the order in which it does it: train first, score, remove, repair, learn from labels
/// and from the unpruned network, roll back, pick by accuracy, train again, and train the unpruned network.
pub const EVERYTHING: &str = "--pretrain 2 --epochs 2 --distill --max-drop 90 --pick best --final-epochs 2 --baseline \
                              --run-dir run --output out.pt --json";

/// A document without what depends on how fast things went.
pub fn timeless(document: &Value) -> Value {
    const TIMES: [&str; 3] = ["seconds", "latency", "images_per_second"];
    match document {
        Value::Array(items) => items.iter().map(timeless).collect(),
        Value::Object(fields) => {
            let lasting = fields.iter().filter(|(k, _)| !TIMES.contains(&k.as_str()));
            Value::Object(lasting.map(|(k, v)| (k.clone(), timeless(v))).collect())
        }
        other => other.clone(),
    }
}

/// What a run left: its document, its archive, and what lies in its folder.
#[derive(PartialEq)]
pub struct Left {
    document: Value,
    archive: Vec<u8>,
    run: Value,
    files: Vec<String>,
}

impl Left {
    pub fn of(place: &Place, document: &Value) -> Self {
        let run = serde_json::from_slice(&place.read("run/run.json")).unwrap();
        let folder = std::fs::read_dir(place.path("run")).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let mut files: Vec<String> = folder
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        files.sort();
        Left {
            document: timeless(document),
            archive: place.read("out.pt"),
            run: timeless(&run),
            files,
        }
    }

    pub fn check(&self, straight: &Left, what: &str) {
        assert_eq!(self.files, straight.files, "{what}");
        assert_eq!(self.document, straight.document, "{what}");
        assert_eq!(self.run, straight.run, "{what}");
        assert!(self.archive == straight.archive, "other weights: {what}");
    }
}

/// How to begin, or to go on where an earlier process was.
pub fn go_on(place: &Place, line: &str) -> String {
    match place.path("run/run.json").exists() {
        true => format!("{line} --resume --force"),
        false => format!("{line} --force"),
    }
}

/// Starts the program, and kills it after a part of the time that a whole run takes. `false`: it had come to its end;
/// that time is then known better, as other work beside this one may have ended.
fn killed(place: &Place, line: &str, part: f64, whole: &mut Duration) -> bool {
    let begun = Instant::now();
    let mut child = place
        .command()
        .args(line.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let moment = begun + whole.mul_f64(part);
    while Instant::now() < moment {
        std::thread::sleep(Duration::from_millis(2));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            *whole = begun.elapsed();
            return false;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(libc::SIGKILL)
}

#[test]
fn a_run_killed_at_any_moment_and_resumed_ends_as_one_that_was_not() {
    const KILLS: u32 = 10;
    let line = format!("{PRUNE} {EVERYTHING} --quiet");
    let place = Place::with_data(&["basic_scripted.pt"]);
    let begun = Instant::now();
    let document = place.json(&line);
    let mut took = begun.elapsed();
    let straight = Left::of(&place, &document);
    let mut random = ChaCha8Rng::seed_from_u64(10);
    let (mut kills, mut draws) = (0, 0);
    while kills < KILLS {
        draws += 1;
        assert!(
            draws < 8 * KILLS,
            "nearly every run ends before it is killed"
        );
        // One in each tenth of the time that a run takes, so that none of its parts is left out.
        let moment = (f64::from(kills) + random.random::<f64>()) / f64::from(KILLS);
        let place = Place::with_data(&["basic_scripted.pt"]);
        if !killed(&place, &line, moment, &mut took) {
            continue;
        }
        kills += 1;
        // Every third is killed once more on its way.
        if kills % 3 == 0 {
            let again = (1. - moment) * random.random::<f64>();
            killed(&place, &go_on(&place, &line), again, &mut took.clone());
        }
        let document = place.json(&go_on(&place, &line));
        let what = format!("killed after {:.0} % of its time", 100. * moment);
        Left::of(&place, &document).check(&straight, &what);
    }
}

/// Numbers of the epochs that a process says it has done, of those of one training.
fn epochs_said(stderr: &str, of: usize) -> Vec<usize> {
    let tail = format!(" of {of}: training loss");
    let numbers = stderr.lines().filter_map(|line| {
        let (number, _) = line.strip_prefix("epoch ")?.split_once(&tail)?;
        number.parse().ok()
    });
    numbers.collect()
}

#[test]
fn a_kill_costs_one_epoch_at_most() {
    let line = format!("{PRUNE} --iterations 1 --epochs 40 --run-dir run --output out.pt");
    let place = Place::with_data(&["basic_scripted.pt"]);
    let mut running = Running::start(&place, &line);
    running.wait_for("epoch 7 of 40");
    let before = running.kill();
    let done = epochs_said(&before, 40).into_iter().max().unwrap();
    let resumed = place.done(&go_on(&place, &line)).stderr;
    // What a process says last may not be written down yet.
    let expected: Vec<usize> = (done + 1..=40).collect();
    let said = epochs_said(&resumed, 40);
    assert!(
        said == expected || said[1..] == expected,
        "{done} epochs were done, then {said:?}"
    );
}

#[test]
fn scores_and_repairs_are_not_done_again() {
    // Behind a stage's last block there is but one repair to do.
    let line = format!(
        "{PRUNE} --iterations 1 --min-blocks-per-stage 2 --epochs 40 --run-dir run --output out.pt"
    );
    let place = Place::with_data(&["basic_scripted.pt"]);
    let mut running = Running::start(&place, &line);
    running.wait_for("epoch 1 of 40");
    running.kill();
    let run: Value = serde_json::from_slice(&place.read("run/run.json")).unwrap();
    let removed = run["begun"]["removed"].clone();
    assert!(removed[0].is_string(), "{run}");
    assert_eq!(run["begun"]["repairs"].as_array().unwrap().len(), 2);
    let begun = place.read("run/begun.pt");
    assert!(!begun.is_empty());
    let document = place.json(&format!("{} --json", go_on(&place, &line)));
    assert_eq!(document["removed"], removed);
    assert!(!place.path("run/begun.pt").exists());
    assert!(!place.path("run/iteration.checkpoint").exists());
}

#[test]
fn what_a_killed_process_left_half_written_is_swept() {
    let line = format!("{PRUNE} --epochs 0 --run-dir run --output out.pt");
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&line);
    place.write("run/.ckaprune-abc", "half of someth");
    place.write("run/iteration.checkpoint", "of an iteration that is over");
    place.write("run/notes.txt", "mine");
    place.done(&go_on(&place, &line));
    assert!(!place.path("run/.ckaprune-abc").exists());
    assert!(!place.path("run/iteration.checkpoint").exists());
    assert_eq!(place.read("run/notes.txt"), b"mine");
    // Of one that was killed before there was a run to go on with, too.
    place.write("early/.ckaprune-abc", "half of someth");
    place.write("early/notes.txt", "mine");
    place.done(&line.replace("--run-dir run", "--run-dir early --force"));
    assert!(!place.path("early/.ckaprune-abc").exists());
    assert_eq!(place.read("early/notes.txt"), b"mine");
}

#[test]
fn a_result_does_not_take_the_place_of_what_a_run_keeps() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&format!("{PRUNE} --epochs 0 --run-dir run --output out.pt"));
    for file in [
        "begun.pt",
        "iteration-002.pt",
        "final.checkpoint",
        "run.json",
    ] {
        let said = place.refused(&format!(
            "{PRUNE} --epochs 0 --run-dir run --resume --force --output run/{file}"
        ));
        assert!(said.contains("a file of its own there"), "{said}");
    }
}

/// Folders of earlier versions have neither scores nor checkpoints.
#[test]
fn a_run_of_an_earlier_version_goes_on() {
    let line = format!("{PRUNE} --run-dir run --output out.pt");
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&format!("{line} --iterations 1"));
    let run: Value = serde_json::from_slice(&place.read("run/run.json")).unwrap();
    let mut keys: Vec<&str> = run
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, ["iterations", "schema", "settings", "targets"]);
    let document = place.json(&format!("{} --json", go_on(&place, &line)));
    assert_eq!(document["iterations"].as_array().unwrap().len(), 2);
}
