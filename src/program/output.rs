//! Which tensor of what a network gives holds the class scores.
//!
//! A network may give several tensors: in a tuple, a list, a NamedTuple or a dictionary, one inside another.

use std::fmt;
use std::str::FromStr;

use crate::program::ast::Expr;
use crate::program::{Dim, Known, ModuleTree, Network, Program, Val, ValueId, show_shape};

/// One output as the user names it: an index, a key or a field; parted by dots where they nest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputKey(String);

impl FromStr for OutputKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("expected an index such as 0 or -1, a key or a field".into()),
            key => Ok(OutputKey(key.into())),
        }
    }
}

impl fmt::Display for OutputKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One step from what a network gives towards a tensor in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Of a tuple or list; negative from its end.
    Item(i64),
    /// Of a dictionary.
    Key(String),
}

/// Where the class scores are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlet {
    /// From what the network gives to the scores; empty if it gives just them.
    pub path: Vec<Step>,
    /// The scores in the flat program; `None` where it does not show them.
    pub value: Option<ValueId>,
}

/// Why nobody can tell where the class scores are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    #[error(
        "the network gives several tensors: {outputs}; name the one that holds the class scores with --output-key"
    )]
    Several { outputs: String },
    #[error("the network gives no tensor, so there are no class scores")]
    NoTensor,
    #[error("the network gives no tensor `{key}`; --output-key names one of {outputs}")]
    NoSuch { key: String, outputs: String },
    #[error("the network gives just one tensor, so --output-key {key} names nothing; leave it out")]
    OnlyOne { key: String },
}

/// The output that `key` names. Without a key: the only tensor, or the only one of shape n × classes.
///
/// # Errors
/// If the key names no tensor, or if there is no key and several tensors may be meant.
pub fn choose(
    network: &Network,
    program: &Program,
    key: Option<&OutputKey>,
) -> Result<Outlet, OutputError> {
    let fields = field_names(network);
    let output = &program.output;
    match (key, &output.known) {
        (None, Known::Nothing | Known::Tensor { .. }) => Ok(outlet(program, Vec::new(), output)),
        (None, _) => only_scores(program, &fields),
        (Some(key), Known::Tensor { .. }) => Err(OutputError::OnlyOne {
            key: key.to_string(),
        }),
        // What the analysis does not see is found when the network runs.
        (Some(key), Known::Nothing) => Ok(Outlet {
            path: key.0.split('.').map(|part| step(part, &fields)).collect(),
            value: None,
        }),
        (Some(key), _) => match find(output, &key.0, &fields) {
            Some((path, val)) => Ok(outlet(program, path, val)),
            None => Err(OutputError::NoSuch {
                key: key.to_string(),
                outputs: list(output, &fields),
            }),
        },
    }
}

fn only_scores(program: &Program, fields: &[String]) -> Result<Outlet, OutputError> {
    let found = tensors(&program.output, fields);
    // A tensor of unknown shape may hold scores as well.
    let is_scores = |val: &Val| {
        val.shape()
            .is_none_or(|s| matches!(s.as_slice(), [n, _] if *n == Dim::BATCH))
    };
    let mut scores = found.iter().filter(|t| is_scores(t.val));
    match (found.as_slice(), scores.next(), scores.next()) {
        ([], ..) => Err(OutputError::NoTensor),
        ([one], ..) | (_, Some(one), None) => Ok(outlet(program, one.path.clone(), one.val)),
        _ => Err(OutputError::Several {
            outputs: list(&program.output, fields),
        }),
    }
}

fn outlet(program: &Program, path: Vec<Step>, val: &Val) -> Outlet {
    let is_made = |id: &ValueId| {
        *id == program.input || program.statements.iter().any(|s| s.outputs.contains(id))
    };
    let value = match val.operand.values().as_slice() {
        [id] => Some(*id).filter(is_made),
        _ => None,
    };
    Outlet { path, value }
}

