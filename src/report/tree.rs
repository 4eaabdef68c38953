//! The tree of modules: what each is, holds and costs, and where the blocks are.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::blocks::analysis::Analysis;
use crate::blocks::{Block, show_shape};
use crate::program::cost;
use crate::program::{Attribute, Call, ModuleId, ModuleTree};
use crate::report::{self, number, thousands};

/// A module, or a block that has no module of its own.
#[derive(Clone, Debug, Serialize)]
pub struct TreeNode {
    /// Its name in the module that holds it. A block without a module has its path here.
    pub name: String,
    pub path: String,
    /// Its class without the package. `None`: a block without a module.
    pub class: Option<String>,
    pub params: i64,
    /// The MACs of all its calls.
    pub macs: i64,
    /// How often it is called by another module.
    pub calls: usize,
    /// The shape of what it gives for one sample. `None` if its calls give several shapes, or if the shape is not known.
    pub output_shape: Option<Vec<i64>>,
    /// Whether the block can be removed. `None`: it is no block.
    pub removable: Option<bool>,
    /// Why the block cannot be removed.
    pub reason: Option<String>,
    /// Nothing is known of it, because its code, or the code of a module around it, was not followed.
    pub not_followed: bool,
    /// The first path of a module that has several. The tree shows there what it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_as: Option<String>,
    pub children: Vec<TreeNode>,
}

/// The tree of a network.
#[must_use]
pub fn tree(analysis: &Analysis) -> TreeNode {
    let mut calls: HashMap<ModuleId, Vec<&Call>> = HashMap::new();
    let program = &analysis.program;
    for call in &program.calls {
        let caller = call.caller.map(|c| program.calls[c.0].module);
        if caller != Some(call.module) {
            calls.entry(call.module).or_default().push(call);
        }
    }
    let left = program.not_followed.iter().map(|left| left.module);
    let builder = TreeBuilder {
        analysis,
        left: left.filter(|id| !calls.contains_key(id)).collect(),
        calls,
    };
    builder.module(ModuleTree::ROOT, "")
}

/// Makes the nodes of a tree.
struct TreeBuilder<'a> {
    analysis: &'a Analysis,
    /// The calls of each module that other modules make.
    calls: HashMap<ModuleId, Vec<&'a Call>>,
    /// Modules of which no call was followed.
    left: HashSet<ModuleId>,
}

impl TreeBuilder<'_> {
    fn module(&self, id: ModuleId, name: &str) -> TreeNode {
        let module = self.analysis.network.modules.get(id);
        let mut node = self.alone(id, name);
        for (name, attribute) in &module.attributes {
            let Attribute::Module(child) = attribute else {
                continue;
            };
            let found = self.analysis.network.modules.get(*child);
            // Objects of libtorch's own, such as packed weights, are no modules.
            if found.class.starts_with("__torch__.torch.classes.") {
                continue;
            }
            let path = match module.path.as_str() {
                "" => name.clone(),
                parent => format!("{parent}.{name}"),
            };
            node.children.push(if found.path == path {
                self.module(*child, name)
            } else {
                TreeNode {
                    same_as: Some(found.path.clone()),
                    path,
                    ..self.alone(*child, name)
                }
            });
        }
        let program = &self.analysis.program;
        let blocks = self.analysis.blocks.iter();
        let spans = blocks.filter(|b| b.call.is_none() && program.calls[b.frame.0].module == id);
        node.children.extend(spans.map(span));
        node
    }

    /// The module without the modules that it holds.
    fn alone(&self, id: ModuleId, name: &str) -> TreeNode {
        let Analysis {
            network,
            program,
            blocks,
            ..
        } = self.analysis;
        let module = network.modules.get(id);
        let calls = self.calls.get(&id).map_or(&[][..], Vec::as_slice);
        let macs = calls
            .iter()
            .map(|c| cost::macs(network, program, c.range.clone()).count);
        let mut shapes = calls
            .iter()
            .map(|c| match c.result.operand.values().as_slice() {
                [value] if c.result.is_tensor() => program.sample_shape(*value),
                _ => None,
            });
        let first = shapes.next().flatten();
        let block = blocks
            .iter()
            .find(|b| b.call.is_some_and(|c| program.calls[c.0].module == id));
        TreeNode {
            name: name.to_owned(),
            path: module.path.clone(),
            class: Some(short_class(&module.class).to_owned()),
            params: match id {
                ModuleTree::ROOT => network.parameter_count(),
                _ => network.modules.parameter_count(id),
            },
            macs: macs.sum(),
            calls: calls.len(),
            output_shape: first.filter(|f| shapes.all(|s| s.as_ref() == Some(f))),
            removable: block.map(Block::is_removable),
            reason: block.and_then(reason),
            not_followed: self.is_left(id),
            same_as: None,
            children: Vec::new(),
        }
    }

    fn is_left(&self, id: ModuleId) -> bool {
        let modules = &self.analysis.network.modules;
        let mut around = std::iter::successors(Some(id), |id| modules.get(*id).parent);
        around.any(|id| self.left.contains(&id))
    }
}

fn span(block: &Block) -> TreeNode {
    TreeNode {
        name: block.path.clone(),
        path: block.path.clone(),
        class: None,
        params: block.params,
        macs: block.macs.count,
        calls: 1,
        output_shape: block.output_shape.clone(),
        removable: Some(block.is_removable()),
        reason: reason(block),
        not_followed: false,
        same_as: None,
        children: Vec::new(),
    }
}

fn reason(block: &Block) -> Option<String> {
    block.obstacle.as_ref().map(ToString::to_string)
}

/// `Conv2d` of `__torch__.torch.nn.modules.conv.___torch_mangle_0.Conv2d`
fn short_class(class: &str) -> &str {
    class.rsplit_once('.').map_or(class, |(_, name)| name)
}

impl TreeNode {
    /// The tree as a table for people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table =
            report::table(&["module", "class", "parameters", "MACs", "output", "block"]);
        self.add_to(&mut table, "", "", "");
        report::render(&table)
    }

    fn add_to(&self, table: &mut comfy_table::Table, before: &str, branch: &str, below: &str) {
        let name = if self.name.is_empty() {
            "."
        } else {
            &self.name
        };
        let class = self.class.as_deref().unwrap_or("(in the code)");
        let block = match (&self.same_as, self.removable, &self.reason) {
            (Some(path), ..) => format!("the same as {path}"),
            (None, Some(true), _) => "removable".into(),
            (None, Some(false), reason) => {
                format!("not removable: {}", reason.as_deref().unwrap_or_default())
            }
            (None, None, _) if self.not_followed => "not followed".into(),
            (None, None, _) if self.calls == 0 => "never called".into(),
            (None, None, _) => String::new(),
        };
        table.add_row(vec![
            format!("{before}{branch}{name}").into(),
            class.into(),
            number(thousands(self.params)),
            number(thousands(self.macs)),
            self.output_shape
                .as_ref()
                .map_or("?".into(), |s| show_shape(s))
                .into(),
            block.into(),
        ]);
        let before = format!("{before}{below}");
        for (i, child) in self.children.iter().enumerate() {
            let (branch, below) = if i + 1 == self.children.len() {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            child.add_to(table, &before, branch, below);
        }
    }
}
