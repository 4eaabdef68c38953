//! What archives say beside their weights: modes, scales of scores, parameters that are held.

use ckaprune::archive::Archive;
use ckaprune::program::Attribute;
use insta::assert_snapshot;

use crate::place::Place;

const ON_DATA: &str = "--data data.npz --batch-size 20 --device cpu --threads 1";

/// The modules of an archive whose flag says that they are being trained.
fn in_training(place: &Place, name: &str) -> usize {
    let network = Archive::open(&place.path(name)).unwrap().network().unwrap();
    let flags = network
        .modules
        .iter()
        .filter_map(|(_, m)| m.attributes.get("training"));
    flags.filter(|flag| **flag == Attribute::Bool(true)).count()
}

#[test]
fn what_is_measured_in_evaluation_mode_is_written_in_it() {
    for name in ["field/flags_part_traced.pt", "field/flags_scripted.pt"] {
        let place = Place::with_data(&[name]);
        assert!(in_training(&place, name) > 0);
        let tuned = place.done(&format!(
            "finetune --model {name} {ON_DATA} --output tuned.pt"
        ));
        assert_eq!(
            tuned.stderr.matches("saved in training mode").count(),
            1,
            "{tuned:#?}"
        );
        place.done(&format!("prune --model {name} {ON_DATA} --epochs 0 --iterations 1 --only blocks.1 --output pruned.pt"));
        place.done(&format!(
            "prune --model {name} {ON_DATA} --iterations 1 --only blocks.1 --output both.pt"
        ));
        for written in ["tuned.pt", "pruned.pt", "both.pt"] {
            assert_eq!(in_training(&place, written), 0, "{written} of {name}");
        }
    }
}

#[test]
fn a_network_traced_in_training_mode_is_named_as_such_from_inspect_on() {
    let names = ["field/training_traced.pt", "field/training_norm_traced.pt"];
    let place = Place::with_data(&names);
    let [both, norm] = names.map(|name| {
        let inspect = format!("inspect --model {name} --input-size 8");
        let obstacle = place.json(&format!("{inspect} --json"))["obstacle"].clone();
        let obstacle = obstacle.as_str().unwrap().to_owned();
        assert!(place.done(&inspect).stdout.contains(&obstacle));
        for command in ["score", "prune --iterations 1", "eval", "finetune"] {
            let said = place.refused(&format!("{command} --model {name} {ON_DATA}"));
            assert!(said.contains(&obstacle), "{said}");
        }
        obstacle
    });
    assert_snapshot!(both, @"exported in training mode: dropout (3×) and batch statistics (3×) are in the code; call `model.eval()` before exporting");
    assert_snapshot!(norm, @"exported in training mode: batch statistics (3×) are in the code; call `model.eval()` before exporting");
    // Taking a block out runs nothing.
    place.done(&format!(
        "remove --model {} --input-size 8 --blocks blocks.1 --output out.pt",
        names[0]
    ));
}

#[test]
fn a_scripted_network_that_always_drops_is_no_bug_of_ours() {
    let place = Place::with_data(&["field/always_drops_scripted.pt"]);
    let model = "--model field/always_drops_scripted.pt";
    let inspected = place.json(&format!("inspect {model} --input-size 8 --json"));
    assert_eq!(inspected.get("obstacle"), None);
    let said = place.refused(&format!("score {model} {ON_DATA}"));
    assert!(
        said.contains("draws random numbers in evaluation mode as well (dropout)"),
        "{said}"
    );
    assert!(!said.contains("bug"), "{said}");
    place.done(&format!("eval {model} {ON_DATA}"));
}

