use std::num::NonZeroU32;

use ckaprune::train::robustness::{
    Attack, Condition, Corruption, Foreign, Protocol, Severity, measure,
};

use super::*;

const EPSILON: f64 = 4. / 255.;

fn everything(seed: u64) -> Protocol {
    Protocol {
        attacks: vec![
            Attack::Fgsm { epsilon: EPSILON },
            Attack::Pgd {
                epsilon: EPSILON,
                steps: NonZeroU32::MIN,
                step_size: EPSILON,
            },
        ],
        corruptions: Corruption::ALL.to_vec(),
        severities: Severity::ALL.to_vec(),
        ood: None,
        seed,
    }
}

#[test]
fn results_depend_neither_on_the_batch_nor_on_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    let module = module("basic_scripted.pt");
    let (whole, one) = measured(&module, &part, 20, &everything(0));
    let backwards: Vec<usize> = (0..part.len()).rev().collect();
    let (parts, other) = measured(&module, &part.subset(&backwards), 3, &everything(0));
    assert_eq!(other.indices, backwards);
    assert_eq!(whole.rows.len(), 2 + 6 * 5);
    let reversed = |mut classes: Vec<i64>| {
        classes.reverse();
        classes
    };
    for (i, (a, b)) in whole.rows.iter().zip(&parts.rows).enumerate() {
        assert_eq!(a.condition, b.condition);
        // Sums of other sizes round otherwise.
        assert!((a.hits.loss - b.hits.loss).abs() < 1e-4, "{a:?} {b:?}");
        let predicted = &one.rows[i].predicted;
        assert_eq!(
            *predicted,
            reversed(other.rows[i].predicted.clone()),
            "{a:?}"
        );
    }
    let (again, _) = measured(&module, &part, 3, &everything(1));
    let changed = parts.rows.iter().zip(&again.rows).filter(|(a, b)| a != b);
    let drawn = |condition| {
        let noise = matches!(
            condition,
            Condition::Corruption {
                name: Corruption::Noise,
                ..
            }
        );
        noise || matches!(condition, Condition::Attack(Attack::Pgd { .. }))
    };
    assert!(
        measured(&module, &part.subset(&backwards), 3, &everything(0)) == (parts.clone(), other)
    );
    assert!(changed.filter(|(a, _)| drawn(a.condition)).count() >= 5);
}

#[test]
fn tallies_are_those_of_the_predictions() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path()).subset(&[4, 2, 19, 7]);
    let (result, predictions) = measured(&module("plain_scripted.pt"), &part, 3, &everything(0));
    assert_eq!(predictions.indices, [4, 2, 19, 7]);
    assert_eq!(predictions.labels, [4, 2, 4, 2]);
    let correct = |classes: &[i64]| {
        let pairs = classes.iter().zip(&predictions.labels);
        pairs.filter(|(a, b)| a == b).count()
    };
    assert_eq!(result.clean.correct, correct(&predictions.clean));
    for (row, predicted) in result.rows.iter().zip(&predictions.rows) {
        assert_eq!(row.condition, predicted.condition);
        assert_eq!(row.hits.correct, correct(&predicted.predicted), "{row:?}");
        assert_eq!(row.hits.images, 4);
        assert_eq!(row.hits.accuracy, row.hits.correct as f64 / 4.);
    }
    let corrupted = &result.rows[2..];
    let mean = corrupted.iter().map(|r| r.hits.accuracy).sum::<f64>() / corrupted.len() as f64;
    assert!((result.mean_corruption_accuracy.unwrap() - mean).abs() < 1e-12);
}

#[test]
fn a_result_is_read_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    let mut protocol = everything(3);
    protocol.ood = Some(foreign(part.clone(), true));
    let (result, predictions) = measured(&module("basic_traced.pt"), &part, 20, &protocol);
    let text = serde_json::to_string(&result).unwrap();
    assert_eq!(serde_json::from_str::<Robustness>(&text).unwrap(), result);
    let first = &serde_json::to_value(&result).unwrap()["rows"][0];
    assert_eq!(first["kind"], "attack");
    assert_eq!(first["name"], "fgsm");
    assert_eq!(first["epsilon"], EPSILON);
    let text = serde_json::to_string(&predictions).unwrap();
    assert_eq!(
        serde_json::from_str::<Predictions>(&text).unwrap(),
        predictions
    );
}

