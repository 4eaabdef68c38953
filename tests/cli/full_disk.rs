//! Disks without room: what is written is whole or not at all, the message says what to do, and nothing is left behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, with_disk};
use crate::place::{Place, Said};

const REMOVE: &str =
    "remove --model basic_scripted.pt --input-size 8 --blocks stage1.1 --output disk/out.pt";

/// The files on the disk but for what fills it.
fn on_disk(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = place.files();
    let disk = place.path("disk");
    files.retain(|path, _| path.starts_with(&disk) && !path.ends_with("filler"));
    files
}

/// What was refused for lack of room: one message, and no traces of a crash.
fn assert_refused(said: &Said) {
    assert_eq!(said.code, 2, "{said:#?}");
    assert_eq!(said.stderr.matches("error: ").count(), 1, "{said:#?}");
    for trace in ["panicked", ".ckaprune-", "os error", "ZipWriter"] {
        assert!(!said.stderr.contains(trace), "{said:#?}");
    }
    assert!(
        said.stderr
            .contains("no space is left on its disk; free some"),
        "{said:#?}"
    );
}

/// Runs `line` with ever more room on the disk until it succeeds. Before that every run is refused; each group of files
/// that belong together holds what it held, or all that is new.
fn with_ever_more_room(place: &Place, disk: &Disk, line: &str, groups: &[&[&str]]) {
    let names = || groups.iter().flat_map(|group| group.iter());
    for old in [None, Some(b"what was there before".as_slice())] {
        let line = match old {
            None => line.to_owned(),
            Some(_) => format!("{line} --force"),
        };
        let reset = || {
            disk.clear();
            for name in names() {
                match old {
                    Some(old) => place.write(name, old),
                    None => drop(std::fs::remove_file(place.path(name))),
                }
            }
        };
        let mut refused = 0;
        for room in std::iter::once(0).chain((12..24).map(|power| 1 << power)) {
            reset();
            disk.leave(room);
            let before = on_disk(place);
            let said = place.run(&line);
            let after = on_disk(place);
            let is_new =
                |name: &&str| after.get(&place.path(name)) != before.get(&place.path(name));
            for group in groups {
                let new = group.iter().filter(|name| is_new(name)).count();
                assert!([0, group.len()].contains(&new), "{group:?}: {said:#?}");
            }
            let known: Vec<PathBuf> = names().map(|name| place.path(name)).collect();
            let strange = after.keys().find(|path| !known.contains(path));
            assert_eq!(strange, None, "{said:#?}");
            if said.code == 0 {
                assert!(names().all(is_new), "{said:#?}");
                break;
            }
            assert_refused(&said);
            let named = names().any(|name| !is_new(name) && said.stderr.contains(*name));
            assert!(
                named,
                "the message names no file that is missing: {said:#?}"
            );
            refused += 1;
        }
        assert!(refused > 0, "there was room from the start: {line}");
        assert!(refused < 13, "there was never room: {line}");
    }
}

#[test]
fn an_archive_and_its_weights() {
    let place = Place::with(&["basic_scripted.pt"]);
    with_disk("full_disk::an_archive_and_its_weights", &place, |disk| {
        with_ever_more_room(&place, disk, REMOVE, &[&["disk/out.pt"]]);
        let line = format!("{REMOVE} --export-weights disk/out.safetensors");
        let both: &[&str] = &["disk/out.pt", "disk/out.safetensors"];
        with_ever_more_room(&place, disk, &line, &[both]);
    });
}

#[test]
fn manual_pages_and_their_folder() {
    let place = Place::with(&[]);
    with_disk("full_disk::manual_pages_and_their_folder", &place, |disk| {
        disk.leave(8192);
        let said = place.run("man --output disk/share/man");
        assert_refused(&said);
        assert!(!place.path("disk/share").exists(), "{said:#?}");
        disk.clear();
        place.done("man --output disk/share/man");
        let whole = on_disk(&place);
        place.write("disk/share/man/ckaprune.1", "older");
        disk.leave(8192);
        assert_refused(&place.run("man --output disk/share/man"));
        assert_eq!(place.read("disk/share/man/ckaprune.1"), b"older");
        disk.clear();
        place.done("man --output disk/share/man");
        assert!(on_disk(&place) == whole);
    });
}

