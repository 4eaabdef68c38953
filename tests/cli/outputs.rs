//! Networks with several outputs, of other element types, quantised: all commands but `inspect` and `remove`.

use insta::assert_snapshot;

use crate::place::Place;

const DATA: &str = "--data data.npz --batch-size 20 --device cpu --threads 1 --quiet --json";

#[test]
fn networks_with_several_outputs_run_in_every_command() {
    let place = Place::with_data(&["outputs_tuple_scripted.pt", "outputs_dict_traced.pt"]);
    for (model, key) in [
        ("outputs_tuple_scripted.pt", "--output-key 1"),
        ("outputs_dict_traced.pt", ""),
        ("outputs_dict_traced.pt", "--output-key out"),
    ] {
        let run = |command: &str| place.json(&format!("{command} --model {model} {key} {DATA}"));
        assert_eq!(run("eval")["images"], 30);
        let scored = run("score --samples 40");
        assert_eq!(scored["blocks"].as_array().unwrap().len(), 4);
        assert!(scored["blocks"][0]["cka"].as_f64().unwrap() > 0.);
        let tuned = run("finetune --epochs 6 --lr 0.02 --force");
        let losses = tuned["train_losses"].as_array().unwrap();
        assert!(
            losses[5].as_f64() < losses[0].as_f64(),
            "{model} {key}: {losses:?}"
        );
        let pruned = run("prune --iterations 2 --samples 40 --force --output pruned.pt");
        assert_eq!(pruned["removed"].as_array().unwrap().len(), 2);
        assert_eq!(pruned["after"]["blocks"], 2);
    }
}

