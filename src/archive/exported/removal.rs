//! Blocks cut out of the graph, on the JSON itself: fields that nobody here knows stay as they are.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::ExportedProgram;
use super::error::ExportedError;
use super::schema::{Argument, InputSpec, Node, OutputSpec};

/// A block as the graph has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The values that it makes.
    pub values: HashSet<String>,
    /// The value that takes its output's place.
    pub input: String,
    pub output: String,
}

impl ExportedProgram {
    /// The program without these blocks, and without what only they needed: weights, modules, sizes.
    ///
    /// # Errors
    /// [`ExportedError::Removal`] if something else still needs what is inside.
    pub fn without(&self, cuts: &[Cut]) -> Result<Self, ExportedError> {
        let mut program = self.clone();
        let mut surgery = Surgery::of(&mut program, cuts)?;
        surgery.bypass()?;
        surgery.drop_nodes()?;
        surgery.drop_outputs()?;
        let lost = surgery.drop_inputs()?;
        surgery.drop_values();
        program.drop_weights(&lost);
        program.drop_modules(&lost)?;
        Ok(program)
    }

    /// Takes tensors out of the lists of weights and constants.
    fn drop_weights(&mut self, lost: &Lost) {
        for list in [&mut self.weights, &mut self.constants] {
            if let Some(config) = list.get_mut("config").and_then(Value::as_object_mut) {
                config.retain(|path, _| !lost.is_gone(path));
            }
        }
    }

    /// Takes the modules out of the list of calls that had nodes or tensors and have none any more.
    fn drop_modules(&mut self, lost: &Lost) -> Result<(), ExportedError> {
        let tensors = [&self.weights, &self.constants].into_iter();
        let tensors = tensors.filter_map(|list| list.get("config")?.as_object());
        let mut alive: HashSet<&str> = tensors
            .flat_map(Map::keys)
            .map(|path| owner(path))
            .collect();
        let module = part(&self.graph, &["graph_module"])?;
        let nodes = part(module, &["graph", "nodes"])?.as_array();
        for stack in nodes.into_iter().flatten().filter_map(stack) {
            alive.extend(modules_of(stack));
        }
        let is_alive = |path: &str| {
            let below =
                |other: &&str| other.starts_with(path) && other[path.len()..].starts_with('.');
            alive.contains(path) || alive.iter().any(below)
        };
        let dead: HashSet<String> = lost
            .modules
            .iter()
            .filter(|path| !is_alive(path))
            .cloned()
            .collect();
        let calls = array(&mut self.graph, &["graph_module", "module_call_graph"])?;
        calls.retain(|call| {
            let path = call.get("fqn").and_then(Value::as_str).unwrap_or_default();
            let path = path.split('@').next().unwrap_or_default();
            let mut around = ancestors(path);
            !around.any(|module| dead.contains(module))
        });
        Ok(())
    }
}

/// A path and those of the modules around it.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| {
        path.rsplit_once('.').map(|(around, _)| around)
    })
}

fn owner(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(module, _)| module)
}

fn stack(node: &Value) -> Option<&str> {
    node.get("metadata")?.get("nn_module_stack")?.as_str()
}

fn modules_of(stack: &str) -> impl Iterator<Item = &str> {
    stack.split(';').filter_map(|entry| entry.split(',').nth(1))
}

/// What goes with the blocks.
#[derive(Default)]
struct Lost {
    tensors: HashSet<String>,
    /// Modules that some of what went stood in.
    modules: HashSet<String>,
    /// Of those the ones whose last tensor that was read is gone: what nobody reads goes with them.
    emptied: HashSet<String>,
}

impl Lost {
    fn is_gone(&self, path: &str) -> bool {
        self.tensors.contains(path) || self.emptied.contains(owner(path))
    }
}

struct Surgery<'a> {
    graph: &'a mut Value,
    cuts: &'a [Cut],
    /// Of the nodes that are left, what they read and give.
    nodes: Vec<Node>,
    /// Values that were read before.
    used: HashSet<String>,
    modules: HashSet<String>,
}

