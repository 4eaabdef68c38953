//! Every lie a file can tell has its own answer.

use std::path::Path;

use ckaprune::archive::exported::ExportedError;
use ckaprune::archive::{Archive, ArchiveError, Limits, PickleError, Section};

use super::build::*;

/// Asserts that opening gives the error variant, and hands back nothing else.
macro_rules! refused {
    ($result:expr, $variant:pat $(if $guard:expr)?) => {
        match $result {
            Err($variant) $(if $guard)? => {}
            Err(other) => panic!("expected {}, got {other:?}", stringify!($variant)),
            Ok(_) => panic!("expected {}, but it was accepted", stringify!($variant)),
        }
    };
}

fn refused_pickle(body: &[u8]) -> PickleError {
    match Files::with_data(body).open() {
        Err(ArchiveError::Pickle { entry, source }) if entry == "data.pkl" => source,
        other => panic!("expected a pickle error, got {other:?}"),
    }
}

fn limited(files: &Files, change: impl FnOnce(&mut Limits)) -> Result<Archive, ArchiveError> {
    let mut limits = Limits::default();
    change(&mut limits);
    Archive::from_bytes(files.zip(), &limits)
}

// Other kinds of file.

#[test]
fn a_missing_file_is_an_io_error() {
    refused!(
        Archive::open(Path::new("no/such/model.pt")),
        ArchiveError::Io(_)
    );
}

#[test]
fn text_is_not_an_archive() {
    refused!(open(b"weights: 3".to_vec()), ArchiveError::NotAnArchive);
    refused!(open(Vec::new()), ArchiveError::NotAnArchive);
}

#[test]
fn a_bare_pickle_is_told_apart() {
    refused!(open(program(b"}")), ArchiveError::LegacyPickle);
}

#[test]
fn a_state_dict_is_told_apart_and_the_message_says_what_to_do() {
    let error = Files::net().without("code/").open().unwrap_err();
    assert!(matches!(error, ArchiveError::WeightsOnly), "{error:?}");
    assert!(
        error.to_string().contains("torch.jit.script(model).save"),
        "{error}"
    );
}

#[test]
fn an_exported_program_is_told_apart() {
    let archive = || Files::net();
    refused!(
        archive().with("models/model.json", b"{}").open(),
        ArchiveError::Exported(ExportedError::OldLayout)
    );
    refused!(
        archive().with("archive_format", b"pt2").open(),
        ArchiveError::Exported(ExportedError::Missing { .. })
    );
    let mut flat = Files(Vec::new());
    flat.put("serialized_exported_program.json", b"{}");
    flat.0[0].0 = "serialized_exported_program.json".into();
    refused!(
        flat.open(),
        ArchiveError::Exported(ExportedError::OldLayout)
    );
}

#[test]
fn the_layout_before_pickles_is_told_apart() {
    refused!(
        Files::net()
            .without("data.pkl")
            .with("model.json", b"{}")
            .open(),
        ArchiveError::OldLayout
    );
}

// The zip container.

#[test]
fn a_file_cut_anywhere_is_refused_without_a_panic() {
    let zip = Files::net().zip();
    for len in 4..zip.len() {
        refused!(open(zip[..len].to_vec()), ArchiveError::Truncated);
    }
}

#[test]
fn a_damaged_byte_anywhere_never_panics() {
    let zip = Files::net().zip();
    for at in 0..zip.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut damaged = zip.clone();
            damaged[at] ^= mask;
            if let Ok(archive) = open(damaged) {
                let _ = archive.storage(Section::Data, "0");
                let _ = archive.to_bytes();
            }
        }
    }
}

#[test]
fn a_damaged_directory_is_not_called_truncated() {
    let mut zip = Files::net().zip();
    let at = directory_header(&zip, "net/data/0");
    zip[at] = 0;
    refused!(open(zip), ArchiveError::CorruptZip { .. });
}

