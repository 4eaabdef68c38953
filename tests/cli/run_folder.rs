//! What a run takes its folder for, and which options a resumed run must share.

use std::collections::BTreeSet;

use ckaprune::cli::Cli;
use serde_json::Value;

use crate::place::Place;
use crate::prune::PRUNE;

const LINE: &str = "--iterations 1 --epochs 0 --quiet";

fn line(options: &str) -> String {
    format!("{PRUNE} {LINE} {options}")
}

#[test]
fn files_that_were_there_before_are_not_written_over() {
    for file in [
        "iteration-001.pt",
        "iteration-012.pt",
        "plan.json",
        "begun.pt",
        "final.checkpoint",
        "report.html",
        "report.json",
    ] {
        let place = Place::with_data(&["basic_scripted.pt"]);
        place.write(&format!("run/{file}"), "mine");
        let said = place.refused(&line("--run-dir run"));
        assert!(
            said.contains(&format!(
                "run: files lie in this folder that the run would write over ({file})"
            )),
            "{said}"
        );
        assert!(said.contains("--force"), "{said}");
    }
}

#[test]
fn force_and_resuming_go_on_where_files_lie_and_others_are_nobodys_concern() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    for file in ["notes.txt", "plan.json", "report.html"] {
        place.write(&format!("run/{file}"), "mine");
    }
    place.done(&line("--run-dir run --force"));
    assert_eq!(place.read("run/notes.txt"), b"mine");
    assert_ne!(place.read("run/report.html"), b"mine");
    place.done(&line("--run-dir run --resume --output other.pt"));
    // A report elsewhere leaves that name free.
    place.write("second/report.html", "mine");
    place.done(&line(
        "--run-dir second --report page.html --output third.pt",
    ));
    assert_eq!(place.read("second/report.html"), b"mine");
}

/// Options that a run may be resumed with others of, and why.
const FREE: [(&str, &str); 22] = [
    ("allow-class-mismatch", "lets a run begin"),
    ("config", "the options in it are looked at one by one"),
    ("iterations", "a run may go on further"),
    ("target-macs", "a run may go on further"),
    ("target-params", "a run may go on further"),
    ("target-latency", "a run may go on further"),
    ("baseline", "trains beside the run, after its end"),
    ("final-epochs", "train after the last removal"),
    ("exact", "`race` is the other name of it"),
    ("timeout", "ends a command, and changes nothing of it"),
    ("memory", "divides the work, up to rounding"),
    ("device", "where, not what"),
    ("threads", "where, not what"),
    ("output", "where the result goes"),
    ("export-weights", "where the result goes"),
    ("report", "where the result goes"),
    ("summary", "where the result goes"),
    ("force", "where the result goes"),
    ("run-dir", "is the run"),
    ("resume", "says to go on"),
    ("dry-run", "runs nothing"),
    ("quiet", "what is said"),
];

/// The same for what is said.
const TALK: [&str; 2] = ["json", "verbose"];

/// Options that are among the settings only where they change what the data says of itself.
const WHERE_NAMED: [&str; 2] = ["classes", "first-class"];

#[test]
fn every_option_is_a_setting_of_a_run_or_free_for_a_reason() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&line("--run-dir run --pick best"));
    let run: Value = serde_json::from_slice(&place.read("run/run.json")).unwrap();
    let settings: BTreeSet<&String> = run["settings"].as_object().unwrap().keys().collect();
    let known = Cli::known();
    let prune = known.find_subcommand("prune").unwrap();
    let options: Vec<&str> = prune.get_arguments().filter_map(|a| a.get_long()).collect();
    let is_free =
        |option: &&str| FREE.iter().any(|(free, _)| free == option) || TALK.contains(option);
    for option in options.iter().filter(|option| **option != "help") {
        let is_setting =
            settings.iter().any(|setting| setting == option) || WHERE_NAMED.contains(option);
        assert!(
            is_setting != is_free(option),
            "--{option}: setting {is_setting}, free {}",
            is_free(option)
        );
    }
    let gone = FREE.iter().find(|(free, _)| !options.contains(free));
    assert_eq!(gone, None, "no option any more");
}

#[test]
fn images_are_set_aside_from_the_first_start_on_or_never() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&line("--run-dir run --output one.pt"));
    let said = place.refused(&line("--run-dir run --resume --pick best --output two.pt"));
    assert!(
        said.contains("the run was begun with `pick` unset, not best"),
        "{said}"
    );
    // Which of the iterations is exported may change.
    place.done(&line("--run-dir run --resume --pick 1 --output two.pt"));
    place.done(&line("--run-dir best --pick best --output three.pt"));
    let said = place.refused(&line("--run-dir best --resume --output four.pt"));
    assert!(
        said.contains("the run was begun with `pick` best, not unset"),
        "{said}"
    );
}
