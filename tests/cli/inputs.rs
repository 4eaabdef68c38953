//! Networks that take their images otherwise than n × channels × height × width, and those that cannot be given them.

use serde_json::Value;

use crate::place::{Place, strings};

const ON: &str = "--data data.npz --batch-size 20 --device cpu --threads 1";
/// What the networks that take bytes do themselves.
const NORMALISED: &str = "--mean 0.5,0.25,0.125 --std 1";
const BYTES: [&str; 3] = ["bytes_scripted.pt", "bytes_traced.pt", "bytes_asserted.pt"];

/// Data, and archives of `tests/archives/field`.
fn place(models: &[&str]) -> Place {
    let place = Place::with_data(&[]);
    for model in models {
        let bytes = std::fs::read(crate::place::fixture(&format!("field/{model}"))).unwrap();
        place.write(model, bytes);
    }
    place
}

fn close(a: &Value, b: &Value) {
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    assert!((a - b).abs() < 1e-5, "{a} {b}");
}

#[test]
fn bytes_with_their_channels_last_are_recognised_and_given_so() {
    let place = place(&[&["first_scripted.pt"][..], &BYTES].concat());
    let evaluate = |model: &str, options: &str| {
        place.json(&format!(
            "eval --model {model} {ON} {options} --passes 3 --json"
        ))
    };
    let score = |model: &str, options: &str| {
        let report = place.json(&format!(
            "score --model {model} {ON} {options} --min-blocks-per-stage 0 --json"
        ));
        report["blocks"].as_array().unwrap().clone()
    };
    let usual = evaluate("first_scripted.pt", NORMALISED);
    let ranking = score("first_scripted.pt", NORMALISED);
    for model in BYTES {
        let report = place.json(&format!("inspect --model {model} --input-size 8 --json"));
        assert_eq!(report["layout"], "channels-last", "{model}");
        assert_eq!(report["bytes"], true);
        assert_eq!(report["input_shape"], serde_json::json!([3, 8, 8]));
        let text = place.done(&format!("inspect --model {model}")).stdout;
        assert!(
            text.contains("takes       n × height × width × channels, bytes of 0 to 255"),
            "{text}"
        );
        let found = evaluate(model, "");
        close(&found["loss"], &usual["loss"]);
        assert_eq!(found["correct"], usual["correct"]);
        for (found, usual) in score(model, "").iter().zip(&ranking) {
            close(&found["cka"], &usual["cka"]);
        }
    }
}

#[test]
fn what_is_made_of_a_network_of_bytes_takes_bytes() {
    let place = place(&["bytes_asserted.pt"]);
    let report = place.json(&format!(
        "prune --model bytes_asserted.pt {ON} --iterations 1 --epochs 1 --mixup 0.2 --cutmix 1 --output pruned.pt --json"
    ));
    assert_eq!(report["removed"].as_array().unwrap().len(), 1);
    place.done(&format!(
        "finetune --model pruned.pt {ON} --epochs 1 --output tuned.pt"
    ));
    for model in ["pruned.pt", "tuned.pt"] {
        let report = place.json(&format!("inspect --model {model} --input-size 8 --json"));
        assert_eq!(report["bytes"], true, "{model}");
        place.done(&format!("eval --model {model} {ON} --passes 0"));
    }
    // Without data there is noise that bytes can hold.
    place.done(
        "score --model bytes_asserted.pt --input-size 8 --samples 64 --device cpu --threads 1",
    );
}

#[test]
fn numbers_with_their_channels_last_are_normalised_as_the_options_say() {
    let place = place(&["first_scripted.pt", "last_scripted.pt"]);
    let loss = |model: &str| {
        let line = format!("eval --model {model} {ON} {NORMALISED} --passes 0 --json");
        place.json(&line)["loss"].clone()
    };
    close(&loss("last_scripted.pt"), &loss("first_scripted.pt"));
    let report = place.json("inspect --model last_scripted.pt --json");
    assert_eq!(report["layout"], "channels-last");
    assert_eq!(report.get("bytes"), None);
    let report = place.json("inspect --model first_scripted.pt --json");
    assert_eq!(report.get("layout"), None);
}

#[test]
fn images_may_be_normalised_before_they_are_turned_round() {
    let place = place(&["normalised_last_scripted.pt", "first_scripted.pt"]);
    let report = place.json("inspect --model normalised_last_scripted.pt --json");
    assert_eq!(report["layout"], "channels-last");
    assert_eq!(report.get("bytes"), None);
    let loss = |model: &str, options: &str| {
        let line = format!("eval --model {model} {ON} {options} --passes 0 --json");
        place.json(&line)["loss"].clone()
    };
    close(
        &loss("normalised_last_scripted.pt", ""),
        &loss("first_scripted.pt", NORMALISED),
    );
}

