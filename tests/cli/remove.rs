use ckaprune::archive::Archive;
use insta::assert_snapshot;

use crate::place::{Place, fixture};

#[test]
fn removed_blocks_are_gone_and_the_others_stay() {
    let place = Place::with(&["basic_scripted.pt"]);
    let said =
        place.done("remove --model basic_scripted.pt --input-size 8 --blocks stage1.2,stage3.1");
    assert_snapshot!(said.stdout, @"
    basic_scripted.pruned.pt
      removed     stage1.2, stage3.1
      blocks      7 of 9
      parameters  4,085 (73.30 % of before)
      MACs        95,848 (80.62 % of before)
    ");
    assert_eq!(said.stderr, "");
    let mut expected = place.blocks("basic_scripted.pt");
    expected.retain(|path| path != "stage1.2" && path != "stage3.1");
    assert_eq!(place.blocks("basic_scripted.pruned.pt"), expected);
}

/// The half writes into a copy of its bias, and nobody reads what that gives.
#[test]
fn a_half_of_a_frozen_network_goes_with_what_it_writes() {
    let place = Place::with(&["postnorm_frozen.pt"]);
    let removal = "remove --model postnorm_frozen.pt --input-size 8 --blocks";
    let said = place.done(&format!("{removal} stage1.block1,stage1.block4"));
    assert_snapshot!(said.stdout, @"
    postnorm_frozen.pruned.pt
      removed     stage1.block1, stage1.block4
      blocks      2 of 4
      parameters  1,037 (63.97 % of before)
      MACs        3,880 (62.74 % of before)
    ");
}

#[test]
fn the_document_tells_what_went_in_running_order() {
    let place = Place::with(&["preact_traced.pt"]);
    let report = place.done(
        "remove --model preact_traced.pt --input-size 8 --blocks blocks.5,blocks.1 --output small.pt --json",
    );
    assert_snapshot!(report.stdout, @r#"
    {
      "schema": 1,
      "command": "remove",
      "model": "preact_traced.pt",
      "output": "small.pt",
      "removed": [
        "blocks.1",
        "blocks.5"
      ],
      "input_shape": [
        3,
        8,
        8
      ],
      "input_shape_guessed": false,
      "before": {
        "params": 2995,
        "macs": 91998,
        "blocks": 6
      },
      "after": {
        "params": 2019,
        "macs": 63198,
        "blocks": 4
      }
    }
    "#);
}

#[test]
fn force_replaces_even_the_model_itself() {
    let place = Place::with(&["basic_scripted.pt"]);
    place.done("remove --model basic_scripted.pt --input-size 8 --blocks stage1.1 --output basic_scripted.pt --force");
    assert!(
        !place
            .blocks("basic_scripted.pt")
            .contains(&"stage1.1".into())
    );
    assert_eq!(place.files().len(), 1, "nothing else is left behind");
}

#[test]
fn the_same_removal_gives_the_same_bytes() {
    let place = Place::with(&["basic_traced.pt"]);
    for output in ["one/out.pt", "two/out.pt"] {
        place.write(&output.replace("out.pt", ".keep"), "");
        place.done(&format!(
            "remove --model basic_traced.pt --input-size 8 --blocks stage2.1 --output {output}"
        ));
    }
    assert!(place.read("one/out.pt") == place.read("two/out.pt"));
}

#[test]
fn a_thawed_network_has_parameters_and_a_network_with_parameters_is_not_thawed() {
    let place = Place::with(&["basic_frozen.pt", "basic_scripted.pt"]);
    let removal = "--input-size 8 --thaw --output small.pt --blocks";
    let report = place.json(&format!(
        "remove --model basic_frozen.pt {removal} stage1.block2 --json"
    ));
    let tree = place.json("inspect --model small.pt --input-size 8 --tree --json");
    assert_eq!(tree["params"], report["after"]["params"]);
    assert_eq!(
        tree["tree"]["params"], report["after"]["params"],
        "of the module itself"
    );
    let refused = place.refused(&format!(
        "remove --model basic_scripted.pt --force {removal} stage1.2"
    ));
    assert!(refused.contains("--thaw: no constant"), "{refused:#?}");
}

/// The fixture with a further method in one of its classes, which nothing calls.
fn with_method(place: &Place, body: &str) {
    let mut archive = Archive::open(&place.path("basic_scripted.pt")).unwrap();
    let file = "code/__torch__.py";
    let source = archive.source(file).unwrap().to_owned();
    let method = format!(
        "  def unused(self: __torch__.PadShortcut,\n    x: Tensor) -> Tensor:\n    {body}\n"
    );
    archive.set_source(file, source + &method);
    place.write("odd.pt", archive.to_bytes().unwrap());
}

#[test]
fn a_file_that_libtorch_would_refuse_is_not_written() {
    let place = Place::with(&["basic_scripted.pt"]);
    with_method(&place, "return (self.stage9).forward(x, )");
    let refused = place.refused("remove --model odd.pt --input-size 8 --blocks stage1.2");
    assert!(refused.contains("unused reads `stage9`"), "{refused}");
}

/// What only libtorch knows: how many arguments its operators take.
#[cfg(feature = "torch")]
#[test]
fn a_file_that_libtorch_does_refuse_is_not_written() {
    let place = Place::with(&["basic_scripted.pt"]);
    with_method(&place, "return torch.relu(x, 1, 2, 3)");
    let refused = place.refused("remove --model odd.pt --input-size 8 --blocks stage1.2");
    assert!(
        refused.contains("libtorch cannot load the network"),
        "{refused}"
    );
    with_method(&place, "return torch.relu(x)");
    place.done("remove --model odd.pt --input-size 8 --blocks stage1.2");
}

#[test]
fn a_block_that_other_code_uses_otherwise_is_refused_with_the_reason() {
    let place = Place::with(&[]);
    let model = std::fs::read(fixture("field/beside_scripted.pt")).unwrap();
    place.write("beside.pt", model);
    let removal = "remove --model beside.pt --input-size 8 --blocks";
    let refused = place.refused(&format!("{removal} read.1"));
    assert!(
        refused.contains("block read.1 cannot be removed: `forward` of Beside reads what is in it"),
        "{refused}"
    );
    let inspected = place
        .done("inspect --model beside.pt --input-size 8")
        .stdout;
    assert!(
        inspected.contains("no: `one` of Beside picks it by its number among others"),
        "{inspected}"
    );
    place.done(&format!("{removal} read.0,only"));
}
