//! The module tree: which instance has which class, attributes and tensors.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::program::dtype::Dtype;

/// A module instance. A module reached by two paths is one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub u32);

/// A tensor attribute, described without its data.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    pub shape: Vec<i64>,
    pub dtype: Dtype,
    /// Listed in the class's `__parameters__`; the others are buffers or plain attributes.
    pub parameter: bool,
    /// Training may change it.
    pub requires_grad: bool,
    /// Identity of the storage: tensors that share memory have the same.
    pub storage: String,
}

impl TensorInfo {
    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Whether a constant of this kind is what freezing makes of a parameter: an array of real numbers.
    #[must_use]
    pub fn is_weight(&self) -> bool {
        self.dtype.is_floating() && !self.shape.is_empty() && !self.is_empty()
    }

    /// Whether it has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An attribute's value as the archive stores it.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    Module(ModuleId),
    Tensor(TensorInfo),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Vec<Attribute>),
    Tuple(Vec<Attribute>),
    /// Keys and values in the order in which they were written.
    Dict(Vec<(Attribute, Attribute)>),
    /// A member of an enumeration, as code names it: `__torch__.timm.layers.format.Format.NCHW`.
    Enum(String),
    /// A value of a kind the analysis does not follow.
    Other,
}

/// One module instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Where it hangs, from the root: `layer1.0.conv1`; empty for the root itself.
    pub path: String,
    /// The qualified name of its class: `__torch__.torch.nn.modules.conv.Conv2d`.
    pub class: String,
    pub parent: Option<ModuleId>,
    pub attributes: IndexMap<String, Attribute>,
}

impl Module {
    /// The modules that hang directly in this one, by attribute.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = (&str, ModuleId)> {
        let attributes = self.attributes.iter();
        attributes.filter_map(|(name, attribute)| match attribute {
            Attribute::Module(child) => Some((name.as_str(), *child)),
            _ => None,
        })
    }
}

/// All modules of a network; the root is the first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModuleTree {
    modules: Vec<Module>,
}

impl ModuleTree {
    /// The root module.
    pub const ROOT: ModuleId = ModuleId(0);

    /// Adds a module and returns its id; the first one added is the root.
    pub fn add(&mut self, module: Module) -> ModuleId {
        self.modules.push(module);
        ModuleId(self.modules.len() as u32 - 1)
    }

    /// The module of this number.
    #[must_use]
    pub fn get(&self, id: ModuleId) -> &Module {
        &self.modules[id.0 as usize]
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: ModuleId) -> &mut Module {
        &mut self.modules[id.0 as usize]
    }

    /// The root module.
    #[must_use]
    pub fn root(&self) -> &Module {
        self.get(Self::ROOT)
    }

    /// An attribute of a module, by its name.
    #[must_use]
    pub fn attribute(&self, id: ModuleId, name: &str) -> Option<&Attribute> {
        self.get(id).attributes.get(name)
    }

    /// The module that hangs in this one as the attribute `name`.
    #[must_use]
    pub fn child(&self, id: ModuleId, name: &str) -> Option<ModuleId> {
        match self.attribute(id, name)? {
            Attribute::Module(child) => Some(*child),
            _ => None,
        }
    }

    /// The module around this one, and the attribute as which this one hangs in it.
    #[must_use]
    pub fn place(&self, id: ModuleId) -> Option<(ModuleId, &str)> {
        let parent = self.get(id).parent?;
        let mut children = self.get(parent).children();
        let (name, _) = children.find(|(_, child)| *child == id)?;
        Some((parent, name))
    }

    /// The module at this path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<ModuleId> {
        let mut names = path.split('.').filter(|p| !p.is_empty());
        names.try_fold(Self::ROOT, |id, name| self.child(id, name))
    }

    /// All modules, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        self.modules
            .iter()
            .enumerate()
            .map(|(i, m)| (ModuleId(i as u32), m))
    }

    /// How many instances each class has.
    #[must_use]
    pub fn instances(&self) -> HashMap<&str, usize> {
        let mut count = HashMap::new();
        for module in &self.modules {
            *count.entry(module.class.as_str()).or_default() += 1;
        }
        count
    }

    /// This module and all below it, each once, outermost first.
    #[must_use]
    pub fn subtree(&self, id: ModuleId) -> Vec<ModuleId> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(&id) = found.get(next) {
            for (_, child) in self.get(id).children() {
                if !found.contains(&child) {
                    found.push(child);
                }
            }
            next += 1;
        }
        found
    }

    /// The tensors of this module and of all below it, with the module and the attribute each hangs on.
    /// Tensors that share a storage are all listed.
    pub fn tensors(&self, id: ModuleId) -> impl Iterator<Item = (ModuleId, &str, &TensorInfo)> {
        self.subtree(id).into_iter().flat_map(|id| {
            self.get(id)
                .attributes
                .iter()
                .filter_map(move |(name, attribute)| match attribute {
                    Attribute::Tensor(info) => Some((id, name.as_str(), info)),
                    _ => None,
                })
        })
    }

    /// The number of elements of the distinct parameters at and below this module.
    #[must_use]
    pub fn parameter_count(&self, id: ModuleId) -> i64 {
        let mut seen = std::collections::HashSet::new();
        self.tensors(id)
            .filter(|(_, _, info)| info.parameter && seen.insert(info.storage.as_str()))
            .map(|(_, _, info)| info.len())
            .sum()
    }
}
