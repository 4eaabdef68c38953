//! Programs of `torch.export`: the networks of the TorchScript archives beside them, read, cut and written.

#[path = "../common/mod.rs"]
mod common;
mod refusals;
mod surgery;

use std::io::{Cursor, Write};
use std::path::PathBuf;

use ckaprune::archive::{Archive, ArchiveError, Limits};
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::{Granularity, Search};
use ckaprune::report::BlockReport;
use common::{FIXTURE_INPUT, files, fixture, open};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Networks that there are as TorchScript too.
const NETWORKS: [&str; 7] = [
    "basic", "inplace", "preact", "halves", "postnorm", "branch", "dropout",
];

fn program(name: &str) -> PathBuf {
    fixture(&format!("exported/{name}.pt2"))
}

fn analysis(archive: &Archive, granularity: Granularity) -> Analysis {
    let search = Search {
        granularity,
        ..Search::default()
    };
    let request = Request {
        search,
        ..Request::shape(&FIXTURE_INPUT)
    };
    Analysis::of(archive, &request).unwrap()
}

/// The entries of a file in the making, by their names below the root folder.
#[derive(Clone)]
struct Entries(Vec<(String, Vec<u8>)>);

impl Entries {
    fn of(bytes: &[u8]) -> Self {
        let below = |name: String| name.split_once('/').unwrap().1.to_owned();
        let all = common::entries(bytes).into_iter();
        Entries(all.map(|(name, bytes)| (below(name), bytes)).collect())
    }

    fn fixture(name: &str) -> Self {
        Self::of(&std::fs::read(program(name)).unwrap())
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(entry, _)| entry == name);
        found.map(|(_, bytes)| bytes.as_slice())
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(self.get(name).unwrap()).unwrap()
    }

    fn graph(&self) -> Value {
        self.json(GRAPH)
    }

    fn put(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.retain(|(entry, _)| entry != name);
        self.0.push((name.to_owned(), bytes.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(entry, _)| entry != name);
        self
    }

    /// With a document changed.
    fn edit(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut document = self.json(name);
        change(&mut document);
        self.put(name, document.to_string())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in &self.0 {
            zip.start_file(format!("net/{name}"), SimpleFileOptions::default())
                .unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn open(&self) -> Result<Archive, ArchiveError> {
        Archive::from_bytes(self.bytes(), &Limits::default())
    }
}

const GRAPH: &str = "models/model.json";
const WEIGHTS: &str = "data/weights/model_weights_config.json";

/// Blocks, parameters and MACs, as `inspect` has them.
fn inspected(analysis: &Analysis) -> Value {
    json!({
        "params": analysis.params(),
        "macs": analysis.macs().count,
        "exact": analysis.macs().exact,
        "blocks": BlockReport::all(analysis),
    })
}

#[test]
fn the_same_network_is_the_same_whichever_way_it_was_exported() {
    for name in NETWORKS {
        // Of this one there is no scripted form.
        let form = if name == "dropout" {
            "traced"
        } else {
            "scripted"
        };
        let script = open(&fixture(&format!("{name}_{form}.pt")));
        let exported = open(&program(&format!("{name}_exported")));
        assert!(exported.is_exported() && !script.is_exported());
        for granularity in Granularity::ALL {
            let [found, expected] =
                [&exported, &script].map(|archive| inspected(&analysis(archive, granularity)));
            assert_eq!(found, expected, "{name}, {granularity:?}");
        }
    }
}

#[test]
fn versions_of_the_format_say_the_same() {
    let of = |version: &str| {
        let archive = open(&program(&format!("basic_{version}")));
        inspected(&analysis(&archive, Granularity::Block))
    };
    for version in ["2_9", "2_15"] {
        assert_eq!(of(version), of("2_11"), "{version}");
    }
}

#[test]
fn every_program_is_read_and_written_again_as_it_was() {
    for path in files(&fixture("exported"), "pt2") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "no_grad" {
            continue;
        }
        let bytes = open(&path).to_bytes().unwrap();
        let [before, after] = [std::fs::read(&path).unwrap(), bytes].map(|b| Entries::of(&b));
        for (entry, content) in &before.0 {
            if entry.starts_with(".data/") {
                continue;
            }
            if entry.ends_with(".json") {
                assert_eq!(after.json(entry), before.json(entry), "{name}: {entry}");
            } else {
                assert_eq!(after.get(entry), Some(&content[..]), "{name}: {entry}");
            }
        }
    }
}

#[test]
fn the_size_of_images_is_that_of_the_export() {
    for name in ["basic_exported", "static", "tuple", "halves_exported"] {
        let archive = open(&program(name));
        assert_eq!(
            archive.example_shape(),
            Some(FIXTURE_INPUT.to_vec()),
            "{name}"
        );
        let analysis = Analysis::of(&archive, &Request::default()).unwrap();
        assert_eq!(analysis.input_shape, FIXTURE_INPUT, "{name}");
        assert!(!analysis.shape_guessed, "{name}");
    }
    assert_eq!(open(&fixture("basic_scripted.pt")).example_shape(), None);
    // Behind another input, and where the program says nothing of it.
    let steps = open(&program("steps"));
    assert_eq!(steps.example_shape(), Some(FIXTURE_INPUT.to_vec()));
    let basic = Entries::fixture("basic_exported");
    let of_height = |height: Value| {
        let mut graph = basic.json(GRAPH);
        graph["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][2] = height;
        let edited = basic.clone().put(GRAPH, graph.to_string());
        edited.open().unwrap().example_shape()
    };
    let open_size = |hint: Value| json!({"as_expr": {"expr_str": "s1", "hint": hint}});
    assert_eq!(
        of_height(open_size(json!({"as_int": 9}))),
        Some(vec![3, 9, 8])
    );
    assert_eq!(of_height(open_size(Value::Null)), None);
    assert_eq!(of_height(json!({"as_int": -8})), None);
}

#[test]
fn a_module_that_runs_twice_is_one_module() {
    let twice = analysis(&open(&program("twice")), Granularity::Block);
    let blocks = BlockReport::all(&twice);
    let again: Vec<&BlockReport> = blocks.iter().filter(|b| b.path == "stage1.1").collect();
    assert_eq!(again.len(), 2);
    for block in again {
        let reason = block.reason.as_deref().unwrap_or_default();
        assert!(reason.contains("runs more than once"), "{reason}");
    }
}

#[test]
fn weights_that_are_tied_are_one() {
    let tied = open(&program("tied"));
    let [fc, mix] = ["fc", "mix"].map(|module| {
        let object = tied.object(module).unwrap();
        let weight = tied.data().attribute(object, "weight").unwrap();
        tied.data().tensor(weight).unwrap().unwrap().storage
    });
    assert_eq!(fc, mix);
    // 5 × 8 elements counted once.
    let params = analysis(&tied, Granularity::Block).params();
    assert_eq!(params, 3114);
}
