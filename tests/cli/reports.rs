//! The page and the document that a run leaves.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::place::{Place, strings};
use crate::prune::PRUNE;

fn document(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&place.read(name)).unwrap()
}

#[test]
fn a_run_directory_has_a_report_and_replaces_it_when_resumed() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let run = format!("{PRUNE} --epochs 0 --run-dir run");
    let said = place.json(&format!(
        "{} --json",
        run.replace("--iterations 2", "--iterations 1")
    ));
    let report = document(&place, "run/report.json");
    for (key, value) in said.as_object().unwrap() {
        assert_eq!(&report[key], value, "{key} is as on stdout");
    }
    let paths = strings(&report["blocks"], |block| &block["path"]);
    assert_eq!(paths, place.blocks("basic_scripted.pt"), "of the original");
    assert_eq!(report["configuration"]["iterations"], 1);
    assert_eq!(report["configuration"]["lr"], 0.01);
    assert_eq!(report["configuration"]["data"], "data.npz");
    let given = strings(&report["given"], |name| name);
    assert!(given.contains(&"epochs".to_owned()) && !given.contains(&"lr".to_owned()));
    let line = report["command_line"].as_str().unwrap();
    assert!(line.ends_with("prune --model basic_scripted.pt --iterations 1 --data data.npz --samples 40 --batch-size 20 --device cpu --threads 1 --epochs 0 --run-dir run --json"), "{line}");

    place.done(&format!("{run} --resume --force"));
    let resumed = document(&place, "run/report.json");
    assert_eq!(resumed["iterations"].as_array().unwrap().len(), 2);
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    for part in [
        "<h1>Pruning of basic_scripted.pt</h1>",
        "<figure class=\"frontier\" data-points=\"3\">",
        "--resume --force",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_report_goes_where_it_is_told() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --epochs 0 --report page.html --run-dir run");
    let said = place.done(&line);
    assert!(said.stderr.ends_with("report: page.html\n"), "{said:#?}");
    assert!(place.read("page.html").starts_with(b"<!DOCTYPE html>"));
    assert_eq!(document(&place, "page.json")["schema"], json!(1));
    assert!(!place.path("run/report.html").exists());
}

#[test]
fn a_summary_goes_where_it_is_told_and_where_github_shows_it() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&format!("{PRUNE} --epochs 0 --summary report.md"));
    let summary = String::from_utf8(place.read("report.md")).unwrap();
    assert!(
        summary.starts_with("## Pruning of basic\\_scripted.pt\n"),
        "{summary}"
    );
    for part in ["\n### Iterations\n", "\n### Before and after\n"] {
        assert!(summary.contains(part), "{summary}");
    }

    place.write("step.md", "before\n");
    let status = place
        .command()
        .args(format!("{PRUNE} --epochs 0 --output other.pt").split_whitespace())
        .env("GITHUB_STEP_SUMMARY", place.path("step.md"))
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    let added = String::from_utf8(place.read("step.md")).unwrap();
    assert!(added.starts_with("before\n## Pruning of "), "{added}");
}

#[test]
fn reports_that_cannot_be_written() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.write("old.html", "mine");
    place.write("data.json", "mine");
    let lines = [
        "old.html",
        "data.html",
        "page.htm",
        "page.json",
        "ckaprune.html",
        "nowhere/page.html",
        "run/run.html --run-dir run",
    ]
    .map(|report| format!("{PRUNE} --report {report}"));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_snapshot!(place.all_refused(&lines));
}
