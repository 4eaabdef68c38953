//! Refusals of the commands that run a network.

use std::fs;

use ckaprune::archive::Archive;
use ckaprune::cli::Cli;
use clap::Parser;
use insta::assert_snapshot;

use crate::images::{colours, npy};
use crate::place::Place;
use crate::prune::PRUNE;

const EVAL: &str = "eval --model basic_scripted.pt --device cpu --quiet --data";
const FINETUNE: &str = "finetune --model basic_scripted.pt --device cpu --quiet --data";

#[test]
fn what_is_no_data_set() {
    let place = Place::with(&["basic_scripted.pt"]);
    fs::create_dir(place.path("empty")).unwrap();
    place.write("strange/notes.txt", "");
    place.write("broken.npz", "PK");
    place.npz("other.npz", &[("weights", npy(&colours(2, 0).1))]);
    place.npz(
        "none.npz",
        &[
            ("x_train", npy(&colours(0, 0).0)),
            ("y_train", npy(&colours(0, 0).1)),
        ],
    );
    let data = [
        "missing",
        "empty",
        "strange",
        "broken.npz",
        "other.npz",
        "none.npz",
        "strange/notes.txt",
    ];
    let lines = data.map(|data| format!("{EVAL} {data}"));
    assert_snapshot!(place.all_refused(&lines.each_ref().map(String::as_str)));
}

#[test]
fn commands_that_need_images() {
    let place = Place::with(&["basic_scripted.pt"]);
    assert_snapshot!(place.all_refused(&["finetune --model basic_scripted.pt",]));
}

#[test]
fn images_that_the_network_does_not_take() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let (_, labels) = colours(50, 0);
    let two_channels = ndarray::Array4::<u8>::zeros((50, 8, 8, 2));
    let grey = ndarray::Array3::<u8>::zeros((50, 8, 8));
    place.npz(
        "grey.npz",
        &[("images", npy(&grey)), ("labels", npy(&labels))],
    );
    place.npz(
        "two.npz",
        &[("images", npy(&two_channels)), ("labels", npy(&labels))],
    );
    assert_snapshot!(place.all_refused(&[
        &format!("{EVAL} grey.npz"),
        &format!("{EVAL} two.npz"),
        &format!("{EVAL} two.npz --input-size 3x8x8"),
        &format!("{FINETUNE} grey.npz"),
        &PRUNE.replace("data.npz", "grey.npz"),
    ]));
}

#[test]
fn labels_that_do_not_fit() {
    let place = Place::with(&["basic_scripted.pt"]);
    let (images, labels) = colours(60, 0);
    let far = labels.mapv(|label| label + 3);
    place.npz(
        "far.npz",
        &[
            ("x_train", npy(&images)),
            ("y_train", npy(&far)),
            ("x_test", npy(&images)),
            ("y_test", npy(&far)),
        ],
    );
    place.npz(
        "train.npz",
        &[("x_train", npy(&images)), ("y_train", npy(&far))],
    );
    let (few, few_labels) = colours(8, 0);
    place.npz(
        "few.npz",
        &[("images", npy(&few)), ("labels", npy(&few_labels))],
    );
    place.npz(
        "unlabelled.npz",
        &[("x_train", npy(&images)), ("x_test", npy(&images))],
    );
    assert_snapshot!(place.all_refused(&[
        &format!("{EVAL} far.npz"),
        &format!("{FINETUNE} far.npz"),
        &PRUNE.replace("data.npz", "train.npz"),
        &format!("{FINETUNE} few.npz"),
        &format!("{FINETUNE} unlabelled.npz"),
    ]));
}

#[test]
fn outputs_that_exist_stay_as_they_are() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    place.write("basic_scripted.pruned.pt", "precious");
    place.write("basic_scripted.finetuned.pt", "precious");
    assert_snapshot!(place.all_refused(&[
        PRUNE,
        &format!("{PRUNE} --output basic_scripted.pt"),
        &format!("{FINETUNE} data.npz"),
    ]));
}

#[test]
fn a_missing_model_is_the_first_thing_said() {
    let place = Place::with(&[]);
    assert_snapshot!(place.all_refused(&[
        "prune --model no/folder/m.pt --iterations 1",
        "finetune --model no/folder/m.pt",
        "eval --model no/folder/m.pt",
        "score --model no/folder/m.pt",
    ]));
}

