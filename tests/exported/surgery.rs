//! Blocks cut out of the graph.

use super::*;
use ckaprune::blocks::patch::Patch;

fn removed(entries: &Entries, paths: &[&str], granularity: Granularity) -> Entries {
    let archive = entries.open().unwrap();
    let analysis = analysis(&archive, granularity);
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let patch = Patch::remove(&analysis, &paths).unwrap();
    let patched = patch.apply(&archive, &analysis).unwrap();
    Entries::of(&patched.to_bytes().unwrap())
}

/// All texts in a document, keys among them.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => {
            for (key, field) in fields {
                found.push(key.clone());
                texts(field, found);
            }
        }
        _ => {}
    }
}

fn texts_of(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    texts(value, &mut found);
    found
}

#[test]
fn nothing_speaks_of_a_block_that_is_gone() {
    for (name, block) in [
        ("basic_exported", "stage1.1"),
        ("strict", "stage2.1"),
        ("signatures", "stage1.1"),
        ("inplace_exported", "layer1.2"),
        ("static", "stage1.0"),
    ] {
        let before = Entries::fixture(name);
        let after = removed(&before, &[block], Granularity::Block);
        for document in [GRAPH, WEIGHTS] {
            let spoken = texts_of(&after.json(document));
            let speaks = |text: &&String| {
                text.split([',', ';']).any(|part| {
                    part.strip_prefix("L__self__")
                        .unwrap_or(part)
                        .starts_with(block)
                })
            };
            // Strict programs name modules by numbers in keys; their paths say the same.
            let found: Vec<&String> = spoken.iter().filter(speaks).collect();
            assert!(found.is_empty(), "{name}, {document}: {found:?}");
        }
        let files = |entries: &Entries| {
            let names = entries.names().into_iter();
            names
                .filter(|n| n.starts_with("data/weights/weight_"))
                .count()
        };
        let config = after.json(WEIGHTS)["config"].as_object().unwrap().len();
        assert_eq!(files(&after), config, "{name}");
        assert!(files(&after) < files(&before), "{name}");
        // Two convolutions or three, with what normalises them.
        let values = after.graph()["graph_module"]["graph"]["tensor_values"].clone();
        let nodes = after.graph()["graph_module"]["graph"]["nodes"].clone();
        let said = texts_of(&nodes);
        let inputs = texts_of(&after.graph()["graph_module"]["graph"]["inputs"]);
        for value in values.as_object().unwrap().keys() {
            assert!(
                said.contains(value) || inputs.contains(value),
                "{name}: {value}"
            );
        }
    }
}

#[test]
fn what_nobody_here_knows_stays_in_the_file() {
    let strange = Entries::fixture("basic_2_11")
        .edit(GRAPH, |graph| {
            graph["later"] = json!({ "a": [1, 2.5, null], "b": "text" });
            let nodes = graph["graph_module"]["graph"]["nodes"]
                .as_array_mut()
                .unwrap();
            for node in nodes {
                node["newer"] = json!({ "number": 1e-7 });
            }
        })
        .put("extra/notes.txt", "kept");
    let after = removed(&strange, &["stage1.1"], Granularity::Block);
    assert_eq!(after.get("extra/notes.txt"), Some(&b"kept"[..]));
    let graph = after.graph();
    assert_eq!(graph["later"], json!({ "a": [1, 2.5, null], "b": "text" }));
    let nodes = graph["graph_module"]["graph"]["nodes"].as_array().unwrap();
    assert!(nodes.iter().all(|node| node["newer"]["number"] == 1e-7));
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(
        keys(&graph),
        keys(&strange.graph()),
        "fields keep their order"
    );
}

#[test]
fn weights_that_others_share_stay() {
    let tied = removed(&Entries::fixture("tied"), &["stage1.1"], Granularity::Block);
    let config = tied.json(WEIGHTS);
    let of = |name: &str| config["config"][name]["path_name"].clone();
    assert_eq!(of("fc.weight"), of("mix.weight"));
    assert!(
        tied.get(&format!(
            "data/weights/{}",
            of("fc.weight").as_str().unwrap()
        ))
        .is_some()
    );
}

#[test]
fn removals_one_after_another_are_those_at_once() {
    let both = removed(
        &Entries::fixture("basic_exported"),
        &["stage1.1", "stage2.1"],
        Granularity::Block,
    );
    let first = removed(
        &Entries::fixture("basic_exported"),
        &["stage2.1"],
        Granularity::Block,
    );
    let second = removed(&first, &["stage1.1"], Granularity::Block);
    for document in [GRAPH, WEIGHTS] {
        assert_eq!(second.json(document), both.json(document));
    }
}

#[test]
fn halves_of_blocks_are_cut_as_blocks_are() {
    let before = Entries::fixture("sized");
    let archive = before.open().unwrap();
    let found = analysis(&archive, Granularity::Fine);
    let paths: Vec<&str> = found.blocks.iter().map(|b| b.path.as_str()).collect();
    let after = removed(&before, &paths[..1], Granularity::Fine);
    assert!(after.open().is_ok());
}
