//! Programs of `torch.export` (.pt2): read, made a TorchScript archive in memory, edited, and written again.
//!
//! The file is the truth. A *carrier* is derived from it: the TorchScript archive of the same network, its modules and
//! the names of its tensors those of the program, each call of a module a method again. Everything that works on an
//! archive works on the carrier; its storages are the file's own. A removal edits the JSON of the graph, and the carrier
//! is derived anew.
//!
//! | entry | content |
//! |---|---|
//! | `models/<name>.json` | the graph, and what its inputs and outputs are |
//! | `data/weights/<name>_weights_config.json`, `data/weights/weight_N` | parameters and buffers |
//! | `data/constants/<name>_constants_config.json`, `data/constants/tensor_N` | other tensors |
//! | `data/sample_inputs/…` | a pickle, which is never read |
//!
//! Source: `torch/export/pt2_archive/constants.py` and `torch/_export/serde/schema.py` of PyTorch 2.9 to 2.15.

mod calls;
pub mod error;
mod modules;
mod removal;
mod schema;
mod text;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::container::{Container, Entry};
use super::{ArchiveError, Limits, Pickle};
pub use error::ExportedError;
use modules::{Stored, Tree};
pub use removal::Cut;
use schema::{Document, Weights};
pub use text::{value_of, variable};

/// The version of the schema that is read.
const MAJOR: u64 = 8;
/// The module that the carrier's classes stand in.
const CODE: &str = "__torch__";

/// The JSON documents of an exported program.
#[derive(Debug, Clone)]
pub struct ExportedProgram {
    /// Of the model: part of the names of entries.
    name: String,
    graph: Value,
    weights: Value,
    constants: Value,
}

/// What a TorchScript archive is made of.
pub(super) struct Carrier {
    pub version: u64,
    /// Of `code/__torch__.py`.
    pub source: String,
    pub data: Pickle,
}

/// The carrier's only source file.
pub(super) const SOURCE_FILE: &str = "code/__torch__.py";

/// Whether these entries are those of an exported program, of whichever of the layouts in one folder.
pub(super) fn is_exported(entries: &[Entry]) -> bool {
    let is_model = |name: &str| name.starts_with("models/") && name.ends_with(".json");
    let mut names = entries.iter().map(|entry| entry.name.as_str());
    names.any(|name| name == "archive_format" || is_model(name))
}

impl ExportedProgram {
    /// Reads the documents; no weight and no pickle.
    ///
    /// # Errors
    /// [`ArchiveError::Exported`] with what stands against it.
    pub(super) fn read(container: &Container, limits: &Limits) -> Result<Self, ArchiveError> {
        let entries = || container.entries().iter().map(|entry| entry.name.as_str());
        let models =
            entries().filter_map(|name| name.strip_prefix("models/")?.strip_suffix(".json"));
        let models: Vec<&str> = models.collect();
        let name = match models[..] {
            [one] => one.to_owned(),
            [] if entries().any(|name| name.starts_with("data/aotinductor/")) => {
                return Err(ExportedError::Compiled.into());
            }
            [] => {
                let entry = "models/model.json".into();
                return Err(ExportedError::Missing { entry }.into());
            }
            _ => {
                let found = models.len();
                return Err(ExportedError::SeveralModels { found }.into());
            }
        };
        let read = |entry: String| match container.entry(&entry) {
            None => Ok(None),
            Some(found) => {
                let bytes = container.read(found, limits.json_bytes)?;
                check_size(&entry, &bytes, limits)?;
                parsed(&entry, &bytes).map(Some)
            }
        };
        let graph = read(format!("models/{name}.json"))?;
        let weights = read(weights_entry(&name))?;
        // Before PyTorch 2.9 weights were one pickle.
        let weights = weights.ok_or(ExportedError::OldLayout)?;
        let constants = read(constants_entry(&name))?;
        Ok(ExportedProgram {
            graph: graph.unwrap_or_default(),
            constants: constants.unwrap_or_else(|| serde_json::json!({ "config": {} })),
            weights,
            name,
        })
    }

