//! Options from a file.

use insta::assert_snapshot;
use serde_json::json;

use crate::place::Place;

fn model() -> Place {
    Place::with(&["basic_scripted.pt"])
}

fn input_shape(place: &Place, line: &str) -> serde_json::Value {
    place.json(line)["input_shape"].clone()
}

#[test]
fn keys_of_the_file_are_flags() {
    let place = model();
    place.write(
        "c.json",
        r#"{"model": "basic_scripted.pt", "input-size": 8, "json": true}"#,
    );
    let by_file = place.done("inspect --config c.json").stdout;
    let by_flag = place
        .done("inspect --model basic_scripted.pt --input-size 8 --json")
        .stdout;
    assert_eq!(by_file.replace("./", ""), by_flag);
}

#[test]
fn a_flag_beats_the_file() {
    let place = model();
    place.write("c.json", r#"{"input-size": 16}"#);
    let line = "inspect --model basic_scripted.pt --config c.json --json";
    assert_eq!(input_shape(&place, line), json!([3, 16, 16]));
    assert_eq!(
        input_shape(&place, &format!("{line} --input-size 8")),
        json!([3, 8, 8])
    );
}

#[test]
fn lists_stand_for_texts_with_commas() {
    let place = model();
    place.write(
        "c.json",
        r#"{"input-size": [3, 8, 12], "blocks": ["stage1.1", "stage1.2"]}"#,
    );
    let report = place.json("remove --model basic_scripted.pt --config c.json --json");
    assert_eq!(report["removed"], json!(["stage1.1", "stage1.2"]));
    assert_eq!(
        input_shape(
            &place,
            "inspect --model basic_scripted.pt --config c.json --json"
        ),
        json!([3, 8, 12])
    );
}

#[test]
fn switches_are_true_or_false() {
    let place = model();
    place.write("on.json", r#"{"json": true}"#);
    place.write("off.json", r#"{"json": false}"#);
    let stdout = |config: &str| {
        place
            .done(&format!(
                "inspect --model basic_scripted.pt --input-size 8 --config {config}"
            ))
            .stdout
    };
    assert!(stdout("on.json").starts_with('{'));
    assert!(stdout("off.json").starts_with("basic_scripted.pt"));
}

#[test]
fn paths_are_seen_from_the_file() {
    let place = model();
    place.write(
        "deep/er/c.json",
        r#"{"model": "../../basic_scripted.pt", "output": "out.pt", "blocks": "stage1.1"}"#,
    );
    place.done("remove --config deep/er/c.json --input-size 8");
    assert!(place.path("deep/er/out.pt").is_file());
}

#[test]
fn keys_of_other_commands_are_left_to_them() {
    let place = model();
    place.write(
        "c.json",
        r#"{"blocks": "stage1.1", "force": true, "input-size": 8}"#,
    );
    place.done("inspect --model basic_scripted.pt --config c.json");
}

#[test]
fn a_file_that_is_wrong_is_named() {
    let place = model();
    place.write("unknown.json", r#"{"input_size": 8}"#);
    place.write("nested.json", r#"{"config": "other.json"}"#);
    place.write("broken.json", "{\n\"input-size\": 8,\n");
    place.write("list.json", "[]");
    place.write("null.json", r#"{"input-size": null}"#);
    place.write("value.json", r#"{"input-size": "large"}"#);
    place.write("switch.json", r#"{"json": "yes"}"#);
    let files = [
        "missing", "unknown", "nested", "broken", "list", "null", "value", "switch",
    ];
    let lines = files.map(|f| format!("inspect --model basic_scripted.pt --config {f}.json"));
    assert_snapshot!(place.all_refused(&lines.each_ref().map(String::as_str)));
}

#[test]
fn the_usual_file_beside_the_model_is_used_and_named() {
    let place = Place::with(&[]);
    std::fs::create_dir(place.path("models")).unwrap();
    std::fs::copy(
        crate::place::fixture("basic_scripted.pt"),
        place.path("models/m.pt"),
    )
    .unwrap();
    place.write("models/ckaprune.json", r#"{"input-size": 8}"#);
    // The one beside the model comes first.
    place.write("ckaprune.json", r#"{"input-size": 16}"#);
    let said = place.done("inspect --model models/m.pt --json");
    assert_eq!(said.json()["input_shape"], json!([3, 8, 8]));
    assert_eq!(said.stderr, "note: options from models/ckaprune.json\n");
}

#[test]
fn the_usual_file_in_the_current_folder_is_used_and_named() {
    let place = Place::with(&[]);
    std::fs::create_dir(place.path("models")).unwrap();
    std::fs::copy(
        crate::place::fixture("basic_scripted.pt"),
        place.path("models/m.pt"),
    )
    .unwrap();
    place.write("ckaprune.json", r#"{"input-size": 16}"#);
    let said = place.done("inspect --model models/m.pt --json");
    assert_eq!(said.json()["input_shape"], json!([3, 16, 16]));
    assert_eq!(said.stderr, "note: options from ckaprune.json\n");
    assert_eq!(
        place
            .done("inspect --model models/m.pt --json --quiet")
            .stderr,
        ""
    );
}

#[test]
fn a_named_file_takes_the_place_of_the_usual_one() {
    let place = model();
    place.write("ckaprune.json", r#"{"input-size": 16}"#);
    place.write("c.json", "{}");
    let said = place.done("inspect --model basic_scripted.pt --config c.json --json");
    assert_eq!(said.json()["input_shape_guessed"], true);
    assert_eq!(said.stderr, "");
}

/// Every option of the ready recipes is one that `prune` knows, with a value it takes.
#[cfg(feature = "torch")]
#[test]
fn recipes_are_understood() {
    let place = Place::with(&["basic_scripted.pt"]);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
    let recipes = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path());
    let recipes: Vec<_> = recipes
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    assert!(recipes.len() >= 4, "{recipes:?}");
    for recipe in recipes {
        let line = format!("prune --config {} --model nowhere.pt", recipe.display());
        let said = place.run(&line);
        assert_eq!(said.code, 2, "{said:#?}");
        assert!(
            said.stderr.contains("nowhere.pt: no such file"),
            "{said:#?}"
        );
    }
}

#[test]
fn a_program_may_have_the_name_of_a_subcommand() {
    let place = model();
    place.write("c.json", r#"{"input-size": 16}"#);
    for name in ["inspect", "remove"] {
        let model = place.path("basic_scripted.pt");
        let config = place.path("c.json");
        let line = [
            name,
            "inspect",
            "--model",
            model.to_str().unwrap(),
            "--config",
            config.to_str().unwrap(),
        ];
        let all = ckaprune::cli::options::with_config(line.map(Into::into).to_vec()).unwrap();
        assert_eq!(all[..3], [name, "inspect", "--input-size=16"]);
    }
}

/// It may have come with a model of others.
#[test]
fn a_file_that_no_option_names_runs_no_command_and_replaces_no_file() {
    let place = Place::with(&["basic_scripted.pt"]);
    for options in [
        r#"{"measure-with": "touch ran; echo 1 # {model}"}"#,
        r#"{"tune-with": "touch ran; cp {model} {output}"}"#,
        r#"{"force": true}"#,
    ] {
        place.write("ckaprune.json", options);
        for command in ["eval", "prune --iterations 1", "remove --blocks stage1.1"] {
            let said = place.refused(&format!("{command} --model basic_scripted.pt"));
            assert!(
                said.contains("only in a file of options that --config names"),
                "{said}"
            );
        }
        assert!(!place.path("ran").exists());
    }
    place.write("ckaprune.json", r#"{"force": true, "input-size": 8}"#);
    place.done("inspect --model basic_scripted.pt --config ckaprune.json");
}