#[test]
fn names_that_leave_the_archive_are_refused() {
    let mut files = Files::net();
    files.put("12345678", b"");
    let unsafe_names = [
        b"net/../ata/0",
        b"/etc/passwdx",
        b"net//data/00",
        b"net/./data/0",
        b"net\\data/000",
        b"net/\xff\xffta/000",
        b"net/\x1b[2Jxx00",
    ];
    for name in unsafe_names {
        let mut zip = files.zip();
        let at = directory_header(&zip, "net/12345678") + 46;
        zip[at..at + 12].copy_from_slice(name);
        refused!(open(zip), ArchiveError::UnsafeName { .. });
    }
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let mut zip = Files::net().zip();
    let at = directory_header(&zip, "net/data/1") + 46;
    zip[at..at + 10].copy_from_slice(b"net/data/0");
    refused!(open(zip), ArchiveError::DuplicateNames);
}

/// Opens an archive after a change of one of its two headers of `net/data/1`, at a place counted in that header.
fn with_header(
    header: fn(&[u8], &str) -> usize,
    at: usize,
    new: &[u8],
) -> Result<Archive, ArchiveError> {
    let mut zip = Files::net().zip();
    let at = header(&zip, "net/data/1") + at;
    zip[at..at + new.len()].copy_from_slice(new);
    open(zip)
}

#[test]
fn an_entry_whose_own_header_contradicts_the_directory_is_refused() {
    // Name, method, checksum, sizes.
    for (at, new) in [
        (30, &b"net/data/2"[..]),
        (8, &[8]),
        (14, &[0; 4]),
        (18, &[7]),
        (22, &[7]),
    ] {
        let name = format!("byte {at}");
        let result = with_header(local_header, at, new);
        assert!(
            matches!(result, Err(ArchiveError::Contradiction { .. })),
            "{name}: {result:?}"
        );
    }
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let zip = Files::net().zip();
    let first = u32::try_from(local_header(&zip, "net/data/0")).unwrap();
    let mut shared = zip.clone();
    // The directory's header of the second entry leads to the first entry, and says all that this one's own says.
    let (one, two) = (
        directory_header(&zip, "net/data/0"),
        directory_header(&zip, "net/data/1"),
    );
    let sizes = shared[one + 16..one + 28].to_vec();
    shared[two + 16..two + 28].copy_from_slice(&sizes);
    shared[two + 42..two + 46].copy_from_slice(&first.to_le_bytes());
    refused!(open(shared), ArchiveError::Contradiction { .. });
}

#[test]
fn an_entry_that_the_directory_leaves_out_is_refused() {
    let mut files = Files::net();
    let hidden = b"PK\x03\x04\x0a\0\0\0\0\0\0\0\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\x0a\0\0\0net/hidden";
    files.put("zz", b"");
    let mut zip = files.zip();
    // Between the last entry and the directory, whose place the end record has to name anew.
    let directory = zip
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    zip.splice(directory..directory, hidden.iter().copied());
    let end = zip
        .windows(4)
        .position(|bytes| bytes == b"PK\x05\x06")
        .unwrap();
    let moved = u32::try_from(directory + hidden.len()).unwrap();
    zip[end + 16..end + 20].copy_from_slice(&moved.to_le_bytes());
    refused!(open(zip), ArchiveError::Contradiction { detail } if detail.contains("missing from central directory"));
}

#[test]
fn all_entries_lie_in_one_root_folder() {
    let mut files = Files::net();
    files.put("extra", b"");
    files.0.last_mut().unwrap().0 = "other/extra".into();
    refused!(files.open(), ArchiveError::SeveralRoots { first, second } if (&*first, &*second) == ("net", "other"));
    files.0.last_mut().unwrap().0 = "extra".into();
    refused!(files.open(), ArchiveError::OutsideRoot { name } if name == "extra");
}

