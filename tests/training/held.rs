//! Parameters that an archive says not to train.

use ckaprune::archive::Archive;
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::program::{ModuleTree, Network};
use ckaprune::train::finetune::caveats;

use super::common::images::easy_images;
use super::common::{fixture, open};
use super::{tensor_bytes, train};

/// Every parameter, whether it may be trained, and whether an epoch changed it.
fn changed(name: &str) -> Vec<(String, bool, bool)> {
    let (_folder, part) = easy_images();
    let before = open(&fixture(name));
    let after = train(&before, &part, 1, 0).model.into_archive();
    let (then, now) = (before.network().unwrap(), after.network().unwrap());
    assert_eq!(flags(&then), flags(&now), "{name}");
    let moved = |path: &str, tensor: &str| {
        tensor_bytes(&before, path, tensor) != tensor_bytes(&after, path, tensor)
    };
    let parameters = then
        .modules
        .tensors(ModuleTree::ROOT)
        .filter(|(_, _, info)| info.parameter);
    let told = parameters.map(|(module, tensor, info)| {
        let path = &then.modules.get(module).path;
        (
            format!("{path}.{tensor}"),
            info.requires_grad,
            moved(path, tensor),
        )
    });
    told.collect()
}

fn flags(network: &Network) -> Vec<bool> {
    let tensors = network.modules.tensors(ModuleTree::ROOT);
    tensors.map(|(_, _, info)| info.requires_grad).collect()
}

#[test]
fn parameters_that_are_held_stay_and_the_others_learn() {
    for (name, free) in [("field/held_scripted.pt", 2), ("field/held_traced.pt", 5)] {
        let parameters = changed(name);
        assert_eq!(
            parameters.iter().filter(|(_, free, _)| *free).count(),
            free,
            "{name}"
        );
        for (parameter, free, moved) in parameters {
            assert_eq!(free, moved, "{name}: {parameter}");
        }
    }
}

#[test]
fn where_all_are_held_all_are_trained() {
    for (parameter, free, moved) in changed("field/held_all_scripted.pt") {
        assert!(!free && moved, "{parameter}");
    }
}

fn said(archive: &Archive) -> Vec<String> {
    caveats(&Analysis::of(archive, &Request::shape(&[3, 8, 8])).unwrap())
}

#[test]
fn what_stays_as_it_is_is_said() {
    for (name, words) in [
        (
            "field/held_scripted.pt",
            "parameters stay as they are: the archive says requires_grad=False",
        ),
        ("field/held_all_scripted.pt", "all of them are trained"),
        ("field/no_grad_scripted.pt", "under torch.no_grad()"),
        (
            "field/momentum_none_traced.pt",
            "3 batch normalisations with momentum 0 or None",
        ),
    ] {
        let said = said(&open(&fixture(name)));
        assert!(
            said.len() == 1 && said[0].contains(words),
            "{name}: {said:?}"
        );
    }
    for name in [
        "field/net_scripted.pt",
        "basic_traced.pt",
        "preact_scripted.pt",
        "basic_frozen.pt",
    ] {
        assert_eq!(said(&open(&fixture(name))), [""; 0], "{name}");
    }
}
