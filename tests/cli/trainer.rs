//! A trainer of the user's own: a shell script here, as any program may be one.

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::Place;

const LINE: &str = "prune --model basic_scripted.pt --iterations 2 --data data.npz --samples 40 --batch-size 20 \
                    --device cpu --threads 1 --epochs 3 --force --json";

/// Runs `ckaprune prune` with this trainer, which is one word of the command line.
fn with(place: &Place, trainer: &str, more: &str) -> crate::place::Said {
    let line = format!("{LINE} {more}");
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.extend(["--tune-with", trainer]);
    place.run_words(&words)
}

fn document(said: &crate::place::Said) -> Value {
    assert_eq!(said.code, 0, "{said:#?}");
    said.json()
}

#[test]
fn it_is_given_the_network_after_each_removal_and_gives_it_back() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let trainer = "echo training for {epochs} epochs; cp {model} {output}; echo {epochs} >> calls";
    let said = with(&place, trainer, "--run-dir run --output own.pt");
    let report = document(&said);
    assert_eq!(report["iterations"].as_array().unwrap().len(), 2);
    assert_eq!(place.read("calls"), b"3\n3\n");
    assert!(said.stderr.contains("training for 3 epochs"), "{said:#?}");
    let log = String::from_utf8(place.read("run/trainer.log")).unwrap();
    assert_eq!(log.matches("\ntraining for 3 epochs\n").count(), 2);
    // A trainer that changes nothing gives back what it was given.
    for iteration in report["iterations"].as_array().unwrap() {
        assert_eq!(
            iteration["accuracy_before_finetuning"],
            iteration["accuracy"]
        );
    }
}

#[test]
fn a_failure_is_told_with_its_last_words_and_the_run_goes_on_from_there() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    // All on one stream: two are read as they come.
    let failing = "echo loading >&2; echo out of luck >&2; exit 3; : {model} {output}";
    let said = with(&place, failing, "--run-dir run --output own.pt");
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(
        said.stderr.contains("the trainer ended with exit code 3"),
        "{said:#?}"
    );
    assert!(
        said.stderr
            .contains("; all it said is in run/trainer.log\n  loading\n  out of luck"),
        "{said:#?}"
    );
    // The removal is kept: only its training is done again. The command is one of the options that decide.
    let said = with(&place, failing, "--run-dir run --resume --output own.pt");
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(!said.stderr.contains("scoring"), "{said:#?}");
    let other = with(
        &place,
        "cp {model} {output}",
        "--run-dir run --resume --output own.pt",
    );
    assert!(other.stderr.contains("`tune-with`"), "{other:#?}");
}

#[test]
fn what_it_leaves_has_to_be_the_network_it_was_given() {
    let place = Place::with_data(&["basic_scripted.pt", "plain_scripted.pt"]);
    for (trainer, wrong) in [
        (
            "cp plain_scripted.pt {output}; : {model}",
            "it has other blocks, parameters or MACs",
        ),
        (
            "echo no network > {output}; : {model}",
            "this is neither a TorchScript archive",
        ),
        (": {model} {output}", "left no file"),
    ] {
        let said = with(&place, trainer, "--output own.pt");
        assert_eq!(said.code, 2, "{trainer}: {said:#?}");
        assert!(said.stderr.contains(wrong), "{trainer}: {said:#?}");
        assert!(!place.path("own.pt").exists());
    }
    assert_snapshot!(place.all_refused(&[
        "prune --model basic_scripted.pt --iterations 1 --tune-with train.sh",
        "prune --model basic_scripted.pt --iterations 1 --tune-with train.sh --teach labels",
    ]));
}

/// Weights that are no numbers are found whichever tensor they are in.
#[test]
fn weights_that_are_no_numbers_are_refused() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.write(
        "nan.pt",
        with_tensor(&place.read("basic_scripted.pt"), f32::NAN),
    );
    // What is trained before the first removal is the network as it was given.
    let options = "--pretrain 1 --epochs 0 --output own.pt";
    let said = with(&place, "cp nan.pt {output}; : {model}", options);
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(
        said.stderr.contains("some of its weights are no numbers"),
        "{said:#?}"
    );
    place.write("one.pt", with_tensor(&place.read("basic_scripted.pt"), 1.));
    let said = with(&place, "cp one.pt {output}; : {model}", options);
    assert_eq!(said.code, 0, "{said:#?}");
}

/// The archive with one of its tensors full of `value`.
fn with_tensor(archive: &[u8], value: f32) -> Vec<u8> {
    let mut from = zip::ZipArchive::new(Cursor::new(archive)).unwrap();
    let mut to = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for at in 0..from.len() {
        let mut entry = from.by_index(at).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let name = entry.name().unwrap().into_owned();
        if name.ends_with("/data/3") {
            bytes = value.to_le_bytes().repeat(bytes.len() / 4);
        }
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        to.start_file(name, stored).unwrap();
        to.write_all(&bytes).unwrap();
    }
    to.finish().unwrap().into_inner()
}

#[test]
fn one_that_hangs_is_ended_and_the_run_goes_on_with_more_patience() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.write("slow", "");
    let trainer = "echo loading; if [ -e slow ]; then sleep 1000; fi; cp {model} {output}";
    let options = "--run-dir run --output own.pt --timeout";
    let said = with(&place, trainer, &format!("{options} 0.5"));
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(
        said.stderr
            .contains("the trainer took longer than 500ms (--timeout) and was ended"),
        "{said:#?}"
    );
    assert!(said.stderr.contains("\n  loading"), "{said:#?}");
    assert!(
        said.stderr
            .contains("stopped; add `--resume` to the same command to go on from run"),
        "{said:#?}"
    );
    assert!(place.path("run/begun.pt").exists());
    std::fs::remove_file(place.path("slow")).unwrap();
    let said = with(&place, trainer, &format!("{options} 1h --resume"));
    assert_eq!(said.code, 0, "{said:#?}");
}

/// Writes `begun` when it begins and `ended` when it is asked to end, which takes long without a file `quick`.
const HANGING: &str = "trap 'echo ended >> ended; exit 1' TERM; echo begun >> begun; if [ ! -e quick ]; then sleep 100 & \
                       wait; fi; exit 1; : {model} {output}";

/// A run under way with that trainer.
fn under_way(place: &Place) -> std::process::Child {
    let line = format!("{LINE} --run-dir run --output own.pt");
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.extend(["--tune-with", HANGING]);
    let child = place
        .command()
        .args(&words)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert!(appears(&place.path("begun")));
    child
}

fn appears(file: &Path) -> bool {
    (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        file.exists()
    })
}

#[cfg(unix)]
#[test]
fn a_signal_reaches_it() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let mut child = under_way(&place);
    // SAFETY: a signal to a process that this test has started.
    unsafe {
        libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM);
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(place.read("ended"), b"ended\n");
    assert!(place.path("run/begun.pt").exists());
}

/// A trainer that went on alone would be in the way of the one that the resumed run starts.
#[cfg(unix)]
#[test]
fn it_ends_with_a_run_that_is_killed() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let mut child = under_way(&place);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(appears(&place.path("ended")));
    // What lay ready for it goes with the next start.
    let rest = |place: &Place| {
        let names = place.files().into_keys();
        names
            .filter(|path| path.display().to_string().contains(".ckaprune-"))
            .count()
    };
    assert!(rest(&place) > 0);
    place.write("quick", "");
    let said = with(&place, HANGING, "--run-dir run --resume --output own.pt");
    assert!(said.stderr.contains("exit code 1"), "{said:#?}");
    assert_eq!(rest(&place), 0);
}
