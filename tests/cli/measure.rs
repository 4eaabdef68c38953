//! A measure of the user's own in accuracy's place: a shell script here, as any program may be one.

use serde_json::Value;

use crate::place::{Place, Said, strings};

const PRUNE: &str = "prune --model basic_scripted.pt --samples 40 --batch-size 20 --device cpu --threads 1 --epochs 0 \
                     --repair none --force";

/// Gives one of these numbers at each call, one after another.
fn in_turn(numbers: &str) -> String {
    format!(
        "echo . >> calls; set -- {numbers}; shift $(($(wc -l < calls) - 1)); echo {{model}}; echo $1"
    )
}

fn with(place: &Place, line: &str, measure: &str) -> Said {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    words.extend(["--measure-with", measure]);
    place.run_words(&words)
}

/// The document of a run whose networks measure these numbers: the original, each removal, and the exported one.
fn pruned(numbers: &str, options: &str) -> (Place, Value) {
    let place = Place::with_unlabelled(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --data unlabelled.npz --output out.pt --json {options}");
    let said = with(&place, &line, &in_turn(numbers));
    assert_eq!(said.code, 0, "{said:#?}");
    (place, said.json())
}

fn measured(iterations: &Value) -> Vec<f64> {
    let iterations = iterations.as_array().unwrap().iter();
    iterations
        .map(|i| i["measured"].as_f64().unwrap())
        .collect()
}

#[test]
fn a_removal_that_costs_too_much_of_it_is_rolled_back_be_more_better_or_less() {
    for (numbers, goal, last) in [
        ("0.9 0.8 0.6 0.8", "max", 0.6),
        ("0.9 1.0 1.2 1.0", "min", 1.2),
    ] {
        let options = format!("--iterations 3 --max-drop 0.2 --metric IoU --metric-goal {goal}");
        let (place, report) = pruned(numbers, &options);
        assert_eq!(report["stopped_by"], "max-drop");
        assert_eq!(
            report["measure"],
            serde_json::json!({"name": "IoU", "goal": goal})
        );
        assert_eq!(report["before"]["measured"], 0.9);
        assert_eq!(report["iterations"].as_array().unwrap().len(), 1);
        assert_eq!(measured(&report["rolled_back"]), [last]);
        assert_eq!(
            report["after"]["measured"],
            report["iterations"][0]["measured"]
        );
        assert_eq!(report["after"].get("accuracy"), None);
        assert_eq!(place.read("calls"), b".\n.\n.\n.\n");
    }
}

#[test]
fn the_best_is_picked_by_it() {
    for (goal, picked) in [("max", 2), ("min", 1)] {
        let options = format!("--iterations 3 --pick best --metric-goal {goal}");
        let (_, report) = pruned("1 0.7 0.9 0.8 0.5", &options);
        assert_eq!(report["picked"], picked, "{goal}");
        assert_eq!(measured(&report["iterations"]), [0.7, 0.9, 0.8]);
        assert_eq!(report["measure"]["name"], "measure");
    }
}

/// After the removal, after repair, and after training, under its own name; and the run's folder keeps what it said.
#[test]
fn tables_and_pages_have_it_in_accuracys_place() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = PRUNE.replace("--epochs 0 --repair none", "--epochs 1 --repair refit");
    let line = format!("{line} --data data.npz --iterations 1 --run-dir run --output out.pt");
    let measure = format!("{}; echo; echo done >&2", in_turn("0.9 0.5 0.6 0.75 0.75"));
    let said = with(&place, &format!("{line} --metric mAP"), &measure);
    assert_eq!(said.code, 0, "{said:#?}");
    let words: Vec<&str> = said.stdout.split_whitespace().collect();
    let has = |row: &[&str]| words.windows(row.len()).any(|found| found == row);
    assert!(
        has(&["mAP", "repaired", "fine-tuned", "validation", "accuracy"]),
        "{said:#?}"
    );
    assert!(has(&["0.5000", "0.6000", "0.7500"]), "{said:#?}");
    assert!(said.stdout.contains("-0.1500"), "{said:#?}");
    assert!(
        said.stderr.contains(", mAP 0.5000 → 0.6000 → 0.7500"),
        "{said:#?}"
    );
    let page = String::from_utf8(place.read("run/report.html")).unwrap();
    assert!(page.contains("mAP, over what is left of the network"));
    let log = String::from_utf8(place.read("run/measure.log")).unwrap();
    assert_eq!(log.matches("\ndone\n").count(), 5, "{log}");
    let run: Value = serde_json::from_slice(&place.read("run/run.json")).unwrap();
    assert_eq!(run["iterations"][0]["measured_before_repair"], 0.5);
    assert_eq!(run["iterations"][0]["measured_before_finetuning"], 0.6);
}

