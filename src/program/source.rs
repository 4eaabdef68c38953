//! All classes and functions of a network, by qualified name.

use indexmap::IndexMap;

use super::ast::{Class, File, Function, Item};
use super::parse::{MAX_TOKENS, ParseError, parse_within};

/// The parsed source files of a network, by module name: `__torch__.torch.nn.modules.conv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sources {
    files: IndexMap<String, File>,
    /// Tokens that further files may have.
    tokens_left: usize,
}

impl Default for Sources {
    fn default() -> Self {
        Sources {
            files: IndexMap::new(),
            tokens_left: MAX_TOKENS,
        }
    }
}

impl Sources {
    /// Parses a file and adds it under its module name.
    ///
    /// # Errors
    /// Where the text is not TorchScript, or all files together are longer than any network's.
    pub fn add(&mut self, module: impl Into<String>, text: &str) -> Result<(), ParseError> {
        let file = parse_within(text, &mut self.tokens_left)?;
        self.files.insert(module.into(), file);
        Ok(())
    }

    /// The file of this module name.
    #[must_use]
    pub fn file(&self, module: &str) -> Option<&File> {
        self.files.get(module)
    }

    /// The file of this module name, to change it; made empty where there is none.
    pub fn file_mut(&mut self, module: &str) -> &mut File {
        self.files
            .entry(module.to_owned())
            .or_insert_with(|| File { items: Vec::new() })
    }

    /// All files, by module name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file))
    }

    /// All files, to change them.
    pub fn files_mut(&mut self) -> impl Iterator<Item = (&str, &mut File)> {
        self.files
            .iter_mut()
            .map(|(name, file)| (name.as_str(), file))
    }

    /// Keeps the classes and functions whose qualified name `keep` accepts, and the files in which any are left.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.files.retain(|module, file| {
            let before = file.items.len();
            file.items.retain(|item| match item {
                Item::Class(Class { name, .. }) | Item::Function(Function { name, .. }) => {
                    keep(&format!("{module}.{name}"))
                }
                Item::Statement(_) => true,
            });
            before == 0
                || file
                    .items
                    .iter()
                    .any(|item| !matches!(item, Item::Statement(_)))
        });
    }

    /// The class of this qualified name: `__torch__.torch.nn.modules.conv.Conv2d`.
    #[must_use]
    pub fn class(&self, qualified: &str) -> Option<&Class> {
        let (module, name) = qualified.rsplit_once('.')?;
        self.files
            .get(module)?
            .items
            .iter()
            .find_map(|item| match item {
                Item::Class(class) if class.name == name => Some(class),
                _ => None,
            })
    }

    /// The same, to change it.
    pub fn class_mut(&mut self, qualified: &str) -> Option<&mut Class> {
        let (module, name) = qualified.rsplit_once('.')?;
        self.files
            .get_mut(module)?
            .items
            .iter_mut()
            .find_map(|item| match item {
                Item::Class(class) if class.name == name => Some(class),
                _ => None,
            })
    }

    /// The free function of this qualified name.
    #[must_use]
    pub fn function(&self, qualified: &str) -> Option<&Function> {
        let (module, name) = qualified.rsplit_once('.')?;
        self.files
            .get(module)?
            .items
            .iter()
            .find_map(|item| match item {
                Item::Function(function) if function.name == name => Some(function),
                _ => None,
            })
    }
}
