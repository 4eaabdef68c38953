//! Programs that are not taken, each with its reason.

use super::*;
use ckaprune::archive::exported::ExportedError;

fn reason(entries: &Entries) -> ExportedError {
    match entries.open() {
        Err(ArchiveError::Exported(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

fn basic() -> Entries {
    Entries::fixture("basic_2_11")
}

#[test]
fn layouts_of_older_versions() {
    // 2.8 wrote weights as one pickle.
    let old = basic()
        .without(WEIGHTS)
        .put("data/weights/model.pt", "pickle");
    assert_eq!(reason(&old), ExportedError::OldLayout);
    // 2.6 had no folder around its entries.
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let entry = "serialized_exported_program.json";
    zip.start_file(entry, SimpleFileOptions::default()).unwrap();
    zip.write_all(b"{}").unwrap();
    let flat = zip.finish().unwrap().into_inner();
    let found = Archive::from_bytes(flat, &Limits::default());
    assert!(matches!(
        found,
        Err(ArchiveError::Exported(ExportedError::OldLayout))
    ));
}

#[test]
fn several_models_none_and_compiled_ones() {
    let second = basic().put("models/other.json", "{}");
    assert_eq!(reason(&second), ExportedError::SeveralModels { found: 2 });
    let none = basic().without(GRAPH);
    assert!(matches!(reason(&none), ExportedError::Missing { .. }));
    let compiled = none.put("data/aotinductor/model/model.so", "ELF");
    assert_eq!(reason(&compiled), ExportedError::Compiled);
}

#[test]
fn another_generation_of_the_schema() {
    let newer = basic().edit(GRAPH, |graph| graph["schema_version"]["major"] = 9.into());
    assert_eq!(reason(&newer), ExportedError::Schema { major: 9, known: 8 });
    // What is newer in the second place alone is taken.
    let minor = basic().edit(GRAPH, |graph| graph["schema_version"]["minor"] = 99.into());
    assert!(minor.open().is_ok());
}

#[test]
fn weights_that_are_pickled_or_no_plain_tensors() {
    let with = |field: &str, value: Value| {
        basic().edit(WEIGHTS, |weights| {
            let weight = &mut weights["config"]["fc.weight"];
            match field {
                "use_pickle" => weight[field] = value,
                _ => weight["tensor_meta"][field] = value,
            }
        })
    };
    let pickled = reason(&with("use_pickle", true.into()));
    assert_eq!(
        pickled,
        ExportedError::Pickled {
            name: "fc.weight".into()
        }
    );
    for (field, value) in [
        ("layout", 1.into()),
        ("dtype", 99.into()),
        ("sizes", json!([{"as_expr": {"expr_str": "s0"}}])),
    ] {
        let found = reason(&with(field, value));
        assert!(
            matches!(found, ExportedError::Weight { .. }),
            "{field}: {found}"
        );
    }
    // A tensor that reaches beyond its file.
    let beyond = with("storage_offset", json!({ "as_int": 1 }));
    assert!(matches!(
        beyond.open(),
        Err(ArchiveError::TensorOutOfBounds { .. })
    ));
    let short = basic().put("data/weights/weight_0", vec![0; 4]);
    assert!(short.open().is_err());
}

#[test]
fn graphs_inside_the_graph() {
    let found = reason(&Entries::fixture("no_grad"));
    assert!(matches!(&found, ExportedError::HigherOrder { target } if target.contains("grad")));
    assert!(
        found.to_string().contains("run_decompositions({})"),
        "{found}"
    );
}

#[test]
fn graphs_that_contradict_themselves() {
    let nodes = |change: fn(&mut Vec<Value>)| {
        basic().edit(GRAPH, |graph| {
            change(
                graph["graph_module"]["graph"]["nodes"]
                    .as_array_mut()
                    .unwrap(),
            );
        })
    };
    for broken in [
        nodes(|nodes| nodes.swap(0, 1)),
        nodes(|nodes| drop(nodes.remove(3))),
        nodes(|nodes| nodes.push(nodes[0].clone())),
        nodes(|nodes| nodes[0]["outputs"] = json!([{ "as_tensor": { "name": "x)\n    evil(" } }])),
    ] {
        let found = reason(&broken);
        assert!(matches!(found, ExportedError::Graph { .. }), "{found}");
    }
    let target = nodes(|nodes| nodes[0]["target"] = "torch.ops.aten.relu(x).default".into());
    assert!(matches!(reason(&target), ExportedError::Operator { .. }));
    let kind = nodes(|nodes| nodes[0]["inputs"][0]["arg"] = json!({ "as_something": 1 }));
    assert!(matches!(reason(&kind), ExportedError::Json { .. }));
    let name = basic().edit(WEIGHTS, |weights| {
        let config = weights["config"].as_object_mut().unwrap();
        let weight = config["fc.weight"].clone();
        config.insert("fc.\"; evil".into(), weight);
    });
    assert!(matches!(reason(&name), ExportedError::Graph { .. }));
}

#[test]
fn documents_that_would_fill_the_memory() {
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    assert!(matches!(
        reason(&basic().put(GRAPH, deep)),
        ExportedError::Json { .. }
    ));
    let limits = Limits {
        json_values: 100,
        ..Limits::default()
    };
    let many = Archive::from_bytes(basic().bytes(), &limits);
    assert!(matches!(
        many,
        Err(ArchiveError::Exported(ExportedError::TooManyValues { .. }))
    ));
    let limits = Limits {
        json_bytes: 1000,
        ..Limits::default()
    };
    let long = Archive::from_bytes(basic().bytes(), &limits);
    assert!(matches!(long, Err(ArchiveError::EntryTooLarge { .. })));
}
