use insta::assert_snapshot;
use serde_json::Value;

use crate::images::{CLASSES, colours, npy};
use crate::place::Place;
use crate::prune::PRUNE;

const ON_DATA: &str = "--data data.npz --batch-size 20 --device cpu --threads 1 --json";

fn losses(report: &Value) -> Vec<f64> {
    let losses = report["train_losses"].as_array().unwrap();
    losses.iter().map(|loss| loss.as_f64().unwrap()).collect()
}

#[test]
fn eval_counts_every_test_image() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&format!("eval --model basic_scripted.pt {ON_DATA}"));
    let keys: Vec<&str> = report
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_snapshot!(
        keys.join(" "),
        @"schema command part device threads batch_size model file_size params macs macs_exact blocks accuracy interval images correct loss calibration_error calibration classes latency peak_memory images_per_second"
    );
    assert_eq!(report["part"], "test");
    assert_eq!(report["images"], 30);
    let accuracy = report["accuracy"].as_f64().unwrap();
    assert_eq!(accuracy, report["correct"].as_f64().unwrap() / 30.);
}

#[test]
fn eval_in_words() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let said = place.done(&format!(
        "eval --model basic_scripted.pt {}",
        ON_DATA.replace("--json", "")
    ));
    assert!(said.stdout.contains(" of 30 test images;"), "{said:#?}");
    assert_eq!(
        said.stderr,
        "note: no --mean and --std: the network sees pixels from 0 to 1 as they are\n"
    );
}

#[test]
fn accuracy_does_not_depend_on_the_batch_size() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let correct = |size: u32| {
        place.json(&format!(
            "eval --model basic_scripted.pt {ON_DATA} --batch-size {size}"
        ))["correct"]
            .clone()
    };
    assert_eq!(correct(30), correct(7));
}

#[test]
fn finetuning_lowers_the_loss_and_saves_what_it_measured() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&format!(
        "finetune --model basic_scripted.pt {ON_DATA} --epochs 4 --augment flip"
    ));
    let losses = losses(&report);
    assert_eq!(losses.len(), 4);
    assert!(losses[3] < 0.8 * losses[0], "{losses:?}");
    assert_eq!(report["output"], "basic_scripted.finetuned.pt");
    assert!(report["train_images_per_second"].as_f64().unwrap() > 0.);
    let again = place.json(&format!(
        "eval --model basic_scripted.finetuned.pt {ON_DATA}"
    ));
    assert_eq!(again["accuracy"], report["after"]["accuracy"]);
    assert_eq!(again["loss"], report["after"]["loss"]);
}

/// A trace has `training=False` written into its batch normalisation; trained as it is, it diverges.
#[test]
fn traced_and_scripted_archives_learn_alike() {
    let place = Place::with_data(&["basic_scripted.pt", "basic_traced.pt"]);
    let tune = |model: &str| {
        losses(&place.json(&format!(
            "finetune --model {model} {ON_DATA} --epochs 3 --augment none"
        )))
    };
    let (scripted, traced) = (tune("basic_scripted.pt"), tune("basic_traced.pt"));
    let alike = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-4;
    assert!(
        scripted.iter().zip(&traced).all(alike),
        "{scripted:?} {traced:?}"
    );
    assert!(scripted[2] < scripted[0]);
}

#[test]
fn mixing_images_changes_what_is_learned() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let tuned = |options: &str| {
        let line = format!("finetune --model basic_scripted.pt {ON_DATA} --force --augment none");
        let report = place.json(&format!("{line} {options}"));
        (losses(&report), place.read("basic_scripted.finetuned.pt"))
    };
    let plain = tuned("");
    let mixed = ["--mixup 0.4", "--cutmix 1", "--mixup 0.4 --cutmix 1"].map(tuned);
    for (i, (losses, archive)) in mixed.iter().enumerate() {
        assert!(losses[0].is_finite() && losses[0] != plain.0[0]);
        let others = mixed[..i].iter().chain([&plain]);
        assert!(others.into_iter().all(|other| other.1 != *archive));
    }
    assert!(tuned("--mixup 0.4") == mixed[0]);
}

#[test]
fn a_cpu_trains_the_same_whatever_is_said_of_mixed_precision() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let tuned = |amp: &str| {
        place.json(&format!(
            "finetune --model basic_scripted.pt {ON_DATA} --force --amp {amp}"
        ));
        place.read("basic_scripted.finetuned.pt")
    };
    assert!(tuned("auto") == tuned("off"));
}

#[test]
fn finetune_in_words() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let said = place.done(&format!(
        "finetune --model basic_scripted.pt {}",
        ON_DATA.replace("--json", "--quiet")
    ));
    assert!(said.stdout.contains(" images/s\n"), "{said:#?}");
}

#[test]
fn a_run_that_learns_from_features_alone_never_looks_at_a_label() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let ((x_train, y_train), (x_test, y_test)) = (colours(60, 1), colours(30, 2));
    let arrays = [
        ("x_train", npy(&x_train)),
        (
            "y_train",
            npy(&y_train.mapv(|label| (3 * label + 1) % CLASSES)),
        ),
        ("x_test", npy(&x_test)),
        ("y_test", npy(&y_test)),
    ];
    place.npz("mislabelled.npz", &arrays);
    let pruned = |data: &str| {
        let line = PRUNE.replace("data.npz", data);
        place.done(&format!("{line} --teach features --force --quiet"));
        place.read("basic_scripted.pruned.pt")
    };
    assert!(pruned("data.npz") == pruned("mislabelled.npz"));
    let with_labels = |data: &str| {
        let line = PRUNE.replace("data.npz", data);
        place.done(&format!("{line} --teach features,labels --force --quiet"));
        place.read("basic_scripted.pruned.pt")
    };
    assert!(with_labels("data.npz") != with_labels("mislabelled.npz"));
}

#[test]
fn fine_tuning_once_comes_after_all_removals() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let report = place.json(&format!(
        "{PRUNE} --schedule-removals once --epochs 3 --json"
    ));
    for iteration in report["iterations"].as_array().unwrap() {
        assert_eq!(iteration.get("train_loss"), None);
    }
    let losses = report["final_tuning"]["train_losses"].as_array().unwrap();
    assert_eq!(losses.len(), 3);
}

#[test]
fn what_training_makes_worse_is_not_kept() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = "finetune --model basic_scripted.pt --data data.npz --batch-size 20 --device cpu --epochs 25 --lr 0.05";
    place.done(&format!("{line} --quiet --output trained.pt"));
    let line = "finetune --model trained.pt --data data.npz --batch-size 20 --device cpu --lr 9 --clip-norm 1 --json --force";
    let said = place.done(line);
    assert!(said.stderr.contains("they are kept"), "{said:#?}");
    let report = said.json();
    assert_eq!(report["kept_epoch"], 0, "{report}");
    assert_eq!(report["before"]["loss"], report["after"]["loss"]);
    let last = place.json(&format!("{line} --val-split 0"));
    assert_eq!(last["kept_epoch"], 1, "{last}");
}

#[test]
fn what_a_teacher_has_to_teach_needs_a_teacher() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = "finetune --model basic_scripted.pt --data data.npz --teach features";
    let said = place.refused(line);
    assert!(said.contains("name it with --teacher"), "{said}");
    let line = format!("{line} --teacher basic_scripted.pt --device cpu --batch-size 20 --json");
    let report = place.json(&line);
    assert!(report["closeness_before"].is_f64(), "{report}");
}
