//! The rooms of `src/` stand in an order, and each imports only from those before it. None but the last knows how a
//! command line is read.

use std::collections::{BTreeMap, BTreeSet};
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

/// The module of a file: its path without what all have in common.
fn module(source: &Path, file: &Path) -> String {
    let name = file.strip_prefix(source).unwrap().with_extension("");
    let name = name.to_str().unwrap().replace('/', "::");
    name.strip_suffix("::mod").unwrap_or(&name).to_owned()
}

/// A path as code of the module `own` writes it, from the crate's root; `None` if it does not begin with a module.
fn from_root(path: &str, own: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let ups = path.split("::").take_while(|part| *part == "super").count();
    let kept = own.split("::").count().checked_sub(ups)?;
    let parts = own.split("::").take(kept);
    (ups > 0).then(|| {
        let parts: Vec<&str> = parts.chain(path.split("::").skip(ups)).collect();
        parts.join("::")
    })
}

/// The modules that each one's code names; not those it lies in or that lie in it.
fn imports(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let files = files(source);
    let mut imports: BTreeMap<String, BTreeSet<String>> = files
        .iter()
        .map(|file| (module(source, file), BTreeSet::new()))
        .collect();
    let modules: BTreeSet<String> = imports.keys().cloned().collect();
    let lies_in = |a: &str, b: &str| a == b || a.starts_with(&format!("{b}::"));
    for file in files {
        let own = module(source, &file);
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        let words = lines
            .flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')));
        for path in words.filter_map(|word| from_root(word, &own)) {
            let mut named = path.as_str();
            while !modules.contains(named) && !named.is_empty() {
                named = named.rsplit_once("::").map_or("", |(outer, _)| outer);
            }
            if !named.is_empty() && !lies_in(&own, named) && !lies_in(named, &own) {
                imports.get_mut(&own).unwrap().insert(named.to_owned());
            }
        }
    }
    imports
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut left = imports(&source);
    assert!(left.values().map(BTreeSet::len).sum::<usize>() > 500);
    // What imports nothing of what is left is in no circle.
    loop {
        let before = left.len();
        let names: BTreeSet<String> = left.keys().cloned().collect();
        left.retain(|_, imports| !imports.is_disjoint(&names));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "circles among {:?}", left.keys());
}
