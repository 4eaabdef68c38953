//! Where a run stops, what it rolls back, which iteration it exports, and how it is replayed.

use serde_json::Value;

use crate::place::{Place, fixture, strings};
use crate::prune::PRUNE;

/// Without a number of iterations, and quick.
fn targeted(options: &str) -> String {
    PRUNE.replace("--iterations 2", "--epochs 0 --json --force --quiet") + " " + options
}

/// A network that has something to lose: the demo's, on a part of its images.
fn demo() -> Place {
    let place = Place::with(&[]);
    let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/demo");
    place.write(
        "model.pt",
        std::fs::read(format!("{configs}/model.pt")).unwrap(),
    );
    place
}

const LOSING: &str = concat!(
    "prune --model model.pt --mean 0.286 --std 0.353 --samples 64 --epochs 0 --repair none --device cpu --json --quiet ",
    "--data ",
    env!("CARGO_MANIFEST_DIR"),
    "/configs/demo/fashion-mnist"
);

#[test]
fn several_blocks_go_together_and_no_more_than_a_target_needs() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&targeted("--iterations 1 --blocks-per-iteration 2"));
    let removed = strings(&report["removed"], |path| path);
    assert_eq!(removed.len(), 2);
    assert_eq!(report["iterations"].as_array().unwrap().len(), 1);
    assert_eq!(report["iterations"][0]["removed"], report["removed"]);
    let left = place.blocks("basic_scripted.pruned.pt");
    assert!(removed.iter().all(|path| !left.contains(path)));
    // One block is enough for this target.
    let report = place.json(&targeted("--target-macs 0.99 --blocks-per-iteration 3"));
    assert_eq!(report["removed"].as_array().unwrap().len(), 1);
    // No stage loses more than it may, however many are asked for.
    let report = place.json(&targeted(
        "--iterations 1 --blocks-per-iteration 99 --min-blocks-per-stage 2",
    ));
    assert_eq!(report["removed"].as_array().unwrap().len(), 3);
}

#[test]
fn a_latency_is_measured_and_stops_the_run() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&targeted("--target-latency 100000 --iterations 1"));
    // Any network is quick enough: nothing is removed.
    assert_eq!(report["stopped_by"], "target-latency");
    assert_eq!(report["removed"], serde_json::json!([]));
    let said = place.run(&targeted("--target-latency 0.000001 --iterations 1"));
    let report = said.json();
    assert_eq!(report["stopped_by"], "iterations");
    for figures in [&report["before"], &report["iterations"][0]] {
        let seconds = figures["latency"].as_f64().unwrap();
        assert!(seconds > 0. && seconds < 10., "{report}");
    }
}

#[test]
fn a_removal_that_costs_too_much_is_rolled_back() {
    let place = demo();
    let many = "--blocks-per-iteration 9 --iterations 1";
    let said = place.run(&format!("{LOSING} {many} --max-drop 1 --retries 1"));
    assert_eq!(said.code, 1, "nothing was removed: {said:#?}");
    let report = said.json();
    assert_eq!(report["stopped_by"], "max-drop");
    assert_eq!(report["removed"], serde_json::json!([]));
    assert_eq!(report["picked"], 0);
    let tried = report["rolled_back"].as_array().unwrap();
    assert_eq!(tried.len(), 2, "one retry");
    assert_ne!(tried[0]["removed"], tried[1]["removed"]);
    let lost = |i: &Value| {
        let of = |figures: &Value| figures["validation_accuracy"].as_f64().unwrap();
        of(&report["before"]) - of(i)
    };
    assert!(tried.iter().all(|i| lost(i) > 0.01), "{report}");
    assert_eq!(report["after"]["macs"], report["before"]["macs"]);
    assert_eq!(report["after"]["accuracy"], report["before"]["accuracy"]);
    let report = place.json(&format!("{LOSING} {many} --max-drop 100 --force"));
    assert_eq!(report["removed"].as_array().unwrap().len(), 9);
}

#[test]
fn the_picked_iteration_is_exported() {
    let place = demo();
    let line = format!("{LOSING} --blocks-per-iteration 3 --iterations 2 --force");
    let last = place.json(&line);
    let best = place.json(&format!("{line} --pick best"));
    let first = place.json(&format!("{line} --pick 1"));
    assert_eq!(last["picked"], 2);
    assert_eq!(first["picked"], 1);
    assert_eq!(
        first["removed"], first["iterations"][0]["removed"],
        "what the exported network lacks"
    );
    assert_eq!(first["after"]["macs"], first["iterations"][0]["macs"]);
    // Six blocks without fine-tuning cost more than three.
    assert_eq!(best["picked"], 1);
    let place_after = place.files();
    assert_eq!(
        place_after.len(),
        2,
        "no folder is left: {:?}",
        place_after.keys()
    );
    let refused = place.run(&format!("{line} --pick 3"));
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .stderr
            .contains("--pick 3: the run has 2 iterations"),
        "{refused:#?}"
    );
}

