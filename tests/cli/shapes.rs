//! Networks whose code the analysis has to follow, or to name what it does not follow.

use crate::place::Place;

fn removable(place: &Place, model: &str) -> usize {
    let report = place.json(&format!("inspect --model {model} --input-size 8 --json"));
    let blocks = report["blocks"].as_array().unwrap();
    blocks.iter().filter(|b| b["removable"] == true).count()
}

#[test]
fn a_backbone_under_no_grad_is_pruned_as_any_other() {
    let models = ["field/no_grad_scripted.pt", "field/no_grad_frozen.pt"];
    let place = Place::with(&models);
    for model in models {
        assert_eq!(removable(&place, model), 3, "{model}");
    }
    place.done("remove --model field/no_grad_scripted.pt --blocks net.blocks.1 --output less.pt");
    assert_eq!(removable(&place, "less.pt"), 2);
}

/// Shapes are known behind each of these, so every block can go, and the MACs are exact.
const FOLLOWED: [&str; 13] = [
    "channel_swap_scripted",
    "channel_swap_traced",
    "sum_traced",
    "scaled_scripted",
    "minus_traced",
    "norm_traced",
    "channel_attention_traced",
    "fourier_traced",
    "same_word_traced",
    "same_padding_traced",
    "weight_norm_traced",
    "spectral_norm_traced",
    "fake_quantised_traced",
];

#[test]
fn every_block_behind_these_operators_can_go() {
    for name in FOLLOWED {
        let model = format!("field/{name}.pt");
        let place = Place::with(&[&model]);
        assert_eq!(removable(&place, &model), 3, "{name}");
        let report = place.json(&format!("inspect --model {model} --input-size 8 --json"));
        assert_eq!(report["macs_exact"], true, "{name}");
        assert_eq!(
            report["not_followed"].as_array().unwrap().len(),
            0,
            "{name}"
        );
    }
}

/// Scoring compares what it computes piece by piece with the whole.
#[cfg(feature = "torch")]
#[test]
fn networks_of_these_operators_are_scored() {
    for name in FOLLOWED {
        let model = format!("field/{name}.pt");
        let place = Place::with(&[&model]);
        let ranking = place.json(&format!(
            "score --model {model} --input-size 8 --samples 8 --json"
        ));
        assert_eq!(ranking["blocks"].as_array().unwrap().len(), 3, "{name}");
    }
}

/// No rule tells these shapes; scoring runs the network anyway, and learns them from it.
#[cfg(feature = "torch")]
#[test]
fn what_no_rule_tells_is_learned_from_running_the_network() {
    // Of the dictionary that is filled while the network runs, the analysis knows the shapes by itself.
    for (name, without_running) in [("woven_traced", 0), ("cached_scripted", 3)] {
        let model = format!("field/{name}.pt");
        let place = Place::with(&[&model]);
        assert_eq!(removable(&place, &model), without_running, "{name}");
        let ranking = place.json(&format!(
            "score --model {model} --input-size 8 --samples 8 --json"
        ));
        assert_eq!(ranking["blocks"].as_array().unwrap().len(), 3, "{name}");
        let line =
            format!("prune --model {model} --input-size 8 --samples 8 --iterations 2 --json");
        let pruned = place.json(&line);
        assert_eq!(pruned["removed"].as_array().unwrap().len(), 2, "{name}");
    }
}

/// Data decide how many rows are left: running it tells nothing, and the reason is what ends the command.
#[cfg(feature = "torch")]
#[test]
fn a_network_whose_shapes_data_decide_is_left_as_it_is() {
    let place = Place::with(&["field/counted_scripted.pt"]);
    let refused =
        place.refused("score --model field/counted_scripted.pt --input-size 8 --samples 8");
    assert!(
        refused.contains("behind torch.index in the root"),
        "{refused}"
    );
    assert!(!refused.contains("--keep"), "{refused}");
}

#[cfg(feature = "torch")]
#[test]
fn a_backbone_under_no_grad_is_scored_and_run() {
    let models = ["field/no_grad_scripted.pt", "field/no_grad_frozen.pt"];
    let place = Place::with(&models);
    for model in models {
        let ranking = place.json(&format!(
            "score --model {model} --input-size 8 --samples 8 --json"
        ));
        assert_eq!(ranking["blocks"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn inspect_names_the_operator_and_the_line_where_shapes_end() {
    let place = Place::with(&["field/counted_scripted.pt"]);
    let line = "inspect --model field/counted_scripted.pt --input-size 8";
    let text = place.done(line).stdout;
    let (_, ends) = text.split_once("shapes end:\n").unwrap();
    // Batch norms ask for the shape behind it; they are no cause.
    assert_eq!(
        ends,
        "  .: torch.index (__torch__.py:13): data say how many elements it gives\n"
    );
    let report = place.json(&format!("{line} --json"));
    assert_eq!(report["shapes_end"][0]["operator"], "torch.index");
    assert_eq!(report["shapes_end"][0]["line"], "__torch__.py:13");
    assert_eq!(report["shapes_end"].as_array().unwrap().len(), 1);
    let reason = report["blocks"][0]["reason"].as_str().unwrap();
    assert!(
        reason.ends_with("behind torch.index in the root (__torch__.py:13)"),
        "{reason}"
    );
}

/// Packed layers can be neither left out nor trained: one sentence, whatever the command.
#[cfg(feature = "torch")]
#[test]
fn a_network_compiled_for_inference_is_told_to_be_exported_before() {
    let models = ["field/for_inference.pt", "field/for_mobile.pt"];
    let place = Place::with(&models);
    for model in models {
        let text = place
            .done(&format!("inspect --model {model} --input-size 8"))
            .stdout;
        assert!(
            text.contains("export the network before that step"),
            "{text}"
        );
        assert!(!text.contains("plain chain"), "{text}");
        for command in ["score", "prune --iterations 1", "remove --blocks a", "eval"] {
            let refused = place.refused(&format!("{command} --model {model} --input-size 8"));
            assert!(
                refused.contains("compiled for inference"),
                "{command}: {refused}"
            );
        }
    }
}

/// The device that an export was made on stands in its code and in its attributes; the one that is used takes its place.
#[cfg(feature = "torch")]
#[test]
fn a_network_exported_on_a_gpu_runs_on_the_cpu() {
    for model in ["field/cuda_traced.pt", "field/devices_scripted.pt"] {
        let place = Place::with(&[model]);
        let run = "--input-size 8 --samples 8 --device cpu --json";
        let scores = place.json(&format!("score --model {model} {run}"));
        assert_eq!(scores["blocks"].as_array().unwrap().len(), 3, "{model}");
    }
}
