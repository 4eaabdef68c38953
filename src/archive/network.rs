//! From the archive's bytes to the [`Network`] the analysis works on.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::{Archive, ArchiveError, Node, NodeId, Pickle, Section, TensorRef};
use crate::program::ast::{Expr, unquoted};
use crate::program::dtype::Dtype;
use crate::program::{
    Attribute, Dim, Item, Module, ModuleId, ModuleTree, Network, ParseError, Sources, TensorInfo,
};

/// Why a readable archive holds no network the analysis understands.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A source file is not TorchScript.
    #[error("{file}: {error}; was it written by libtorch?")]
    Source { file: String, error: ParseError },
}

impl Archive {
    /// The code of all source files, parsed.
    ///
    /// # Errors
    /// A source file that is not TorchScript.
    pub(super) fn parsed_sources(&self) -> Result<Sources, NetworkError> {
        let mut sources = Sources::default();
        for (file, text) in self.sources() {
            if let Some(module) = module_name(file) {
                let added = sources.add(module, text);
                added.map_err(|error| NetworkError::Source {
                    file: file.to_owned(),
                    error,
                })?;
            }
        }
        Ok(sources)
    }

    /// Reads module tree, source code and constants, without any tensor's data.
    ///
    /// # Errors
    /// A tensor that is not described properly, or a source file that is not TorchScript.
    pub fn network(&self) -> Result<Network, NetworkError> {
        let sources = self.parsed_sources()?;
        let mut reader = TreeReader {
            pickle: self.data(),
            sources: &sources,
            parameters: HashMap::new(),
            seen: HashMap::new(),
            path_bytes: 0,
            tree: ModuleTree::default(),
        };
        reader.module(self.data().root(), String::new(), None)?;
        let modules = reader.tree;
        let constants = self.constants();
        let nodes = constants.items(constants.root()).unwrap_or_default();
        let constant_items = (0..)
            .zip(nodes)
            .filter_map(|(i, node)| Some((i, self.constant_item(*node)?)))
            .collect();
        let constants = nodes
            .iter()
            .map(|id| match self.constants().tensor(*id) {
                Some(tensor) => Ok(describe(&tensor?, Section::Constants, false)),
                None => Ok(TensorInfo {
                    shape: Vec::new(),
                    dtype: Dtype::UInt8,
                    parameter: false,
                    requires_grad: false,
                    storage: String::new(),
                }),
            })
            .collect::<Result<_, ArchiveError>>()?;
        Ok(Network {
            modules,
            sources,
            constants,
            constant_items,
        })
    }

    /// The number in a constant tensor that is one number alone in its storage.
    fn constant_item(&self, node: NodeId) -> Option<Item> {
        let tensor = self.constants().tensor(node)?.ok()?;
        if !tensor.shape.is_empty() || tensor.storage_len != 1 {
            return None;
        }
        let bytes = self.storage(Section::Constants, &tensor.storage).ok()?;
        match tensor.dtype {
            Dtype::Int64 => {
                let n = bytes.try_into().ok().map(i64::from_le_bytes)?;
                Some(Item::Int(Dim::fixed(n)))
            }
            Dtype::Float32 => bytes
                .try_into()
                .ok()
                .map(f32::from_le_bytes)
                .map(Item::Single),
            Dtype::Float64 => bytes
                .try_into()
                .ok()
                .map(f64::from_le_bytes)
                .map(Item::Double),
            _ => None,
        }
    }

    /// The object of the module at `path` in [`Archive::data`].
    #[must_use]
    pub fn object(&self, path: &str) -> Option<NodeId> {
        let mut parts = path.split('.').filter(|p| !p.is_empty());
        parts.try_fold(self.data().root(), |object, name| {
            self.data().attribute(object, name)
        })
    }
}

/// `__torch__.torch.nn.modules.conv` of `code/__torch__/torch/nn/modules/conv.py`; `None` for other files.
#[must_use]
pub fn module_name(file: &str) -> Option<String> {
    Some(
        file.strip_prefix("code/")?
            .strip_suffix(".py")?
            .replace('/', "."),
    )
}

/// The source file of a module name; the inverse of [`module_name`].
#[must_use]
pub fn source_file(module: &str) -> String {
    format!("code/{}.py", module.replace('.', "/"))
}

fn describe(tensor: &TensorRef, section: Section, parameter: bool) -> TensorInfo {
    TensorInfo {
        shape: tensor.shape.clone(),
        dtype: tensor.dtype,
        parameter,
        requires_grad: tensor.requires_grad,
        storage: format!("{section:?}/{}@{}", tensor.storage, tensor.offset),
    }
}

struct TreeReader<'a> {
    pickle: &'a Pickle,
    sources: &'a Sources,
    /// What each class met so far declares to be its parameters.
    parameters: HashMap<String, HashSet<&'a str>>,
    /// Objects met before: a module may hang in several places.
    seen: HashMap<NodeId, ModuleId>,
    /// Of the paths of all attributes.
    path_bytes: usize,
    tree: ModuleTree,
}

