//! Which tensors of what a network gives are its answer: its class scores, or all that it gives.
//!
//! A network may give several tensors: in a tuple, a list, a NamedTuple or a dictionary, one inside another.

use std::fmt;
use std::str::FromStr;

use crate::program::ast::Expr;
use crate::program::{Dim, Known, ModuleTree, Network, Program, Val, ValueId, show_shape};

/// Outputs as the user names them: each an index, a key or a field; parted by dots where they nest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputKeys(Vec<String>);

impl FromStr for OutputKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keys: Vec<String> = text.split(',').map(|key| key.trim().to_owned()).collect();
        if keys.iter().any(String::is_empty) {
            return Err(
                "expected an index such as 0 or -1, a key or a field, or several parted by commas"
                    .into(),
            );
        }
        Ok(OutputKeys(keys))
    }
}

impl fmt::Display for OutputKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
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

/// Where one tensor is in what a network gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlet {
    /// From what the network gives to the tensor; empty if it gives just that.
    pub path: Vec<Step>,
    /// The tensor in the flat program; `None` where it does not show it.
    pub value: Option<ValueId>,
    /// It has more than a row for each image: a map of places, as of a segmentation, a detector or a restored image.
    pub is_map: bool,
}

/// What a network is asked for: class scores, or tensors of any shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// In the order in which they were named, or else given; one at least.
    pub outlets: Vec<Outlet>,
}

impl Default for Answer {
    /// All that is given is a tensor of class scores.
    fn default() -> Self {
        Answer {
            outlets: vec![Outlet::default()],
        }
    }
}

impl Answer {
    /// The class scores, a row for each image; `None` if it is something else.
    #[must_use]
    pub fn scores(&self) -> Option<&Outlet> {
        match &self.outlets[..] {
            [one] if !one.is_map => Some(one),
            _ => None,
        }
    }

    /// Whether it is of places in images, not of images as wholes.
    #[must_use]
    pub fn is_of_places(&self) -> bool {
        self.outlets.iter().any(|outlet| outlet.is_map)
    }

    /// Its tensors in the flat program; `None` where it does not show them all.
    #[must_use]
    pub fn values(&self) -> Option<Vec<ValueId>> {
        self.outlets.iter().map(|outlet| outlet.value).collect()
    }
}

/// Why nobody can tell what a network answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    #[error("the network gives no tensor of results for its images")]
    NoTensor,
    #[error("the network gives no tensor `{key}`; --output-key names one of {outputs}")]
    NoSuch { key: String, outputs: String },
    #[error("the network gives just one tensor, so --output-key {key} names nothing; leave it out")]
    OnlyOne { key: String },
}

/// The outputs that `keys` name. Without keys: the only tensor, or the only one of shape n × classes, or else all tensors
/// that have something for each image.
///
/// # Errors
/// If a key names no tensor, or if there is none.
pub fn choose(
    network: &Network,
    program: &Program,
    keys: Option<&OutputKeys>,
) -> Result<Answer, OutputError> {
    let fields = field_names(network);
    let Some(keys) = keys else {
        return of_itself(program, &fields);
    };
    let outlets = keys.0.iter().map(|key| named(program, key, &fields));
    Ok(Answer {
        outlets: outlets.collect::<Result<_, _>>()?,
    })
}

fn named(program: &Program, key: &str, fields: &[String]) -> Result<Outlet, OutputError> {
    let output = &program.output;
    match &output.known {
        Known::Tensor { .. } => Err(OutputError::OnlyOne {
            key: key.to_owned(),
        }),
        // What the analysis does not see is found when the network runs.
        Known::Nothing => Ok(Outlet {
            path: key.split('.').map(|part| step(part, fields)).collect(),
            ..Outlet::default()
        }),
        _ => match find(output, key, fields) {
            Some((path, val)) => Ok(outlet(program, path, val)),
            None => Err(OutputError::NoSuch {
                key: key.to_owned(),
                outputs: list(output, fields),
            }),
        },
    }
}

fn of_itself(program: &Program, fields: &[String]) -> Result<Answer, OutputError> {
    let mut found = tensors(&program.output, fields);
    let is_of_images = |leaf: &Leaf| match &leaf.val.known {
        Known::Tensor { shape, .. } => {
            let first = shape.as_ref().map(|shape| shape.first());
            first.is_none_or(|first| first == Some(&Dim::BATCH))
        }
        _ => true,
    };
    if found.len() > 1 {
        found.retain(is_of_images);
    }
    // A tensor of unknown shape may hold scores as well.
    let may_be_scores = |leaf: &&Leaf| leaf.val.shape().is_none_or(|shape| shape.len() == 2);
    let mut scores = found.iter().filter(may_be_scores);
    let chosen: Vec<&Leaf> = match (scores.next(), scores.next()) {
        (Some(only), None) => vec![only],
        _ => found.iter().collect(),
    };
    if chosen.is_empty() {
        return Err(OutputError::NoTensor);
    }
    let outlets = chosen
        .into_iter()
        .map(|leaf| outlet(program, leaf.path.clone(), leaf.val));
    Ok(Answer {
        outlets: outlets.collect(),
    })
}

fn outlet(program: &Program, path: Vec<Step>, val: &Val) -> Outlet {
    let is_made = |id: &ValueId| {
        *id == program.input || program.statements.iter().any(|s| s.outputs.contains(id))
    };
    let value = match val.operand.values().as_slice() {
        [id] => Some(*id).filter(is_made),
        _ => None,
    };
    let is_one = |side: &Dim| side.known() == Some(1);
    let is_map = val
        .shape()
        .is_some_and(|shape| shape.len() > 2 && !shape[2..].iter().all(is_one));
    Outlet {
        path,
        value,
        is_map,
    }
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
