//! What each fuzz target does with its bytes. `tests/fuzzed.rs` does the same with the corpus, in plain `cargo test`.
//!
//! Readers may answer or refuse. They must not panic, hang or take more memory than their limits say; and what they
//! accept has to hold together, which each target checks in its own way.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use ckaprune::archive::network::{module_name, source_file};
use ckaprune::archive::{Archive, Limits, Pickle, Section};
use ckaprune::blocks::analysis::{Analysis, Request};
use ckaprune::blocks::patch::{Patch, PatchError};
use ckaprune::blocks::{Candidates, Granularity, Search};
use ckaprune::data::{ClassNames, InputSize, Labelling, Loader, Transform, open_labelled};
use ckaprune::program::{parse as parse_source, print as print_source};
use ckaprune::report::BlockReport;
use ckaprune::report::tree;
use ckaprune::run::admission::admit;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// The container: any bytes as a file.
pub fn zip(bytes: &[u8]) {
    let Ok(archive) = Archive::from_bytes(bytes.to_vec(), &Limits::default()) else {
        return;
    };
    for section in [Section::Data, Section::Constants] {
        for key in ["0", "1", "2"] {
            let _ = archive.storage(section, key);
        }
    }
    let _ = admit(&archive);
    // What is written is read again, by the same rules.
    let written = [archive.to_bytes(), archive.to_runnable_bytes()];
    for written in written.into_iter().flatten() {
        let again = Archive::from_bytes(written, &Limits::default());
        assert!(again.is_ok(), "{:?}", again.err());
    }
}

/// A pickle, alone and as the module tree of an archive.
pub fn pickle(bytes: &[u8]) {
    let Ok(mut pickle) = Pickle::parse(bytes, &Limits::default()) else {
        return;
    };
    // As if it had been edited, so that it is written anew.
    let root = pickle.root();
    let node = pickle.get(root).clone();
    pickle.replace(root, node);
    let written = pickle.to_bytes().expect("what was read can be written");
    let again = Pickle::parse(&written, &Limits::default());
    let mut again = again.expect("what was written can be read");
    let node = again.get(again.root()).clone();
    again.replace(again.root(), node);
    assert_eq!(written, again.to_bytes().expect("as before"));

    if let Ok(archive) = Archive::from_bytes(around(bytes), &Limits::default())
        && let Ok(network) = archive.network()
    {
        let _ = network.parameter_count();
        let _ = admit(&archive);
    }
}

/// An archive with this module tree and two storages of 24 and 8 bytes.
fn around(tree: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let code = "class Net(Module):\n  __parameters__ = [\"weight\", ]\n  training : bool\n  def forward(self: \
                __torch__.Net,\n    x: Tensor) -> Tensor:\n    return x\n";
    let entries: [(&str, &[u8]); 5] = [
        ("net/data.pkl", tree),
        ("net/data/0", &[1; 24]),
        ("net/data/1", &[2; 8]),
        ("net/code/__torch__.py", code.as_bytes()),
        ("net/version", b"3\n"),
    ];
    for (name, content) in entries {
        zip.start_file(name, stored).expect("a plain name");
        zip.write_all(content).expect("memory takes it");
    }
    zip.finish().expect("memory takes it").into_inner()
}

/// Source text.
pub fn parse(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_source(text);
    }
}

/// Source text, printed and read again: printing loses nothing, and prints itself.
pub fn print(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(file) = parse_source(text) else { return };
    let printed = print_source(&file);
    let again = match parse_source(&printed) {
        Ok(again) => again,
        Err(error) => panic!("what was printed is not read: {error}\n{printed}"),
    };
    assert_eq!(file, again, "{printed}");
    assert_eq!(printed, print_source(&again));
}