impl<'a> Surgery<'a> {
    fn of(program: &'a mut ExportedProgram, cuts: &'a [Cut]) -> Result<Self, ExportedError> {
        Ok(Surgery {
            nodes: nodes(&program.graph)?,
            graph: &mut program.graph,
            cuts,
            used: HashSet::new(),
            modules: HashSet::new(),
        })
    }

    /// Lets everything outside the blocks read a block's input in place of its output.
    fn bypass(&mut self) -> Result<(), ExportedError> {
        let stand_ins: HashMap<&str, &str> = self
            .cuts
            .iter()
            .map(|cut| (cut.output.as_str(), cut.input.as_str()))
            .collect();
        let stand_in = |name: &str| {
            // No longer than there are cuts: a value that stands in for itself stands in for nothing.
            let mut found = name;
            for _ in 0..=stand_ins.len() {
                match stand_ins.get(found) {
                    Some(next) => found = next,
                    None => break,
                }
            }
            (found != name).then(|| found.to_owned())
        };
        for node in &self.nodes {
            self.used.extend(node.reads().map(str::to_owned));
        }
        let all_nodes = array(self.graph, &["graph_module", "graph", "nodes"])?;
        for (value, node) in all_nodes.iter_mut().zip(&self.nodes) {
            let is_inside = node
                .gives()
                .any(|name| self.cuts.iter().any(|c| c.values.contains(name)));
            let inputs = value.get_mut("inputs").filter(|_| !is_inside);
            for input in inputs.and_then(Value::as_array_mut).into_iter().flatten() {
                rename(input, &stand_in);
            }
        }
        for path in [
            ["graph_module", "graph", "outputs"],
            ["graph_module", "signature", "output_specs"],
        ] {
            for output in array(self.graph, &path)? {
                // What a functional program writes into buffers goes with its block.
                if output.get("buffer_mutation").is_none() {
                    rename(output, &stand_in);
                }
            }
        }
        // Exports that keep the signatures of modules name values there as well.
        for call in array(self.graph, &["graph_module", "module_call_graph"])? {
            if let Some(signature) = call.get_mut("signature") {
                rename(signature, &stand_in);
            }
        }
        self.nodes = nodes(self.graph)?;
        Ok(())
    }

