//! The names in the code of one method or function.

use std::collections::HashMap;
use std::rc::Rc;

use super::Unresolved;
use super::members::{KnownClass, Members};
use super::types::Type;
use crate::program::ast::{Arg, Assign, Expr, Function, Stmt};
use crate::program::{is_of_archive, is_registered_class};

/// What the code of a network may speak of.
pub(super) struct Body<'m, 'a> {
    pub members: &'m Members<'a>,
    /// Number of constants.
    pub constants: usize,
}

impl<'a> Body<'_, 'a> {
    /// Follows the names in a function; in a method of `class`, its first parameter is an object of that.
    pub fn function(
        &self,
        function: &'a Function,
        class: Option<&str>,
        place: &str,
    ) -> Result<(), Unresolved> {
        let mut scope = Scope {
            body: self,
            place,
            variables: HashMap::new(),
        };
        scope.enter(function)?;
        if let (Some(class), Some(receiver)) = (class, function.params.first()) {
            let object = Type::Object(Rc::from(class));
            scope.variables.insert(&receiver.name, object);
        }
        scope.statements(&function.body)
    }

    /// Whether the classes that a type names are there.
    pub fn annotation(&self, annotation: &Expr, place: &str) -> Result<(), Unresolved> {
        match annotation.dotted() {
            Some(name) if is_of_archive(&name) => {
                let built_in = is_registered_class(&name);
                if built_in || self.members.class(&name).is_some() {
                    Ok(())
                } else {
                    Err(nothing(name, place))
                }
            }
            Some(_) => Ok(()),
            None => annotation
                .children()
                .into_iter()
                .try_for_each(|part| self.annotation(part, place)),
        }
    }
}

fn nothing(name: impl Into<String>, place: &str) -> Unresolved {
    Unresolved::Name {
        name: name.into(),
        place: place.to_owned(),
    }
}

struct Scope<'b, 'm, 'a> {
    body: &'b Body<'m, 'a>,
    place: &'b str,
    /// The variables bound so far.
    variables: HashMap<&'a str, Type<'a>>,
}

/// Names of the language that are no variables.
const LITERALS: [&str; 7] = ["True", "False", "None", "inf", "nan", "infj", "nanj"];

/// Functions whose first argument is a type. They give their second argument, if there is one.
const TYPED: [&str; 3] = ["annotate", "unchecked_cast", "uninitialized"];

impl<'a> Scope<'_, '_, 'a> {
    fn enter(&mut self, function: &'a Function) -> Result<(), Unresolved> {
        for param in &function.params {
            if let Some(annotation) = &param.annotation {
                self.body.annotation(annotation, self.place)?;
            }
            if let Some(default) = &param.default {
                self.value(default)?;
            }
            let declared = param.annotation.as_ref();
            let declared = declared.map_or(Type::Unknown, Type::Declared);
            self.variables.insert(&param.name, declared);
        }
        match &function.returns {
            Some(returns) => self.body.annotation(returns, self.place),
            None => Ok(()),
        }
    }

    fn statements(&mut self, statements: &'a [Stmt]) -> Result<(), Unresolved> {
        statements.iter().try_for_each(|s| self.statement(s))
    }

    fn statement(&mut self, statement: &'a Stmt) -> Result<(), Unresolved> {
        match statement {
            Stmt::Assign(assign) => return self.assign(assign),
            Stmt::Expr(value) => drop(self.value(value)?),
            Stmt::Return(values) => {
                for value in values {
                    self.value(value)?;
                }
            }
            Stmt::If { condition, .. } | Stmt::While { condition, .. } => {
                self.value(condition)?;
            }
            Stmt::For {
                targets, iterable, ..
            } => {
                let item = self.value(iterable)?.item(None);
                match targets.as_slice() {
                    [target] => self.bind(target, item)?,
                    several => {
                        for target in several {
                            self.bind(target, Type::Unknown)?;
                        }
                    }
                }
            }
            Stmt::With { items, .. } => {
                for (value, name) in items {
                    self.value(value)?;
                    if let Some(name) = name {
                        self.bind(name, Type::Unknown)?;
                    }
                }
            }
            Stmt::Function(function) => {
                self.variables.insert(&function.name, Type::Unknown);
                self.enter(function)?;
            }
            Stmt::Pass | Stmt::Break | Stmt::Continue => {}
        }
        statement
            .blocks()
            .into_iter()
            .try_for_each(|block| self.statements(block))
    }