#[test]
fn an_encrypted_entry_is_refused() {
    let mut zip = Files::net().zip();
    let (local, central) = (
        local_header(&zip, "net/version"),
        directory_header(&zip, "net/version"),
    );
    zip[local + 6] |= 1;
    zip[central + 8] |= 1;
    refused!(open(zip), ArchiveError::Encrypted { entry } if entry == "version");
}

#[test]
fn a_compression_other_than_deflate_is_refused() {
    let mut zip = Files::net().zip();
    let (local, central) = (
        local_header(&zip, "net/version"),
        directory_header(&zip, "net/version"),
    );
    zip[local + 8] = 12;
    zip[central + 10] = 12;
    refused!(open(zip), ArchiveError::UnsupportedCompression { entry, .. } if entry == "version");
}

#[test]
fn a_flipped_bit_in_the_weights_is_noticed() {
    let mut zip = Files::net().zip();
    let data = zip.windows(24).position(|bytes| bytes == [1; 24]).unwrap();
    zip[data + 5] ^= 4;
    let archive = open(zip).unwrap();
    refused!(archive.storage(Section::Data, "0"), ArchiveError::CorruptEntry { entry, .. } if entry == "data/0");
}

/// Opens an archive with a source file of 1 MiB whose header says `declared`.
fn with_declared_size(declared: u32) -> Result<Archive, ArchiveError> {
    let mut files = Files::net();
    files.deflate("code/long.py", &vec![b' '; 1 << 20]);
    let mut zip = files.zip();
    let places = [
        directory_header(&zip, "net/code/long.py") + 24,
        local_header(&zip, "net/code/long.py") + 22,
    ];
    for at in places {
        zip[at..at + 4].copy_from_slice(&declared.to_le_bytes());
    }
    open(zip)
}

#[test]
fn an_entry_longer_than_its_header_says_is_refused() {
    refused!(with_declared_size(9), ArchiveError::CorruptEntry { entry, .. } if entry == "code/long.py");
}

#[test]
fn an_entry_shorter_than_its_header_says_is_refused() {
    refused!(
        with_declared_size(1 << 21),
        ArchiveError::EntrySize {
            declared: 0x20_0000,
            ..
        }
    );
}

#[test]
fn a_bomb_of_zeros_meets_the_cap() {
    let mut files = Files::net().without("data/0");
    files.deflate("data/0", &vec![0; 1 << 20]);
    refused!(
        limited(&files, |limits| limits.inflated_bytes = 1 << 16),
        ArchiveError::EntryTooLarge { limit: 0x10000, .. }
    );
}

#[test]
fn each_cap_of_the_container_holds() {
    let files = Files::net();
    refused!(
        limited(&files, |limits| limits.entries = 11),
        ArchiveError::TooManyEntries {
            found: 12,
            limit: 11
        }
    );
    refused!(limited(&files, |limits| limits.entry_bytes = 23), ArchiveError::EntryTooLarge { entry, .. } if entry == "data/0");
    refused!(
        limited(&files, |limits| limits.total_bytes = 300),
        ArchiveError::ArchiveTooLarge { limit: 300 }
    );
    refused!(
        limited(&files, |limits| limits.source_bytes = 30),
        ArchiveError::SourcesTooLarge { limit: 30 }
    );
    refused!(limited(&files, |limits| limits.pickle_bytes = 30), ArchiveError::EntryTooLarge { entry, .. } if entry == "data.pkl");
}

// The archive in it.

#[test]
fn what_every_archive_has_is_asked_for() {
    refused!(Files::net().without("data.pkl").open(), ArchiveError::MissingEntry { entry } if entry == "data.pkl");
    refused!(Files::net().without("version").open(), ArchiveError::MissingEntry { entry } if entry == "version");
}

#[test]
fn words_about_the_format_are_checked() {
    refused!(Files::net().with("version", b"three").open(), ArchiveError::BadVersion { found } if found == "three");
    refused!(
        Files::net().with("byteorder", b"big").open(),
        ArchiveError::BigEndian
    );
}

