//! All classes and functions of a network, by qualified name.

use std::collections::HashMap;
use std::sync::OnceLock;

use indexmap::IndexMap;

use super::ast::{CallId, Class, File, Function, Item};
use super::parse::{MAX_TOKENS, ParseError, parse_within};

/// The parsed source files of a network, by module name: `__torch__.torch.nn.modules.conv`.
#[derive(Clone, Debug)]
pub struct Sources {
    files: IndexMap<String, File>,
    /// The line of each call in a file as it was read, by the call's number.
    lines: HashMap<String, Vec<u32>>,
    /// Tokens that further files may have.
    tokens_left: usize,
    /// Made when it is first asked for, and anew after a change.
    index: OnceLock<Index>,
}

/// A line of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeLine {
    /// The place of the file among the files.
    file: u32,
    line: u32,
}

/// Whether a class or function of this qualified name is the archive's; all others are libtorch's own.
#[must_use]
pub fn is_of_archive(qualified: &str) -> bool {
    qualified.starts_with("__torch__.")
}

/// Whether a class of this qualified name is registered with libtorch, so that the archive has no code of it.
#[must_use]
pub fn is_registered_class(qualified: &str) -> bool {
    qualified.starts_with("__torch__.torch.classes.")
}

/// Where the definition of a class or a function is kept.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    item: usize,
}

/// The place of each class and each function, by qualified name; of several by one name, that of the first.
#[derive(Clone, Debug, Default)]
struct Index {
    classes: HashMap<String, Place>,
    functions: HashMap<String, Place>,
}

impl Index {
    fn of(files: &IndexMap<String, File>) -> Self {
        let mut index = Index::default();
        for (file, (module, content)) in files.iter().enumerate() {
            for (item, definition) in content.items.iter().enumerate() {
                let (names, name) = match definition {
                    Item::Class(class) => (&mut index.classes, &class.name),
                    Item::Function(function) => (&mut index.functions, &function.name),
                    Item::Statement(_) => continue,
                };
                names
                    .entry(format!("{module}.{name}"))
                    .or_insert(Place { file, item });
            }
        }
        index
    }
}

/// Whether both have the same code; lines do not count.
impl PartialEq for Sources {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Default for Sources {
    fn default() -> Self {
        Sources {
            files: IndexMap::new(),
            lines: HashMap::new(),
            tokens_left: MAX_TOKENS,
            index: OnceLock::new(),
        }
    }
}

impl Sources {
    /// Parses a file and adds it under its module name.
    ///
    /// # Errors
    /// Where the text is not TorchScript, or all files together are longer than any network's.
    pub fn add(&mut self, module: impl Into<String>, text: &str) -> Result<(), ParseError> {
        let (file, lines) = parse_within(text, &mut self.tokens_left)?;
        let module = module.into();
        self.index.take();
        self.lines.insert(module.clone(), lines);
        self.files.insert(module, file);
        Ok(())
    }

    /// The file of this module name.
    #[must_use]
    pub fn file(&self, module: &str) -> Option<&File> {
        self.files.get(module)
    }

    /// Where a call stands in the file of this module name.
    pub(super) fn line(&self, module: &str, call: CallId) -> Option<CodeLine> {
        let line = *self.lines.get(module)?.get(call.0 as usize)?;
        let file = u32::try_from(self.files.get_index_of(module)?).ok()?;
        Some(CodeLine { file, line })
    }

    /// The line as people read it: `__torch__/net.py:12`.
    #[must_use]
    pub fn show_line(&self, at: CodeLine) -> String {
        let module = self.files.get_index(at.file as usize);
        let module = module.map_or("", |(module, _)| module.as_str());
        format!("{}.py:{}", module.replace('.', "/"), at.line)
    }

    /// The file of this module name, to change it; made empty where there is none.
    pub fn file_mut(&mut self, module: &str) -> &mut File {
        self.index.take();
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
        self.index.take();
        self.files
            .iter_mut()
            .map(|(name, file)| (name.as_str(), file))
    }

    /// Keeps the classes and functions whose qualified name `keep` accepts, and the files in which any are left.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.index.take();
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

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::of(&self.files))
    }

    fn item(&self, place: Place) -> Option<&Item> {
        let (_, file) = self.files.get_index(place.file)?;
        file.items.get(place.item)
    }

    /// The class of this qualified name: `__torch__.torch.nn.modules.conv.Conv2d`.
    #[must_use]
    pub fn class(&self, qualified: &str) -> Option<&Class> {
        match self.item(*self.index().classes.get(qualified)?)? {
            Item::Class(class) => Some(class),
            _ => None,
        }
    }

    /// The same, to change it, but not its name.
    pub fn class_mut(&mut self, qualified: &str) -> Option<&mut Class> {
        let place = *self.index().classes.get(qualified)?;
        let (_, file) = self.files.get_index_mut(place.file)?;
        match file.items.get_mut(place.item)? {
            Item::Class(class) => Some(class),
            _ => None,
        }
    }

    /// The free function of this qualified name.
    #[must_use]
    pub fn function(&self, qualified: &str) -> Option<&Function> {
        match self.item(*self.index().functions.get(qualified)?)? {
            Item::Function(function) => Some(function),
            _ => None,
        }
    }
}