#[test]
fn a_disk_that_may_only_be_read() {
    let place = Place::with(&["basic_scripted.pt"]);
    with_disk("full_disk::a_disk_that_may_only_be_read", &place, |disk| {
        place.write("disk/out.pt", "old");
        disk.make_read_only();
        for line in [
            REMOVE.to_owned() + " --force",
            REMOVE.replace("out.pt", "other.pt"),
            "man --output disk/pages".into(),
        ] {
            let said = place.refused(&line);
            let (file, why) = ("disk/", "read-only");
            assert!(
                said.contains(file) && said.to_lowercase().contains(why),
                "{said}"
            );
            assert!(!said.contains(".ckaprune-"), "{said}");
        }
    });
}

/// `ulimit -f`: the system would end the program in the middle of the file.
#[test]
fn a_limit_on_the_size_of_files() {
    let place = Place::with(&["basic_scripted.pt"]);
    place.write("disk/out.pt", "old");
    let before = place.files();
    let program = place.command();
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -f 8 && exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(REMOVE.split_whitespace())
        .arg("--force")
        .current_dir(place.path(""))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: disk/out.pt: its file system takes no file of this size; raise the limit (`ulimit -f`), or name a file \
         elsewhere\n"
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(place.files() == before);
}

/// What a device holds is no file to replace.
#[cfg(target_os = "linux")]
#[test]
fn a_device_is_never_replaced() {
    let place = Place::with(&["basic_scripted.pt"]);
    let line = "remove --model basic_scripted.pt --blocks stage1.1 --output /dev/null --force";
    let said = place.refused(line);
    assert!(
        said.contains("/dev/null: this is no ordinary file"),
        "{said}"
    );
    assert!(!Path::new("/dev/null").is_file());
}

#[cfg(feature = "torch")]
mod torch {
    use super::*;
    use crate::prune::PRUNE;

    const DATA: &str = "--data data.npz --samples 40 --batch-size 20 --device cpu --threads 1";

    fn place() -> Place {
        Place::with_data(&["basic_scripted.pt"])
    }

    #[test]
    fn reports_and_predictions() {
        let place = place();
        with_disk(
            "full_disk::torch::reports_and_predictions",
            &place,
            |disk| {
                let line = format!(
                    "eval --model basic_scripted.pt {DATA} --passes 0 --report disk/page.html --robust-samples 10"
                );
                let report: &[&str] = &["disk/page.html", "disk/page.json"];
                with_ever_more_room(&place, disk, &line, &[report]);
                let line = format!(
                    "eval --model basic_scripted.pt {DATA} --passes 0 --predictions disk/classes.json --robust-samples 10"
                );
                disk.clear();
                for file in report {
                    std::fs::remove_file(place.path(file)).unwrap();
                }
                disk.leave(0);
                let said = place.run(&line);
                assert_refused(&said);
                assert!(
                    said.stdout.contains("accuracy"),
                    "what was measured is told"
                );
                assert!(on_disk(&place).is_empty());
                disk.clear();
                place.done(&line);
            },
        );
    }

    #[test]
    fn statistics_and_maps() {
        let place = place();
        with_disk("full_disk::torch::statistics_and_maps", &place, |disk| {
            let score = format!("score --model basic_scripted.pt {DATA}");
            let line = format!("{score} --output disk/statistics.json");
            with_ever_more_room(&place, disk, &line, &[&["disk/statistics.json"]]);
            disk.clear();
            std::fs::remove_file(place.path("disk/statistics.json")).unwrap();
            for ending in ["html", "png", "svg", "json"] {
                let map = format!("disk/map.{ending}");
                disk.leave(0);
                assert_refused(&place.run(&format!("{score} --map --output {map}")));
                assert!(on_disk(&place).is_empty());
            }
        });
    }

