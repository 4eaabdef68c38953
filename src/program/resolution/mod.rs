//! Whether everything that a network's code names is there. libtorch checks this when it loads an archive; here it is
//! checked without libtorch.
//!
//! libtorch compiles every method of every class that it meets, whether the method ever runs or not. One attribute that
//! is missing in one branch that is never taken, and nothing loads the file. So each name in each method is followed to
//! the class that has to have it, by the types that the code declares.

#![forbid(unsafe_code)]

mod code;
mod members;
mod types;

use crate::program::ast::{Class, Expr, Item};
use crate::program::{Attribute, ModuleId, Network, is_registered_class};
use code::Body;
use members::Members;
use types::Type;

/// Something that the code names and the archive does not hold, so that libtorch refuses to load it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    #[error("{place} reads `{name}`, and {class} has no such attribute")]
    Attribute {
        name: String,
        class: String,
        /// `module.Class.method` whose code it is.
        place: String,
    },
    #[error("{place} calls `{name}`, and {class} has no such method")]
    Method {
        name: String,
        class: String,
        place: String,
    },
    /// A variable, a function or a class.
    #[error("{place} speaks of `{name}`, which stands for nothing there")]
    Name { name: String, place: String },
    #[error("the object {path} has no value for `{name}`, which its class {class} declares")]
    Value {
        path: String,
        name: String,
        class: String,
    },
    #[error("`{name}` of the object {path} should be of class {declared}, but is {found}")]
    Kind {
        path: String,
        name: String,
        declared: String,
        found: String,
    },
}

/// Follows every name in the code of a network, and holds its objects against their classes.
///
/// # Errors
/// The first thing that is missing.
pub fn resolve(network: &Network) -> Result<(), Unresolved> {
    let members = Members::of(&network.sources);
    let body = Body {
        members: &members,
        constants: network.constants.len(),
    };
    for (module, file) in network.sources.files() {
        for item in &file.items {
            match item {
                Item::Class(class) => {
                    resolve_class(&body, class, &format!("{module}.{}", class.name))?
                }
                Item::Function(function) => {
                    body.function(function, None, &format!("{module}.{}", function.name))?;
                }
                Item::Statement(_) => {}
            }
        }
    }
    for (id, _) in network.modules.iter() {
        resolve_object(network, &members, id)?;
    }
    Ok(())
}

fn resolve_class<'a>(
    body: &Body<'_, 'a>,
    class: &'a Class,
    qualified: &str,
) -> Result<(), Unresolved> {
    let declared = class.fields().filter_map(|field| field.declares());
    for (_, annotation) in declared {
        body.annotation(annotation, qualified)?;
    }
    if is_interface(class) {
        return Ok(());
    }
    for method in class.methods() {
        let place = format!("{qualified}.{}", method.name);
        body.function(method, Some(qualified), &place)?;
    }
    Ok(())
}

/// Whether this is an interface: the classes that satisfy it have the code of its methods.
fn is_interface(class: &Class) -> bool {
    matches!(class.base.as_deref(), Some("ModuleInterface" | "Interface"))
}

/// Checks that an object has a value for every attribute that its class declares, and modules of the declared classes.
fn resolve_object<'a>(
    network: &'a Network,
    members: &Members<'a>,
    id: ModuleId,
) -> Result<(), Unresolved> {
    let object = network.modules.get(id);
    let Some(class) = network.sources.class(&object.class) else {
        return if is_registered_class(&object.class) {
            Ok(())
        } else {
            Err(Unresolved::Name {
                name: object.class.clone(),
                place: format!("the object {}", shown(&object.path)),
            })
        };
    };
    // `__setstate__` may take any state.
    if class.method("__setstate__").is_some() {
        return Ok(());
    }
    for field in class.fields() {
        let Some((name, annotation)) = field.declares() else {
            continue;
        };
        let is_constant = field.annotation.is_some() && !field.values.is_empty();
        if is_constant {
            continue;
        }
        let value = object.attributes.get(name);
        let value = value.ok_or_else(|| Unresolved::Value {
            path: shown(&object.path).to_owned(),
            name: name.to_owned(),
            class: object.class.clone(),
        })?;
        if let Some(declared) = wanted_class(members, annotation) {
            let found = match value {
                Attribute::Module(module) => network.modules.get(*module).class.clone(),
                _ => "no object".to_owned(),
            };
            if found != declared {
                return Err(Unresolved::Kind {
                    path: shown(&object.path).to_owned(),
                    name: name.to_owned(),
                    declared,
                    found,
                });
            }
        }
    }
    Ok(())
}

/// The class that an attribute declared like this has to be of: none for interfaces, which many classes satisfy.
fn wanted_class<'a>(members: &Members<'a>, annotation: &'a Expr) -> Option<String> {
    let class = Type::Declared(annotation).class(members)?;
    let of_modules = class.class.base.as_deref() == Some("Module");
    of_modules.then(|| class.qualified.clone())
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "at the root" } else { path }
}
