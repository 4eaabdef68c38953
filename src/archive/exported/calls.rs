//! The calls of modules that a graph was flattened from, and their code.
//!
//! Each node says which modules' code it stood in. Nodes of one call stand together, but for sizes: an exporter computes
//! each once, in the first block that needs it, and all later ones read it. They are moved in front of the outermost call,
//! so that a block has one tensor in and one out again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::error::ExportedError;
use super::schema::{Argument, Graph, InputSpec, Node, OutputSpec, Signature};
use super::text::{self, Names, path_of, variable};

/// Deeper than any network; code is written by recursion.
const DEEPEST: usize = 64;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tensor,
    Int,
    Float,
    Bool,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Tensor => "Tensor",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Bool => "bool",
        }
    }
}

/// A method of a module.
pub struct Method {
    pub name: String,
    /// Names and types of its arguments behind `self`.
    params: Vec<String>,
    gives: String,
    lines: Vec<String>,
}

impl Method {
    /// Its code in a class of this name.
    pub fn text(&self, class: &str) -> String {
        let params: String = self.params.iter().map(|p| format!(", {p}")).collect();
        let mut text = format!(
            "  def {}(self: {class}{params}) -> {}:\n",
            self.name, self.gives
        );
        for line in &self.lines {
            text.push_str("    ");
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// A call of a module.
struct Call {
    /// What tells it from other calls of the same module.
    key: String,
    path: String,
    items: Vec<Item>,
}

enum Item {
    /// By its place in the graph.
    Node(usize),
    Call(Call),
}

/// One value of the graph, in the order in which code makes it.
struct Made {
    /// Place in that order; `None` for inputs of the graph.
    at: Option<usize>,
    kind: Kind,
}

struct Flow<'a> {
    graph: &'a Graph,
    /// Path of the tensor that an input is.
    tensors: HashMap<&'a str, &'a str>,
    values: HashMap<&'a str, Made>,
    /// The last place where a value is read; beyond all of them for what the graph gives.
    last_read: HashMap<&'a str, usize>,
}

/// The methods of all modules, by path; that of the root is `forward`.
///
/// # Errors
/// If a node reads what is not there yet, or calls what cannot be called.
pub fn methods(
    graph: &Graph,
    signature: &Signature,
) -> Result<BTreeMap<String, Vec<Method>>, ExportedError> {
    let mut flow = Flow::of(graph, signature)?;
    let root = calls(&flow);
    let mut order = Vec::new();
    root.order(&mut order);
    flow.place(&order)?;
    let mut writer = Writer {
        flow: &flow,
        order: &order,
        methods: BTreeMap::new(),
    };
    let mut next = 0;
    let mut body = writer.body(&root, &mut next)?;
    let (params, gives) = writer.ends(signature, &mut body)?;
    let forward = Method {
        name: "forward".into(),
        params,
        gives,
        lines: body,
    };
    // In front of methods of other calls of the root, of which there are none.
    writer.methods.insert(String::new(), vec![forward]);
    Ok(writer.methods)
}

impl<'a> Flow<'a> {
    fn of(graph: &'a Graph, signature: &'a Signature) -> Result<Self, ExportedError> {
        let specs = signature.input_specs.iter();
        let mut flow = Flow {
            graph,
            tensors: specs.filter_map(InputSpec::tensor).collect(),
            values: HashMap::new(),
            last_read: HashMap::new(),
        };
        for name in graph.inputs.iter().flat_map(Argument::names) {
            flow.make(name, None)?;
        }
        Ok(flow)
    }

    fn kind(&self, value: &str) -> Option<Kind> {
        let graph = self.graph;
        let symbols = [
            (&graph.sym_int_values, Kind::Int),
            (&graph.sym_float_values, Kind::Float),
            (&graph.sym_bool_values, Kind::Bool),
        ];
        let symbol = symbols.iter().find(|(known, _)| known.contains_key(value));
        match graph.tensor_values.contains_key(value) {
            true => Some(Kind::Tensor),
            false => symbol.map(|(_, kind)| *kind),
        }
    }

    fn make(&mut self, name: &'a str, at: Option<usize>) -> Result<(), ExportedError> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(contradiction(format!("`{name}` is no name of a value")));
        }
        let kind = self.kind(name);
        let kind = kind.ok_or_else(|| contradiction(format!("nothing tells what {name} is")))?;
        match self.values.insert(name, Made { at, kind }) {
            None => Ok(()),
            Some(_) => Err(contradiction(format!("{name} is made twice"))),
        }
    }

    /// Makes the values in this order of nodes, and sees that each is there before it is read.
    fn place(&mut self, order: &[usize]) -> Result<(), ExportedError> {
        let graph = self.graph;
        for (at, number) in order.iter().enumerate() {
            let node = &graph.nodes[*number];
            // No code is written for a check.
            if text::is_check(&node.target) {
                continue;
            }
            for name in node.reads() {
                self.read(name, at)?;
            }
            for name in node.gives() {
                self.make(name, Some(at))?;
            }
        }
        for name in graph.outputs.iter().flat_map(Argument::names) {
            self.read(name, usize::MAX)?;
        }
        Ok(())
    }

    fn read(&mut self, name: &'a str, at: usize) -> Result<(), ExportedError> {
        if !self.values.contains_key(name) {
            return Err(contradiction(format!("{name} is read before it is made")));
        }
        self.last_read.insert(name, at);
        Ok(())
    }

    fn is_tensor(&self, value: &str) -> bool {
        self.graph.tensor_values.contains_key(value)
    }

    /// Whether a node computes with sizes alone that the images given decide, those `known` among them.
    fn is_of_sizes(&self, node: &Node, known: &HashSet<&str>) -> bool {
        let mut gives = node.gives().peekable();
        gives.peek().is_some()
            && gives.all(|name| !self.is_tensor(name))
            && node.reads().all(|name| known.contains(name))
    }
}

/// The modules whose code a node stands in, from below the root to the innermost: what tells the call, and the path.
/// `None` where the exporter does not say, as of what its own passes put in.
fn stack(node: &Node) -> Option<Vec<(&str, &str)>> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    let mut is_said = false;
    for entry in node.metadata.nn_module_stack.split(';') {
        // A class may hold commas.
        let mut parts = entry.splitn(3, ',');
        let (Some(key), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        if key.starts_with("_empty") {
            continue;
        }
        is_said = true;
        let parent = found.last().map_or("", |(_, path)| *path);
        let is_below = path.len() > parent.len()
            && path.starts_with(parent)
            && (parent.is_empty() || path.as_bytes()[parent.len()] == b'.');
        // A module that hangs elsewhere cannot be called by its path from here: its code stands in its caller's.
        if is_below && found.len() < DEEPEST {
            found.push((key, path));
        }
    }
    is_said.then_some(found)
}

/// The tree of calls, the root's code at its top.
fn calls(flow: &Flow) -> Call {
    let call = |key: &str, path: &str| Call {
        key: key.into(),
        path: path.into(),
        items: Vec::new(),
    };
    let mut root = call("", "");
    // From the outermost to the innermost.
    let mut open: Vec<Call> = Vec::new();
    let close = |root: &mut Call, open: &mut Vec<Call>, left: usize| {
        while open.len() > left
            && let Some(done) = open.pop()
        {
            let around = open.last_mut().unwrap_or(root);
            around.items.push(Item::Call(done));
        }
    };
    // The images, and sizes that come of them alone.
    let inputs = flow.graph.inputs.iter().flat_map(Argument::names);
    let mut known: HashSet<&str> = inputs.filter(|n| !flow.tensors.contains_key(n)).collect();
    for (number, node) in flow.graph.nodes.iter().enumerate() {
        if flow.is_of_sizes(node, &known) {
            known.extend(node.gives());
            root.items.push(Item::Node(number));
            continue;
        }
        // What is said of no module stands where the code is already.
        let Some(wanted) = stack(node) else {
            let around = open.last_mut().unwrap_or(&mut root);
            around.items.push(Item::Node(number));
            continue;
        };
        let pairs = wanted.iter().zip(&open);
        let same = pairs
            .take_while(|((key, path), call)| (*key, *path) == (&call.key, &call.path))
            .count();
        close(&mut root, &mut open, same);
        open.extend(wanted[same..].iter().map(|(key, path)| call(key, path)));
        let around = open.last_mut().unwrap_or(&mut root);
        around.items.push(Item::Node(number));
    }
    close(&mut root, &mut open, 0);
    root
}

impl Call {
    /// Places of all nodes in the order in which they run.
    fn order(&self, found: &mut Vec<usize>) {
        for item in &self.items {
            match item {
                Item::Node(number) => found.push(*number),
                Item::Call(call) => call.order(found),
            }
        }
    }
}

struct Writer<'a> {
    flow: &'a Flow<'a>,
    /// Places of the nodes in the order in which they run.
    order: &'a [usize],
    methods: BTreeMap<String, Vec<Method>>,
}

