//! Runs that cannot fit the memory are refused before they begin.

use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::place::Place;

/// What is free, and thus what would fit, is another on every machine.
fn without_what_is_free(transcript: &str) -> String {
    let cut = |line: &str| match line.split_once(" at least, and ") {
        None => line.to_owned(),
        Some((before, after)) => {
            let (_, after) = after.split_once("are free").unwrap();
            let after = match after.split_once("of at most ") {
                None => after.to_owned(),
                Some((words, number)) => {
                    let rest = number.trim_start_matches(|c: char| c.is_ascii_digit());
                    format!("{words}of at most [n]{rest}")
                }
            };
            format!("{before} at least, and [...] are free{after}")
        }
    };
    transcript.lines().map(|line| cut(line) + "\n").collect()
}

/// Terabytes, on any machine.
#[test]
fn what_fits_no_machine() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let huge =
        "--model basic_scripted.pt --device cpu --threads 1 --quiet --input-size 3x2000x2000";
    let begun = Instant::now();
    let said = place.all_refused(&[
        &format!("eval {huge} --samples 100000 --batch-size 100000"),
        "compare basic_scripted.pt basic_scripted.pt --device cpu --quiet --input-size 3x2000x2000 --samples 100000 \
         --batch-size 100000",
        &format!("score {huge} --samples 100000 --batch-size 100000"),
        &format!("score {huge} --samples 100000 --batch-size 100000 --map"),
        &format!("prune {huge} --samples 100000 --batch-size 100000 --iterations 1"),
    ]);
    assert!(begun.elapsed() < Duration::from_secs(120), "nothing runs");
    assert_snapshot!(without_what_is_free(&said));
}

/// Refused where no more than six gigabytes may be taken: limits of a shell count as those of the machine do.
#[cfg(target_os = "linux")]
#[test]
fn what_does_not_fit_a_limit_of_the_shell() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let usual = "--model basic_scripted.pt --device cpu --threads 1 --quiet --data data.npz";
    let huge = format!("{usual} --input-size 9000");
    let lines = [
        format!("eval {usual} --input-size 2000 --batch-size 30 --attacks fgsm"),
        format!("finetune {huge}"),
        format!("prune {huge} --iterations 1 --criterion l1"),
        format!("prune {huge} --iterations 1 --batch-size 60"),
    ];
    for line in lines {
        let program = place.command();
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 6000000 && exec \"$@\"", "sh"])
            .arg(program.get_program())
            .args(line.split_whitespace())
            .current_dir(place.path(""))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
        assert!(
            stderr.contains("at a time takes") && stderr.contains("; name a "),
            "{line}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{line}: {stderr}");
    }
}

#[test]
fn a_budget_that_is_not_there_is_told_of() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let score = "score --model basic_scripted.pt --data data.npz --samples 40 --device cpu --threads 1 --quiet";
    let said = place.done(&format!("{score} --memory 900000GB"));
    assert!(
        said.stderr
            .starts_with("warning: --memory 900000.0 GB is more than the "),
        "{said:#?}"
    );
    assert_eq!(place.done(&format!("{score} --memory 100MB")).stderr, "");
}

/// A file that is mostly nothing, so that no disk has to hold it.
#[cfg(target_os = "linux")]
#[test]
fn a_data_set_beyond_all_memory_is_not_read() {
    let place = Place::with(&["basic_scripted.pt"]);
    // What numbers so many images does not fit, wherever their pixels are.
    let images = (1u64 << 43) / 192;
    let shape = format!("'shape': ({images}, 8, 8, 3)");
    let header = format!("{{'descr': '|u1', 'fortran_order': False, {shape}}}");
    let mut head = b"\x93NUMPY\x01\x00".to_vec();
    head.extend([118, 0]);
    head.extend(format!("{header:118}").as_bytes());
    for (name, start) in [
        ("huge.npy", head.as_slice()),
        ("huge.npz", &[]),
        ("cifar/data_batch_1.bin", &[]),
    ] {
        place.write(name, start);
        let file = std::fs::File::options()
            .write(true)
            .open(place.path(name))
            .unwrap();
        if let Err(error) = file.set_len(start.len() as u64 + images * 192) {
            eprintln!("skipped: the file system takes no file of 8 TB, even of holes ({error})");
            return;
        }
    }
    for data in ["huge.npz", "huge.npy", "cifar"] {
        let line = format!("eval --model basic_scripted.pt --device cpu --quiet --data {data}");
        let said = place.run(&line);
        assert_eq!(said.code, 2);
        let begin =
            format!("error: {data}: a data set of this format is read into memory as a whole");
        assert!(said.stderr.starts_with(&begin), "{said:#?}");
    }
}

#[test]
fn more_noise_than_can_be_numbered() {
    let place = Place::with(&["basic_scripted.pt"]);
    for command in ["score", "eval --passes 0", "prune --iterations 1"] {
        let line = format!(
            "{command} --model basic_scripted.pt --device cpu --samples 900000000000000000"
        );
        let said = place.refused(&line);
        assert!(
            said.contains("--samples 900000000000000000: to number"),
            "{said}"
        );
    }
}
