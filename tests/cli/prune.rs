use insta::assert_snapshot;
use serde_json::Value;

use ckaprune::archive::Archive;

use crate::place::{Place, fixture, strings};

/// Two removals on the data made by the test, the same on every machine.
pub const PRUNE: &str = "prune --model basic_scripted.pt --iterations 2 --data data.npz --samples 40 --batch-size 20 \
                         --device cpu --threads 1";

fn keys(document: &Value) -> Vec<&str> {
    document
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_model_alone_is_pruned_with_a_loud_warning() {
    let place = Place::with(&["basic_scripted.pt"]);
    let said = place.done("prune --model basic_scripted.pt --iterations 2");
    assert!(
        said.stderr
            .starts_with("warning: NO DATA. Scoring on 1024 images of random noise"),
        "{said:#?}"
    );
    assert!(
        said.stdout.contains("written to basic_scripted.pruned.pt"),
        "{said:#?}"
    );
    let before = place.blocks("basic_scripted.pt");
    let after = place.blocks("basic_scripted.pruned.pt");
    assert_eq!(after.len(), before.len() - 2);
    assert!(after.iter().all(|path| before.contains(path)));
    assert_eq!(place.files().len(), 2, "the model and its pruned copy");
}

#[test]
fn the_document_keeps_its_contract() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let said = place.done(&format!(
        "{PRUNE} --baseline --json --min-blocks-per-stage 2"
    ));
    let report = said.json();
    let measured = ["params", "macs", "blocks", "accuracy", "loss"];
    assert_snapshot!(keys(&report).join(" "), @"schema command model output input_shape samples criterion synthetic seed removed before after baseline stopped_by picked iterations");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["synthetic"], false);
    assert_eq!(report["samples"], 40);
    for figures in ["before", "after"] {
        assert_eq!(
            keys(&report[figures]),
            [&measured[..], &["validation_accuracy", "images_per_second"]].concat()
        );
    }
    assert_eq!(keys(&report["baseline"]), measured);
    assert_snapshot!(
        keys(&report["iterations"][0]).join(" "),
        @"iteration removed cka candidates distribution repairs accuracy_before_repair accuracy_before_finetuning train_loss params macs blocks accuracy loss validation_accuracy seconds"
    );
    let removed = strings(&report["removed"], |path| path);
    assert_eq!(
        removed,
        strings(&report["iterations"], |i| &i["removed"][0])
    );
    let left = place.blocks("basic_scripted.pruned.pt");
    assert!(removed.iter().all(|path| !left.contains(path)));
    assert_eq!(report["after"]["blocks"], left.len());
}

#[test]
fn accuracies_are_fractions_of_the_test_images() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&format!("{PRUNE} --json"));
    let last = &report["iterations"][1];
    for figures in [&report["before"], &report["after"], last] {
        let hits = figures["accuracy"].as_f64().unwrap() * 30.;
        assert!(
            (0. ..=30.).contains(&hits) && (hits - hits.round()).abs() < 1e-9,
            "{figures}"
        );
    }
    assert_eq!(
        report["after"]["accuracy"], last["accuracy"],
        "the exported file is the last iteration's"
    );
}

#[test]
fn progress_goes_to_stderr_and_quiet_ends_it() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --epochs 0 --json --force");
    let said = place.done(&line);
    assert!(said.stderr.contains("[2/2] removed"), "{said:#?}");
    let quiet = place.done(&format!("{line} --quiet"));
    assert_eq!(quiet.stderr, "");
    assert_eq!(quiet.json()["removed"], said.json()["removed"]);
}

#[test]
fn quiet_keeps_warnings() {
    let place = Place::with(&["basic_scripted.pt"]);
    let said = place
        .done("prune --model basic_scripted.pt --iterations 1 --input-size 8 --samples 16 --quiet");
    assert!(said.stderr.starts_with("warning: NO DATA."), "{said:#?}");
    assert_eq!(
        said.stderr.lines().count(),
        2,
        "the warning alone: {said:#?}"
    );
}