/// What a call takes and gives.
struct Ends<'a> {
    takes: Vec<&'a str>,
    gives: Vec<&'a str>,
}

/// Names as the code of a module has them.
struct Inside<'a> {
    flow: &'a Flow<'a>,
    path: &'a str,
}

impl Inside<'_> {
    /// The tensor that an input of the graph is, as an attribute of this module or one below it.
    fn tensor(&self, value: &str) -> Option<String> {
        let path = *self.flow.tensors.get(value)?;
        let below = match self.path {
            "" => path,
            own => path.strip_prefix(own)?.strip_prefix('.')?,
        };
        Some(path_of("self", below))
    }
}

impl Names for Inside<'_> {
    fn of(&self, value: &str) -> Result<String, ExportedError> {
        Ok(self.tensor(value).unwrap_or_else(|| variable(value)))
    }
}

impl<'a> Writer<'a> {
    /// The lines of a call's code. `next` is the place of its first node.
    fn body(&mut self, call: &Call, next: &mut usize) -> Result<Vec<String>, ExportedError> {
        let names = Inside {
            flow: self.flow,
            path: &call.path,
        };
        let mut lines = Vec::new();
        for item in &call.items {
            match item {
                Item::Node(number) => {
                    *next += 1;
                    lines.extend(text::lines(&self.flow.graph.nodes[*number], &names)?);
                }
                Item::Call(inner) => {
                    let (ends, method) = self.method(inner, next)?;
                    lines.push(called(&names, inner, &ends, &method)?);
                }
            }
        }
        Ok(lines)
    }

