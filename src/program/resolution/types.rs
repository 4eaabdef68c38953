//! What is known of the type of a value.

use std::rc::Rc;

use super::members::{KnownClass, Members};
use crate::program::ast::{Expr, Function};

/// A type, as far as names depend on it.
#[derive(Clone)]
pub(super) enum Type<'a> {
    Unknown,
    /// As an annotation says it.
    Declared(&'a Expr),
    /// An object of the class of this qualified name.
    Object(Rc<str>),
    Tuple(Rc<[Type<'a>]>),
    List(Rc<Type<'a>>),
    /// A function of the archive.
    Function(&'a Function),
}

impl<'a> Type<'a> {
    /// Its class, if it is an object of one that the archive defines.
    pub fn class<'m>(&self, members: &'m Members<'a>) -> Option<&'m KnownClass<'a>> {
        match self {
            Type::Declared(annotation) => members.annotated(annotation),
            Type::Object(name) => members.class(name),
            _ => None,
        }
    }

    /// The type of what it holds, at this place where it matters.
    pub fn item(&self, place: Option<usize>) -> Type<'a> {
        let of = |wanted: &[&str]| match self {
            Type::Declared(Expr::Index { base, args }) => match &**base {
                Expr::Name(name) if wanted.contains(&name.as_str()) => Some(args.as_slice()),
                _ => None,
            },
            _ => None,
        };
        match self {
            Type::Tuple(items) => place.and_then(|i| items.get(i)).cloned(),
            Type::List(item) => Some((**item).clone()),
            _ => match (of(&["List"]), of(&["Dict"]), of(&["Tuple"])) {
                (Some([item]), ..) | (_, Some([_, item]), _) => Some(Type::Declared(item)),
                (.., Some(items)) => place.and_then(|i| items.get(i)).map(Type::Declared),
                _ => None,
            },
        }
        .unwrap_or(Type::Unknown)
    }

    /// The same without `Optional[..]` around it.
    pub fn unwrapped(self) -> Type<'a> {
        match &self {
            Type::Declared(Expr::Index { base, args }) => match (&**base, args.as_slice()) {
                (Expr::Name(name), [inner]) if name == "Optional" => Type::Declared(inner),
                _ => self,
            },
            _ => self,
        }
    }
}
