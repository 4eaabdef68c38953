//! The rooms of `src/` stand in an order, and each imports only from those before it. None but the last knows how a
//! command line is read.

use std::fs;
use std::path::{Path, PathBuf};

const ROOMS: [&str; 10] = [
    "program", "archive", "blocks", "data", "report", "run", "score", "train", "prune", "cli",
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

#[test]
fn every_room_imports_only_from_rooms_before_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut seen = [false; ROOMS.len()];
    for file in files(&source) {
        let name = file.strip_prefix(&source).unwrap().display().to_string();
        let Some(own) = name.split_once('/').map(|(room, _)| place(room)) else {
            assert!(
                ["lib.rs", "main.rs"].contains(&name.as_str()),
                "{name} is in no room"
            );
            continue;
        };
        let own = own.unwrap_or_else(|| panic!("{name} is in a room that the list lacks"));
        seen[own] = true;
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for path in code.split("crate::").skip(1) {
                let room: String = path.chars().take_while(|c| c.is_alphanumeric()).collect();
                let other = place(&room);
                let other = other.unwrap_or_else(|| panic!("{name}: {line}"));
                assert!(other <= own, "{name}:{}: {line}", number + 1);
            }
        }
    }
    assert_eq!(seen, [true; ROOMS.len()]);
}

#[test]
fn only_the_command_line_knows_of_clap() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let cli = source.join("cli");
    for file in files(&source).iter().filter(|f| !f.starts_with(&cli)) {
        let text = fs::read_to_string(file).unwrap();
        let line = text.lines().find(|line| line.contains("clap"));
        assert_eq!(line, None, "{}", file.display());
    }
}
