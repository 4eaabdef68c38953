//! What classes have, by name.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::program::Sources;
use crate::program::ast::{Class, Expr, Function, Item};

/// A class with its members.
pub(super) struct KnownClass<'a> {
    pub qualified: String,
    pub class: &'a Class,
    pub fields: HashMap<&'a str, &'a Expr>,
    pub methods: HashMap<&'a str, &'a Function>,
}

/// All classes and functions of a network, their members found at once.
pub(super) struct Members<'a> {
    classes: HashMap<String, KnownClass<'a>>,
    functions: HashMap<String, &'a Function>,
    /// The class that an annotation names, if it is one of these, by the address of the annotation: a name may be as
    /// long as a file, so each is read just once.
    named: RefCell<HashMap<*const Expr, Option<Rc<str>>>>,
}

impl<'a> Members<'a> {
    pub fn of(sources: &'a Sources) -> Self {
        let mut members = Members {
            classes: HashMap::new(),
            functions: HashMap::new(),
            named: RefCell::default(),
        };
        for (module, file) in sources.files() {
            for item in &file.items {
                match item {
                    Item::Class(class) => {
                        members.add_class(format!("{module}.{}", class.name), class)
                    }
                    Item::Function(function) => {
                        let name = format!("{module}.{}", function.name);
                        members.functions.entry(name).or_insert(function);
                    }
                    Item::Statement(_) => {}
                }
            }
        }
        members
    }

    fn add_class(&mut self, qualified: String, class: &'a Class) {
        let known = KnownClass {
            qualified: qualified.clone(),
            class,
            fields: class.fields().filter_map(|f| f.declares()).collect(),
            methods: class.methods().map(|m| (m.name.as_str(), m)).collect(),
        };
        self.classes.entry(qualified).or_insert(known);
    }

    pub fn class(&self, qualified: &str) -> Option<&KnownClass<'a>> {
        self.classes.get(qualified)
    }

    /// The class that an annotation names.
    pub fn annotated(&self, annotation: &'a Expr) -> Option<&KnownClass<'a>> {
        let mut named = self.named.borrow_mut();
        let name = named.entry(annotation).or_insert_with(|| {
            let name = annotation.unparenthesised().dotted()?;
            self.classes.contains_key(&name).then(|| Rc::from(name))
        });
        self.classes.get(&**name.as_ref()?)
    }

    pub fn function(&self, qualified: &str) -> Option<&'a Function> {
        self.functions.get(qualified).copied()
    }
}