/// Archives whose own source code the bytes stand in for.
static FIXTURES: LazyLock<Vec<Archive>> = LazyLock::new(|| {
    let files: [&[u8]; 8] = [
        include_bytes!("../../tests/archives/basic_scripted.pt"),
        include_bytes!("../../tests/archives/basic_frozen.pt"),
        include_bytes!("../../tests/archives/preact_traced.pt"),
        include_bytes!("../../tests/archives/inplace_scripted.pt"),
        include_bytes!("../../tests/archives/halves_scripted.pt"),
        include_bytes!("../../tests/archives/branch_scripted.pt"),
        include_bytes!("../../tests/archives/outputs_dict_scripted.pt"),
        include_bytes!("../../tests/archives/dropout_traced.pt"),
    ];
    let open = |bytes: &&[u8]| Archive::from_bytes(bytes.to_vec(), &Limits::default());
    files
        .iter()
        .map(|file| open(file).expect("a fixture"))
        .collect()
});

/// The source file that holds the class of an archive's root module.
fn root_file(archive: &Archive) -> String {
    let class = archive.data().class_name(archive.data().root());
    let class = class.expect("the root is a module");
    let module = class.rsplit_once('.').map_or("", |(module, _)| module);
    source_file(module)
}

/// The fixture that the first byte names, with the rest as source code of its root's class.
fn with_source(bytes: &[u8]) -> Option<Archive> {
    let (which, text) = bytes.split_first()?;
    let text = std::str::from_utf8(text).ok()?;
    let mut archive = FIXTURES[usize::from(*which) % FIXTURES.len()].clone();
    let file = root_file(&archive);
    assert!(module_name(&file).is_some());
    archive.set_source(&file, text.to_owned());
    Some(archive)
}

fn request(candidates: Candidates) -> Request {
    Request {
        search: Search {
            granularity: Granularity::Fine,
            candidates,
        },
        ..Request::shape(&[3, 8, 8])
    }
}

/// Source code, followed and searched for blocks.
pub fn blocks(bytes: &[u8]) {
    let Some(archive) = with_source(bytes) else {
        return;
    };
    let _ = admit(&archive);
    for candidates in [Candidates::Residual, Candidates::All] {
        if let Ok(analysis) = Analysis::of(&archive, &request(candidates)) {
            let _ = BlockReport::all(&analysis);
            let _ = analysis.macs();
            let _ = tree::tree(&analysis).table();
        }
    }
}

/// Source code out of which each block in turn is cut: what is left is read again, followed, and written.
pub fn patch(bytes: &[u8]) {
    let Some(archive) = with_source(bytes) else {
        return;
    };
    cut(&archive);
}

/// Takes out each of the first blocks in turn: what is left is written, read and followed again.
fn cut(archive: &Archive) {
    let request = request(Candidates::Residual);
    let Ok(analysis) = Analysis::of(archive, &request) else {
        return;
    };
    let removable = analysis.blocks.iter().filter(|b| b.is_removable());
    for block in removable.take(4) {
        let path = std::slice::from_ref(&block.path);
        let patch = match Patch::remove(&analysis, path) {
            Ok(patch) => patch,
            Err(_) => continue,
        };
        match patch.apply(archive, &analysis) {
            Ok(patched) => {
                let written = patched.to_bytes().expect("what was patched can be written");
                let again = Archive::from_bytes(written, &Limits::default());
                let again = again.expect("what was written can be read");
                let after = Analysis::of(&again, &request).expect("what was read can be followed");
                assert!(after.program.statements.len() <= analysis.program.statements.len());
            }
            // Patching made source code that is none.
            Err(error @ PatchError::Unreadable(_)) => panic!("{error}"),
            Err(_) => {}
        }
    }
}

/// Names and contents of a file's entries.
type Entries = Vec<(String, Vec<u8>)>;

/// Programs of `torch.export`, unpacked, whose documents the bytes stand in for.
static PROGRAMS: LazyLock<Vec<Entries>> = LazyLock::new(|| {
    let files: [&[u8]; 3] = [
        include_bytes!("../../tests/archives/exported/sized.pt2"),
        include_bytes!("../../tests/archives/exported/branch_exported.pt2"),
        include_bytes!("../../tests/archives/exported/tied.pt2"),
    ];
    let unpacked = |bytes: &&[u8]| {
        let mut zip = ZipArchive::new(Cursor::new(bytes.to_vec())).expect("a fixture");
        let count = zip.len();
        let entry = |place: usize| {
            let mut file = zip.by_index(place).expect("an entry");
            let name = file.name().expect("a name").into_owned();
            let mut content = Vec::new();
            file.read_to_end(&mut content).expect("a whole entry");
            (name, content)
        };
        (0..count).map(entry).collect()
    };
    files.iter().map(unpacked).collect()
});