#[test]
fn one_seed_gives_one_archive() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    for output in ["one.pt", "two.pt"] {
        place.done(&format!("{PRUNE} --seed 7 --output {output}"));
        // The archive's own name is the one thing that differs by right.
        std::fs::rename(
            place.path(output),
            place.path(&output.replace(".pt", ".bytes")),
        )
        .unwrap();
    }
    assert!(place.read("one.bytes") == place.read("two.bytes"));
}

#[test]
fn too_many_iterations_end_with_1_and_what_could_be_removed() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let said = place.run(&format!("{PRUNE} --iterations 9 --epochs 0 --json --quiet"));
    assert_eq!(said.code, 1, "{said:#?}");
    assert_snapshot!(
        said.stderr,
        @"warning: stopping after 6 of 9 iterations: no candidate is left: --min-blocks-per-stage 1 keeps what could go (stage1.1)"
    );
    assert_eq!(said.json()["removed"].as_array().unwrap().len(), 6);
    assert_eq!(place.blocks("basic_scripted.pruned.pt").len(), 3);
}

#[test]
fn a_target_stops_the_run_as_soon_as_it_is_met() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = PRUNE.replace("--iterations 2", "--epochs 0 --json --force --quiet");
    for (option, figure) in [("target-macs", "macs"), ("target-params", "params")] {
        let report = place.json(&format!("{line} --{option} 0.9"));
        let of = |figures: &Value| figures[figure].as_f64().unwrap();
        let whole = of(&report["before"]);
        assert!(of(&report["after"]) <= 0.9 * whole, "{report}");
        let iterations = report["iterations"].as_array().unwrap();
        let (_, earlier) = iterations.split_last().unwrap();
        assert!(earlier.iter().all(|i| of(i) > 0.9 * whole), "{report}");
        assert_eq!(report["stopped_by"], option);
    }
    let report = place.json(&format!("{line} --target-macs 0.9 --iterations 1"));
    assert_eq!(report["stopped_by"], "iterations");
    let said = place.run(&format!("{line} --target-macs 0"));
    assert_eq!(
        (said.code, &said.json()["stopped_by"]),
        (1, &Value::from("no-candidates"))
    );
}

#[test]
fn kept_blocks_stay_and_only_the_others_go() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --epochs 0 --json --only stage1.* --keep stage1.0,stage1.2");
    let removed = place.json(&line)["removed"].clone();
    let mut removed = strings(&removed, |path| path);
    removed.sort();
    assert_eq!(removed, ["stage1.1", "stage1.3"]);
}

#[test]
fn the_usual_configuration_names_the_data() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.write(
        "ckaprune.json",
        r#"{"data": "data.npz", "samples": 20, "epochs": 0, "mean": [0.5], "std": 0.25}"#,
    );
    let said = place.done("prune --model basic_scripted.pt --iterations 1 --json");
    assert!(
        said.stderr
            .starts_with("note: options from ckaprune.json\n"),
        "{said:#?}"
    );
    assert_eq!(said.json()["synthetic"], false);
    assert_eq!(said.json()["samples"], 20);
}

#[test]
fn ranking_of_score_is_the_first_removal_of_prune() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let score = PRUNE
        .replace("prune", "score")
        .replace("--iterations 2", "");
    let ranking = place.json(&format!("{score} --json"));
    let report = place.json(&format!("{PRUNE} --iterations 1 --epochs 0 --json"));
    let blocks = ranking["blocks"].as_array().unwrap();
    let first = blocks.iter().find(|block| block["rank"] == 1).unwrap();
    assert_eq!(first["path"], report["removed"][0]);
    assert_eq!(first["cka"], report["iterations"][0]["cka"]);
    let scored = blocks.iter().filter(|block| block["cka"].is_f64()).count();
    assert_eq!(
        scored,
        report["iterations"][0]["candidates"]
            .as_array()
            .unwrap()
            .len()
    );
}

