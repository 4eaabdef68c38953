//! `score --map`: what it writes, prints and refuses.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::place::{Place, strings};
use crate::signals::{Ended, Running};

const MAP: &str = "score --map --model basic_scripted.pt --data data.npz --samples 40 --batch-size 20 --device cpu";

fn place() -> Place {
    Place::with_data(&["basic_scripted.pt", "preact_scripted.pt"])
}

/// Rows × columns of the similarities, each of which has to be one.
fn size(document: &Value) -> (usize, usize) {
    let rows = document["map"]["cka"].as_array().unwrap();
    let columns = |row: &Value| {
        let row = row.as_array().unwrap();
        let numbers = row.iter().map(|cka| cka.as_f64().unwrap());
        assert!(numbers.into_iter().all(|cka| cka.abs() <= 1.));
        row.len()
    };
    let columns: Vec<usize> = rows.iter().map(columns).collect();
    assert!(columns.iter().all(|n| *n == columns[0]));
    (rows.len(), columns[0])
}

#[test]
fn the_document_says_what_was_compared_and_how() {
    let place = place();
    let mut document = place.json(&format!("{MAP} --json --only stage2.1"));
    assert_eq!(size(&document), (10, 10));
    let file: Value = serde_json::from_slice(&place.read("basic_scripted.map.json")).unwrap();
    assert_eq!(file, document);
    let map = &mut document["map"];
    assert_eq!(map["rows"], map["columns"]);
    // The rest is the same everywhere.
    map["cka"] = json!("10 x 10");
    map["columns"] = json!("as rows");
    let rows = map["rows"].as_array_mut().unwrap();
    let ends = [rows[0].clone(), rows[9].clone()];
    let paths = strings(&map["rows"], |row| &row["path"]);
    assert_eq!(paths[1..9], place.blocks("basic_scripted.pt")[1..]);
    map["rows"] = json!(ends);
    assert!(document["seconds"].as_f64().unwrap() > 0.);
    document["seconds"] = json!("some");
    assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn page_picture_and_document_lie_beside_the_model() {
    let place = place();
    place.write("models/net.pt", place.read("basic_scripted.pt"));
    let line = MAP.replace("basic_scripted", "models/net");
    let said = place.done(&line);
    let names = "models/net.map.html, models/net.map.png, models/net.map.json";
    assert!(
        said.stdout.ends_with(&format!("written to {names}\n")),
        "{said:#?}"
    );
    let page = String::from_utf8(place.read("models/net.map.html")).unwrap();
    assert!(page.contains("data-points=\"100\""), "{page}");
    let picture = image::load_from_memory(&place.read("models/net.map.png")).unwrap();
    assert!(picture.width() > 300 && picture.height() > 300);
    // A second run has to be told that it may replace them.
    let again = place.refused(&line);
    assert!(
        again.contains("models/net.map.html: exists already"),
        "{again}"
    );
    place.done(&format!("{line} --force"));
}

#[test]
fn the_ending_of_the_output_says_what_is_written() {
    let place = place();
    let before = place.files().len();
    for (name, begins) in [
        ("a.html", "<!DOCTYPE html>"),
        ("a.png", "\u{fffd}PNG"),
        ("a.SVG", "<svg"),
        ("a.json", "{"),
    ] {
        place.done(&format!("{MAP} --output {name}"));
        let text = String::from_utf8_lossy(&place.read(name)).into_owned();
        assert!(text.starts_with(begins), "{name}: {text}");
    }
    assert_eq!(place.files().len(), before + 4);
}

#[test]
fn two_networks_are_rows_and_columns() {
    let place = place();
    let line = format!("{MAP} --against preact_scripted.pt --output two.json");
    let document = place.json(&format!("{line} --json"));
    assert_eq!(size(&document), (10, 7));
    assert_eq!(document["against"], "preact_scripted.pt");
    let swapped = format!("{line} --force --json")
        .replace("basic_scripted", "other")
        .replace("preact_scripted", "basic_scripted")
        .replace("other", "preact_scripted");
    let swapped = place.json(&swapped);
    for (i, row) in document["map"]["cka"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        for (j, cka) in row.as_array().unwrap().iter().enumerate() {
            let other = &swapped["map"]["cka"][j][i];
            let difference = cka.as_f64().unwrap() - other.as_f64().unwrap();
            assert!(difference.abs() < 1e-12, "{cka} {other}");
        }
    }
}

#[test]
fn without_a_terminal_there_are_numbers_and_no_colours() {
    let place = place();
    let said = place.done(&format!("{MAP} --against preact_scripted.pt"));
    assert!(!said.stdout.contains('\x1b'), "{said:#?}");
    // Of the numbers only where they stand.
    let masked = |word: &str| match word.trim_end_matches('.').parse::<f64>() {
        Ok(_) if word.contains('.') => "#".to_owned(),
        _ => word.to_owned(),
    };
    let line = |line: &str| {
        line.split_whitespace()
            .map(masked)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines: Vec<String> = said.stdout.lines().map(line).collect();
    let (finding, rest): (Vec<&String>, Vec<&String>) = lines
        .iter()
        .partition(|line| line.starts_with("Most alike are "));
    assert_eq!(finding.len(), 1, "{said:#?}");
    let rest: Vec<&str> = rest.into_iter().map(String::as_str).collect();
    assert_snapshot!(rest.join("\n"));
}

#[test]
fn without_data_a_warning_says_what_the_map_is_worth() {
    let place = place();
    let said =
        place.done("score --map --model basic_scripted.pt --input-size 8 --samples 16 --quiet");
    assert_snapshot!(said.stderr, @r"
    warning: NO DATA. Comparing blocks on 16 images of random noise, 3×8×8: the map says little about real images.
             Name a data set with --data.
    ");
}

#[test]
fn what_is_refused() {
    let place = Place::with_data(&[
        "basic_scripted.pt",
        "plain_scripted.pt",
        "quantised_scripted.pt",
        "constant_scripted.pt",
    ]);
    place.write("there.svg", "precious");
    let against = |file: &str| format!("{MAP} --quiet --against {file} --output x.json");
    assert_snapshot!(place.all_refused(&[
        "score --model basic_scripted.pt --against basic_scripted.pt",
        &format!("{MAP} --shard 1/2 --output x.json"),
        &format!("{MAP} --resume x.json"),
        "score --map --merge x.json",
        &format!("{MAP} --race"),
        &format!("{MAP} --criterion l1"),
        &format!("{MAP} --output x.txt"),
        &format!("{MAP} --output there.svg"),
        &against("nowhere.pt"),
        &against("."),
        &against("plain_scripted.pt"),
        &against("quantised_scripted.pt"),
        &against("constant_scripted.pt"),
        &format!("{MAP} --quiet").replace("basic", "quantised"),
        &format!("{MAP} --quiet --samples 3"),
        &format!("{MAP} --quiet --batch-size 3"),
    ]));
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let place = place();
    let before = place.files();
    // So many images that the end is far; noise needs no files.
    let line = "score --map --model basic_scripted.pt --input-size 8 --batch-size 4 --device cpu --samples 40000";
    let mut running = Running::start(&place, line);
    running.wait_for("NO DATA");
    running.send("INT");
    let Ended { code, stderr } = running.end();
    assert_eq!(code, Some(130), "{stderr}");
    assert!(stderr.contains("stopped; nothing is written"), "{stderr}");
    assert_eq!(place.files(), before);
}