#[test]
fn the_text_has_each_accuracy_and_its_distance_to_the_clean_one() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    let mut protocol = everything(0);
    protocol.severities.remove(1);
    protocol.ood = Some(foreign(part.clone(), true));
    let (mut result, _) = measured(&module("basic_scripted.pt"), &part, 20, &protocol);
    // Round figures in place of the fixture's.
    result.clean.accuracy = 0.5;
    for row in &mut result.rows {
        row.hits.accuracy = match row.condition {
            Condition::Attack(_) => 0.125,
            Condition::Corruption { severity, .. } => 0.1 * f64::from(u8::from(severity)),
        };
        row.hits.correct = (row.hits.accuracy * row.hits.images as f64).round() as usize;
    }
    result.mean_corruption_accuracy = Robustness::mean_accuracy(&result.rows, None);
    let text = result.text();
    let line = |begins: &str| {
        let line = text.lines().find(|l| l.trim_start().starts_with(begins));
        let words = line.unwrap_or_else(|| panic!("no {begins} in\n{text}"));
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("fgsm"), "fgsm, ε = 4/255 12.50 % -37.50");
    assert_eq!(
        line("pgd"),
        "pgd, ε = 4/255, 1 steps of 4/255 12.50 % -37.50"
    );
    assert_eq!(
        line("jpeg"),
        "jpeg 10.00 % 30.00 % 40.00 % 50.00 % 32.50 % -17.50"
    );
    assert_eq!(
        line("all"),
        "all 10.00 % 30.00 % 40.00 % 50.00 % 32.50 % -17.50"
    );
    assert!(!text.contains("severity 2"), "{text}");
    assert!(text.contains("AUROC of 0.5000"), "{text}");
}

fn foreign(part: Part, labels_match: bool) -> Foreign {
    Foreign {
        part,
        name: "train",
        labels_match,
    }
}

#[test]
fn the_same_images_cannot_be_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let part = images(folder.path());
    let protocol = Protocol {
        ood: Some(foreign(part.clone(), true)),
        ..Protocol::default()
    };
    let (result, _) = measured(&module("basic_scripted.pt"), &part, 20, &protocol);
    let ood = result.ood.unwrap();
    assert_eq!(ood.auroc, 0.5);
    assert_eq!(ood.confidence, ood.clean_confidence);
    assert!((0.2..=1.).contains(&ood.confidence), "{}", ood.confidence);
    assert_eq!(ood.accuracy, Some(result.clean.accuracy));
}

#[test]
fn foreign_images_take_the_shape_of_the_others_and_labels_only_count_where_they_match() {
    let folder = tempfile::tempdir().unwrap();
    let known = images(folder.path());
    // Labels up to 8: the network has no such classes.
    let grey = part(folder.path(), "grey.npz", [11, 5, 6, 1], Some(9));
    let protocol = Protocol {
        ood: Some(foreign(grey.clone(), false)),
        ..Protocol::default()
    };
    let module = module("basic_scripted.pt");
    let (result, _) = measured(&module, &known, 4, &protocol);
    let ood = result.ood.unwrap();
    assert_eq!((ood.images, ood.accuracy, ood.correct), (11, None, None));
    assert!((0. ..=1.).contains(&ood.auroc));
    let wrong = Protocol {
        ood: Some(foreign(grey, true)),
        ..Protocol::default()
    };
    let error = measure(&module, &Images::new(known, loader(20)), &wrong, QUIET).unwrap_err();
    assert!(
        format!("{error:#}").contains("grey.npz has a label 8"),
        "{error:#}"
    );
}

#[test]
fn images_without_labels_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let part = part(folder.path(), "unlabelled.npz", [6, 8, 8, 3], None);
    let module = module("basic_scripted.pt");
    let error = measure(
        &module,
        &Images::new(part, loader(4)),
        &everything(0),
        QUIET,
    )
    .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("unlabelled.npz") && message.contains("no labels"),
        "{message}"
    );
}