#[test]
fn scores_follow_the_output_that_is_named() {
    let place = Place::with_data(&["outputs_tuple_scripted.pt"]);
    let scored = |key: &str| {
        let line = format!("score --model outputs_tuple_scripted.pt --output-key {key} {DATA}");
        let blocks = place.json(&line)["blocks"].clone();
        let blocks = blocks.as_array().unwrap();
        let with_score = blocks.iter().filter(|b| b.get("cka").is_some());
        with_score
            .map(|b| b["path"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(scored("1"), ["early.0", "early.1", "late.0", "late.1"]);
    // The other classifier sees nothing of what is late.
    assert_eq!(scored("0"), ["early.0", "early.1"]);
}

#[test]
fn an_output_that_is_missing_or_not_one_of_class_scores() {
    let place = Place::with_data(&["outputs_tuple_traced.pt", "basic_scripted.pt"]);
    let data = "--data data.npz --device cpu --quiet";
    assert_snapshot!(place.all_refused(&[
        &format!("eval --model outputs_tuple_traced.pt --min-accuracy 0.5 {data}"),
        &format!("finetune --model outputs_tuple_traced.pt {data}"),
        &format!("eval --model outputs_tuple_traced.pt --output-key out {data}"),
        &format!("eval --model basic_scripted.pt --output-key 0 {data}"),
        "inspect --model outputs_tuple_traced.pt --output-key 2 --input-size 8",
        "remove --model outputs_tuple_traced.pt --output-key -3 --blocks late.0",
    ]));
}

/// Both heads count, which end in maps of two sizes: of each image places are samples.
#[test]
fn networks_that_answer_for_places_are_pruned_without_labels() {
    let models = ["maps_scripted.pt", "maps_traced.pt", "restored_traced.pt"];
    let place = Place::with_data(&models);
    for model in models {
        let scored = place.json(&format!("score --model {model} {DATA}"));
        assert_eq!(scored["places"], 8, "{model}");
        let is_scored = |block: &serde_json::Value| block["cka"].as_f64().is_some_and(|c| c < 1.);
        let removable = scored["blocks"].as_array().unwrap().iter();
        assert!(
            removable.filter(|b| b["removable"] == true).all(is_scored),
            "{model}: {scored}"
        );
        let pooled = place.json(&format!(
            "score --representation pooled --model {model} {DATA}"
        ));
        assert_eq!(pooled.get("places"), None);
        let raced = place.json(&format!(
            "score --race --samples all --model {model} {DATA}"
        ));
        assert_eq!(raced["places"], 8);
        let pruned = place.json(&format!(
            "prune --iterations 1 --epochs 2 --lr 0.001 --force --output pruned.pt --model {model} {DATA}"
        ));
        assert_eq!(pruned["after"].get("accuracy"), None);
        let repairs = pruned["iterations"][0]["repairs"].as_array().unwrap();
        let steps: Vec<_> = repairs
            .iter()
            .map(|r| r["step"].as_str().unwrap())
            .collect();
        assert!(
            steps.contains(&"refit") && steps.contains(&"distillation"),
            "{steps:?}"
        );
        for repair in repairs {
            assert_eq!(repair["before"].get("same_class"), None);
            assert!(repair["before"]["closeness"].as_f64().unwrap() <= 0.);
        }
        let measured = place.json(&format!("eval --model pruned.pt {DATA}"));
        assert!(measured["params"].as_i64().is_some());
        assert_eq!(measured.get("accuracy"), None);
    }
}

#[test]
fn what_needs_class_scores_says_so() {
    let place = Place::with_data(&["restored_traced.pt", "basic_scripted.pt"]);
    let data = "--data data.npz --device cpu --quiet";
    assert_snapshot!(place.all_refused(&[
        &format!("eval --model restored_traced.pt --attacks fgsm {data}"),
        &format!("eval --model restored_traced.pt --min-accuracy 0.5 {data}"),
        &format!("prune --iterations 1 --model restored_traced.pt --teach labels {data}"),
        &format!("prune --iterations 1 --model restored_traced.pt --max-drop 1 {data}"),
        &format!("finetune --model restored_traced.pt {data}"),
        &format!("score --representation places --model basic_scripted.pt {data}"),
    ]));
}

#[test]
fn every_floating_type_is_measured_and_scored() {
    let models = [
        "half_scripted.pt",
        "bfloat16_scripted.pt",
        "double_scripted.pt",
    ];
    let place = Place::with_data(&models);
    for model in models {
        assert_eq!(
            place.json(&format!("eval --model {model} {DATA}"))["images"],
            30
        );
        let scored = place.json(&format!("score --model {model} {DATA}"));
        let cka = scored["blocks"][0]["cka"].as_f64().unwrap();
        assert!(cka > 0. && cka < 1., "{model}: {cka}");
        let line = format!(
            "prune --model {model} --iterations 1 --epochs 0 --output {model}.pruned {DATA}"
        );
        assert_eq!(place.json(&line)["removed"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn double_precision_is_trained() {
    let place = Place::with_data(&["double_scripted.pt"]);
    let line = format!("finetune --model double_scripted.pt --epochs 8 --augment none {DATA}");
    let losses = place.json(&line)["train_losses"].clone();
    assert!(losses[7].as_f64() < losses[0].as_f64(), "{losses}");
}

#[test]
fn element_types_that_cannot_be_trained_or_pruned() {
    let models = [
        "half_scripted.pt",
        "quantised_scripted.pt",
        "quantised_head_scripted.pt",
    ];
    let place = Place::with_data(&models);
    let data = "--data data.npz --device cpu --quiet";
    assert_snapshot!(place.all_refused(&[
        &format!("finetune --model half_scripted.pt {data}"),
        &format!("prune --model half_scripted.pt --iterations 1 {data}"),
        &format!("score --model quantised_scripted.pt {data}"),
        &format!("prune --model quantised_scripted.pt --iterations 1 {data}"),
        &format!("finetune --model quantised_scripted.pt {data}"),
        &format!("score --model quantised_head_scripted.pt {data}"),
    ]));
}

#[test]
fn quantised_networks_are_measured() {
    let models = ["quantised_scripted.pt", "quantised_traced.pt"];
    let place = Place::with_data(&models);
    for model in models {
        assert_eq!(
            place.json(&format!("eval --model {model} {DATA}"))["images"],
            30
        );
    }
}

#[test]
fn a_run_is_only_resumed_with_the_same_output() {
    let place = Place::with_data(&["outputs_tuple_scripted.pt"]);
    let run = "prune --model outputs_tuple_scripted.pt --iterations 1 --run-dir run --force";
    place.done(&format!("{run} --output-key 1 {DATA}"));
    let said = place.run(&format!("{run} --resume --output-key 0 {DATA}"));
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("`output-key` 1, not 0"),
        "{}",
        said.stderr
    );
}
