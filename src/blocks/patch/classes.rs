//! Classes under edit: copied where several modules share one, swept where none is left to use them.

use std::collections::{BTreeSet, HashSet};

use crate::program::ast::{Class, Expr, Function, Item, Member, Stmt, walk_mut};
use crate::program::{FoundUse, ModuleId, ModuleTree, Network, Sources, Uses, reachable};

pub(super) struct ClassEditor<'a> {
    network: &'a Network,
    sources: Sources,
    /// The class each module has now, by module.
    class_of: Vec<String>,
    removed: HashSet<ModuleId>,
    /// The number for the next copy of a class, higher than all in use.
    next_mangle: u64,
}

const MANGLE: &str = "___torch_mangle_";
const LENGTH: &str = "__len__";

impl<'a> ClassEditor<'a> {
    pub fn new(network: &'a Network) -> Self {
        let used = network
            .sources
            .files()
            .flat_map(|(module, _)| module.split('.'));
        let highest = used
            .filter_map(|part| part.strip_prefix(MANGLE)?.parse::<u64>().ok())
            .max();
        ClassEditor {
            network,
            sources: network.sources.clone(),
            class_of: network
                .modules
                .iter()
                .map(|(_, m)| m.class.clone())
                .collect(),
            removed: HashSet::new(),
            next_mangle: highest.map_or(0, |n| n.saturating_add(1)),
        }
    }

    /// The class that a module has now.
    pub fn class_of(&self, module: ModuleId) -> &str {
        &self.class_of[module.0 as usize]
    }

    fn class_mut(&mut self, module: ModuleId) -> Option<&mut Class> {
        let name = self.class_of[module.0 as usize].clone();
        self.sources.class_mut(&name)
    }

    /// A method of this one module, to edit: other modules of its class keep theirs.
    pub fn method_mut(&mut self, module: ModuleId, name: &str) -> Option<&mut Function> {
        self.make_own(module);
        self.class_mut(module)?
            .methods_mut()
            .find(|m| m.name == name)
    }

    /// The modules whose class is another now.
    pub fn changed_classes(&self) -> impl Iterator<Item = (ModuleId, &str)> {
        let modules = self.network.modules.iter().zip(&self.class_of);
        modules
            .filter(|((_, module), class)| module.class != **class)
            .map(|((id, _), class)| (id, class.as_str()))
    }

    /// Gives the module a class that no other module has.
    fn make_own(&mut self, module: ModuleId) {
        let old = self.class_of(module).to_owned();
        let shared = self.class_of.iter().filter(|c| **c == old).count() > 1;
        let (true, Some(parent)) = (shared, self.network.modules.get(module).parent) else {
            return;
        };
        let Some(mut class) = self.sources.class(&old).cloned() else {
            return;
        };
        // The parent's class names this class as the type of its attribute, so the parent needs a class of its own as
        // well.
        self.make_own(parent);
        let file = self.fresh_file(&old);
        let new = format!("{file}.{}", class.name);
        rename_class(&mut class, &old, &new);
        self.sources.file_mut(&file).items.push(Item::Class(class));
        self.class_of[module.0 as usize] = new.clone();
        let network = self.network;
        if let (Some((_, name)), Some(class)) =
            (network.modules.place(module), self.class_mut(parent))
        {
            for member in &mut class.members {
                if let Member::Field(field) = member
                    && field
                        .declares()
                        .is_some_and(|(declared, _)| declared == name)
                    && let Some(declared) = field.declared_type_mut()
                {
                    replace_name(declared, &old, &new);
                }
            }
        }
    }

    /// `__torch__.a.___torch_mangle_7` for a copy of `__torch__.a.Block`: how libtorch tells classes of one name apart.
    fn fresh_file(&mut self, qualified: &str) -> String {
        let module = qualified
            .rsplit_once('.')
            .map_or(qualified, |(module, _)| module);
        let base = match module.rsplit_once('.') {
            Some((base, last)) if last.starts_with(MANGLE) => base,
            _ => module,
        };
        let file = format!("{base}.{MANGLE}{}", self.next_mangle);
        self.next_mangle = self.next_mangle.saturating_add(1);
        file
    }