#[test]
fn an_order_of_dimensions_that_cannot_be_told_is_no_wrong_size() {
    let place = place(&["pixels_scripted.pt"]);
    for command in [
        "inspect --input-size 8".to_owned(),
        format!("eval {ON}"),
        format!("score {ON}"),
    ] {
        let message = place.refused(&format!("{command} --model pixels_scripted.pt"));
        for part in [
            "cannot be told in which order",
            "3×8×8",
            "refuses n × channels × height × width",
            "would run n × height × width × channels",
            "--input-size",
            "permute(0, 2, 3, 1)",
        ] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
    }
    let message = place.refused("inspect --model pixels_scripted.pt");
    assert!(
        message.contains("neither channels first nor channels last"),
        "{message}"
    );
    let message = place.refused("inspect --model pixels_scripted.pt --input-size 4x8x8");
    assert!(!message.contains("order"), "{message}");
}

#[test]
fn a_network_that_insists_on_bytes_is_given_bytes_in_the_usual_order() {
    let place = place(&["first_scripted.pt", "first_asserted.pt"]);
    let loss = |model: &str, options: &str| {
        let line = format!("eval --model {model} {ON} {options} --passes 3 --json");
        place.json(&line)["loss"].clone()
    };
    close(
        &loss("first_asserted.pt", ""),
        &loss("first_scripted.pt", NORMALISED),
    );
    let text = place.done("inspect --model first_asserted.pt").stdout;
    assert!(
        text.contains("takes       n × channels × height × width, bytes of 0 to 255"),
        "{text}"
    );
}

/// Nobody can tell whether it takes pixels of 0 to 255 or was trained on what it makes of smaller ones.
#[test]
fn a_network_that_divides_by_255_is_told_of_unless_the_scale_is_named() {
    let place = place(&["first_scripted.pt", "divided_scripted.pt"]);
    let evaluate = |model: &str, options: &str| {
        place.done(&format!(
            "eval --model {model} {ON} {options} --passes 0 --json"
        ))
    };
    let warned = |options: &str| {
        let said = evaluate("divided_scripted.pt", options);
        said.stderr.contains("name --pixel-range 255")
    };
    assert!(warned(""));
    assert!(!warned("--std 0.00392157"));
    assert!(!warned("--pixel-range 255"));
    close(
        &evaluate("divided_scripted.pt", "--pixel-range 255").json()["loss"],
        &evaluate("first_scripted.pt", NORMALISED).json()["loss"],
    );
}

#[test]
fn bytes_are_neither_normalised_nor_attacked() {
    let place = place(&["bytes_scripted.pt"]);
    let message = place.refused(&format!(
        "score --model bytes_scripted.pt {ON} {NORMALISED}"
    ));
    assert!(message.contains("leave --mean and --std out"), "{message}");
    let message = place.refused(&format!(
        "eval --model bytes_scripted.pt {ON} --attacks fgsm"
    ));
    assert!(
        message.contains("this network takes n × height"),
        "{message}"
    );
}

#[test]
fn a_forward_that_takes_no_images_is_told_of_by_every_command() {
    let place = place(&[
        "list_scripted.pt",
        "second_scripted.pt",
        "optional_scripted.pt",
    ]);
    for command in [
        "inspect",
        "score",
        "eval",
        "prune --iterations 1",
        "remove --blocks net.blocks.1",
    ] {
        for (model, wanted) in [
            ("list_scripted.pt", "takes a list of tensors `xs`"),
            ("second_scripted.pt", "takes `training_step` as well"),
        ] {
            let message = place.refused(&format!("{command} --model {model}"));
            assert!(
                message.contains("`forward` has to take one tensor of images")
                    && message.contains(wanted),
                "{message}"
            );
        }
    }
    place.done(&format!(
        "eval --model optional_scripted.pt {ON} --passes 0"
    ));
}