#[test]
fn what_a_network_ends_in_is_said_once_and_measured_as_its_scores() {
    let names = [
        "field/net_scripted.pt",
        "field/softmax_scripted.pt",
        "field/sigmoid_scripted.pt",
    ];
    let place = Place::with_data(&names);
    let [net, softmax, sigmoid] = names;
    let said = place.done(&format!(
        "eval --model {softmax} --baseline {net} {ON_DATA} --json"
    ));
    assert_eq!(
        said.stderr.matches("ends in softmax").count(),
        1,
        "{said:#?}"
    );
    let report = said.json();
    assert_eq!(report["scores"], "probabilities");
    assert_eq!(report["baseline"].get("scores"), None);
    for figure in ["loss", "calibration_error", "accuracy"] {
        let of = |report: &serde_json::Value| report[figure].as_f64().unwrap();
        assert!(
            (of(&report) - of(&report["baseline"])).abs() < 1e-4,
            "{figure}: {report:#}"
        );
    }
    let [tuned, plain] = [softmax, net].map(|name| {
        let said = place.done(&format!("finetune --model {name} {ON_DATA} --teacher {net} --distill-weight 0.5 --output tuned.pt --force --json"));
        assert_eq!(said.stderr.matches("ends in softmax").count(), usize::from(name == softmax));
        said.json()
    });
    assert_eq!(tuned["scores"], "probabilities");
    let [tuned, plain] = [tuned, plain].map(|report| report["train_losses"][0].as_f64().unwrap());
    assert!((tuned - plain).abs() < 1e-4, "{tuned} and {plain}");
    let said = place.done(&format!("prune --model {softmax} {ON_DATA} --iterations 1 --distill --epochs 2 --output pruned.pt --json"));
    assert_eq!(
        said.stderr.matches("ends in softmax").count(),
        1,
        "{said:#?}"
    );
    assert_eq!(said.json()["scores"], "probabilities");
    let said = place.done(&format!("eval --model {sigmoid} {ON_DATA} --json"));
    assert_eq!(
        said.stderr.matches("ends in a sigmoid").count(),
        1,
        "{said:#?}"
    );
    assert_eq!(said.json()["scores"], "independent");
    let inspected = place.json(&format!("inspect --model {softmax} --input-size 8 --json"));
    assert_eq!(inspected["scores"], "probabilities");
}

#[test]
fn what_cannot_be_trained_is_said_before_it_is_tried() {
    let names = ["field/held_scripted.pt", "field/no_grad_scripted.pt"];
    let place = Place::with_data(&names);
    for (name, words) in names
        .into_iter()
        .zip(["requires_grad=False of them", "under torch.no_grad()"])
    {
        let said = place.done(&format!(
            "finetune --model {name} {ON_DATA} --output tuned.pt --force"
        ));
        assert_eq!(said.stderr.matches(words).count(), 1, "{said:#?}");
        let said = place.done(&format!("prune --model {name} {ON_DATA} --iterations 2 --min-blocks-per-stage 1 --output pruned.pt --force"));
        assert_eq!(said.stderr.matches(words).count(), 1, "{said:#?}");
    }
}

#[test]
fn a_network_that_passes_no_gradient_is_refused_for_training_alone() {
    let place = Place::with_data(&["field/quiet_scripted.pt"]);
    let model = "--model field/quiet_scripted.pt";
    let said = place.refused(&format!("finetune {model} {ON_DATA}"));
    assert!(
        said.contains("the network runs under torch.no_grad()"),
        "{said}"
    );
    place.done(&format!(
        "prune {model} {ON_DATA} --iterations 1 --epochs 0 --min-blocks-per-stage 1"
    ));
}

#[test]
fn the_last_tuning_does_not_need_one_after_each_removal() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&format!(
        "prune --model basic_scripted.pt {ON_DATA} --iterations 1 --epochs 0 --final-epochs 2 --baseline --json"
    ));
    let losses = report["final_tuning"]["train_losses"].as_array().unwrap();
    assert_eq!(losses.len(), 2, "{report:#}");
    assert!(report["baseline"]["accuracy"].is_f64(), "{report:#}");
    let shown = place.done(&format!(
        "prune --model basic_scripted.pt {ON_DATA} --iterations 1 --epochs 0 --final-epochs 2 --baseline --force"
    ));
    assert!(shown.stdout.contains("for the same 2 epochs"), "{shown:#?}");
}