    #[test]
    fn three_files_of_a_map_or_none() {
        let place = place();
        with_disk(
            "full_disk::torch::three_files_of_a_map_or_none",
            &place,
            |disk| {
                std::fs::copy(place.path("basic_scripted.pt"), place.path("disk/model.pt"))
                    .unwrap();
                let line = format!("score --map --model disk/model.pt {DATA}");
                let before = on_disk(&place);
                for room in [0, 8192, 32768] {
                    disk.leave(room);
                    assert_refused(&place.run(&line));
                    assert!(
                        on_disk(&place) == before,
                        "something was left with {room} bytes"
                    );
                }
                disk.clear();
                place.done(&line);
                assert_eq!(on_disk(&place).len(), 4);
            },
        );
    }

    #[test]
    fn a_trained_network() {
        let place = place();
        with_disk("full_disk::torch::a_trained_network", &place, |disk| {
            let line = format!(
                "finetune --model basic_scripted.pt {DATA} --epochs 1 --output disk/out.pt"
            );
            for room in [0, 16384] {
                disk.leave(room);
                assert_refused(&place.run(&line));
                assert!(on_disk(&place).is_empty());
            }
        });
    }

    /// Every write of a run fails once: whatever there is room for, the run goes on from it when there is more.
    #[test]
    fn a_run_goes_on_when_there_is_room_again() {
        let place = place();
        let name = "full_disk::torch::a_run_goes_on_when_there_is_room_again";
        let line = format!("{PRUNE} --epochs 1 --run-dir disk/run --output disk/out.pt");
        let straight = format!("{PRUNE} --epochs 1 --run-dir straight --output straight.pt");
        with_disk(name, &place, |disk| {
            place.done(&straight);
            let mut stopped_after = Vec::new();
            for pages in [0, 1, 8, 20, 30, 36, 44, 52, 60, 76, 92, 120] {
                std::fs::remove_dir_all(place.path("disk/run")).ok();
                std::fs::remove_file(place.path("disk/out.pt")).ok();
                disk.leave(pages * 4096);
                let said = place.run(&line);
                if said.code == 0 {
                    break;
                }
                assert_refused(&said);
                let files = on_disk(&place);
                let temporary = files
                    .keys()
                    .find(|path| path.to_string_lossy().contains(".ckaprune-"));
                assert_eq!(temporary, None, "{said:#?}");
                disk.clear();
                if files.is_empty() {
                    assert!(!place.path("disk/run").exists(), "{said:#?}");
                    place.done(&line);
                } else {
                    let resume = if place.path("disk/out.pt").exists() {
                        "--resume --force"
                    } else {
                        "--resume"
                    };
                    let advice =
                        format!("add `{resume}` to the same command to go on from disk/run");
                    assert!(said.stderr.contains(&advice), "{said:#?}");
                    let run: serde_json::Value =
                        serde_json::from_slice(&place.read("disk/run/run.json")).unwrap();
                    let done = run["iterations"].as_array().unwrap().len();
                    let archives = files
                        .keys()
                        .filter(|p| p.extension().is_some_and(|e| e == "pt"))
                        .filter(|p| !p.ends_with("begun.pt"));
                    let outputs = usize::from(place.path("disk/out.pt").exists());
                    assert_eq!(archives.count(), done + outputs, "{said:#?}");
                    let names = files.keys().filter_map(|p| p.file_name());
                    stopped_after.push(names.map(|n| n.to_owned()).collect::<Vec<_>>());
                    place.done(&format!("{line} {resume}"));
                }
                assert!(
                    place.read("disk/out.pt") == place.read("straight.pt"),
                    "{pages}"
                );
            }
            stopped_after.dedup();
            assert!(
                stopped_after.len() >= 4,
                "too few places to stop: {stopped_after:?}"
            );
        });
    }
}