#[test]
fn a_plan_replays_a_run_on_the_original() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&targeted("--iterations 2 --repair none --run-dir run"));
    place.done("remove --model basic_scripted.pt --plan run/plan.json --output replayed.pt");
    let left = place.blocks("replayed.pt");
    assert_eq!(left, place.blocks("basic_scripted.pruned.pt"));
    assert_eq!(left.len(), 9 - report["removed"].as_array().unwrap().len());
    place.write("empty.json", r#"{"schema":1,"input_shape":[3,8,8],"granularity":"block","candidates":"residual","blocks":[]}"#);
    place.write("other.json", "{}");
    let plan =
        |file: &str| format!("remove --model basic_scripted.pt --plan {file} --output no.pt");
    insta::assert_snapshot!(place.all_refused(&[
        &plan("nowhere.json"),
        &plan("other.json"),
        &plan("empty.json"),
        "remove --model basic_scripted.pt --plan empty.json --blocks stage1.1",
    ]));
}

/// After the first of two blocks in a larger one is gone, the larger one may go next.
#[test]
fn a_plan_with_blocks_in_one_another_replays_to_the_same_bytes() {
    for (export, keep) in [
        ("scripted", "outer.1.*"),
        ("frozen", "stage1.block3,stage1.block4"),
    ] {
        let place = Place::with_data(&[]);
        let model = fixture(&format!("field/nested_{export}.pt"));
        place.write("nested.pt", std::fs::read(model).unwrap());
        let report = place.json(
            &targeted(&format!(
                "--iterations 2 --repair none --run-dir run --keep {keep}"
            ))
            .replace("basic_scripted.pt", "nested.pt"),
        );
        let removed = report["removed"].as_array().unwrap();
        assert_eq!(removed.len(), 2, "{report:#}");
        place.done("remove --model nested.pt --plan run/plan.json --output replayed.pt");
        let left = place.read("nested.pruned.pt");
        assert!(
            place.read("replayed.pt") == left,
            "{export} without {removed:?}"
        );
    }
}

#[test]
fn a_network_is_trained_first_and_last_where_that_is_asked_for() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --json --quiet --force --run-dir run");
    let report = place.json(&format!(
        "{line} --pretrain 2 --pretrain-lr 0.1 --final-epochs 3 --baseline --val-split 0"
    ));
    let epochs = |of: &str| report[of]["train_losses"].as_array().unwrap().len();
    assert_eq!((epochs("pretraining"), epochs("final_tuning")), (2, 3));
    let as_given = place.json(&format!("{PRUNE} --json --quiet --force"));
    assert_ne!(report["before"]["loss"], as_given["before"]["loss"]);
    let kept = "eval --model run/iteration-000.pt --data data.npz --batch-size 20 --device cpu --json --quiet";
    assert_eq!(place.json(kept)["loss"], report["before"]["loss"]);
}

#[test]
fn images_without_labels_are_enough_to_learn_from_the_unpruned_network() {
    let place = Place::with_unlabelled(&["basic_scripted.pt"]);
    let line = PRUNE.replace("data.npz", "unlabelled.npz");
    let said = place.done(&format!("{line} --distill --json --min-blocks-per-stage 2"));
    assert!(
        said.stderr.contains(
            "the images have no labels: fine-tuning learns from the unpruned network alone"
        ),
        "{said:#?}"
    );
    let report = said.json();
    let steps = strings(&report["iterations"][0]["repairs"], |r| &r["step"]);
    assert_eq!(steps, ["refit", "bn", "distillation"]);
    assert!(report["iterations"][0]["train_loss"].is_f64());
    assert_eq!(report["after"].get("accuracy"), None);
    let untaught = place.done(&format!("{line} --teach labels --json --force"));
    assert!(
        untaught
            .stderr
            .contains("nothing is fine-tuned (--teach features"),
        "{untaught:#?}"
    );
    for option in ["--max-drop 1", "--pick best", "--pretrain 1"] {
        place.refused(&format!("{line} --distill --force {option}"));
    }
}
