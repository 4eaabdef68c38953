//! Ctrl-C and SIGTERM.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::images::{colours, npy};
use crate::kills::{EVERYTHING, Left, go_on};
use crate::place::Place;
use crate::prune::PRUNE;

/// A process that is listened to.
pub struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

/// How a process ended that was sent a signal.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stderr: String,
}

impl Running {
    pub fn start(place: &Place, line: &str) -> Self {
        let mut command = place.command();
        command.args(line.split_whitespace());
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// Waits until it says a line with this in it, or nothing any more.
    pub fn wait_for(&mut self, what: &str) {
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            if self.stderr.read_line(&mut line).unwrap() == 0 {
                break;
            }
            self.said += &line;
        }
    }

    /// Sends INT, TERM or another signal.
    pub fn send(&self, signal: &str) {
        let line = format!("kill -{signal} {}", self.child.id());
        // The process may have come to its end already.
        let _ = Command::new("sh").args(["-c", &line]).output().unwrap();
    }

    pub fn end(mut self) -> Ended {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let status = self.child.wait().unwrap();
        Ended {
            code: status.code(),
            stderr: self.said,
        }
    }

    /// Ends it with SIGKILL. What it had said.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.end().stderr
    }
}

const HINT: &str = "warning: stopped; add `--resume` to the same command to go on from run\n";
const AGAIN: &str = "warning: stopped; run the same command again to go on from run\n";

/// Each part of a run, by what is said when it begins.
const PARTS: [(&str, &str); 5] = [
    ("pretraining", "epoch 1 of 2"),
    ("measuring and scoring", "epoch 2 of 2"),
    ("fine-tuning or scoring", "[1/2] removed"),
    ("the end's training", "[2/2] removed"),
    (
        "the comparison's training",
        "fine-tuning the unpruned network",
    ),
];

#[test]
fn a_run_stopped_in_any_part_of_it_says_how_to_go_on_and_does() {
    let line = format!("{PRUNE} {EVERYTHING}");
    let place = Place::with_data(&["basic_scripted.pt"]);
    let document = place.json(&line);
    let straight = Left::of(&place, &document);
    for (turn, (part, begins)) in PARTS.into_iter().enumerate() {
        let (signal, code) = [("INT", 130), ("TERM", 143)][turn % 2];
        // On a machine that takes its time a run may be over before the signal comes.
        let stopped = (0..5).find_map(|_| {
            let place = Place::with_data(&["basic_scripted.pt"]);
            let mut running = Running::start(&place, &line);
            running.wait_for(begins);
            running.send(signal);
            let ended = running.end();
            (ended.code != Some(0)).then_some((place, ended))
        });
        let (place, ended) = stopped.expect("no run was stopped");
        assert_eq!(ended.code, Some(code), "{part}: {ended:#?}");
        assert!(
            ended.stderr.contains("stopping after this step"),
            "{part}: {ended:#?}"
        );
        assert!(ended.stderr.ends_with(HINT), "{part}: {ended:#?}");
        assert!(!place.path("out.pt").exists());
        let document = place.json(&go_on(&place, &line));
        Left::of(&place, &document).check(&straight, part);
    }
}

#[test]
fn a_run_without_a_folder_keeps_nothing_and_leaves_nothing() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let before = place.files();
    let mut running = Running::start(&place, &format!("{PRUNE} --epochs 500 --pick best"));
    running.wait_for("epoch 1 of 500");
    running.send("TERM");
    let ended = running.end();
    if ended.code != Some(0) {
        assert_eq!(ended.code, Some(143), "{ended:#?}");
        let said = "warning: stopped; nothing is kept, because no --run-dir was named\n";
        assert!(ended.stderr.ends_with(said), "{ended:#?}");
        assert!(before == place.files());
    }
}

#[test]
fn a_resumed_run_that_is_stopped_again_goes_on_as_well() {
    let line = format!("{PRUNE} --iterations 1 --epochs 60 --run-dir run --output out.pt --json");
    let place = Place::with_data(&["basic_scripted.pt"]);
    let document = place.json(&line);
    let straight = Left::of(&place, &document);
    let place = Place::with_data(&["basic_scripted.pt"]);
    let mut stops = 0;
    for at in [5, 20, 40] {
        let line = match stops {
            0 => line.clone(),
            _ => format!("{line} --resume"),
        };
        let mut running = Running::start(&place, &line);
        running.wait_for(&format!("epoch {at} of 60"));
        running.send("TERM");
        let ended = running.end();
        if ended.code == Some(0) {
            break;
        }
        assert_eq!(ended.code, Some(143), "{ended:#?}");
        let hint = if stops == 0 { HINT } else { AGAIN };
        assert!(ended.stderr.ends_with(hint), "{ended:#?}");
        stops += 1;
    }
    let document = place.json(&go_on(&place, &line));
    Left::of(&place, &document).check(&straight, &format!("stopped {stops} times"));
}