    /// The uses of modules and tensors in the code as it is now.
    pub fn uses(&self) -> Uses<'_> {
        Uses::of(&self.sources)
    }

    /// Every place that speaks of an attribute; `uses` must be made of the code as it is now.
    pub fn of_attribute<'u>(
        &self,
        uses: &Uses<'u>,
        owner: ModuleId,
        name: &str,
    ) -> Vec<FoundUse<'u>> {
        uses.of_attribute(self.network, |module| self.class_of(module), owner, name)
    }

    /// Takes an attribute, a module or a tensor, out of its owner's class.
    pub fn remove_attribute(&mut self, owner: ModuleId, name: &str) {
        self.make_own(owner);
        self.removed.extend(self.network.modules.child(owner, name));
        let Some(class) = self.class_mut(owner) else {
            return;
        };
        class.members.retain(|member| match member {
            Member::Field(field) => field
                .declares()
                .is_none_or(|(declared, _)| declared != name),
            _ => true,
        });
        class.unlist(name);
    }

    /// Gives containers the lengths that they have after removals. A container whose length other code reads keeps the
    /// old one: that code computes with it, or decides by it, and must not change its behaviour.
    pub fn shorten(&mut self) {
        let uses = self.uses();
        let class_of = |module| self.class_of(module);
        let parents = self.removed.iter().filter_map(|module| {
            let parent = self.network.modules.get(*module).parent?;
            (!uses.calls_method(self.network, class_of, parent, LENGTH)).then_some(parent)
        });
        let parents: BTreeSet<ModuleId> = parents.collect();
        for parent in parents {
            let (before, left) = self.children(parent);
            if let Some(class) = self.class_mut(parent) {
                set_length(class, before, left);
            }
        }
    }

    /// How many modules a module holds: in the original, and without the removed ones.
    fn children(&self, module: ModuleId) -> (usize, usize) {
        let children = || self.network.modules.get(module).children();
        let left = children().filter(|(_, child)| !self.removed.contains(child));
        (children().count(), left.count())
    }

    /// The sources without what the removed modules alone needed.
    pub fn swept_sources(&self) -> Sources {
        let before = reachable(&self.network.sources, &self.network.modules.root().class);
        let after = reachable(&self.sources, self.class_of(ModuleTree::ROOT));
        let mut swept = self.sources.clone();
        swept.retain(|qualified| after.contains(qualified) || !before.contains(qualified));
        swept
    }
}

/// Changes the method that gives a container's length, where that is the number of its modules.
fn set_length(class: &mut Class, before: usize, left: usize) {
    let length = class.methods_mut().find(|m| m.name == LENGTH);
    if let Some([Stmt::Return(values)]) = length.map(|m| m.body.as_mut_slice())
        && let [Expr::Number(number)] = values.as_mut_slice()
        && *number == before.to_string()
    {
        *number = left.to_string();
    }
}

/// Gives a copied class its new name wherever its own code names it.
fn rename_class(class: &mut Class, old: &str, new: &str) {
    for member in &mut class.members {
        match member {
            Member::Field(field) => {
                for expression in field.annotation.iter_mut().chain(&mut field.values) {
                    replace_name(expression, old, new);
                }
            }
            Member::Method(method) => {
                let annotations = method
                    .params
                    .iter_mut()
                    .filter_map(|p| p.annotation.as_mut());
                for annotation in annotations.chain(&mut method.returns) {
                    replace_name(annotation, old, new);
                }
                walk_mut(&mut method.body, &mut |e| replace_if_named(e, old, new));
            }
            Member::Pass => {}
        }
    }
}

fn replace_name(expression: &mut Expr, old: &str, new: &str) {
    expression.walk_mut(&mut |e| replace_if_named(e, old, new));
}

fn replace_if_named(expression: &mut Expr, old: &str, new: &str) {
    if matches!(expression, Expr::Attribute { .. }) && expression.dotted().as_deref() == Some(old) {
        *expression = Expr::Name(new.to_owned());
    }
}