    /// The TorchScript archive of the same network.
    ///
    /// # Errors
    /// If the graph contradicts itself, or holds what TorchScript has not.
    pub(super) fn carrier(&self, container: &Container) -> Result<Carrier, ArchiveError> {
        let document: Document = typed(&self.graph_entry(), &self.graph)?;
        let major = document.schema_version.major;
        if major != MAJOR {
            let known = MAJOR;
            return Err(ExportedError::Schema { major, known }.into());
        }
        let weights: Weights = typed(&weights_entry(&self.name), &self.weights)?;
        let constants: Weights = typed(&constants_entry(&self.name), &self.constants)?;
        let module = &document.graph_module;
        let methods = calls::methods(&module.graph, &module.signature)?;
        let mut tree = Tree::default();
        for (all, folder) in [(&weights, "weights"), (&constants, "constants")] {
            for (path, weight) in &all.config {
                tree.hang(path, Stored { weight, folder })?;
            }
        }
        for call in &module.module_call_graph {
            // Calls of one module beyond the first are told apart by a number.
            tree.at(call.fqn.split('@').next().unwrap_or_default())?;
        }
        for path in methods.keys() {
            tree.at(path)?;
        }
        let (source, data) = modules::written(&tree, &methods, container)?;
        Ok(Carrier {
            version: document.opset_version.get("aten").copied().unwrap_or(10),
            source,
            data,
        })
    }

    /// Of the first of its inputs that has the dimensions of a batch of images, channels first or last; of open sizes those of
    /// the example.
    pub(super) fn example_shape(&self) -> Option<Vec<i64>> {
        let module = self.graph.get("graph_module")?;
        let values = module.get("graph")?.get("tensor_values")?;
        let specs = module.get("signature")?.get("input_specs")?.as_array()?;
        let inputs = specs.iter().filter_map(|spec| {
            let name = spec.get("user_input")?.get("arg")?.get("as_tensor")?;
            values.get(name.get("name")?.as_str()?)
        });
        let mut images = inputs.filter_map(|meta| {
            let sizes = meta.get("sizes")?.as_array()?;
            let number = |value: &Value| value.get("as_int")?.as_i64();
            let known = |size: &Value| {
                let example = || number(size.get("as_expr")?.get("hint")?);
                number(size).or_else(example).filter(|n| *n > 0)
            };
            match sizes.as_slice() {
                [_, image @ ..] if image.len() == 3 => image.iter().map(known).collect(),
                _ => None,
            }
        });
        let image: Vec<i64> = images.next()?;
        Some(match image[..] {
            [height, width, channels] if channels <= 4 && height > 4 => {
                vec![channels, height, width]
            }
            _ => image,
        })
    }

    fn graph_entry(&self) -> String {
        format!("models/{}.json", self.name)
    }

    /// What an entry of the file holds now; `None` for those that are no documents.
    pub(super) fn document(&self, entry: &str) -> Option<Vec<u8>> {
        let documents = [
            (self.graph_entry(), &self.graph),
            (weights_entry(&self.name), &self.weights),
            (constants_entry(&self.name), &self.constants),
        ];
        let found = documents.iter().find(|(name, _)| name == entry);
        // A value that was read can be written.
        found.map(|(_, value)| value.to_string().into_bytes())
    }
}

/// Whether an entry holds the bytes of a weight or constant.
pub(super) fn is_storage(entry: &str) -> bool {
    ["data/weights/", "data/constants/"]
        .iter()
        .any(|folder| entry.starts_with(folder))
}

fn weights_entry(name: &str) -> String {
    format!("data/weights/{name}_weights_config.json")
}

fn constants_entry(name: &str) -> String {
    format!("data/constants/{name}_constants_config.json")
}

/// Refuses a document that would take far more memory than its bytes: each value begins behind one of these.
fn check_size(entry: &str, bytes: &[u8], limits: &Limits) -> Result<(), ExportedError> {
    let begins = |byte: &&u8| matches!(byte, b',' | b'[' | b'{' | b':');
    match bytes.iter().filter(begins).count() <= limits.json_values {
        true => Ok(()),
        false => Err(ExportedError::TooManyValues {
            entry: entry.to_owned(),
            limit: limits.json_values,
        }),
    }
}

/// Depth is bounded by the reader, which goes 128 deep.
fn parsed(entry: &str, bytes: &[u8]) -> Result<Value, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|error| of_json(entry, &error).into())
}

fn typed<T: DeserializeOwned>(entry: &str, value: &Value) -> Result<T, ExportedError> {
    T::deserialize(value).map_err(|error| of_json(entry, &error))
}

fn of_json(entry: &str, error: &serde_json::Error) -> ExportedError {
    ExportedError::Json {
        entry: entry.to_owned(),
        detail: error.to_string(),
    }
}
