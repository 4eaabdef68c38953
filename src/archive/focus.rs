//! A module of a network as an archive of its own that is given images alone, and the whole again.
//!
//! Both share the pickle: the module's object is the root of one, and hangs where it did in the other. So what is edited in
//! the module is edited in the whole, whose rest nobody sees. What `forward` is given beside images is written into its code
//! as constants, and taken out of it again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::network::{module_name, source_file};
use super::{Archive, ArchiveError, Node, NodeId, SourceFile, exported, network::NetworkError};
use crate::program::ast::Function;
use crate::program::interface::arguments::{self, Argument, ArgumentError, Parameters};
use crate::program::{Sources, print, reachable};

/// What of an archive counts as the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Focus {
    /// The path of the module; `None` for the whole.
    pub inside: Option<String>,
    /// What its `forward` is given beside images.
    pub arguments: Vec<Argument>,
}

impl Focus {
    /// On the module at a path, which is given these arguments. Of several by one name the last counts.
    #[must_use]
    pub fn of(inside: Option<&str>, arguments: &[Argument]) -> Self {
        let named = arguments.iter().map(|given| (given.name(), given));
        let named: IndexMap<&str, &Argument> = named.collect();
        Focus {
            inside: inside.map(str::to_owned),
            arguments: named.into_values().cloned().collect(),
        }
    }

    /// With the names that arguments have in the code of an exported program's carrier.
    fn in_carrier(&self) -> Self {
        let arguments = self.arguments.iter().map(|argument| {
            let name = argument.name();
            match exported::value_of(name).is_some() {
                true => argument.clone(),
                false => argument.named(exported::variable(name)),
            }
        });
        Focus {
            inside: None,
            arguments: arguments.collect(),
        }
    }
}

/// What is around a module that is an archive of its own.
#[derive(Debug)]
pub(super) struct Surroundings {
    focus: Focus,
    root: NodeId,
    /// The module's class.
    class: String,
    /// What its `forward` took, where it is given arguments.
    parameters: Option<Parameters>,
    /// The files of which the module has not everything as it was, as they were.
    sources: IndexMap<String, SourceFile>,
    /// What the module was left of them.
    shortened: HashMap<String, String>,
}

impl Archive {
    /// The network that `focus` names as an archive of its own. What it is written as is still the [`whole`](Self::whole),
    /// with this module in it; what libtorch is given to run is the module alone.
    ///
    /// # Errors
    /// If there is no such module, or no such argument of its `forward`, or the archive is a program of `torch.export`,
    /// which has no modules.
    pub fn focused(&self, focus: &Focus) -> Result<Self, NetworkError> {
        let whole = self.whole();
        let object = whole.module_named(focus.inside.as_deref())?;
        if *focus == Focus::default() {
            return Ok(whole.into_owned());
        }
        let focus = match self.is_exported() {
            true => &focus.in_carrier(),
            false => focus,
        };
        let class = whole.data.class_name(object).unwrap_or_default();
        let sources = whole.parsed_sources()?;
        let mut left = sources.clone();
        let needed = reachable(&sources, &class);
        left.retain(|item| needed.contains(item));
        let parameters = match focus.arguments.as_slice() {
            [] => None,
            given => {
                let given = give(&mut left, &class, given);
                let in_graph = |name: &str| exported::value_of(name).unwrap_or(name).to_owned();
                Some(given.map_err(|error| {
                    ArchiveError::Argument(match self.is_exported() {
                        true => error.renamed(in_graph),
                        false => error,
                    })
                })?)
            }
        };
        let mut inner = whole.into_owned();
        let mut around = Surroundings {
            focus: focus.clone(),
            root: inner.data.root(),
            class,
            parameters,
            sources: IndexMap::new(),
            shortened: HashMap::new(),
        };
        for (module, before) in sources.files() {
            let (file, left) = (source_file(module), left.file(module));
            if left == Some(before) {
                continue;
            }
            if let Some(original) = inner.sources.shift_remove(&file) {
                around.sources.insert(file.clone(), original);
            }
            if let Some(left) = left {
                let (text, edited) = (print(left), true);
                around.shortened.insert(file.clone(), text.clone());
                inner.sources.insert(file, SourceFile { text, edited });
            }
        }
        inner.surroundings = Some(Arc::new(around));
        inner.data.set_root(object);
        Ok(inner)
    }

