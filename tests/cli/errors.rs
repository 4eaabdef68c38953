//! Refusals that need no libtorch.

use std::fs;

use insta::assert_snapshot;

use crate::place::{Place, fixture};

#[test]
fn what_is_no_model() {
    let place = Place::with(&["state_dict.pth", "legacy_state_dict.pth"]);
    place.write("notes.txt", "not an archive");
    place.write("empty.pt", "");
    fs::create_dir(place.path("folder")).unwrap();
    assert_snapshot!(place.all_refused(&[
        "inspect --model missing.pt",
        "inspect --model folder",
        "inspect --model notes.txt",
        "inspect --model empty.pt",
        "inspect --model state_dict.pth",
        "inspect --model legacy_state_dict.pth",
        "remove --model missing.pt --blocks a",
        "remove --model no/folder/missing.pt --blocks a",
    ]));
}

#[test]
fn an_archive_that_is_cut_short_anywhere() {
    let place = Place::with(&[]);
    let whole = fs::read(fixture("basic_scripted.pt")).unwrap();
    let mut transcripts = Vec::new();
    for kept in [1, 100, whole.len() / 3, whole.len() - 300, whole.len() - 1] {
        place.write("cut.pt", &whole[..kept]);
        let transcript = place.refused("inspect --model cut.pt");
        assert!(transcript.contains("cut.pt: "), "{transcript}");
        transcripts.push(transcript);
    }
    assert_snapshot!(transcripts.join("\n"));
}

#[test]
fn an_input_that_the_network_does_not_take() {
    let place = Place::with(&["basic_scripted.pt"]);
    assert_snapshot!(place.all_refused(&[
        "inspect --model basic_scripted.pt --input-size 1x8x8",
        "inspect --model basic_scripted.pt --input-size 0",
        "inspect --model basic_scripted.pt --input-size 8x8x8x8",
        "inspect --model basic_scripted.pt --input-size big",
    ]));
}

#[test]
fn blocks_that_cannot_be_removed() {
    let place = Place::with(&["basic_scripted.pt", "plain_scripted.pt", "basic_frozen.pt"]);
    assert_snapshot!(place.all_refused(&[
        "remove --model basic_scripted.pt --input-size 8 --blocks stage1.1,stage9.9",
        "remove --model basic_scripted.pt --input-size 8 --blocks stage2.0",
        "remove --model basic_scripted.pt --input-size 8 --blocks stage1.1,,stage1.2",
        "remove --model plain_scripted.pt --input-size 8 --blocks stage1.1",
        "remove --model basic_frozen.pt --input-size 8 --blocks stage1.1",
    ]));
}

#[test]
fn an_output_that_cannot_be_written() {
    let place = Place::with(&["basic_scripted.pt"]);
    fs::create_dir(place.path("folder")).unwrap();
    let remove = "remove --model basic_scripted.pt --input-size 8 --blocks stage1.1 --output";
    assert_snapshot!(place.all_refused(&[
        &format!("{remove} folder"),
        &format!("{remove} no/such/folder/out.pt"),
        &format!("{remove} basic_scripted.pt/out.pt"),
    ]));
}

/// Root may write into any ordinary folder, but not there.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_files() {
    let place = Place::with(&["basic_scripted.pt"]);
    assert_snapshot!(
        place.refused("remove --model basic_scripted.pt --blocks stage1.1 --output /proc/out.pt"),
        @"
    $ ckaprune remove --model basic_scripted.pt --blocks stage1.1 --output /proc/out.pt
    error: /proc/out.pt: cannot write into /proc (entity not found); name a file elsewhere with --output
    "
    );
}

#[test]
fn an_output_that_exists_stays_as_it_is() {
    let place = Place::with(&["basic_scripted.pt"]);
    place.write("basic_scripted.pruned.pt", "precious");
    let remove = "remove --model basic_scripted.pt --input-size 8 --blocks stage1.1";
    assert_snapshot!(place.all_refused(&[
        remove,
        &format!("{remove} --output basic_scripted.pt"),
        &format!("{remove} --output ./basic_scripted.pt"),
    ]));
}

#[test]
fn options_that_do_not_exist() {
    let place = Place::with(&[]);
    assert_snapshot!(place.all_refused(&[
        "inspect",
        "inspect --modle a.pt",
        "remove --model a.pt"
    ]));
}