#[test]
fn blocks_named_by_their_place_keep_their_names_through_a_run() {
    let place = Place::with(&["basic_frozen.pt"]);
    let at_first = place.blocks("basic_frozen.pt");
    let report = place
        .json("prune --model basic_frozen.pt --iterations 3 --samples 64 --input-size 8 --json");
    let removed = strings(&report["removed"], |path| path);
    assert_eq!(removed.len(), 3);
    let once: std::collections::BTreeSet<&String> = removed.iter().collect();
    assert_eq!(once.len(), 3, "{removed:?}");
    assert!(
        removed.iter().all(|path| at_first.contains(path)),
        "{removed:?}"
    );
    let at_once = format!(
        "remove --model basic_frozen.pt --input-size 8 --output at_once.pt --blocks {}",
        removed.join(",")
    );
    place.done(&at_once);
    let after = |file: &str| place.json(&format!("inspect --model {file} --input-size 8 --json"));
    let (run, at_once) = (after("basic_frozen.pruned.pt"), after("at_once.pt"));
    assert_eq!(run["blocks"], at_once["blocks"]);
}

/// Its batch norms are folded into its convolutions, whose weights are constants of its code.
#[test]
fn a_frozen_network_is_fitted_anew_and_keeps_its_constants_where_nothing_is() {
    let place = Place::with_data(&["basic_frozen.pt"]);
    let prune = format!(
        "{} --epochs 0 --json",
        PRUNE.replace("basic_scripted", "basic_frozen")
    );
    let report = place.json(&prune);
    let repairs = strings(&report["iterations"][0]["repairs"], |r| &r["step"]);
    assert_eq!(repairs, ["refit"]);
    let has_constants = |file: &str| {
        let archive = zip::ZipArchive::new(std::fs::File::open(place.path(file)).unwrap()).unwrap();
        archive
            .file_names()
            .any(|name| name.unwrap().contains("/constants/"))
    };
    assert!(!has_constants("basic_frozen.pruned.pt"));
    place.json(&format!("{prune} --repair none --force"));
    assert!(has_constants("basic_frozen.pruned.pt"));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_writes_nothing() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let before = place.files();
    let line = format!("{PRUNE} --json --epochs 2 --dry-run");
    let report = place.json(&line);
    assert!(before == place.files(), "a dry run wrote something");
    let removed = place.json(&line.replace(" --dry-run", ""))["removed"].clone();
    let candidates = crate::place::strings(&report["candidates"], |path| path);
    for path in crate::place::strings(&removed, |path| path) {
        assert!(candidates.contains(&path), "{path} of {candidates:?}");
    }
    assert_eq!(report["removals"], removed.as_array().unwrap().len());
    for part in ["scoring", "repair", "epoch", "measuring", "run"] {
        assert!(report["seconds"][part].as_f64().unwrap() > 0., "{part}");
    }
}

/// Raises an error once it is trained.
fn untrainable() -> Vec<u8> {
    let mut archive = Archive::open(&fixture("basic_scripted.pt")).unwrap();
    let file = "code/__torch__.py";
    let text = archive.source(file).unwrap();
    let (head, body) = text.split_once("x: Tensor) -> Tensor:\n").unwrap();
    let raise = "    if self.training:\n      ops.prim.RaiseException(\"not in training\")\n    else:\n      pass\n";
    let text = format!("{head}x: Tensor) -> Tensor:\n{raise}{body}");
    archive.set_source(file, text);
    archive.to_bytes().unwrap()
}

#[test]
fn a_trial_that_fails_in_a_dry_run_is_no_time() {
    let place = Place::with_data(&[]);
    place.write("untrainable.pt", untrainable());
    let line =
        PRUNE.replace("basic_scripted.pt", "untrainable.pt") + " --repair none --teach labels";
    let said = place.refused(&format!("{line} --dry-run"));
    assert!(said.contains("error: untrainable.pt: "), "{said}");
    place.done(&format!("{line} --dry-run --epochs 0"));
}
