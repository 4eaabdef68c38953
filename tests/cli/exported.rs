//! Programs of `torch.export` on the command line: what goes in as a `.pt2` comes out as one.

use insta::assert_snapshot;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::place::{Place, fixture, strings};

const DATA: &str = "--data data.npz --samples 40 --batch-size 20 --device cpu --threads 1 --quiet";

/// The same network as a program and as TorchScript.
fn both() -> Place {
    let place = Place::with_data(&["basic_scripted.pt"]);
    program(&place, "basic_exported", "basic.pt2");
    place
}

fn program(place: &Place, name: &str, file: &str) {
    let path = fixture(&format!("exported/{name}.pt2"));
    place.write(file, std::fs::read(path).unwrap());
}

#[test]
fn a_program_is_scored_as_the_same_network_in_torchscript() {
    let place = both();
    let scored = |model: &str| {
        let document = place.json(&format!("score --model {model} {DATA} --exact --json"));
        strings(&document["blocks"], |block| &block["path"]);
        let blocks = document["blocks"].as_array().unwrap().clone();
        blocks
            .iter()
            .map(|b| (b["path"].clone(), b["cka"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(scored("basic.pt2"), scored("basic_scripted.pt"));
}

#[test]
fn an_epoch_gives_the_weights_that_it_gives_in_torchscript() {
    let place = both();
    for (model, output, weights) in [
        ("basic.pt2", "tuned.pt2", "exported.safetensors"),
        ("basic_scripted.pt", "tuned.pt", "scripted.safetensors"),
    ] {
        place.done(&format!(
            "finetune --model {model} {DATA} --epochs 1 --output {output} --export-weights {weights}"
        ));
    }
    // How many batches there were, only the code of TorchScript counts.
    let weights = |file: &str| {
        let bytes = place.read(file);
        let all = SafeTensors::deserialize(&bytes).unwrap();
        let mut all: Vec<(String, Vec<u8>)> = all
            .iter()
            .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
            .map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec()))
            .collect();
        all.sort();
        all
    };
    assert!(weights("exported.safetensors") == weights("scripted.safetensors"));
    // The graph is as it was: in evaluation mode.
    let tuned = place.json("inspect --model tuned.pt2 --input-size 8 --json");
    let before = place.json("inspect --model basic.pt2 --input-size 8 --json");
    assert_eq!(tuned["blocks"], before["blocks"]);
    let [tuned, before] = ["tuned.pt2", "basic.pt2"].map(|file| {
        let report = place.json(&format!("eval --model {file} {DATA} --passes 0 --json"));
        report["accuracy"].as_f64().unwrap()
    });
    assert!((0. ..=1.).contains(&tuned) && (0. ..=1.).contains(&before));
}

#[test]
fn a_run_that_is_stopped_between_two_removals_ends_in_the_same_file() {
    let line =
        |more: &str| format!("prune --model basic.pt2 {DATA} --epochs 1 --lr 0.01 --force {more}");
    let place = both();
    place.done(&line("--iterations 3 --output straight.pt2"));
    place.done(&line("--iterations 1 --run-dir run --output first.pt2"));
    assert!(place.path("run/iteration-001.pt2").is_file());
    place.done(&line(
        "--iterations 3 --run-dir run --resume --output resumed.pt2",
    ));
    assert!(place.read("resumed.pt2") == place.read("straight.pt2"));
    let left = place.blocks("resumed.pt2").len();
    assert_eq!(left + 3, place.blocks("basic.pt2").len());
}

#[test]
fn the_name_of_the_output_says_what_it_is() {
    let place = both();
    let remove = |more: &str| {
        format!("remove --model basic.pt2 --blocks stage1.1 --input-size 8 --quiet {more}")
    };
    place.done(&remove(""));
    place.done(&remove("--output script.pt"));
    let inspected = |file: &str| {
        let report = place.json(&format!("inspect --model {file} --input-size 8 --json"));
        report["blocks"].clone()
    };
    assert_eq!(inspected("basic.pruned.pt2"), inspected("script.pt"));
    let is_program = |file: &str| {
        let bytes = place.read(file);
        bytes.windows(14).any(|w| w == b"archive_format")
    };
    assert!(is_program("basic.pruned.pt2") && !is_program("script.pt"));
    assert_snapshot!(
        place.refused("remove --model basic_scripted.pt --blocks stage1.1 --output no.pt2"),
        @r#"
    $ ckaprune remove --model basic_scripted.pt --blocks stage1.1 --output no.pt2
    error: no.pt2: a TorchScript archive cannot be written as a program of torch.export; name a file that ends in .pt with --output
    "#
    );
}

#[test]
fn what_no_program_may_be_is_said() {
    let place = Place::with(&[]);
    for name in ["training", "training_functional", "no_grad", "sized_static"] {
        program(&place, name, &format!("{name}.pt2"));
    }
    place.write("broken.pt2", b"PK\x03\x04 and no more");
    assert_snapshot!(place.all_refused(&[
        "score --model training.pt2 --input-size 8",
        "score --model training_functional.pt2 --input-size 8",
        "score --model sized_static.pt2 --input-size 8",
        "inspect --model no_grad.pt2",
        "inspect --model broken.pt2",
    ]), @r#"
    $ ckaprune score --model training.pt2 --input-size 8
    error: training.pt2: exported in training mode: dropout (4×) and batch statistics (7×) are in the code; call `model.eval()` before exporting

    $ ckaprune score --model training_functional.pt2 --input-size 8
    error: training_functional.pt2: exported in training mode: dropout (4×) and batch statistics (7×) are in the code; call `model.eval()` before exporting

    $ ckaprune score --model sized_static.pt2 --input-size 8
    error: sized_static.pt2: made for batches of 2 (torch.reshape in blocks.0, __torch__.py:47), so that it runs in batches of just that size: trace with a size that moves, such as flatten(1) or reshape(x.size(0), ..), without int(), or export with dynamic_shapes=({0: Dim('batch')},)

    $ ckaprune inspect --model no_grad.pt2
    error: no_grad.pt2: the program calls torch.ops.higher_order.wrap_with_set_grad_enabled, which holds a graph of its own (from no_grad, autocast or control flow); remove it with program.run_decompositions({}) before saving

    $ ckaprune inspect --model broken.pt2
    error: broken.pt2: the file is cut short: its zip directory is missing; copy or download it again
    "#);
    // What is learned while it trains can be looked at and cut.
    let blocks: Value = place.json("inspect --model training.pt2 --input-size 8 --json");
    assert_eq!(blocks["blocks"].as_array().unwrap().len(), 3);
    place.done("remove --model training.pt2 --blocks stage.1 --input-size 8 --quiet");
}