    /// Takes out the blocks' nodes, those that read what is gone with them, and sizes that nobody reads any more.
    fn drop_nodes(&mut self) -> Result<(), ExportedError> {
        let tensors = part(self.graph, &["graph_module", "graph", "tensor_values"])?;
        let is_tensor = |name: &str| tensors.get(name).is_some();
        let of_block = |name: &str| self.cuts.iter().any(|cut| cut.values.contains(name));
        let mut gone: HashSet<&str> = HashSet::new();
        let mut keeps: Vec<bool> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            // Sizes stay where anything else reads them.
            let gives_tensor = node.gives().any(is_tensor);
            let is_inside = gives_tensor && node.gives().any(of_block);
            let reads_what_is_gone = node.reads().any(|name| gone.contains(name));
            let goes = is_inside || reads_what_is_gone;
            if goes {
                gone.extend(node.gives());
            }
            keeps.push(!goes);
        }
        let outputs = outputs(self.graph)?;
        loop {
            let left = self.nodes.iter().zip(&keeps).filter(|(_, keep)| **keep);
            let read: HashSet<&str> = left.flat_map(|(node, _)| node.reads()).collect();
            let is_idle = |node: &Node| {
                let mut gives = node.gives().peekable();
                gives.peek().is_some()
                    && gives.all(|name| {
                        !is_tensor(name) && !read.contains(name) && !outputs.contains(name)
                    })
            };
            let before = keeps.iter().filter(|keep| **keep).count();
            for (node, keep) in self.nodes.iter().zip(&mut keeps) {
                *keep &= !is_idle(node);
            }
            if keeps.iter().filter(|keep| **keep).count() == before {
                break;
            }
        }
        let mut keep = keeps.iter();
        let all = array(self.graph, &["graph_module", "graph", "nodes"])?;
        for (node, _) in all.iter().zip(&keeps).filter(|(_, keep)| !**keep) {
            let modules = stack(node).into_iter().flat_map(modules_of);
            self.modules.extend(modules.map(str::to_owned));
        }
        all.retain(|_| keep.next().copied().unwrap_or(true));
        self.nodes = nodes(self.graph)?;
        Ok(())
    }

    /// Takes out what a functional program wrote into the buffers of the blocks.
    fn drop_outputs(&mut self) -> Result<(), ExportedError> {
        let made = self.made()?;
        let specs = part(self.graph, &["graph_module", "signature", "output_specs"])?;
        let specs = specs.as_array().cloned().unwrap_or_default();
        let mut keeps = Vec::with_capacity(specs.len());
        for spec in &specs {
            let (name, is_mutation) = match OutputSpec::deserialize(spec) {
                Ok(OutputSpec::BufferMutation { arg, .. }) => (Some(arg.name), true),
                Ok(OutputSpec::UserOutput { arg }) => {
                    (arg.names().first().map(|name| (*name).to_owned()), false)
                }
                _ => (None, false),
            };
            let is_there = name.as_ref().is_none_or(|name| made.contains(name));
            if !is_there && !is_mutation {
                return Err(ExportedError::Removal {
                    detail: format!("the program gives {}", name.unwrap_or_default()),
                });
            }
            keeps.push(is_there);
        }
        for path in [
            ["graph_module", "signature", "output_specs"],
            ["graph_module", "graph", "outputs"],
        ] {
            let mut keep = keeps.iter();
            array(self.graph, &path)?.retain(|_| keep.next().copied().unwrap_or(true));
        }
        Ok(())
    }

    /// Values that there are: inputs, and what the nodes give.
    fn made(&self) -> Result<HashSet<String>, ExportedError> {
        let inputs = part(self.graph, &["graph_module", "graph", "inputs"])?;
        let inputs = inputs.as_array().into_iter().flatten();
        let inputs = inputs.filter_map(|arg| Argument::deserialize(arg).ok());
        let mut made: HashSet<String> = HashSet::new();
        for input in inputs {
            made.extend(input.names().into_iter().map(str::to_owned));
        }
        for node in &self.nodes {
            made.extend(node.gives().map(str::to_owned));
        }
        Ok(made)
    }

    /// Takes out the tensors that were read before and are not any more, and those that nobody read beside them.
    fn drop_inputs(&mut self) -> Result<Lost, ExportedError> {
        let mut read: HashSet<&str> = self.nodes.iter().flat_map(Node::reads).collect();
        let outputs = outputs(self.graph)?;
        read.extend(outputs.iter().map(String::as_str));
        let specs = part(self.graph, &["graph_module", "signature", "input_specs"])?;
        let specs = specs.as_array().into_iter().flatten();
        let tensors: Vec<Option<(String, String)>> = specs.map(tensor).collect();
        let known = || tensors.iter().flatten();
        let is_lost = |name: &str| self.used.contains(name) && !read.contains(name);
        let mut lost = Lost {
            modules: std::mem::take(&mut self.modules),
            ..Lost::default()
        };
        let gone = known().filter(|(name, _)| is_lost(name));
        lost.tensors.extend(gone.map(|(_, path)| path.clone()));
        let alive = known().filter(|(name, _)| read.contains(name.as_str()));
        let alive: HashSet<&str> = alive.map(|(_, path)| owner(path)).collect();
        let owners = lost.tensors.iter().map(|path| owner(path));
        let emptied = owners.filter(|module| !module.is_empty() && !alive.contains(module));
        lost.emptied = emptied.map(str::to_owned).collect();
        lost.modules.extend(lost.emptied.iter().cloned());
        let goes: HashSet<&str> = known()
            .filter(|(name, path)| !read.contains(name.as_str()) && lost.is_gone(path))
            .map(|(name, _)| name.as_str())
            .collect();
        let goes = |t: &Option<(String, String)>| {
            let name = t.as_ref().map(|(name, _)| name.as_str());
            name.is_some_and(|name| goes.contains(name))
        };
        let gone: Vec<bool> = tensors.iter().map(goes).collect();
        for path in [
            ["graph_module", "signature", "input_specs"],
            ["graph_module", "graph", "inputs"],
        ] {
            let mut gone = gone.iter();
            array(self.graph, &path)?.retain(|_| !gone.next().copied().unwrap_or(false));
        }
        Ok(lost)
    }

    /// Takes out what is said of values that are gone.
    fn drop_values(&mut self) {
        let Ok(made) = self.made() else { return };
        let graph = self.graph.pointer_mut("/graph_module/graph");
        let Some(graph) = graph.and_then(Value::as_object_mut) else {
            return;
        };
        for kind in [
            "tensor_values",
            "sym_int_values",
            "sym_float_values",
            "sym_bool_values",
        ] {
            if let Some(values) = graph.get_mut(kind).and_then(Value::as_object_mut) {
                values.retain(|name, _| made.contains(name));
            }
        }
    }
}