    fn assign(&mut self, assign: &'a Assign) -> Result<(), Unresolved> {
        let mut values = Vec::with_capacity(assign.values.len());
        for value in &assign.values {
            values.push(self.value(value)?);
        }
        match (assign.targets.as_slice(), &assign.annotation) {
            ([target], Some(annotation)) => {
                self.body.annotation(annotation, self.place)?;
                self.bind(target, Type::Declared(annotation))
            }
            (targets, _) if targets.len() == values.len() => targets
                .iter()
                .zip(values)
                .try_for_each(|(target, value)| self.bind(target, value)),
            (targets, _) => {
                let whole = values.pop().unwrap_or(Type::Unknown);
                targets
                    .iter()
                    .enumerate()
                    .try_for_each(|(i, target)| self.bind(target, whole.item(Some(i))))
            }
        }
    }

    fn bind(&mut self, target: &'a Expr, value: Type<'a>) -> Result<(), Unresolved> {
        match target {
            Expr::Name(name) => {
                self.variables.insert(name, value);
                Ok(())
            }
            Expr::Tuple { items, .. } | Expr::List { items, .. } => items
                .iter()
                .enumerate()
                .try_for_each(|(i, item)| self.bind(item, value.item(Some(i)))),
            other => self.value(other).map(drop),
        }
    }

    /// Follows the names in an expression; what is known of its type.
    fn value(&mut self, expression: &'a Expr) -> Result<Type<'a>, Unresolved> {
        match expression {
            Expr::Name(name) => match self.variables.get(name.as_str()) {
                Some(known) => Ok(known.clone()),
                None if LITERALS.contains(&name.as_str()) => Ok(Type::Unknown),
                None => Err(nothing(name, self.place)),
            },
            Expr::Paren(inner) => self.value(inner),
            Expr::Attribute { base, name } => match self.global(expression)? {
                Some(found) => Ok(found),
                None => self.member(base, name),
            },
            Expr::Call { callee, args, .. } => match expression.as_attribute() {
                Some((base, name)) => self.member(base, name),
                None => self.call(callee, args),
            },
            Expr::Index { base, args } => {
                let whole = self.value(base)?;
                for arg in args {
                    self.value(arg)?;
                }
                Ok(whole.item(match args.as_slice() {
                    [Expr::Number(number)] => number.parse().ok(),
                    _ => None,
                }))
            }
            Expr::Tuple { items, .. } => {
                let items: Result<Vec<_>, _> = items.iter().map(|i| self.value(i)).collect();
                Ok(Type::Tuple(items?.into()))
            }
            Expr::List { items, .. } => {
                let mut first = None;
                for item in items {
                    let item = self.value(item)?;
                    first.get_or_insert(item);
                }
                Ok(first.map_or(Type::Unknown, |item| Type::List(Rc::new(item))))
            }
            other => {
                for part in other.children() {
                    self.value(part)?;
                }
                Ok(Type::Unknown)
            }
        }
    }

    /// A dotted name that begins with no variable: a constant, a function, a class or a name of libtorch's own.
    fn global(&self, expression: &'a Expr) -> Result<Option<Type<'a>>, Unresolved> {
        let Some(name) = expression.dotted() else {
            return Ok(None);
        };
        let (root, rest) = name.split_once('.').unwrap_or((&name, ""));
        if self.variables.contains_key(root) {
            return Ok(None);
        }
        match root {
            "torch" | "ops" => Ok(Some(Type::Unknown)),
            "CONSTANTS" => {
                let number = rest.strip_prefix('c').and_then(|n| n.parse::<usize>().ok());
                if number.is_some_and(|n| n < self.body.constants) {
                    Ok(Some(Type::Unknown))
                } else {
                    Err(nothing(name, self.place))
                }
            }
            "__torch__" if is_registered_class(&name) => Ok(Some(Type::Unknown)),
            "__torch__" => self.own_global(&name).map(Some),
            _ => Err(nothing(root, self.place)),
        }
    }

    fn own_global(&self, name: &str) -> Result<Type<'a>, Unresolved> {
        if let Some(function) = self.body.members.function(name) {
            return Ok(Type::Function(function));
        }
        let is_class = |name: &str| self.body.members.class(name).is_some();
        // `Class.MEMBER` of an enumeration.
        let known = is_class(name)
            || name
                .rsplit_once('.')
                .is_some_and(|(class, _)| is_class(class));
        if known {
            Ok(Type::Unknown)
        } else {
            Err(nothing(name, self.place))
        }
    }

    /// `base.name`
    fn member(&mut self, base: &'a Expr, name: &'a str) -> Result<Type<'a>, Unresolved> {
        let object = self.value(base)?;
        let Some(class) = object.class(self.body.members) else {
            return Ok(Type::Unknown);
        };
        if let Some(declared) = class.fields.get(name) {
            return Ok(Type::Declared(declared));
        }
        let inherited = matches!(class.class.base.as_deref(), Some("Enum"));
        if inherited || class.methods.contains_key(name) {
            Ok(Type::Unknown)
        } else {
            Err(self.has_no(class, name))
        }
    }

