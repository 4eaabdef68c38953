//! What is written: everything that was there, less what an edit made untrue.

use std::io::{Cursor, Error, Seek, SeekFrom, Write};

use ckaprune::archive::{Adoption, Archive, ArchiveError, PickleError, Section};

use super::build::*;
use super::common::entries;

fn names(archive: &Archive) -> Vec<String> {
    entries(&archive.to_bytes().unwrap())
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

fn has(archive: &Archive, name: &str) -> bool {
    names(archive).contains(&format!("net/{name}"))
}

#[test]
fn an_unedited_archive_keeps_every_entry_in_order() {
    let before = Files::net().zip();
    let after = open(before.clone()).unwrap().to_bytes().unwrap();
    assert_eq!(entries(&after), entries(&before));
}

#[test]
fn an_archive_is_read_as_it_was_built() {
    let archive = Files::net().open().unwrap();
    assert_eq!(archive.version(), 3);
    let sources: Vec<_> = archive.sources().map(|(name, _)| name).collect();
    assert_eq!(sources, ["code/__torch__.py", "code/__torch__/nn.py"]);
    assert_eq!(
        archive.source("code/__torch__/nn.py"),
        Some("class Fc(Module):\n  pass\n")
    );
    assert_eq!(
        archive.data().class_name(archive.data().root()).unwrap(),
        "__torch__.Net"
    );
    assert_eq!(archive.storage(Section::Data, "0").unwrap(), [1; 24]);
    assert_eq!(archive.storage(Section::Constants, "0").unwrap(), [3; 8]);
}

#[test]
fn an_open_archive_outlives_a_new_file_put_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (path, newer) = (folder.path().join("net.pt"), folder.path().join("newer"));
    std::fs::write(&path, Files::net().zip()).unwrap();
    let archive = Archive::open(&path).unwrap();
    std::fs::write(&newer, b"something else").unwrap();
    // Windows does not let an open file be replaced, which keeps the promise as well.
    let _ = std::fs::rename(&newer, &path);
    assert_eq!(archive.storage(Section::Data, "0").unwrap(), [1; 24]);
}

#[test]
fn an_archive_without_constants_has_none_and_gets_none() {
    let archive = Files::net()
        .without("constants/0")
        .without("constants.pkl")
        .open()
        .unwrap();
    assert_eq!(
        archive.constants().items(archive.constants().root()),
        Some(&[][..])
    );
    assert!(!has(&archive, "constants.pkl"));
}

#[test]
fn equal_archives_are_equal_bytes() {
    let archive = Files::net().open().unwrap();
    assert_eq!(
        archive.to_bytes().unwrap(),
        archive.clone().to_bytes().unwrap()
    );
}

#[test]
fn weights_are_stored_uncompressed_and_aligned_for_mapping() {
    let mut files = Files::net().without("data/0");
    files.deflate("data/0", &[1; 24]);
    let bytes = files.open().unwrap().to_bytes().unwrap();
    let mut zip = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
    for name in ["net/data/0", "net/data/1", "net/constants/0"] {
        let entry = zip.by_name(name).unwrap();
        assert_eq!(
            entry.compression(),
            zip::CompressionMethod::Stored,
            "{name}"
        );
        assert_eq!(entry.data_start().unwrap() % 64, 0, "{name}");
    }
}

#[test]
fn a_removed_layer_takes_its_weights_along() {
    let mut archive = Files::net().open().unwrap();
    let root = archive.data().root();
    assert!(archive.data_mut().remove_attribute(root, "fc"));
    assert!(!has(&archive, "data/1"));
    assert!(has(&archive, "data/0"));
    open(archive.to_bytes().unwrap()).unwrap();
}

#[test]
fn an_edited_source_forgets_its_positions_and_the_stale_id() {
    let mut archive = Files::net()
        .with("bytecode.pkl", b"\x80\x02).")
        .open()
        .unwrap();
    archive.set_source(
        "code/__torch__/nn.py",
        "class Fc(Module):\n  x : int\n".into(),
    );
    archive.set_source(
        "code/__torch__/new.py",
        "class New(Module):\n  pass\n".into(),
    );
    let written = names(&archive);
    for gone in [
        "code/__torch__/nn.py.debug_pkl",
        ".data/serialization_id",
        "bytecode.pkl",
    ] {
        assert!(!written.contains(&format!("net/{gone}")), "{gone}");
    }
    assert!(has(&archive, "code/__torch__.py.debug_pkl"));
    let again = open(archive.to_bytes().unwrap()).unwrap();
    assert!(archive.sources().eq(again.sources()));
}

#[test]
fn setting_a_source_to_what_it_is_changes_nothing() {
    let mut archive = Files::net().open().unwrap();
    let before = archive.to_bytes().unwrap();
    archive.set_source(
        "code/__torch__.py",
        archive.source("code/__torch__.py").unwrap().to_owned(),
    );
    assert_eq!(archive.to_bytes().unwrap(), before);
}

#[test]
fn a_removed_source_is_gone_with_its_positions() {
    let mut archive = Files::net().open().unwrap();
    assert!(archive.remove_source("code/__torch__/nn.py"));
    assert!(!archive.remove_source("code/__torch__/nn.py"));
    assert!(!has(&archive, "code/__torch__/nn.py"));
    assert!(!has(&archive, "code/__torch__/nn.py.debug_pkl"));
}