/// A tensor, or what may be one, among a network's outputs.
struct Leaf<'v> {
    name: String,
    path: Vec<Step>,
    val: &'v Val,
}

fn tensors<'v>(output: &'v Val, fields: &[String]) -> Vec<Leaf<'v>> {
    if matches!(output.known, Known::Tensor { .. } | Known::Nothing) {
        return vec![Leaf {
            name: String::new(),
            path: Vec::new(),
            val: output,
        }];
    }
    let mut found = Vec::new();
    for (step, names, child) in children(output, fields) {
        let name = names.into_iter().next().unwrap_or_default();
        for leaf in tensors(child, &[]) {
            let inner = if leaf.name.is_empty() { "" } else { "." };
            let path = std::iter::once(step.clone()).chain(leaf.path).collect();
            found.push(Leaf {
                name: format!("{name}{inner}{}", leaf.name),
                path,
                val: leaf.val,
            });
        }
    }
    found
}

fn find<'v>(val: &'v Val, key: &str, fields: &[String]) -> Option<(Vec<Step>, &'v Val)> {
    if key.is_empty() {
        let leaf = matches!(val.known, Known::Tensor { .. } | Known::Nothing);
        return leaf.then(|| (Vec::new(), val));
    }
    children(val, fields)
        .into_iter()
        .find_map(|(step, names, child)| {
            names.iter().find_map(|name| {
                let rest = key.strip_prefix(name.as_str())?;
                let rest = if rest.is_empty() {
                    rest
                } else {
                    rest.strip_prefix('.')?
                };
                let (path, found) = find(child, rest, &[])?;
                Some((std::iter::once(step.clone()).chain(path).collect(), found))
            })
        })
}

/// What a container holds: the step to it, its names (the one to show first), itself.
fn children<'v>(val: &'v Val, fields: &[String]) -> Vec<(Step, Vec<String>, &'v Val)> {
    match &val.known {
        Known::Tuple(items) | Known::List(items) => {
            let count = items.len() as i64;
            let named = |(i, item): (i64, &'v Val)| {
                let field = fields.get(i as usize).cloned();
                let indices = [i.to_string(), (i - count).to_string()];
                (
                    Step::Item(i),
                    field.into_iter().chain(indices).collect(),
                    item,
                )
            };
            (0..).zip(items).map(named).collect()
        }
        Known::Dict(pairs) => pairs
            .iter()
            .filter_map(|(key, item)| match &key.known {
                Known::Str(key) => Some((Step::Key(key.clone()), vec![key.clone()], item)),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn step(part: &str, fields: &[String]) -> Step {
    match (part.parse(), fields.iter().position(|f| f == part)) {
        (Ok(index), _) => Step::Item(index),
        (_, Some(index)) => Step::Item(index as i64),
        _ => Step::Key(part.into()),
    }
}

/// `out (n×5), aux (n×4×8×8)`
fn list(output: &Val, fields: &[String]) -> String {
    let shown = |leaf: &Leaf| {
        let shape = leaf.val.shape();
        let shape = shape.map_or("shape unknown".into(), |s| show_shape(s));
        format!("{} ({shape})", leaf.name)
    };
    let all: Vec<String> = tensors(output, fields).iter().map(shown).collect();
    all.join(", ")
}

/// The fields of the NamedTuple that the root's `forward` declares to give, if it does.
fn field_names(network: &Network) -> Vec<String> {
    let class = network
        .sources
        .class(&network.modules.get(ModuleTree::ROOT).class);
    let forward = class.and_then(|c| c.method("forward"));
    let returns = forward
        .and_then(|f| f.returns.as_ref())
        .and_then(Expr::dotted);
    let given = returns.and_then(|name| network.sources.class(&name));
    given
        .filter(|c| c.base.as_deref() == Some("NamedTuple"))
        .map(|c| {
            c.fields()
                .filter_map(|f| f.declares())
                .map(|(name, _)| name.to_owned())
                .collect()
        })
        .unwrap_or_default()
}
