//! `eval` as a script uses it: by its exit code.

use insta::assert_snapshot;
use serde_json::Value;

use crate::place::{Place, Said};

const EVAL: &str =
    "eval --model basic_scripted.pt --batch-size 20 --device cpu --threads 1 --passes 9 --quiet";
const DATA: &str = "--data data.npz --mean 0.5 --std 0.25";

/// A folder with the network, and `better.pt`, which is the same after some training.
fn place() -> Place {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.done(&format!(
        "finetune --model basic_scripted.pt {DATA} --batch-size 20 --device cpu --threads 1 --quiet --epochs 6 \
         --lr 0.05 --augment none --val-split 0 --output better.pt"
    ));
    place
}

/// Ends well at the limit, and with exit code 1 beyond it; the document says which gate it was.
fn opens_and_closes(place: &Place, options: &str, gate: &str, met: &str, missed: &str) {
    let run = |limit: &str| place.run(&format!("{EVAL} {options} --json --{gate} {limit}"));
    let said: Said = run(met);
    assert_eq!(said.code, 0, "{gate} {met}: {said:#?}");
    assert_eq!(said.json()["gates"][0]["met"], true);
    let said = run(missed);
    assert_eq!(said.code, 1, "{gate} {missed}: {said:#?}");
    let verdict = &said.json()["gates"][0];
    assert_eq!(
        (&verdict["met"], &verdict["gate"]),
        (&false.into(), &gate.into())
    );
    assert!(verdict["margin"].as_f64().unwrap() < 0.);
}

#[test]
fn a_gate_on_accuracy() {
    let place = place();
    let report = place.json(&format!("{EVAL} {DATA} --json"));
    let accuracy = report["accuracy"].as_f64().unwrap();
    let above = (accuracy + 1e-6).to_string();
    opens_and_closes(&place, DATA, "min-accuracy", &accuracy.to_string(), &above);
}

#[test]
fn a_gate_on_the_drop_against_another_network() {
    let place = place();
    let against = format!("{DATA} --baseline better.pt");
    let report = place.json(&format!("{EVAL} {against} --json"));
    let drop = -100. * report["versus"]["accuracy_difference"].as_f64().unwrap();
    assert!(drop > 0., "training did not help: {drop}");
    let own = report["accuracy"].as_f64().unwrap();
    let better = report["baseline"]["accuracy"].as_f64().unwrap();
    assert!((100. * (better - own) - drop).abs() < 1e-9);
    let (met, missed) = ((drop + 1e-6).to_string(), (drop - 1e-6).to_string());
    opens_and_closes(&place, &against, "max-drop", &met, &missed);
}

#[test]
fn gates_on_what_a_network_costs() {
    let place = place();
    let report = place.json(&format!("{EVAL} {DATA} --json"));
    for (gate, key) in [("max-macs", "macs"), ("max-params", "params")] {
        let count = report[key].as_i64().unwrap();
        let (met, missed) = (count.to_string(), (count - 1).to_string());
        opens_and_closes(&place, DATA, gate, &met, &missed);
    }
}

#[test]
fn a_gate_on_the_time_against_another_network() {
    let place = place();
    let against = format!("{DATA} --baseline better.pt");
    opens_and_closes(&place, &against, "max-latency-ratio", "1000", "0.001");
}

/// The lowest of what attacks leave and of the mean under corruptions.
#[test]
fn a_gate_on_robustness() {
    let place = place();
    let attacked = format!(
        "{DATA} --attacks fgsm,pgd --epsilon 1/255 --pgd-steps 2 --corruptions noise --severities 1,3"
    );
    let report = place.json(&format!("{EVAL} {attacked} --json"));
    let accuracy = |row: &Value| row["accuracy"].as_f64().unwrap();
    let rows = report["robustness"]["rows"].as_array().unwrap();
    let corrupted = (accuracy(&rows[2]) + accuracy(&rows[3])) / 2.;
    let lowest = accuracy(&rows[0]).min(accuracy(&rows[1])).min(corrupted);
    let above = (lowest + 1e-6).to_string();
    opens_and_closes(
        &place,
        &attacked,
        "min-robust-accuracy",
        &lowest.to_string(),
        &above,
    );
}

/// Never green: a limit nobody could check ends with exit code 2.
#[test]
fn gates_that_cannot_be_measured() {
    let place = place();
    place.npz(
        "unlabelled.npz",
        &[(
            "images",
            crate::images::npy(&crate::images::colours(8, 0).0),
        )],
    );
    let unlabelled = "--data unlabelled.npz";
    place.write("empty.json", "{}");
    place.write("unknown.json", r#"{"min-acuracy": 0.9}"#);
    place.write("outside.json", r#"{"min-accuracy": 90}"#);
    let options = [
        "--min-accuracy 0.1".to_owned(),
        format!("{unlabelled} --min-accuracy 0.1"),
        format!("{DATA} --max-drop 1"),
        format!("{unlabelled} --max-drop 1 --baseline better.pt"),
        format!("{DATA} --max-latency-ratio 2"),
        format!("{DATA} --max-latency-ratio 2 --baseline better.pt --passes 0"),
        format!("{DATA} --min-robust-accuracy 0"),
        format!("{DATA} --min-accuracy 90"),
        format!("{DATA} --policy empty.json"),
        format!("{DATA} --policy unknown.json"),
        format!("{DATA} --policy outside.json"),
        format!("{DATA} --policy missing.json"),
    ];
    let lines = options.map(|options| format!("{EVAL} {options}"));
    assert_snapshot!(place.all_refused(&lines.each_ref().map(String::as_str)));
}

#[test]
fn a_table_says_which_gate_was_missed_and_by_how_much() {
    let place = place();
    place.write(
        "policy.json",
        r#"{"max-macs": "0.1M", "max-params": 1000000}"#,
    );
    let said = place.run(&format!("{EVAL} {DATA} --policy policy.json"));
    assert_eq!(said.code, 1, "{said:#?}");
    let loud = format!("{EVAL} {DATA} --policy policy.json --json").replace(" --quiet", "");
    let said_as_document = place.run(&loud);
    assert!(
        said_as_document.stderr.contains("max-macs was missed: "),
        "{said_as_document:?}"
    );
    let table = said.stdout.split("\n\n").last().unwrap();
    assert_snapshot!(table);
}

#[test]
fn without_labels_speed_is_measured_and_says_so() {
    let place = place();
    place.npz(
        "unlabelled.npz",
        &[(
            "images",
            crate::images::npy(&crate::images::colours(8, 0).0),
        )],
    );
    let said = place.done(&format!("{EVAL} --data unlabelled.npz --json"));
    assert!(
        said.stderr.contains("the images have no labels"),
        "{said:#?}"
    );
    let report = said.json();
    assert_eq!(report["accuracy"], Value::Null);
    assert!(report["images_per_second"].as_f64().unwrap() > 0.);
}

#[test]
fn without_data_speed_is_measured_and_nothing_else() {
    let place = place();
    let report = place.json(&format!("{EVAL} --json"));
    assert_eq!(report["part"], "noise");
    assert_eq!(report["accuracy"], Value::Null);
    assert_eq!(report["latency"][0]["batch_size"], 1);
    let said = place.done(&format!("{EVAL} --max-macs 1G --input-size 8"));
    assert!(said.stderr.contains("NO DATA"), "{said:#?}");
    let said = place.refused(&format!("{EVAL} --max-macs 1G"));
    assert!(said.contains("name it with --input-size"), "{said}");
}
