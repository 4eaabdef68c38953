//! What the test programs share: the fixtures, and networks written by hand.

// Every test program uses another part of it.
#![allow(dead_code)]

pub mod images;

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use ckaprune::archive::Archive;
use ckaprune::program::dtype::Dtype;
use ckaprune::program::{
    Attribute, Emitter, Module, ModuleId, ModuleTree, Network, Program, ProgramError, TensorInfo,
};
use indexmap::IndexMap;

/// Inputs of the fixtures in `tests/archives`.
pub const FIXTURE_INPUT: [i64; 3] = [3, 8, 8];

/// The tests' folder.
pub fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A file of `tests/archives`.
pub fn fixture(name: &str) -> PathBuf {
    tests().join("archives").join(name)
}

/// The demo network of `configs/demo`.
pub fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/demo/model.pt")
}

/// The files with this extension in a folder, sorted.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    assert!(
        !found.is_empty(),
        "no .{extension} files in {}",
        folder.display()
    );
    found.sort();
    found
}

/// Every TorchScript archive among the fixtures, and the demo.
pub fn archives() -> Vec<PathBuf> {
    files(&tests().join("archives"), "pt")
        .into_iter()
        .chain([demo()])
        .collect()
}

/// Names and contents of the entries of a zip.
pub type Entries = Vec<(String, Vec<u8>)>;

pub fn entries(bytes: &[u8]) -> Entries {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let count = zip.len();
    let entry = |at| {
        let mut entry = zip.by_index(at).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    (0..count).map(entry).collect()
}

pub fn open(path: &Path) -> Archive {
    Archive::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The network in a file of `tests/archives`.
pub fn network(name: &str) -> Network {
    open(&fixture(name)).network().unwrap()
}

/// The flat program of a network whose `forward` has to be followable.
pub fn program(network: &Network, shape: &[i64]) -> Program {
    Program::new(network, shape).unwrap_or_else(|e| panic!("{e}"))
}

/// The program as text, one statement a line; `getattr(self.stage, "0")` is shortened to `self.stage.0`.
pub fn flat(network: &Network, program: &Program) -> String {
    let mut text = Emitter::new(network, program).normal_form(&[]);
    // The innermost is the last one to begin.
    while let Some(start) = text.rfind("getattr(") {
        let (before, inner) = (&text[..start], &text[start + "getattr(".len()..]);
        let (module, rest) = inner.split_once(", \"").unwrap();
        let (name, rest) = rest.split_once("\")").unwrap();
        text = format!("{before}{module}.{name}{rest}");
    }
    text
}

/// A network written by hand: one source file `__torch__`, whose class `Net` is the root's.
pub struct Written {
    network: Network,
}

impl Written {
    /// `source` may be indented as a whole.
    pub fn new(source: &str) -> Self {
        let mut network = Network::default();
        network
            .sources
            .add("__torch__", &dedented(source))
            .unwrap_or_else(|e| panic!("{e} in {source}"));
        network.modules.add(module("", "Net", None));
        Written { network }
    }

    /// Hangs a new module of class `__torch__.<class>` at `path`; its parent must be there.
    pub fn module(mut self, path: &str, class: &str) -> Self {
        let (parent, name) = self.place(path);
        let id = self.network.modules.add(module(path, class, Some(parent)));
        self.attribute(parent, name, Attribute::Module(id));
        self
    }

    /// Hangs the module at `from` at `path` as well.
    pub fn again(mut self, path: &str, from: &str) -> Self {
        let id = self.network.modules.find(from).unwrap();
        let (parent, name) = self.place(path);
        self.attribute(parent, name, Attribute::Module(id));
        self
    }

    /// A parameter with a storage of its own.
    pub fn tensor(self, path: &str, shape: &[i64]) -> Self {
        self.shared_tensor(path, shape, path)
    }

    /// A parameter in the storage of this name.
    pub fn shared_tensor(self, path: &str, shape: &[i64], storage: &str) -> Self {
        let info = TensorInfo {
            shape: shape.to_vec(),
            dtype: Dtype::Float32,
            parameter: true,
            requires_grad: true,
            storage: storage.into(),
        };
        self.set(path, Attribute::Tensor(info))
    }

    pub fn set(mut self, path: &str, value: Attribute) -> Self {
        let (parent, name) = self.place(path);
        self.attribute(parent, name, value);
        self
    }

    pub fn network(self) -> Network {
        self.network
    }

    /// What the analysis makes of it for inputs of `n × shape`.
    pub fn follow(self, shape: &[i64]) -> Result<String, ProgramError> {
        let program = Program::new(&self.network, shape)?;
        Ok(flat(&self.network, &program))
    }

    fn place<'p>(&self, path: &'p str) -> (ModuleId, &'p str) {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        (
            self.network
                .modules
                .find(parent)
                .unwrap_or_else(|| panic!("no module {parent}")),
            name,
        )
    }

    fn attribute(&mut self, id: ModuleId, name: &str, value: Attribute) {
        self.network
            .modules
            .get_mut(id)
            .attributes
            .insert(name.into(), value);
    }
}

fn module(path: &str, class: &str, parent: Option<ModuleId>) -> Module {
    assert!(
        parent.is_some() || path.is_empty(),
        "{:?} is the root",
        ModuleTree::ROOT
    );
    Module {
        path: path.into(),
        class: format!("__torch__.{class}"),
        parent,
        attributes: IndexMap::new(),
    }
}

/// A class of modules that has nothing but this body of `forward(self, x)`.
pub fn class(name: &str, body: &str) -> String {
    let body: String = dedented(body)
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    format!(
        "class {name}(Module):\n  def forward(self: __torch__.{name},\n    x: Tensor) -> Tensor:\n{body}"
    )
}

/// The text without the indentation that its lines share.
pub fn dedented(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    let indentation = lines
        .iter()
        .map(|l| l.len() - l.trim_start().len())
        .min()
        .unwrap_or(0);
    lines
        .iter()
        .map(|l| format!("{}\n", &l[indentation..]))
        .collect()
}