#[test]
fn scoring_that_is_stopped_keeps_its_statistics() {
    let line = "prune --model basic_scripted.pt --iterations 1 --samples 2000 --batch-size 20 --exact --repair none \
                --threads 1 --device cpu --run-dir run --output out.pt --json";
    let place = Place::with(&["basic_scripted.pt"]);
    let mut running = Running::start(&place, line);
    running.wait_for("NO DATA");
    while !place.path("run/run.json").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(500));
    running.send("INT");
    let ended = running.end();
    if ended.code == Some(130) {
        assert!(ended.stderr.ends_with(HINT), "{ended:#?}");
        let run: Value = serde_json::from_slice(&place.read("run/run.json")).unwrap();
        assert_eq!(run["iterations"], serde_json::json!([]));
        let seen = run["scoring"][0]["seen"]["end"].as_u64();
        assert!(seen.is_none_or(|seen| seen % 20 == 0), "{seen:?}");
    } else {
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    let resumed = place.json(&go_on(&place, line));
    let straight = place.json(&format!(
        "{} --force",
        line.replace("--run-dir run", "--run-dir straight")
    ));
    assert_eq!(resumed["removed"], straight["removed"]);
    let cka = |document: &Value| document["iterations"][0]["cka"].as_f64().unwrap();
    assert!((cka(&resumed) - cka(&straight)).abs() < 1e-9);
}

#[test]
fn a_training_alone_goes_on_from_its_checkpoint() {
    let line = "finetune --model basic_scripted.pt --data data.npz --batch-size 20 --device cpu --threads 1 --epochs 60 \
                --json --output out.pt";
    let kept = format!("{line} --checkpoint half.checkpoint");
    let place = Place::with_data(&["basic_scripted.pt"]);
    let straight = place.json(line);
    let expected = place.read("out.pt");
    let place = Place::with_data(&["basic_scripted.pt"]);
    let mut running = Running::start(&place, &kept);
    running.wait_for("epoch 10 of 60");
    running.send("INT");
    let ended = running.end();
    if ended.code == Some(130) {
        let hint = "stopped; add `--resume` to the same command to go on from half.checkpoint\n";
        assert!(ended.stderr.ends_with(hint), "{ended:#?}");
        assert!(!place.path("out.pt").exists());
        let refused = place.refused(&format!("{kept} --resume --lr 0.5"));
        assert!(refused.contains("`lr` 0.01, not 0.5"), "{refused}");
        let refused = place.refused(&kept);
        assert!(
            refused.contains("half.checkpoint: exists already; go on from it"),
            "{refused}"
        );
        let resumed = place.json(&format!("{kept} --resume"));
        assert_eq!(resumed["train_losses"], straight["train_losses"]);
    }
    assert!(place.read("out.pt") == expected, "other weights");
    assert!(!place.path("half.checkpoint").exists());
    let refused = place.refused(&format!("{kept} --resume --force"));
    assert!(
        refused.contains("half.checkpoint: no such file"),
        "{refused}"
    );
}

/// Images for work that takes long: `many.npz`.
fn with_many_images() -> Place {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let (images, labels) = colours(20_000, 3);
    place.npz(
        "many.npz",
        &[("x_train", npy(&images)), ("y_train", npy(&labels))],
    );
    place
}

#[test]
fn commands_that_keep_nothing_end_at_once_with_the_same_codes() {
    let place = with_many_images();
    let eval = "eval --model basic_scripted.pt --data many.npz --batch-size 2 --threads 1 --device cpu --report page.html";
    let tune = "finetune --model basic_scripted.pt --data many.npz --batch-size 2 --threads 1 --device cpu --epochs 500 \
                --output out.pt";
    for (line, signal, code) in [(eval, "INT", 130), (eval, "TERM", 143), (tune, "TERM", 143)] {
        let before = place.files();
        let mut running = Running::start(&place, line);
        // The first thing that is said, long before the end.
        running.wait_for("no --mean and --std");
        running.send(signal);
        let ended = running.end();
        if ended.code != Some(0) {
            assert_eq!(ended.code, Some(code), "{line}: {ended:#?}");
            assert!(before.keys().eq(place.files().keys()), "{line}");
        }
    }
}

#[test]
fn the_second_signal_ends_a_step_that_takes_long() {
    let place = with_many_images();
    let line = "finetune --model basic_scripted.pt --data many.npz --batch-size 20000 --threads 1 --device cpu \
                --epochs 500 --checkpoint half.checkpoint --output out.pt";
    let mut running = Running::start(&place, line);
    running.wait_for("epoch 1 of 500");
    running.send("TERM");
    running.wait_for("stopping after this step");
    std::thread::sleep(Duration::from_millis(1100));
    running.send("TERM");
    let ended = running.end();
    assert_eq!(ended.code, Some(143), "{ended:#?}");
    assert!(!place.path("out.pt").exists());
    assert!(place.path("half.checkpoint").exists());
}

/// `nohup` sets SIGHUP to be ignored, shells SIGINT of what they run in the background.
#[test]
fn a_signal_that_is_to_be_ignored_is() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --iterations 1 --epochs 20 --run-dir run --output out.pt");
    let program = place.command();
    let mut shell = Command::new("sh");
    let script = format!("trap '' HUP; exec \"$0\" {line}");
    shell.args(["-c", &script]).arg(program.get_program());
    shell.current_dir(place.path("")).process_group(0);
    let mut running = Running::of(shell);
    running.wait_for("epoch 2 of 20");
    running.send("HUP");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert!(place.path("out.pt").exists());
}