/// Name of the input and path of the tensor that a specification is of.
fn tensor(spec: &Value) -> Option<(String, String)> {
    let spec = InputSpec::deserialize(spec).ok()?;
    let (name, path) = spec.tensor()?;
    Some((name.to_owned(), path.to_owned()))
}

/// Gives values other names, wherever a document names them as arguments: `{"as_tensor": {"name": …}}`.
fn rename(value: &mut Value, stand_in: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, stand_in)),
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                match key.as_str() {
                    "as_tensor" | "as_tensors" | "as_nested_tensors" => {
                        rename_bare(field, stand_in);
                    }
                    _ => rename(field, stand_in),
                }
            }
        }
        _ => {}
    }
}

/// Tensors below such a key: in lists, and lists of them, no other key says so.
fn rename_bare(value: &mut Value, stand_in: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|t| rename_bare(t, stand_in)),
        Value::Object(tensor) => {
            if let Some(Value::String(name)) = tensor.get_mut("name")
                && let Some(other) = stand_in(name)
            {
                *name = other;
            }
        }
        _ => {}
    }
}

fn nodes(graph: &Value) -> Result<Vec<Node>, ExportedError> {
    let nodes = part(graph, &["graph_module", "graph", "nodes"])?;
    Vec::deserialize(nodes).map_err(|error| ExportedError::Removal {
        detail: error.to_string(),
    })
}

/// The values that the graph gives.
fn outputs(graph: &Value) -> Result<HashSet<String>, ExportedError> {
    let outputs = part(graph, &["graph_module", "graph", "outputs"])?.as_array();
    let outputs = outputs.into_iter().flatten();
    let outputs = outputs.filter_map(|arg| Argument::deserialize(arg).ok());
    let mut names = HashSet::new();
    for output in outputs {
        names.extend(output.names().into_iter().map(str::to_owned));
    }
    Ok(names)
}

fn part<'v>(value: &'v Value, path: &[&str]) -> Result<&'v Value, ExportedError> {
    let mut keys = path.iter();
    let found = keys.try_fold(value, |value, key| value.get(key));
    found.ok_or_else(|| missing(path))
}

fn array<'v>(value: &'v mut Value, path: &[&str]) -> Result<&'v mut Vec<Value>, ExportedError> {
    let found = value.pointer_mut(&format!("/{}", path.join("/")));
    found
        .and_then(Value::as_array_mut)
        .ok_or_else(|| missing(path))
}

fn missing(path: &[&str]) -> ExportedError {
    ExportedError::Removal {
        detail: format!("there is no {}", path.join(".")),
    }
}
