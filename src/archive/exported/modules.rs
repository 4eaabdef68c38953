//! The tree of modules of an exported program: its classes and its objects.

use std::collections::{BTreeMap, HashMap, HashSet};

use indexmap::IndexMap;

use super::CODE;
use super::calls::Method;
use super::error::ExportedError;
use super::schema::{self, Extent, TensorMeta, Weight};
use super::text::is_identifier;
use crate::archive::constants::TensorNodes;
use crate::archive::container::Container;
use crate::archive::{ArchiveError, Node, NodeId, Pickle, TensorRef};

/// A tensor of a module: what is said of it, and the folder of its bytes.
pub struct Stored<'a> {
    pub weight: &'a Weight,
    /// `weights` or `constants`
    pub folder: &'static str,
}

/// A module of the tree.
#[derive(Default)]
pub struct Tree<'a> {
    children: IndexMap<&'a str, Tree<'a>>,
    tensors: IndexMap<&'a str, (&'a str, Stored<'a>)>,
}

/// Deeper than any network; objects are written by recursion.
const DEEPEST: usize = 64;

impl<'a> Tree<'a> {
    /// The module at a path, which is there from now on.
    pub fn at(&mut self, path: &'a str) -> Result<&mut Self, ExportedError> {
        let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
        if parts.len() > DEEPEST {
            return Err(odd(path, "deeper than any network"));
        }
        let mut tree = self;
        for part in parts {
            tree = tree.children.entry(name(part, path)?).or_default();
        }
        Ok(tree)
    }

    /// Hangs a tensor into the tree.
    pub fn hang(&mut self, path: &'a str, stored: Stored<'a>) -> Result<(), ExportedError> {
        let (module, own) = path.rsplit_once('.').unwrap_or(("", path));
        let own = name(own, path)?;
        self.at(module)?.tensors.insert(own, (path, stored));
        Ok(())
    }
}

/// A name of an attribute, which code can spell.
fn name<'a>(part: &'a str, path: &str) -> Result<&'a str, ExportedError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | ' ');
    match !part.is_empty() && part.chars().all(is_plain) {
        true => Ok(part),
        false => Err(odd(path, "no name of a module or tensor")),
    }
}

fn odd(path: &str, what: &str) -> ExportedError {
    ExportedError::Graph {
        detail: format!("`{path}` is {what}"),
    }
}

/// The source text of all classes, and the objects.
///
/// # Errors
/// A tensor that is not described properly.
pub fn written(
    tree: &Tree,
    methods: &BTreeMap<String, Vec<Method>>,
    container: &Container,
) -> Result<(String, Pickle), ArchiveError> {
    let mut text = String::new();
    let mut used = HashSet::new();
    let pickle = Pickle::of(|pickle| {
        let mut writer = Writer {
            container,
            methods,
            nodes: TensorNodes::new(pickle),
            pickle,
            text: &mut text,
            classes: &mut used,
            tensors: HashMap::new(),
        };
        writer.module(tree, "").map(|(root, _)| root)
    })?;
    Ok((text, pickle))
}

struct Writer<'a> {
    container: &'a Container,
    methods: &'a BTreeMap<String, Vec<Method>>,
    pickle: &'a mut Pickle,
    nodes: TensorNodes,
    text: &'a mut String,
    classes: &'a mut HashSet<String>,
    /// Tensors that are the same in all: tied weights are one.
    tensors: HashMap<(String, u64, Vec<i64>, Vec<i64>), NodeId>,
}

