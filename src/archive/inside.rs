//! A module of a network as an archive of its own, and the whole again.
//!
//! Both share the pickle: the module's object is the root of one, and hangs where it did in the other. So what is edited in
//! the module is edited in the whole, whose rest nobody sees.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;

use super::network::{module_name, source_file};
use super::{Archive, ArchiveError, Node, NodeId, SourceFile, network::NetworkError};
use crate::program::{Sources, print, reachable};

/// What is around a module that is an archive of its own.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// Where the module hangs.
    path: String,
    root: NodeId,
    /// The files of which the module does not need everything, as they were.
    sources: IndexMap<String, SourceFile>,
    /// What the module was left of them.
    shortened: HashMap<String, String>,
}

impl Archive {
    /// The module at `path` as an archive of its own. What it is written as is still the [`whole`](Self::whole), with this
    /// module in it; what libtorch is given to run is the module alone.
    ///
    /// # Errors
    /// If there is no such module, or the archive is a program of `torch.export`, which has none.
    pub fn inside(&self, path: &str) -> Result<Self, NetworkError> {
        if self.is_exported() {
            return Err(ArchiveError::InsideExported.into());
        }
        let whole = self.whole();
        let class = |object| whole.data.class_name(object);
        let is_module = |object: &NodeId| matches!(whole.data.get(*object), Node::Object { .. });
        let object = whole.object(path).filter(is_module);
        let (Some(object), false) = (object, path.is_empty()) else {
            return Err(whole.no_module(path).into());
        };
        let sources = whole.parsed_sources()?;
        let mut left = sources.clone();
        let needed = reachable(&sources, &class(object).unwrap_or_default());
        left.retain(|item| needed.contains(item));
        let mut inner = whole.into_owned();
        let mut around = Surroundings {
            path: path.to_owned(),
            root: inner.data.root(),
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

    /// Where this module hangs in the whole; `None` for an archive that is the whole itself.
    #[must_use]
    pub fn path_inside(&self) -> Option<&str> {
        self.surroundings
            .as_ref()
            .map(|around| around.path.as_str())
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
            let file = match changed.and_then(|now| merged(name, &original.text, now)) {
                Some(text) => SourceFile { text, edited: true },
                None => original.clone(),
            };
            whole.sources.insert(name.clone(), file);
        }
        Cow::Owned(whole)
    }

    /// Of an archive that was just read: the module that `other` is of its own, if it is one.
    ///
    /// # Errors
    /// If there is no such module any more.
    pub fn like(self, other: &Self) -> Result<Self, NetworkError> {
        match other.path_inside() {
            Some(path) if self.path_inside().is_none() => self.inside(path),
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

/// A source file with the classes and functions of another in place of its own of the same names.
fn merged(name: &str, original: &str, changed: &str) -> Option<String> {
    let module = module_name(name)?;
    let parsed = |text: &str| {
        let mut sources = Sources::default();
        sources.add(module.clone(), text).ok()?;
        sources.file(&module).cloned()
    };
    let mut file = parsed(original)?;
    for item in parsed(changed)?.items {
        let mut own = file.items.iter_mut();
        match own.find(|own| own.name().is_some() && own.name() == item.name()) {
            Some(own) => *own = item,
            None => file.items.push(item),
        }
    }
    Some(print(&file))
}
