//! A trainer of the user's own: a shell script here, as any program may be one.

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
    let failing = "echo loading; echo out of luck >&2; exit 3; : {model} {output}";
    let said = with(&place, failing, "--run-dir run --output own.pt");
    assert_eq!(said.code, 2, "{said:#?}");
    assert!(
        said.stderr.contains("the trainer ended with exit code 3"),
        "{said:#?}"
    );
    assert!(said.stderr.contains("\n  out of luck"), "{said:#?}");
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

#[cfg(unix)]
#[test]
fn a_signal_reaches_it() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let trainer = "trap 'echo ended >> ended; exit 1' TERM; echo begun >> begun; sleep 100 & wait; : {model} {output}";
    let line = format!("{LINE} --run-dir run --output own.pt");
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.extend(["--tune-with", trainer]);
    let mut child = place
        .command()
        .args(&words)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = place.path("begun");
    for _ in 0..600 {
        if begun.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.exists());
    // SAFETY: a signal to a process that this test has started.
    unsafe {
        libc::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM);
    }
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(place.read("ended"), b"ended\n");
    assert!(place.path("run/begun.pt").exists());
}