/// Modules of a network, and bytes of the paths of all attributes, at most: names may be shared in the file, but each
/// path is written out. ResNet-1202 has 3,600 modules.
const MAX_MODULES: usize = 1 << 15;
const MAX_PATH_BYTES: usize = 64 << 20;

impl TreeReader<'_> {
    /// Depth is bounded: the pickle reader refuses deep nesting and cycles.
    fn module(
        &mut self,
        object: NodeId,
        path: String,
        parent: Option<ModuleId>,
    ) -> Result<ModuleId, ArchiveError> {
        if let Some(known) = self.seen.get(&object) {
            return Ok(*known);
        }
        if self.seen.len() >= MAX_MODULES {
            return Err(ArchiveError::TooManyModules { limit: MAX_MODULES });
        }
        let class = self.pickle.class_name(object).unwrap_or_default();
        if !self.parameters.contains_key(&class) {
            let definition = self.sources.class(&class);
            let names = definition.map(|c| c.parameter_names().collect());
            self.parameters
                .insert(class.clone(), names.unwrap_or_default());
        }
        let id = self.tree.add(Module {
            path: path.clone(),
            class: class.clone(),
            parent,
            attributes: IndexMap::new(),
        });
        self.seen.insert(object, id);
        for (name, node) in self.pickle.attributes(object) {
            let child = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            self.path_bytes += child.len();
            if self.path_bytes > MAX_PATH_BYTES {
                return Err(ArchiveError::TooManyModules { limit: MAX_MODULES });
            }
            let is_parameter = self
                .parameters
                .get(&class)
                .is_some_and(|p| p.contains(name));
            let attribute = self.attribute(node, child, id, is_parameter)?;
            self.tree
                .get_mut(id)
                .attributes
                .insert(name.to_owned(), attribute);
        }
        Ok(id)
    }

    fn attribute(
        &mut self,
        node: NodeId,
        path: String,
        parent: ModuleId,
        parameter: bool,
    ) -> Result<Attribute, ArchiveError> {
        if let Some(tensor) = self.pickle.tensor(node) {
            return Ok(Attribute::Tensor(describe(
                &tensor?,
                Section::Data,
                parameter,
            )));
        }
        if self.pickle.class_name(node).is_some() {
            return Ok(Attribute::Module(self.module(node, path, Some(parent))?));
        }
        if let Some(items) = self.pickle.items(node) {
            let items = items.to_vec();
            let is_tuple = matches!(self.pickle.get(node), Node::Tuple(_));
            let items = items
                .into_iter()
                .map(|item| self.attribute(item, path.clone(), parent, false))
                .collect::<Result<_, _>>()?;
            return Ok(if is_tuple {
                Attribute::Tuple(items)
            } else {
                Attribute::List(items)
            });
        }
        if let Some(pairs) = self.pickle.pairs(node) {
            let mut item = |node| self.attribute(node, path.clone(), parent, false);
            let pairs = pairs
                .iter()
                .map(|(key, value)| Ok::<_, ArchiveError>((item(*key)?, item(*value)?)))
                .collect::<Result<_, _>>()?;
            return Ok(Attribute::Dict(pairs));
        }
        if let Some(member) = self.enum_member(node) {
            return Ok(Attribute::Enum(member));
        }
        Ok(match self.pickle.get(node) {
            Node::None => Attribute::None,
            Node::Bool(b) => Attribute::Bool(*b),
            Node::Int(n) => Attribute::Int(*n),
            Node::Float(x) => Attribute::Float(*x),
            Node::Str(text) => Attribute::Str(text.clone()),
            _ => Attribute::Other,
        })
    }

    /// The member that `Class(value)` stands for, if that class is an enumeration.
    fn enum_member(&self, node: NodeId) -> Option<String> {
        let Node::Reduce { callable, args } = self.pickle.get(node) else {
            return None;
        };
        let Node::Global { module, name } = self.pickle.get(*callable) else {
            return None;
        };
        let class = format!("{module}.{name}");
        let definition = self.sources.class(&class)?;
        // libtorch writes the value itself where a tuple of arguments would stand.
        let value = match self.pickle.get(*args) {
            Node::Tuple(args) => *args.first()?,
            _ => *args,
        };
        let text = match self.pickle.get(value) {
            Node::Str(text) => text.clone(),
            Node::Int(n) => n.to_string(),
            _ => return None,
        };
        (definition.base.as_deref() == Some("Enum")).then_some(())?;
        let mut members = definition.fields().filter_map(|field| {
            match (field.targets.as_slice(), field.values.as_slice()) {
                ([Expr::Name(member)], [Expr::Str(value)]) if unquoted(value) == text => {
                    Some(member)
                }
                ([Expr::Name(member)], [Expr::Number(value)]) if *value == text => Some(member),
                _ => None,
            }
        });
        let member = members.next()?;
        members
            .next()
            .is_none()
            .then(|| format!("{class}.{member}"))
    }
}
