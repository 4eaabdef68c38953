use insta::assert_snapshot;

use crate::place::Place;

const OPTIONS: &str = "--data data.npz --mean 0.5 --std 0.25 --batch-size 20 --device cpu --threads 1 --passes 9 --quiet";

fn place() -> Place {
    let place = Place::with_data(&["basic_scripted.pt", "basic_traced.pt"]);
    let block = place.blocks("basic_scripted.pt").pop().unwrap();
    place.done(&format!(
        "remove --model basic_scripted.pt --input-size 8 --blocks {block} --output pruned.pt --quiet"
    ));
    place
}

#[test]
fn a_network_against_itself_differs_in_nothing() {
    let place = place();
    let report = place.json(&format!(
        "compare basic_scripted.pt basic_traced.pt {OPTIONS} --json"
    ));
    let versus = &report["models"][1]["versus"];
    assert_eq!(versus["accuracy_difference"], 0.);
    assert_eq!(
        versus["accuracy_difference_interval"],
        serde_json::json!([0., 0.])
    );
    assert_eq!(versus["agreement"], 1.);
    assert_eq!(versus["macs_ratio"], 1.);
    assert!(
        (versus["cka"].as_f64().unwrap() - 1.).abs() < 1e-5,
        "{versus}"
    );
    assert!(report["models"][0]["versus"].is_null());
}

#[test]
fn a_pruned_network_is_held_against_the_first() {
    let place = place();
    let report = place.json(&format!(
        "compare basic_scripted.pt pruned.pt {OPTIONS} --json"
    ));
    let [whole, pruned] = [&report["models"][0], &report["models"][1]];
    let versus = &pruned["versus"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    assert_eq!(
        number(&versus["macs_ratio"]),
        number(&pruned["macs"]) / number(&whole["macs"])
    );
    let difference = number(&pruned["accuracy"]) - number(&whole["accuracy"]);
    assert!((number(&versus["accuracy_difference"]) - difference).abs() < 1e-12);
    let cka = number(&versus["cka"]);
    assert!((0. ..1.).contains(&cka), "{cka}");
    assert_eq!(versus["latency_ratio"].as_array().unwrap().len(), 2);
}

/// Times and memory differ from run to run; the rest of the table does not.
#[test]
fn a_column_a_network() {
    let place = place();
    let said = place.done(&format!(
        "compare basic_scripted.pt pruned.pt basic_traced.pt {OPTIONS} --passes 0"
    ));
    let stable = |line: &&str| !line.contains("peak memory") && !line.contains("J an image");
    // The widest text of a column may be one that differs from machine to machine.
    let narrow = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_rule = |line: &&str| line.starts_with('─');
    let lines = said.stdout.lines().filter(|l| stable(l) && !is_rule(l));
    let lines: Vec<String> = lines.map(narrow).collect();
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn networks_that_cannot_be_compared() {
    let place = place();
    assert_snapshot!(place.all_refused(&[
        "compare basic_scripted.pt --quiet",
        "compare basic_scripted.pt missing.pt --quiet",
        &format!("compare basic_scripted.pt quantised.pt {OPTIONS}"),
    ]));
}

#[test]
fn a_page_and_its_document_are_written_once() {
    let place = place();
    let lines = [
        format!("compare basic_scripted.pt pruned.pt {OPTIONS} --report report.html"),
        format!(
            "eval --model pruned.pt --baseline basic_scripted.pt {OPTIONS} --report report.html --max-drop 100"
        ),
    ];
    for line in lines {
        place.done(&format!("{line} --force"));
        let page = String::from_utf8(place.read("report.html")).unwrap();
        for said in [
            "pruned.pt",
            "Accuracy of each class",
            "--report report.html",
        ] {
            assert!(page.contains(said), "{line}: no {said}");
        }
        let document: serde_json::Value =
            serde_json::from_slice(&place.read("report.json")).unwrap();
        assert_eq!(document["schema"], 1);
        assert_eq!(document["configuration"]["batch-size"], 20);
        assert!(place.refused(&line).contains("report.html: exists already"));
    }
}

#[test]
fn what_each_network_predicts_is_written() {
    let place = place();
    let line = format!(
        "compare basic_scripted.pt pruned.pt {OPTIONS} --robust-samples 10 --predictions said.json"
    );
    place.done(&line);
    let said: serde_json::Value = serde_json::from_slice(&place.read("said.json")).unwrap();
    assert_eq!(
        (&said["schema"], &said["data"]),
        (&1.into(), &"data.npz".into())
    );
    for (model, of) in ["basic_scripted.pt", "pruned.pt"]
        .into_iter()
        .zip(said["models"].as_array().unwrap())
    {
        assert_eq!(of["model"], model);
        let eval = OPTIONS.replace(
            "data.npz",
            "data.npz --robust-samples 10 --predictions alone.json",
        );
        place.done(&format!("eval --model {model} {eval}"));
        let alone: serde_json::Value = serde_json::from_slice(&place.read("alone.json")).unwrap();
        std::fs::remove_file(place.path("alone.json")).unwrap();
        for key in ["indices", "labels", "clean", "rows"] {
            assert_eq!(of[key], alone[key], "{model}: {key}");
        }
    }
    assert!(place.refused(&line).contains("said.json: exists already"));
}

#[test]
fn where_there_is_no_cka_the_reason_is_told() {
    let place = Place::with_data(&["basic_scripted.pt", "constant_scripted.pt"]);
    let line = format!("compare basic_scripted.pt constant_scripted.pt {OPTIONS} --json");
    let said = place.done(&line);
    let report = said.json();
    let versus = &report["models"][1]["versus"];
    assert_eq!(versus.get("cka"), None);
    let why = versus["no_cka"].as_str().unwrap();
    assert!(why.contains("constant"), "{why}");
    let told = format!("there is no CKA of constant_scripted.pt with basic_scripted.pt: {why}");
    assert_eq!(report["warnings"], serde_json::json!([told]));
    assert!(said.stderr.contains(&told), "{said:#?}");
}

#[test]
fn a_ratio_of_macs_that_are_not_all_known_is_marked() {
    let place = Place::with_data(&["basic_scripted.pt", "quantised_head_scripted.pt"]);
    let line = format!("compare basic_scripted.pt quantised_head_scripted.pt {OPTIONS}");
    let said = place.done(&line);
    assert!(said.stdout.contains("about ×"), "{said:#?}");
    assert!(
        said.stderr
            .contains("the ratio of their MACs is about right at most"),
        "{said:#?}"
    );
    let report = place.json(&format!("{line} --json"));
    assert_eq!(report["models"][1]["versus"]["macs_ratio_exact"], false);
}