    /// The object of the module at a path.
    fn module_named(&self, path: Option<&str>) -> Result<NodeId, ArchiveError> {
        let Some(path) = path else {
            return Ok(self.data.root());
        };
        if self.is_exported() {
            return Err(ArchiveError::InsideExported);
        }
        let is_module = |object: &NodeId| matches!(self.data.get(*object), Node::Object { .. });
        let object = self.object(path).filter(is_module);
        object
            .filter(|_| !path.is_empty())
            .ok_or_else(|| self.no_module(path))
    }

    /// What of its whole this is; `None` for an archive that is the whole itself.
    #[must_use]
    pub fn focus(&self) -> Option<&Focus> {
        self.surroundings.as_ref().map(|around| &around.focus)
    }

    /// The archive around this module, with the module as it is now.
    #[must_use]
    pub fn whole(&self) -> Cow<'_, Self> {
        let Some(around) = &self.surroundings else {
            return Cow::Borrowed(self);
        };
        let mut whole = self.clone();
        whole.surroundings = None;
        whole.data.set_root(around.root);
        for (name, original) in &around.sources {
            let now = self.source(name);
            let changed =
                now.filter(|now| around.shortened.get(name).map(String::as_str) != Some(*now));
            let file = match changed.and_then(|now| around.merged(name, &original.text, now)) {
                Some(text) => SourceFile { text, edited: true },
                None => original.clone(),
            };
            whole.sources.insert(name.clone(), file);
        }
        Cow::Owned(whole)
    }

    /// Of an archive that was just read: what of it `other` is of its own, if that is a part.
    ///
    /// # Errors
    /// If there is no such module any more.
    pub fn like(self, other: &Self) -> Result<Self, NetworkError> {
        match other.focus() {
            Some(focus) if self.focus().is_none() => self.focused(focus),
            _ => Ok(self),
        }
    }

    /// That there is no module at a path: the module that is there as far as the path goes, and what it holds.
    fn no_module(&self, path: &str) -> ArchiveError {
        let mut at = self.data.root();
        let mut found = Vec::new();
        for name in path.split('.').filter(|name| !name.is_empty()) {
            let next = self.data.attribute(at, name);
            match next.filter(|next| matches!(self.data.get(*next), Node::Object { .. })) {
                Some(next) => at = next,
                None => break,
            }
            found.push(name);
        }
        let attributes = self.data.attributes(at);
        let modules = attributes.filter(|(_, node)| self.data.class_name(*node).is_some());
        let modules: Vec<&str> = modules.map(|(name, _)| name).collect();
        ArchiveError::NoModule {
            path: path.to_owned(),
            within: match found.is_empty() {
                true => "the network".into(),
                false => found.join("."),
            },
            modules: match modules.is_empty() {
                true => "none".into(),
                false => modules.join(", "),
            },
        }
    }
}

impl Surroundings {
    /// A source file with the classes and functions of the module's in place of its own of the same names.
    fn merged(&self, name: &str, original: &str, changed: &str) -> Option<String> {
        let module = module_name(name)?;
        let parsed = |text: &str| {
            let mut sources = Sources::default();
            sources.add(module.clone(), text).ok()?;
            Some(sources)
        };
        let mut changed = parsed(changed)?;
        if let Some(parameters) = &self.parameters {
            take_back(&mut changed, &self.class, &self.focus.arguments, parameters);
        }
        let mut sources = parsed(original)?;
        let file = sources.file_mut(&module);
        for item in &changed.file(&module)?.items {
            let mut own = file.items.iter_mut();
            match own.find(|own| own.name().is_some() && own.name() == item.name()) {
                Some(own) => own.clone_from(item),
                None => file.items.push(item.clone()),
            }
        }
        Some(print(file))
    }
}

fn give(
    sources: &mut Sources,
    class: &str,
    arguments: &[Argument],
) -> Result<Parameters, ArgumentError> {
    let forward = forward(sources, class).ok_or(ArgumentError::NoForward)?;
    arguments::give(forward, arguments)
}

fn take_back(sources: &mut Sources, class: &str, arguments: &[Argument], before: &Parameters) {
    if let Some(forward) = forward(sources, class) {
        arguments::take_back(forward, arguments, before);
    }
}

fn forward<'a>(sources: &'a mut Sources, class: &str) -> Option<&'a mut Function> {
    let mut methods = sources.class_mut(class)?.methods_mut();
    methods.find(|method| method.name == "forward")
}
