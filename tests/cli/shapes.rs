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