/// It decides what a run does, so it is one of its settings; how long it may take is none.
#[test]
fn a_run_goes_on_with_the_same_measure_and_any_patience() {
    let place = Place::with_unlabelled(&["basic_scripted.pt"]);
    let line =
        format!("{PRUNE} --data unlabelled.npz --iterations 1 --run-dir run --output out.pt");
    let said = with(&place, &format!("{line} --timeout 1h"), "echo 1; : {model}");
    assert_eq!(said.code, 0, "{said:#?}");
    let other = with(&place, &format!("{line} --resume"), "echo 2; : {model}");
    assert!(other.stderr.contains("`measure-with`"), "{other:#?}");
    let other = with(
        &place,
        &format!("{line} --resume --metric-goal min"),
        "echo 1; : {model}",
    );
    assert!(other.stderr.contains("`metric-goal`"), "{other:#?}");
    let said = with(
        &place,
        &format!("{line} --resume --iterations 2 --timeout 2h"),
        "echo 1; : {model}",
    );
    assert_eq!(said.code, 0, "{said:#?}");
}

#[test]
fn without_data_it_measures_all_the_same() {
    let place = Place::with(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --iterations 1 --output out.pt --json");
    let said = with(&place, &line, "wc -c < {model}");
    assert_eq!(said.code, 0, "{said:#?}");
    let report = said.json();
    let bytes = |of: &Value| of["measured"].as_f64().unwrap();
    assert!(bytes(&report["before"]) > bytes(&report["after"]));
    let exported = place.read("out.pt").len() as f64;
    assert_eq!(
        bytes(&report["after"]),
        exported,
        "it was given another file"
    );
}

#[test]
fn each_way_to_fail_is_told_with_its_last_words() {
    let place = Place::with_unlabelled(&["basic_scripted.pt"]);
    let line = format!("{PRUNE} --data unlabelled.npz --iterations 1 --output own.pt");
    for (measure, options, wrong) in [
        (
            "echo no images >&2; exit 7",
            "",
            "the measure ended with exit code 7",
        ),
        ("kill -9 $$", "", "the measure was ended by a signal"),
        (":", "", "the measure said nothing on its standard output"),
        (
            "echo 0.5; echo bye",
            "",
            "the measure ended its output with `bye`, which is neither a number nor a JSON object",
        ),
        ("echo nan", "", "the measure gave NaN for measure"),
        ("echo inf", "--metric mAP", "the measure gave inf for mAP"),
        (
            r#"echo '{"mAP": 0.5, "loss": 2}'"#,
            "",
            "the measure gave several numbers (mAP, loss); name one with --metric",
        ),
        (
            r#"echo '{"mAP": 0.5, "loss": 2}'"#,
            "--metric IoU",
            "the measure gave no number `IoU` (--metric)",
        ),
        (
            "echo loading; sleep 1000",
            "--timeout 0.5",
            "the measure took longer than 500ms (--timeout) and was ended",
        ),
        (
            "echo deaf; trap '' TERM; sleep 1000",
            "--timeout 500ms",
            "the measure took longer than 500ms (--timeout) and was ended",
        ),
    ] {
        let said = with(
            &place,
            &format!("{line} {options}"),
            &format!("{measure}; : {{model}}"),
        );
        assert_eq!(said.code, 2, "{measure}: {said:#?}");
        assert!(said.stderr.contains(wrong), "{measure}: {said:#?}");
        assert_eq!(said.stderr.matches("error: ").count(), 1, "{said:#?}");
        assert!(!place.path("own.pt").exists());
    }
    let said = with(&place, &line, "echo no images >&2; exit 7; : {model}");
    assert!(said.stderr.ends_with("\n  no images\n"), "{said:#?}");
    let said = with(&place, &line, "true");
    assert!(said.stderr.contains("has no {model}"), "{said:#?}");
    // A number that changes its name is another number.
    let named = r#"echo . >> turns; echo "{\"$(wc -l < turns)\": 1}"; : {model}"#;
    let said = with(&place, &line, named);
    assert!(
        said.stderr
            .contains("called its number `1` before and `2` now"),
        "{said:#?}"
    );
}

const EVAL: &str = "--batch-size 20 --device cpu --threads 1 --passes 0 --quiet";

#[test]
fn eval_and_compare_show_it_and_gates_hold_it() {
    let place = Place::with_unlabelled(&["basic_scripted.pt"]);
    place.done(
        "remove --model basic_scripted.pt --blocks stage1.1 --output small.pt --input-size 8",
    );
    let measure =
        r#"case {model} in *small*) echo '{"mAP": 0.5}';; *) echo '{"mAP": 0.75}';; esac"#;
    let eval = format!("eval --model small.pt --baseline basic_scripted.pt {EVAL}");
    let report = with(&place, &format!("{eval} --json"), measure).json();
    assert_eq!(report["measure"]["name"], "mAP");
    assert_eq!(report["measured"], 0.5);
    assert_eq!(report["baseline"]["measured"], 0.75);
    assert_eq!(report["versus"]["measured_difference"], -0.25);
    for (gate, code) in [
        ("--max-drop 0.25", 0),
        ("--max-drop 0.24", 1),
        ("--min-metric 0.5", 0),
        ("--min-metric 0.51", 1),
        ("--max-metric 0.5", 0),
        ("--max-metric 0.49", 1),
        ("--max-drop 0 --metric-goal min", 0),
    ] {
        let said = with(&place, &format!("{eval} {gate}"), measure);
        assert_eq!(said.code, code, "{gate}: {said:#?}");
    }
    let said = with(&place, &format!("{eval} --max-drop 0.24"), measure);
    insta::assert_snapshot!(said.stdout.split("\n\n").last().unwrap(), @r"
     gate       limit    measured   by
    ────────────────────────────────────────────────
     max-drop   0.2400     0.2500   0.0100   MISSED
    ");
    assert!(said.stdout.contains("  mAP         0.5000\n"), "{said:#?}");
    assert!(said.stdout.contains("  mAP         -0.2500\n"), "{said:#?}");
    let compare = format!("compare basic_scripted.pt small.pt {EVAL}");
    let said = with(&place, &compare, measure);
    let row = |word: &str| {
        let mut lines = said.stdout.lines();
        lines.find(|l| l.trim_start().starts_with(word)).unwrap()
    };
    let cells = |word: &str| -> Vec<&str> { row(word).split_whitespace().collect() };
    assert_eq!(cells("mAP"), ["mAP", "0.7500", "0.5000"]);
    assert_eq!(cells("more than A"), ["more", "than", "A", "-", "-0.2500"]);
    let said = with(&place, &format!("{compare} --json"), measure).json();
    assert_eq!(strings(&said["models"], |m| &m["model"]).len(), 2);
    assert_eq!(measured(&said["models"]), [0.75, 0.5]);
    insta::assert_snapshot!(place.all_refused(&[
        &format!("eval --model small.pt {EVAL} --min-metric 0.5"),
        &format!("eval --model small.pt {EVAL} --metric mAP"),
        &format!("eval --model small.pt {EVAL} --timeout soon"),
    ]));
}

/// No images are set aside for a decision that something else makes, and doubts about labels are no obstacle to it.
#[test]
fn labels_that_are_there_decide_nothing() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line =
        format!("{PRUNE} --data data.npz --iterations 1 --max-drop 1 --output out.pt --json");
    let said = with(&place, &line, "echo 1; : {model}");
    assert_eq!(said.code, 0, "{said:#?}");
    assert!(!said.stderr.contains("set aside"), "{said:#?}");
    let before = &said.json()["before"];
    assert_eq!(before.get("validation_accuracy"), None);
    assert_eq!(before.get("accuracy"), None);
}