impl Writer<'_> {
    /// Writes a module with all below it: its object, and the name of its class.
    fn module(&mut self, tree: &Tree, path: &str) -> Result<(NodeId, String), ArchiveError> {
        let mut attributes = Vec::new();
        let mut fields = String::new();
        let [mut parameters, mut buffers] = [const { String::new() }; 2];
        for (own, (full, stored)) in &tree.tensors {
            let kind = match stored.weight.is_param {
                true => &mut parameters,
                false => &mut buffers,
            };
            *kind += &format!("\"{own}\", ");
            fields += &field(own, "Tensor");
            let tensor = self.tensor(full, stored)?;
            attributes.push((self.pickle.add(Node::Str((*own).into())), tensor));
        }
        fields += "  training : bool\n";
        let training = self.pickle.add(Node::Bool(false));
        attributes.push((self.pickle.add(Node::Str("training".into())), training));
        for (own, child) in &tree.children {
            let below = match path {
                "" => (*own).to_owned(),
                _ => format!("{path}.{own}"),
            };
            let (object, class) = self.module(child, &below)?;
            fields += &field(own, &class);
            attributes.push((self.pickle.add(Node::Str((*own).into())), object));
        }
        let name = self.class_name(path);
        let class = format!("{CODE}.{name}");
        *self.text += &format!(
            "class {name}(Module):\n  __parameters__ = [{parameters}]\n  __buffers__ = [{buffers}]\n{fields}"
        );
        for method in self.methods.get(path).into_iter().flatten() {
            *self.text += &method.text(&class);
        }
        Ok((self.object(name, attributes), class))
    }

    fn object(&mut self, class: String, attributes: Vec<(NodeId, NodeId)>) -> NodeId {
        let class = self.pickle.add(Node::Global {
            module: CODE.into(),
            name: class,
        });
        let args = self.pickle.add(Node::Tuple(Vec::new()));
        let state = Some(self.pickle.add(Node::Dict(attributes)));
        self.pickle.add(Node::Object { class, args, state })
    }

    /// One for each module: of equal modules the exporter says nothing.
    fn class_name(&mut self, path: &str) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let base = match path {
            "" => "Root".to_owned(),
            _ => format!("Module_{}", path.chars().map(word).collect::<String>()),
        };
        let mut name = base.clone();
        let mut number = 1;
        while !self.classes.insert(name.clone()) {
            number += 1;
            name = format!("{base}__{number}");
        }
        name
    }

    fn tensor(&mut self, path: &str, stored: &Stored) -> Result<NodeId, ArchiveError> {
        let tensor = described(path, stored, self.container)?;
        let key = (
            tensor.storage.clone(),
            tensor.offset,
            tensor.shape.clone(),
            tensor.strides.clone(),
        );
        if let Some(known) = self.tensors.get(&key) {
            return Ok(*known);
        }
        let node = self.nodes.tensor(self.pickle, &tensor);
        self.tensors.insert(key, node);
        Ok(node)
    }
}

fn field(name: &str, kind: &str) -> String {
    match is_identifier(name) {
        true => format!("  {name} : {kind}\n"),
        false => format!("  __annotations__[\"{name}\"] = {kind}\n"),
    }
}

/// A tensor as the pickle of a TorchScript archive has it. Its storage is the entry of the exported program: the keys of
/// storages are paths below `data`.
fn described(
    path: &str,
    stored: &Stored,
    container: &Container,
) -> Result<TensorRef, ArchiveError> {
    let Stored { weight, folder } = stored;
    let odd = |what| ExportedError::Weight {
        name: path.to_owned(),
        what,
    };
    if weight.use_pickle {
        return Err(ExportedError::Pickled { name: path.into() }.into());
    }
    let meta = weight.tensor_meta.as_ref();
    let meta: &TensorMeta = meta.ok_or_else(|| odd("no description"))?;
    const STRIDED: u64 = 7;
    if meta.layout != STRIDED {
        return Err(odd("a sparse layout").into());
    }
    let dtype = schema::dtype(meta.dtype).ok_or_else(|| odd("an unknown element type"))?;
    let extents = |all: &[Extent]| all.iter().map(Extent::known).collect::<Option<Vec<i64>>>();
    let storage = format!("{folder}/{}", weight.path_name);
    let entry = format!("data/{storage}");
    let bytes = container.entry(&entry).map(|entry| entry.size);
    let bytes = bytes.ok_or(ArchiveError::StorageMissing { entry })?;
    if bytes % dtype.size() != 0 {
        return Err(odd("a file that ends within an element").into());
    }
    let offset = meta.storage_offset.known();
    let offset = offset.and_then(|n| u64::try_from(n).ok());
    let unknown = || odd("a size that is not known");
    Ok(TensorRef {
        storage,
        dtype,
        storage_len: bytes / dtype.size(),
        offset: offset.ok_or_else(unknown)?,
        shape: extents(&meta.sizes).ok_or_else(unknown)?,
        strides: extents(&meta.strides).ok_or_else(unknown)?,
        requires_grad: meta.requires_grad,
        device: "cpu".into(),
    })
}
