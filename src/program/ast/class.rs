//! What classes and their fields declare.

use super::{Assign, Class, Expr, Function, Member, unquoted};

impl Class {
    /// The method of this name.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&Function> {
        self.methods().find(|m| m.name == name)
    }

    /// All methods, in order.
    pub fn methods(&self) -> impl Iterator<Item = &Function> {
        self.members.iter().filter_map(|m| match m {
            Member::Method(f) => Some(f),
            _ => None,
        })
    }

    /// All methods, to change them.
    pub fn methods_mut(&mut self) -> impl Iterator<Item = &mut Function> {
        self.members.iter_mut().filter_map(|m| match m {
            Member::Method(f) => Some(f),
            _ => None,
        })
    }

    /// The assignments that are not methods, in order.
    pub fn fields(&self) -> impl Iterator<Item = &Assign> {
        self.members.iter().filter_map(|m| match m {
            Member::Field(a) => Some(a),
            _ => None,
        })
    }

    /// The names listed in `__parameters__ = [..]`.
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.fields()
            .filter(|a| matches!(a.targets.as_slice(), [Expr::Name(n)] if n == "__parameters__"))
            .flat_map(|a| match a.values.as_slice() {
                [Expr::List { items, .. }] => items.as_slice(),
                _ => &[],
            })
            .filter_map(|e| match e {
                Expr::Str(s) => Some(unquoted(s)),
                _ => None,
            })
    }

    /// Takes a name out of `__parameters__ = [..]` and `__buffers__ = [..]`.
    pub fn unlist(&mut self, name: &str) {
        for member in &mut self.members {
            if let Member::Field(field) = member
                && matches!(field.targets.as_slice(), [Expr::Name(n)] if n == "__parameters__" || n == "__buffers__")
                && let [
                    Expr::List {
                        items,
                        trailing_comma,
                    },
                ] = field.values.as_mut_slice()
            {
                items.retain(|item| !matches!(item, Expr::Str(text) if unquoted(text) == name));
                *trailing_comma &= !items.is_empty();
            }
        }
    }
}

impl Assign {
    /// The attribute this field declares: `name : T` or `__annotations__["name"] = T`, with its type.
    #[must_use]
    pub fn declares(&self) -> Option<(&str, &Expr)> {
        match (
            self.targets.as_slice(),
            &self.annotation,
            self.values.as_slice(),
        ) {
            ([Expr::Name(name)], Some(annotation), _) => Some((name, annotation)),
            ([Expr::Index { base, args }], None, [annotation]) => {
                match (&**base, args.as_slice()) {
                    (Expr::Name(b), [Expr::Str(name)]) if b == "__annotations__" => {
                        Some((unquoted(name), annotation))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The declared type, to change it.
    pub fn declared_type_mut(&mut self) -> Option<&mut Expr> {
        self.declares()?;
        if self.annotation.is_some() {
            self.annotation.as_mut()
        } else {
            self.values.first_mut()
        }
    }
}