    /// Writes a call as a method of its module: what it takes and gives, and its name.
    fn method(
        &mut self,
        call: &Call,
        next: &mut usize,
    ) -> Result<(Ends<'a>, String), ExportedError> {
        let begin = *next;
        let mut lines = self.body(call, next)?;
        let ends = self.crossing(call, begin..*next);
        let given: Vec<String> = ends.gives.iter().map(|name| variable(name)).collect();
        let types: Vec<&str> = ends.gives.iter().map(|name| self.type_of(name)).collect();
        let gives = returned(&given, &types, &mut lines);
        let params = ends.takes.iter().map(|name| self.param(name)).collect();
        let all = self.methods.entry(call.path.clone()).or_default();
        let name = match all.len() {
            0 => "forward".to_owned(),
            n => format!("forward{n}"),
        };
        all.push(Method {
            name: name.clone(),
            params,
            gives,
            lines,
        });
        Ok((ends, name))
    }

    /// The values that go into a part of the nodes, and those that come out of it.
    fn crossing(&self, call: &Call, part: Range<usize>) -> Ends<'a> {
        let flow = self.flow;
        let names = Inside {
            flow,
            path: &call.path,
        };
        let is_made_here = |name: &str| {
            let made = flow.values.get(name).and_then(|made| made.at);
            made.is_some_and(|at| part.contains(&at))
        };
        let mut ends = Ends {
            takes: Vec::new(),
            gives: Vec::new(),
        };
        let nodes = self.order[part.clone()].iter();
        for node in nodes.map(|number| &flow.graph.nodes[*number]) {
            if text::is_check(&node.target) {
                continue;
            }
            for name in node.reads() {
                let is_known = is_made_here(name) || names.tensor(name).is_some();
                if !is_known && !ends.takes.contains(&name) {
                    ends.takes.push(name);
                }
            }
            let left = |name: &&str| flow.last_read.get(name).is_some_and(|at| *at >= part.end);
            ends.gives.extend(node.gives().filter(left));
        }
        ends
    }

    fn type_of(&self, value: &str) -> &'static str {
        let made = self.flow.values.get(value);
        made.map_or("Tensor", |made| made.kind.name())
    }

    fn param(&self, value: &str) -> String {
        format!("{}: {}", variable(value), self.type_of(value))
    }

    /// The parameters of `forward` and the type of what it gives, which it returns in its last line.
    fn ends(
        &self,
        signature: &Signature,
        body: &mut Vec<String>,
    ) -> Result<(Vec<String>, String), ExportedError> {
        let names = Inside {
            flow: self.flow,
            path: "",
        };
        let mut params = Vec::new();
        for spec in &signature.input_specs {
            if let InputSpec::UserInput { arg } = spec {
                params.extend(arg.names().into_iter().map(|name| self.param(name)));
            }
        }
        let (mut given, mut types) = (Vec::new(), Vec::new());
        for spec in &signature.output_specs {
            match spec {
                OutputSpec::UserOutput {
                    arg: Argument::None(_),
                } => {
                    given.push("None".to_owned());
                    types.push("NoneType");
                }
                OutputSpec::UserOutput { arg } => match arg.names()[..] {
                    [name] => {
                        given.push(names.of(name)?);
                        types.push(self.type_of(name));
                    }
                    _ => {
                        return Err(contradiction(
                            "an output that is no tensor and no size".into(),
                        ));
                    }
                },
                OutputSpec::BufferMutation { arg, buffer_name } => body.push(format!(
                    "_ = torch.copy_({}, {})",
                    path_of("self", buffer_name),
                    names.of(&arg.name)?
                )),
                _ => {
                    return Err(contradiction(
                        "an output of a kind that only training programs have".into(),
                    ));
                }
            }
        }
        let gives = returned(&given, &types, body);
        Ok((params, gives))
    }
}

