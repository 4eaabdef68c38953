//! What the nodes mean in a TorchScript archive: modules, their attributes, tensors, typed lists.

use super::{Node, NodeId, Pickle};
use crate::archive::{ArchiveError, TensorRef};
use crate::program::dtype::Dtype;

/// The attributes of an object, in the order they are written. See [`Pickle::attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    pickle: &'a Pickle,
    items: std::slice::Iter<'a, (NodeId, NodeId)>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, NodeId);

    fn next(&mut self) -> Option<Self::Item> {
        let pickle = self.pickle;
        self.items
            .find_map(|&(key, value)| Some((pickle.str(key)?, value)))
    }
}

/// Plain values.
impl Pickle {
    /// The value of a boolean.
    pub fn bool(&self, id: NodeId) -> Option<bool> {
        match self.get(id) {
            Node::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of an integer.
    pub fn int(&self, id: NodeId) -> Option<i64> {
        match self.get(id) {
            Node::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of a float; an integer is not one.
    pub fn float(&self, id: NodeId) -> Option<f64> {
        match self.get(id) {
            Node::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The value of a text.
    pub fn str(&self, id: NodeId) -> Option<&str> {
        match self.get(id) {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a tuple or list. `build_intlist` and its like, and `restore_type_tag`, are looked through.
    pub fn items(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.get(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            Node::Reduce { .. } => {
                let (module, name, args) = self.call(id)?;
                let typed_list = module == "torch.jit._pickle"
                    && (name.starts_with("build_") || name == "restore_type_tag");
                match self.get(*args.first().filter(|_| typed_list)?) {
                    Node::List(items) => Some(items),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The keys and values of a dictionary, typed or not.
    pub fn pairs(&self, id: NodeId) -> Option<&[(NodeId, NodeId)]> {
        match self.get(id) {
            Node::Dict(pairs) => Some(pairs),
            Node::Reduce { .. } => match self.call(id)? {
                ("torch.jit._pickle", "restore_type_tag", args) => match self.get(*args.first()?) {
                    Node::Dict(pairs) => Some(pairs),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The items of a list or tuple of integers; `None` when one is something else.
    pub fn ints(&self, id: NodeId) -> Option<Vec<i64>> {
        self.items(id)?.iter().map(|&item| self.int(item)).collect()
    }

    /// The items of a list or tuple of floats; `None` when one is something else.
    pub fn floats(&self, id: NodeId) -> Option<Vec<f64>> {
        self.items(id)?
            .iter()
            .map(|&item| self.float(item))
            .collect()
    }

    /// The items of a list or tuple of booleans; `None` when one is something else.
    pub fn bools(&self, id: NodeId) -> Option<Vec<bool>> {
        self.items(id)?
            .iter()
            .map(|&item| self.bool(item))
            .collect()
    }

    /// Module, name and arguments of a call.
    fn call(&self, id: NodeId) -> Option<(&str, &str, &[NodeId])> {
        match self.get(id) {
            Node::Reduce { callable, args } => match (self.get(*callable), self.get(*args)) {
                (Node::Global { module, name }, Node::Tuple(args)) => Some((module, name, args)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Objects.
impl Pickle {
    /// The full name of an object's class, e.g. `__torch__.torch.nn.modules.conv.Conv2d`.
    pub fn class_name(&self, id: NodeId) -> Option<String> {
        match self.get(id) {
            Node::Object { class, .. } => match self.get(*class) {
                Node::Global { module, name } => Some(format!("{module}.{name}")),
                _ => None,
            },
            _ => None,
        }
    }

    /// The attributes of an object, in order. None for other nodes and for objects that pickle themselves
    /// through `__getstate__`.
    pub fn attributes(&self, id: NodeId) -> Attributes<'_> {
        Attributes {
            pickle: self,
            items: self.state(id).unwrap_or_default().iter(),
        }
    }

    /// Whether the node is an object with a dictionary of attributes, be it empty.
    pub fn has_attributes(&self, id: NodeId) -> bool {
        self.state(id).is_some()
    }

    /// The attribute `name` of an object.
    pub fn attribute(&self, id: NodeId, name: &str) -> Option<NodeId> {
        self.attributes(id)
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Takes an attribute away from an object. Says whether there was one.
    pub fn remove_attribute(&mut self, object: NodeId, name: &str) -> bool {
        let Some(mut items) = self.state(object).map(<[_]>::to_vec) else {
            return false;
        };
        let before = items.len();
        items.retain(|&(key, _)| self.str(key) != Some(name));
        let removed = items.len() < before;
        if removed {
            self.set_state(object, items);
        }
        removed
    }

    /// Gives an object's attribute another value, or the object a new attribute behind its others. Does
    /// nothing, and says so, when `object` has no dictionary of attributes.
    pub fn set_attribute(&mut self, object: NodeId, name: &str, value: NodeId) -> bool {
        let Some(mut items) = self.state(object).map(<[_]>::to_vec) else {
            return false;
        };
        match items
            .iter_mut()
            .find(|(key, _)| self.str(*key) == Some(name))
        {
            Some((_, old)) => *old = value,
            None => items.push((self.add(Node::Str(name.to_owned())), value)),
        }
        self.set_state(object, items);
        true
    }

    /// Makes an object an instance of another class, given by its full name, e.g. `__torch__.Block`. Other
    /// instances of its old class keep that. Does nothing, and says so, when `object` is not an object or
    /// the name has no dot.
    pub fn set_class(&mut self, object: NodeId, qualified: &str) -> bool {
        let Some((module, name)) = qualified.rsplit_once('.') else {
            return false;
        };
        let Node::Object { args, state, .. } = *self.get(object) else {
            return false;
        };
        let class = self.add(Node::Global {
            module: module.to_owned(),
            name: name.to_owned(),
        });
        self.replace(object, Node::Object { class, args, state });
        true
    }

    fn state(&self, object: NodeId) -> Option<&[(NodeId, NodeId)]> {
        match self.get(object) {
            Node::Object {
                state: Some(state), ..
            } => match self.get(*state) {
                Node::Dict(items) => Some(items),
                _ => None,
            },
            _ => None,
        }
    }

    /// In a dictionary of its own: nothing in the format keeps two objects from sharing one.
    fn set_state(&mut self, object: NodeId, items: Vec<(NodeId, NodeId)>) {
        if let Node::Object { class, args, .. } = *self.get(object) {
            let state = Some(self.add(Node::Dict(items)));
            self.replace(object, Node::Object { class, args, state });
        }
    }
}

/// Tensors.
impl Pickle {
    /// The tensor at `id`, checked to lie within its storage; `None` when the node is none, or a sparse one.
    ///
    /// # Errors
    /// [`ArchiveError::MalformedTensor`] and [`ArchiveError::TensorOutOfBounds`].
    pub fn tensor(&self, id: NodeId) -> Option<Result<TensorRef, ArchiveError>> {
        match self.call(id)? {
            ("torch._utils", "_rebuild_tensor_v2", args) => Some(self.strided(args, 4)),
            // The quantiser comes between the strides and the rest.
            ("torch._utils", "_rebuild_qtensor", args) => Some(self.strided(args, 5)),
            _ => None,
        }
    }

    /// Storage, offset, shape, strides; and at `grad_at` whether a gradient is wanted.
    fn strided(&self, args: &[NodeId], grad_at: usize) -> Result<TensorRef, ArchiveError> {
        let (&[storage, offset, shape, strides, ..], Some(&requires_grad)) =
            (args, args.get(grad_at))
        else {
            return Err(malformed("the number of arguments"));
        };
        let storage = match self.get(storage) {
            Node::PersistentId(id) => self.storage(*id)?,
            _ => return Err(malformed("its storage")),
        };
        let offset = self
            .int(offset)
            .and_then(|offset| u64::try_from(offset).ok());
        let tensor = TensorRef {
            offset: offset.ok_or(malformed("its offset"))?,
            shape: self.ints(shape).ok_or(malformed("its shape"))?,
            strides: self.ints(strides).ok_or(malformed("its strides"))?,
            requires_grad: self.bool(requires_grad).ok_or(malformed("requires_grad"))?,
            storage: storage.key.to_owned(),
            dtype: storage.dtype,
            storage_len: storage.len,
            device: storage.device.to_owned(),
        };
        tensor.check()?;
        Ok(tensor)
    }

    /// The storage that a persistent id names: `("storage", torch.FloatStorage, key, device, elements)`.
    fn storage(&self, id: NodeId) -> Result<StorageRef<'_>, ArchiveError> {
        let Some(&[tag, class, key, device, len]) = self.items(id) else {
            return Err(malformed("the parts of its storage"));
        };
        if self.str(tag) != Some("storage") {
            return Err(malformed("the tag of its storage"));
        }
        let dtype = match self.get(class) {
            Node::Global { module, name } if module == "torch" => Dtype::from_storage_class(name),
            _ => None,
        };
        let len = self.int(len).and_then(|len| u64::try_from(len).ok());
        let key = self.str(key).filter(|key| key.len() <= LONGEST_KEY);
        Ok(StorageRef {
            key: key.ok_or(malformed("the key of its storage"))?,
            dtype: dtype.ok_or(malformed("the type of its storage"))?,
            len: len.ok_or(malformed("the length of its storage"))?,
            device: self
                .str(device)
                .ok_or(malformed("the device of its storage"))?,
        })
    }

    /// Key and bytes of every storage that the root reaches, once for each place that names it.
    ///
    /// # Errors
    /// [`ArchiveError::MalformedTensor`] when one is not described as libtorch does.
    pub fn storages(&self) -> Result<Vec<(&str, u64)>, ArchiveError> {
        let mut storages = Vec::new();
        for id in self.reachable() {
            if let Node::PersistentId(id) = self.get(id) {
                let storage = self.storage(*id)?;
                let bytes = storage.len.checked_mul(storage.dtype.size());
                storages.push((
                    storage.key,
                    bytes.ok_or(malformed("the length of its storage"))?,
                ));
            }
        }
        Ok(storages)
    }
}

/// Bytes of a storage's key, which is a number in all that libtorch writes.
const LONGEST_KEY: usize = 64;

struct StorageRef<'a> {
    key: &'a str,
    dtype: Dtype,
    len: u64,
    device: &'a str,
}

fn malformed(what: &'static str) -> ArchiveError {
    ArchiveError::MalformedTensor { what }
}