/// Archives of `batches.py`: the size of their batch, and the operator that has it.
const FIXED: [(&str, usize, &str); 14] = [
    ("one_traced.pt", 1, "torch.reshape"),
    ("batch_reshaped_1.pt", 1, "torch.reshape"),
    ("batch_reshaped_2.pt", 2, "torch.reshape"),
    ("batch_viewed_4.pt", 4, "torch.view"),
    ("batch_gated_1.pt", 1, "torch.view"),
    ("batch_gated_3.pt", 3, "torch.view"),
    ("batch_expanded_1.pt", 1, "torch.expand"),
    ("batch_expanded_2.pt", 2, "torch.expand"),
    ("batch_repeated_4.pt", 4, "torch.repeat"),
    ("batch_zeros_4.pt", 4, "torch.zeros"),
    ("batch_joined_1.pt", 1, "torch.zeros"),
    ("batch_sliced_4.pt", 4, "torch.slice"),
    ("batch_positions_2.pt", 2, "torch.slice"),
    ("batch_held_3.pt", 3, "torch.add"),
];

#[test]
fn a_size_of_batch_that_a_trace_has_fixed_is_told_of_from_inspect_on() {
    let place = place(&FIXED.map(|(model, ..)| model));
    for (model, images, operator) in FIXED {
        for size in ["", "--input-size 8"] {
            let report = place.json(&format!("inspect --model {model} {size} --json"));
            let obstacle = report["obstacle"].as_str().unwrap_or_default();
            let wanted = format!("made for batches of {images} ({operator} in the root, ");
            assert!(obstacle.contains(&wanted), "{model} {size}: {obstacle}");
            let blocks = strings(&report["blocks"], |b| &b["path"]);
            assert_eq!(blocks.len(), 3, "{model}");
            assert_eq!(report["macs_exact"], true, "{model}");
        }
    }
}

#[test]
fn what_cannot_be_done_in_batches_of_one_size_is_refused_with_the_reason() {
    let models = ["one_traced.pt", "batch_joined_1.pt", "batch_held_3.pt"];
    let place = place(&models);
    for model in models {
        let report = place.json(&format!("inspect --model {model} --input-size 8 --json"));
        let obstacle = report["obstacle"].as_str().unwrap();
        for command in ["score", "finetune --epochs 1", "prune --iterations 1"] {
            let message = place.refused(&format!("{command} --model {model} {ON}"));
            assert!(message.contains(obstacle), "{message}");
            assert!(!message.contains("--input-size"), "{message}");
        }
        // The surgery runs nothing.
        place.done(&format!(
            "remove --model {model} --blocks blocks.1 --input-size 8 --output removed_{model}"
        ));
        place.done(&format!("eval --model removed_{model} {ON} --passes 0"));
    }
}

#[test]
fn a_network_of_batches_of_one_size_is_measured_in_such() {
    let fixed = &FIXED[1..];
    let models: Vec<&str> = fixed.iter().map(|(model, ..)| *model).collect();
    let place = place(&[&models[..], &["batch_any.pt"]].concat());
    let evaluate = |model: &str, options: &str| {
        let done = place.done(&format!("eval --model {model} {ON} {options} --json"));
        (done.json(), done.stderr)
    };
    let (usual, said) = evaluate("batch_any.pt", "--passes 0");
    assert!(!said.contains("traced for"), "{said}");
    for (model, images, _) in fixed {
        let (found, said) = evaluate(model, "--passes 0");
        close(&found["loss"], &usual["loss"]);
        assert_eq!(found["correct"], usual["correct"], "{model}");
        assert_eq!(found["macs"], usual["macs"], "{model}");
        assert_eq!(said.matches("made for batches").count(), 1, "{said}");
        let how = match images {
            1 => "run image by image".to_owned(),
            n => format!("run in batches of {n}"),
        };
        assert!(said.contains(&how), "{said}");
    }
    // Times are of batches that the network takes, and attacks find their way through them.
    let (found, _) = evaluate(
        "batch_held_3.pt",
        "--passes 3 --attacks fgsm --baseline batch_any.pt",
    );
    assert_eq!(found["latency"][0]["batch_size"], 3);
    let (usual, _) = evaluate("batch_any.pt", "--passes 0 --attacks fgsm");
    let attacked = |report: &Value| report["robustness"]["rows"][0]["correct"].clone();
    assert_eq!(attacked(&found), attacked(&usual));
    assert!(
        found["versus"]["no_cka"]
            .as_str()
            .unwrap()
            .contains("made for batches of 3")
    );
}

#[test]
fn sizes_that_go_with_the_batch_are_no_fixed_ones() {
    let models = ["batch_any.pt", "batch_open.pt"];
    let place = place(&models);
    for model in models {
        let report = place.json(&format!("inspect --model {model} --input-size 8 --json"));
        assert_eq!(report.get("obstacle"), None, "{model}");
        place.done(&format!("score --model {model} {ON}"));
    }
}