/// Ends a method's code by giving these values, and names their type.
fn returned(given: &[String], types: &[&str], lines: &mut Vec<String>) -> String {
    let (value, kind) = match (given, types) {
        ([], _) => ("None".to_owned(), "NoneType".to_owned()),
        ([one], [kind]) => (one.clone(), (*kind).to_owned()),
        _ => (
            format!("({})", given.join(", ")),
            format!("Tuple[{}]", types.join(", ")),
        ),
    };
    lines.push(format!("return {value}"));
    kind
}

/// The line that calls a method.
fn called(names: &Inside, call: &Call, ends: &Ends, method: &str) -> Result<String, ExportedError> {
    let below = match names.path {
        "" => call.path.as_str(),
        own => call.path[own.len()..].trim_start_matches('.'),
    };
    let args: Vec<String> = ends
        .takes
        .iter()
        .map(|name| names.of(name))
        .collect::<Result<_, _>>()?;
    let text = format!("({}).{method}({})", path_of("self", below), args.join(", "));
    let given: Vec<String> = ends.gives.iter().map(|name| variable(name)).collect();
    Ok(match &given[..] {
        [] => text,
        [one] => format!("{one} = {text}"),
        _ => format!("{}, = {text}", given.join(", ")),
    })
}

fn contradiction(detail: String) -> ExportedError {
    ExportedError::Graph { detail }
}