    fn has_no(&self, class: &KnownClass, name: &str) -> Unresolved {
        Unresolved::Attribute {
            name: name.to_owned(),
            class: class.qualified.clone(),
            place: self.place.to_owned(),
        }
    }

    fn call(&mut self, callee: &'a Expr, args: &'a [Arg]) -> Result<Type<'a>, Unresolved> {
        match callee.unparenthesised() {
            Expr::Name(name) if !self.variables.contains_key(name.as_str()) => {
                self.built_in(name, args)
            }
            attribute @ Expr::Attribute { base, name } => {
                let called = match self.global(attribute)? {
                    Some(Type::Function(function)) => returned(function),
                    Some(_) => self.made(attribute),
                    None => self.method(base, name)?,
                };
                self.arguments(args)?;
                Ok(called)
            }
            other => {
                let function = self.value(other)?;
                self.arguments(args)?;
                Ok(match function {
                    Type::Function(function) => returned(function),
                    _ => Type::Unknown,
                })
            }
        }
    }

    /// What a call of a class gives.
    fn made(&self, class: &Expr) -> Type<'a> {
        let name = class.dotted().unwrap_or_default();
        match self.body.members.class(&name) {
            Some(class) => Type::Object(Rc::from(class.qualified.as_str())),
            None => Type::Unknown,
        }
    }

    fn method(&mut self, base: &'a Expr, name: &'a str) -> Result<Type<'a>, Unresolved> {
        let object = self.value(base)?;
        let Some(class) = object.class(self.body.members) else {
            return Ok(Type::Unknown);
        };
        match class.methods.get(name) {
            Some(method) => Ok(returned(method)),
            None => Err(Unresolved::Method {
                name: name.to_owned(),
                class: class.qualified.clone(),
                place: self.place.to_owned(),
            }),
        }
    }

    /// A function of the language.
    fn built_in(&mut self, name: &str, args: &'a [Arg]) -> Result<Type<'a>, Unresolved> {
        match (name, args) {
            ("isinstance", [value, _]) => {
                self.value(&value.value)?;
                Ok(Type::Unknown)
            }
            (name, [kind, rest @ ..]) if TYPED.contains(&name) => {
                self.body.annotation(&kind.value, self.place)?;
                self.arguments(rest)?;
                Ok(Type::Declared(&kind.value))
            }
            ("unchecked_unwrap_optional", [value]) => Ok(self.value(&value.value)?.unwrapped()),
            _ => {
                self.arguments(args)?;
                Ok(Type::Unknown)
            }
        }
    }

    fn arguments(&mut self, args: &'a [Arg]) -> Result<(), Unresolved> {
        args.iter()
            .try_for_each(|arg| self.value(&arg.value).map(drop))
    }
}

fn returned(function: &Function) -> Type<'_> {
    function
        .returns
        .as_ref()
        .map_or(Type::Unknown, Type::Declared)
}