#[test]
fn new_weights_are_written_in_place_of_the_old() {
    let mut archive = Files::net().open().unwrap();
    archive.set_storage(Section::Data, "1", vec![9; 8]).unwrap();
    assert_eq!(archive.storage(Section::Data, "1").unwrap(), [9; 8]);
    let again = open(archive.to_bytes().unwrap()).unwrap();
    assert_eq!(again.storage(Section::Data, "1").unwrap(), [9; 8]);
    assert_eq!(again.storage(Section::Data, "0").unwrap(), [1; 24]);
}

#[test]
fn an_adopted_constant_is_stored_aligned_before_the_pickle_that_names_it() {
    let mut archive = Files::net().open().unwrap();
    let adoption = Adoption {
        constant: 0,
        requires_grad: false,
    };
    let nodes = archive.adopt_constants(&[adoption, adoption]).unwrap();
    let root = archive.data().root();
    for (name, node) in ["first", "second"].into_iter().zip(nodes) {
        archive.data_mut().set_attribute(root, name, node);
    }
    archive.set_storage(Section::Data, "3", vec![9; 8]).unwrap();
    let bytes = archive.to_bytes().unwrap();
    let found: Vec<String> = entries(&bytes).into_iter().map(|(n, _)| n).collect();
    assert_eq!(
        found[..5],
        [
            "net/data/0",
            "net/data/1",
            "net/data/2",
            "net/data/3",
            "net/data.pkl"
        ]
    );
    let mut zip = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
    for name in ["net/data/2", "net/data/3"] {
        assert_eq!(zip.by_name(name).unwrap().data_start().unwrap() % 64, 0);
    }
    let again = open(bytes).unwrap();
    assert_eq!(again.storage(Section::Data, "2").unwrap(), [3; 8]);
    assert_eq!(again.storage(Section::Data, "3").unwrap(), [9; 8]);
}

#[test]
fn constants_that_share_a_storage_share_it_after_adoption() {
    let view = |offset| tensor("LongStorage", "0", 1, offset, &[], &[]);
    let constants = program(&tuple(&[view(0), view(0)]));
    let files = Files::net().with("constants.pkl", &constants);
    let mut archive = files.open().unwrap();
    let adoptions = [0, 1].map(|constant| Adoption {
        constant,
        requires_grad: true,
    });
    let nodes = archive.adopt_constants(&adoptions).unwrap();
    let storage = |node| archive.data().tensor(node).unwrap().unwrap().storage;
    assert_eq!(
        nodes.into_iter().map(storage).collect::<Vec<_>>(),
        ["2", "2"]
    );
}

#[test]
fn an_edited_pickle_opens_again_with_the_same_tensors() {
    let mut archive = Files::net().open().unwrap();
    let root = archive.data().root();
    let weight = archive.data().attribute(root, "weight").unwrap();
    archive.data_mut().set_attribute(root, "tied", weight);
    let again = open(archive.to_bytes().unwrap()).unwrap();
    let data = again.data();
    let tied = data.attribute(data.root(), "tied").unwrap();
    assert_eq!(data.attribute(data.root(), "weight"), Some(tied));
    assert_eq!(data.tensor(tied).unwrap().unwrap().shape, [2, 3]);
}

#[test]
fn a_graph_that_cannot_be_read_back_is_not_written() {
    let mut archive = Files::net().open().unwrap();
    let root = archive.data().root();
    archive.data_mut().set_attribute(root, "me", root);
    let error = archive.to_bytes().unwrap_err();
    assert!(
        matches!(
            error,
            ArchiveError::Pickle {
                source: PickleError::Cycle,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_full_disk_is_a_write_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(Error::other("no space left"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Seek for Full {
        fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
            Ok(0)
        }
    }
    let error = Files::net().open().unwrap().write_to(Full).unwrap_err();
    assert!(matches!(error, ArchiveError::Write(_)), "{error:?}");
}

/// libtorch writes a zip64 end record into every file, however small.
fn with_zip64_end_record(mut zip: Vec<u8>) -> Vec<u8> {
    let end = zip.len() - 22;
    let number = |at: usize, width: usize| {
        let mut bytes = [0; 8];
        bytes[..width].copy_from_slice(&zip[at..at + width]);
        u64::from_le_bytes(bytes)
    };
    let (entries, size, start) = (
        number(end + 10, 2),
        number(end + 12, 4),
        number(end + 16, 4),
    );
    let mut record = b"PK\x06\x06".to_vec();
    record.extend(44u64.to_le_bytes());
    record.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for value in [entries, entries, size, start] {
        record.extend(value.to_le_bytes());
    }
    record.extend(b"PK\x06\x07\0\0\0\0");
    record.extend((end as u64).to_le_bytes());
    record.extend(1u32.to_le_bytes());
    zip.splice(end..end, record);
    zip
}

#[test]
fn a_zip64_end_record_as_long_as_the_first_directory_entry_does_not_hide_that_entry() {
    let mut files = Files::net();
    // 46 bytes of header and 30 of name are the 76 bytes of the zip64 record and its locator.
    let name = "code/__torch__/thirty_byte";
    files.0.insert(
        0,
        (
            format!("net/{name}"),
            b"x".to_vec(),
            zip::CompressionMethod::Stored,
        ),
    );
    assert_eq!(files.0[0].0.len(), 30);
    let archive = open(with_zip64_end_record(files.zip())).unwrap();
    assert!(has(&archive, name));
}