#[test]
fn selections_that_leave_nothing() {
    let place = Place::with_data(&["basic_scripted.pt", "plain_scripted.pt"]);
    assert_snapshot!(place.all_refused(&[
        &format!("{PRUNE} --keep layer7.*"),
        &format!("{PRUNE} --only stage1.*,nothing"),
        &format!("{PRUNE} --keep *"),
        &format!("{PRUNE} --keep [a"),
        &format!("{PRUNE} --min-blocks-per-stage 4"),
        &PRUNE.replace("basic_scripted", "plain_scripted"),
    ]));
}

/// What clap refuses needs no process.
#[test]
fn values_out_of_range() {
    let options = [
        "--lr nan",
        "--lr inf",
        "--lr -0.1",
        "--momentum 1",
        "--momentum -0.5",
        "--weight-decay -1",
        "--epochs -1",
        "--milestones 0.75,0.5",
        "--label-smoothing 1",
        "--clip-norm 0",
        "--distill-weight 1.1",
        "--distill-weight 95%",
        "--target-macs 1",
        "--iterations 0",
        "--batch-size 1",
        "--samples 1",
        "--samples some",
        "--mean x",
        "--mean nan",
        "--std 0",
        "--std -1",
        "--std 1,x",
        "--input-size 8x0",
        "--augment rotate",
        "--mixup 0",
        "--mixup -0.5",
        "--cutmix 0",
        "--cutmix -1",
        "--cutmix inf",
        "--amp on",
        "--threads 0",
        "--device gpu",
        "--seed -1",
    ];
    let refusal = |option: &str| {
        let line = format!("ckaprune {PRUNE} {option}");
        let error = Cli::try_parse_from(line.split_whitespace()).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let text = error.to_string();
        format!("{option}\n  {}\n", text.lines().next().unwrap())
    };
    assert_snapshot!(options.map(refusal).concat());
}

#[test]
fn normalisation_for_other_channels() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    assert_snapshot!(place.all_refused(&[
        &format!("{PRUNE} --mean 0.5,0.5"),
        &format!("{EVAL} data.npz --std 1,1"),
    ]));
}

#[test]
fn a_constant_representation() {
    let place = Place::with_data(&["constant_scripted.pt"]);
    let prune = PRUNE.replace("basic_scripted", "constant_scripted") + " --min-blocks-per-stage 1";
    let score = prune
        .replace("prune", "score")
        .replace("--iterations 2", "");
    assert_snapshot!(place.all_refused(&[&prune, &score]));
}

#[test]
fn training_that_diverges_writes_nothing() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let transcript = place.refused(&format!(
        "{FINETUNE} data.npz --lr 1e30 --epochs 5 --augment none --val-split 0"
    ));
    assert!(
        transcript.contains("training diverged; try a lower --lr"),
        "{transcript}"
    );
    assert!(transcript.contains("basic_scripted.pt: "), "{transcript}");
}

#[test]
fn a_gpu_where_there_is_none() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let line = format!("{EVAL} data.npz --device cuda");
    if place.run(&line).code == 0 {
        println!("skipped: this machine has a GPU");
        return;
    }
    assert_snapshot!(place.refused(&line));
}

#[test]
fn a_network_that_would_write_a_file_is_shown_and_never_run() {
    let place = Place::with_data(&["basic_scripted.pt"]);
    let mut archive = Archive::open(&place.path("basic_scripted.pt")).unwrap();
    let file = "code/__torch__.py";
    let steals = "    _99 = torch.save(x, \"stolen\")\n    relu = self.relu\n";
    let text = archive.source(file).unwrap();
    let text = text.replacen("    relu = self.relu\n", steals, 1);
    archive.set_source(file, text);
    fs::write(place.path("hostile.pt"), archive.to_bytes().unwrap()).unwrap();
    let shown = place.json("inspect --model hostile.pt --input-size 8 --json");
    let obstacle = shown["obstacle"].as_str().unwrap();
    assert!(
        obstacle.starts_with("the code calls torch.save"),
        "{obstacle}"
    );
    let lines = [
        "eval --model hostile.pt --data data.npz --device cpu --quiet",
        "compare hostile.pt basic_scripted.pt --data data.npz --device cpu --quiet",
        "score --model hostile.pt --data data.npz --device cpu --quiet",
        "prune --model hostile.pt --data data.npz --iterations 1 --device cpu --quiet",
        "finetune --model hostile.pt --data data.npz --device cpu --quiet",
    ];
    // No file is made, which `all_refused` looks for.
    assert_snapshot!(place.all_refused(&lines));
}