/// The graph of an exported program, or from the first byte 128 on the list of its weights: followed, and each block cut
/// out in turn.
pub fn exported(bytes: &[u8]) {
    let Some((which, text)) = bytes.split_first() else {
        return;
    };
    let entries = &PROGRAMS[usize::from(*which) % PROGRAMS.len()];
    let document = match which {
        0..128 => "models/model.json",
        128.. => "data/weights/model_weights_config.json",
    };
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in entries {
        let content = if name.ends_with(document) {
            text
        } else {
            content
        };
        zip.start_file(name.as_str(), stored).expect("a plain name");
        zip.write_all(content).expect("memory takes it");
    }
    let file = zip.finish().expect("memory takes it").into_inner();
    let Ok(archive) = Archive::from_bytes(file, &Limits::default()) else {
        return;
    };
    let _ = admit(&archive);
    let written = archive.to_bytes().expect("what was read can be written");
    let again = Archive::from_bytes(written, &Limits::default()).expect("and read");
    assert!(again.sources().eq(archive.sources()));
    cut(&archive);
}

/// First bytes for arrays in files of their own, several of them, and a list of classes.
const ARRAY: u8 = 253;
const ARRAYS: u8 = 254;
const CLASSES: u8 = 255;

/// Files of a data set; the first byte says which.
pub fn data(bytes: &[u8]) {
    let Some((which, content)) = bytes.split_first() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("it can be made");
        fs::write(path, content).expect("it can be written");
    };
    let half = content.len() / 2;
    let mut labelling = Labelling::default();
    let name = match which % 8 {
        _ if *which == ARRAY => {
            write("x_test.npy", &content[..half]);
            write("y_test.npy", &content[half..]);
            "x_test.npy"
        }
        _ if *which == ARRAYS => {
            write("fog.npy", content);
            write("labels.npy", content);
            ""
        }
        _ if *which == CLASSES => {
            for name in ["a", "b/c", "10"] {
                write(&format!("{name}/1.ppm"), b"P6 1 1 255\n123");
            }
            write("classes", content);
            labelling.classes = ClassNames::read(&folder.path().join("classes")).ok();
            labelling.first = (content.len() % 3) as u32;
            ""
        }
        0 => {
            write("train-images-idx3-ubyte", content);
            write("train-labels-idx1-ubyte", &[0, 0, 8, 1, 0, 0, 0, 2, 0, 1]);
            ""
        }
        1 => {
            write("t10k-images-idx3-ubyte.gz", &content[..half]);
            write("t10k-labels-idx1-ubyte.gz", &content[half..]);
            ""
        }
        2 => {
            write("data_batch_1.bin", content);
            ""
        }
        3 => {
            write("train.bin", content);
            write("test.bin", content);
            ""
        }
        4 => {
            write("data.npz", content);
            "data.npz"
        }
        5 => {
            write("train/a/1.png", content);
            write("train/b/1.jpg", content);
            ""
        }
        6 => {
            write("a/1.bmp", content);
            write("b/1.gif", content);
            write("b/2.tiff", content);
            ""
        }
        _ => {
            write("1.webp", content);
            write("2.ppm", content);
            ""
        }
    };
    let Ok(set) = open_labelled(&folder.path().join(name), &labelling) else {
        return;
    };
    let transform = Transform {
        size: Some(InputSize {
            channels: 3,
            height: 4,
            width: 4,
        }),
        ..Transform::default()
    };
    let loader = Loader::new(NonZeroUsize::MIN, transform).threads(NonZeroUsize::MIN);
    for part in set.parts() {
        if let Ok(batches) = loader.batches(part, 0) {
            for batch in batches.take(3).flatten() {
                assert!(batch.images.iter().all(|value| value.is_finite()));
            }
        }
    }
}
