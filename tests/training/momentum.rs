//! Statistics of batch normalisation follow the weights whatever its momentum is.

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::{Patch, unmoved_statistics};
use ckaprune::data::Part;
use ckaprune::train::repair::{Repair, Repairer, Step};

use super::common::images::easy_images;
use super::common::{fixture, open};
use super::{QUIET, images, model, random_numbers, tensor_bytes, train};

/// All of the same weights, with momentum None or 0.
const UNMOVED: [&str; 4] = [
    "field/momentum_none_traced.pt",
    "field/momentum_zero_scripted.pt",
    "field/momentum_none_scripted.pt",
    "field/momentum_many_scripted.pt",
];

fn analyse(archive: &Archive) -> Analysis {
    Analysis::of(archive, &Request::shape(&[3, 8, 8])).unwrap()
}

/// How closely a network without a block agrees with the whole once its statistics were taken again.
fn repaired(name: &str, part: &Part) -> Repair {
    let original = open(&fixture(name));
    let analysis = analyse(&original);
    let removed = ["blocks.1".to_owned()];
    let pruned = Patch::remove(&analysis, &removed).unwrap();
    let pruned = pruned.apply(&original, &analysis).unwrap();
    let original = model(&original);
    let pruned = original.changed_into(pruned).unwrap();
    let _alone = random_numbers();
    let repairer = Repairer::new(&original, &images(part), QUIET).unwrap();
    repairer
        .repair(pruned, &removed, &[Step::Bn])
        .unwrap()
        .steps[0]
}

fn means(archive: &Archive) -> Vec<f32> {
    let bytes = tensor_bytes(archive, "blocks.2.norm", "running_mean");
    let numbers = bytes
        .chunks(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    numbers.collect()
}

#[test]
fn statistics_are_repaired_as_with_the_usual_momentum() {
    let (_folder, part) = easy_images();
    let usual = repaired("field/net_scripted.pt", &part);
    for name in UNMOVED {
        let found = repaired(name, &part);
        assert_eq!(found.before, usual.before, "{name}");
        let (found, usual) = (found.after.closeness, usual.after.closeness);
        assert!((found - usual).abs() < 1e-5, "{name}: {found}, not {usual}");
    }
}

#[test]
fn statistics_learn_as_with_the_usual_momentum() {
    let (_folder, part) = easy_images();
    let usual = train(&open(&fixture("field/net_scripted.pt")), &part, 2, 0)
        .model
        .into_archive();
    for name in UNMOVED {
        let before = open(&fixture(name));
        let after = train(&before, &part, 2, 0).model.into_archive();
        assert_ne!(means(&after), means(&before), "{name}");
        for (found, expected) in means(&after).iter().zip(means(&usual)) {
            assert!(
                (found - expected).abs() < 1e-4,
                "{name}: {found}, not {expected}"
            );
        }
        // What a run writes keeps the network's own.
        assert_eq!(unmoved_statistics(&analyse(&after).program), 3, "{name}");
    }
}
