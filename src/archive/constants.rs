//! Constants of the code that become attributes of modules: their tensors move from `constants.pkl` to `data.pkl`.

use std::collections::{BTreeSet, HashMap};

use super::{Archive, ArchiveError, NewStorage, Node, NodeId, Pickle, Section, TensorRef};

/// A tensor of [`Archive::constants`] wanted in [`Archive::data`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adoption {
    /// The `N` of `CONSTANTS.cN`.
    pub constant: usize,
    /// Whether the optimiser may change it there.
    pub requires_grad: bool,
}

impl Archive {
    /// The constant `CONSTANTS.c<index>` as a tensor; `None` when it is none, or is not there.
    ///
    /// # Errors
    /// As [`Pickle::tensor`].
    pub fn constant(&self, index: usize) -> Option<Result<TensorRef, ArchiveError>> {
        let items = self.constants.items(self.constants.root())?;
        self.constants.tensor(*items.get(index)?)
    }

    /// Adds the tensors of constants to [`data`](Self::data), for an attribute to hold, and names their nodes, in
    /// order. The bytes stay where they are until the archive is written.
    ///
    /// Constants that share a storage share it there as well. A constant that is wanted several times gives as many
    /// tensors, each in a storage of its own. [`constants`](Self::constants) stays as it is.
    ///
    /// # Errors
    /// [`ArchiveError::StorageMissing`] when a constant is no tensor or has no elements.
    pub fn adopt_constants(&mut self, adoptions: &[Adoption]) -> Result<Vec<NodeId>, ArchiveError> {
        let mut next_key = self.free_data_key()?;
        let mut times_adopted: HashMap<usize, usize> = HashMap::new();
        let mut new_keys: HashMap<(String, usize), String> = HashMap::new();
        let nodes = TensorNodes::new(&mut self.data);
        let mut adopted = Vec::with_capacity(adoptions.len());
        for adoption in adoptions {
            let tensor = self.constant(adoption.constant).transpose()?;
            let mut tensor = tensor.ok_or_else(|| ArchiveError::StorageMissing {
                entry: format!("CONSTANTS.c{}", adoption.constant),
            })?;
            let copy = times_adopted.entry(adoption.constant).or_default();
            let (old_key, number) = (tensor.storage, *copy);
            *copy += 1;
            tensor.storage = match new_keys.get(&(old_key.clone(), number)) {
                Some(key) => key.clone(),
                None => {
                    let key = next_key.to_string();
                    next_key += 1;
                    self.link_storage(&old_key, &key)?;
                    new_keys.insert((old_key, number), key.clone());
                    key
                }
            };
            tensor.requires_grad = adoption.requires_grad;
            adopted.push(nodes.tensor(&mut self.data, &tensor));
        }
        Ok(adopted)
    }

    /// Leaves the constants with these indices, in ascending order, as `CONSTANTS.c0`, `CONSTANTS.c1`, …; the storages
    /// of the others leave the file.
    pub fn retain_constants(&mut self, kept: &BTreeSet<usize>) {
        let root = self.constants.root();
        let items = self.constants.items(root).unwrap_or_default();
        if kept.len() < items.len() {
            let left = kept.iter().filter_map(|i| items.get(*i).copied()).collect();
            self.constants.replace(root, Node::Tuple(left));
        }
    }

    /// A number higher than those of all storages in `data/`.
    fn free_data_key(&self) -> Result<u64, ArchiveError> {
        let named = self.data.storages()?;
        let named = named.iter().map(|(key, _)| *key);
        let in_file = self.container.entries().iter().map(|e| e.name.as_str());
        let in_file = in_file.filter_map(|name| match Section::of_storage(name) {
            Some((Section::Data, key)) => Some(key),
            _ => None,
        });
        let new = self.new_storages.keys();
        let new = new.filter(|(section, _)| *section == Section::Data);
        let keys = named.chain(in_file).chain(new.map(|(_, key)| key.as_str()));
        let numbers = keys.filter_map(|key| key.parse::<u64>().ok());
        // Only hostile files have higher numbers; without them the sum below cannot overflow.
        let numbers = numbers.filter(|number| *number < u64::MAX / 2);
        Ok(numbers.max().map_or(0, |highest| highest + 1))
    }

    /// Makes the bytes of `constants/<old>` those of `data/<new>` as well.
    fn link_storage(&mut self, old: &str, new: &str) -> Result<(), ArchiveError> {
        let source = (Section::Constants, old.to_owned());
        let name = Section::Constants.storage_entry(old);
        let storage = match self.new_storages.get(&source) {
            Some(storage) => storage.clone(),
            None if self.container.entry(&name).is_some() => NewStorage::Entry(name),
            None => return Err(ArchiveError::StorageMissing { entry: name }),
        };
        self.new_storages
            .insert((Section::Data, new.to_owned()), storage);
        Ok(())
    }
}

/// Writes tensors as libtorch does: the names that they share are written once.
pub(super) struct TensorNodes {
    rebuild: NodeId,
    ordered_dict: NodeId,
    no_args: NodeId,
}

impl TensorNodes {
    pub(super) fn new(pickle: &mut Pickle) -> Self {
        TensorNodes {
            rebuild: global(pickle, "torch._utils", "_rebuild_tensor_v2"),
            ordered_dict: global(pickle, "collections", "OrderedDict"),
            no_args: pickle.add(Node::Tuple(Vec::new())),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, backward_hooks)`, without hooks.
    pub(super) fn tensor(&self, pickle: &mut Pickle, tensor: &TensorRef) -> NodeId {
        let storage = [
            pickle.add(Node::Str("storage".into())),
            global(pickle, "torch", tensor.dtype.storage_class()),
            pickle.add(Node::Str(tensor.storage.clone())),
            pickle.add(Node::Str(tensor.device.clone())),
            integer(pickle, tensor.storage_len),
        ];
        let storage = pickle.add(Node::Tuple(storage.to_vec()));
        let hooks = Node::Reduce {
            callable: self.ordered_dict,
            args: self.no_args,
        };
        let args = [
            pickle.add(Node::PersistentId(storage)),
            integer(pickle, tensor.offset),
            extents(pickle, &tensor.shape),
            extents(pickle, &tensor.strides),
            pickle.add(Node::Bool(tensor.requires_grad)),
            pickle.add(hooks),
        ];
        let args = pickle.add(Node::Tuple(args.to_vec()));
        pickle.add(Node::Reduce {
            callable: self.rebuild,
            args,
        })
    }
}

fn global(pickle: &mut Pickle, module: &str, name: &str) -> NodeId {
    pickle.add(Node::Global {
        module: module.into(),
        name: name.into(),
    })
}

/// Lengths and offsets that were read from a pickle fit its integers.
fn integer(pickle: &mut Pickle, value: u64) -> NodeId {
    pickle.add(Node::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn extents(pickle: &mut Pickle, values: &[i64]) -> NodeId {
    let items = values.iter().map(|n| pickle.add(Node::Int(*n))).collect();
    pickle.add(Node::Tuple(items))
}