#[test]
fn source_that_is_not_text_is_refused() {
    refused!(Files::net().with("code/x.py", b"\xff").open(), ArchiveError::SourceNotText { entry } if entry == "code/x.py");
}

#[test]
fn a_pickle_of_something_else_than_a_module_is_refused() {
    refused!(Files::with_data(b"}").open(), ArchiveError::RootNotModule);
}

#[test]
fn a_pickle_that_would_run_something_is_refused_by_name() {
    let error = refused_pickle(&call("os", "system", &[text("true")]));
    assert_eq!(
        error,
        PickleError::Global {
            name: "os.system".into()
        }
    );
}

// Tensors.

fn with_tensor(tensor: Vec<u8>) -> Result<Archive, ArchiveError> {
    Files::with_data(&object("__torch__", "Net", &[("weight", tensor)])).open()
}

#[test]
fn a_tensor_stays_within_its_storage() {
    let cases: [(i64, &[i64], &[i64]); 6] = [
        (0, &[7], &[1]),
        (1, &[2, 3], &[3, 1]),
        (0, &[2, 3], &[4, 1]),
        (i64::MAX, &[2], &[i64::MAX]),
        (0, &[i64::MAX, i64::MAX, i64::MAX], &[0, 0, 0]),
        (7, &[0], &[1]),
    ];
    for (offset, shape, strides) in cases {
        let tensor = tensor("FloatStorage", "0", 6, offset, shape, strides);
        refused!(with_tensor(tensor), ArchiveError::TensorOutOfBounds { storage, len: 6, .. } if storage == "0");
    }
}

#[test]
fn a_tensor_no_program_could_have_made_is_refused() {
    let float = |offset, shape: &[i64], strides: &[i64]| {
        tensor("FloatStorage", "0", 6, offset, shape, strides)
    };
    let no_storage = call(
        "torch._utils",
        "_rebuild_tensor_v2",
        &[int(0), int(0), ints(&[]), ints(&[]), b"\x88".to_vec()],
    );
    let cases = [
        (float(-1, &[2], &[1]), "its offset"),
        (float(0, &[-2], &[1]), "a negative extent or stride"),
        (float(0, &[2], &[-1]), "a negative extent or stride"),
        (float(0, &[2, 1], &[1]), "as many strides as dimensions"),
        (
            tensor("FloatStorage", "0", -6, 0, &[1], &[1]),
            "the length of its storage",
        ),
        (
            tensor("FloatStorage", "0", i64::MAX, 0, &[1], &[1]),
            "the length of its storage",
        ),
        (no_storage, "its storage"),
        (
            call("torch._utils", "_rebuild_tensor_v2", &[]),
            "the number of arguments",
        ),
    ];
    for (tensor, wrong) in cases {
        refused!(with_tensor(tensor), ArchiveError::MalformedTensor { what } if what == wrong);
    }
}

#[test]
fn a_storage_is_there_and_as_long_as_claimed() {
    let missing = tensor("FloatStorage", "9", 6, 0, &[6], &[1]);
    refused!(with_tensor(missing), ArchiveError::StorageMissing { entry } if entry == "data/9");
    let longer = tensor("DoubleStorage", "0", 6, 0, &[6], &[1]);
    refused!(
        with_tensor(longer),
        ArchiveError::StorageSize {
            expected: 48,
            actual: 24,
            ..
        }
    );
}

#[test]
fn an_empty_storage_needs_no_entry() {
    with_tensor(tensor("FloatStorage", "9", 0, 0, &[0, 3], &[3, 1])).unwrap();
}

#[test]
fn new_weights_are_as_long_as_the_old() {
    let mut archive = Files::net().open().unwrap();
    refused!(
        archive.set_storage(Section::Data, "0", vec![0; 23]),
        ArchiveError::StorageSize {
            expected: 24,
            actual: 23,
            ..
        }
    );
    refused!(
        archive.set_storage(Section::Data, "x", vec![]),
        ArchiveError::StorageMissing { .. }
    );
}
