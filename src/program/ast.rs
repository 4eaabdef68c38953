//! The syntax tree of TorchScript source, as libtorch's own printer writes it.
//!
//! The tree keeps just what printing back needs beyond the meaning: literal texts, redundant parentheses and
//! trailing commas. Types are expressions (`Dict[str, Tensor]` is an index), as in Python.

/// One source file: classes and functions in order.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Class(Class),
    Function(Function),
    /// `op_version_set = 1` at the head of old files.
    Statement(Stmt),
}

/// `class Name(Base):` with its fields and methods in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    pub name: String,
    pub base: Option<String>,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// `weight : Tensor`, `__parameters__ = ["weight", ]`, `__annotations__["0"] = T`, `stride : Final[int] = 1`.
    Field(Assign),
    Method(Function),
    Pass,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: String,
    pub params: Vec<Param>,
    pub returns: Option<Expr>,
    pub body: Vec<Stmt>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub name: String,
    pub annotation: Option<Expr>,
    pub default: Option<Expr>,
}

/// `targets : annotation = values`; a declaration has no values.
#[derive(Clone, Debug, PartialEq)]
pub struct Assign {
    pub targets: Vec<Expr>,
    /// `a, b, = pair`: how libtorch prints unpacking.
    pub trailing_comma: bool,
    pub annotation: Option<Expr>,
    /// `name : T`, as in fields and where a variable is first bound, or `name: T`.
    pub spaced_colon: bool,
    pub values: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    Assign(Assign),
    Expr(Expr),
    Return(Vec<Expr>),
    If {
        condition: Expr,
        then: Vec<Stmt>,
        otherwise: Option<Vec<Stmt>>,
    },
    While {
        condition: Expr,
        body: Vec<Stmt>,
    },
    For {
        targets: Vec<Expr>,
        iterable: Expr,
        body: Vec<Stmt>,
    },
    With {
        items: Vec<(Expr, Option<Expr>)>,
        body: Vec<Stmt>,
    },
    Function(Function),
    Pass,
    Break,
    Continue,
}

/// `name=value` or `value` in a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    pub name: Option<String>,
    pub value: Expr,
}

/// The number of a call within its file, in reading order: how a [`crate::blocks::patch::Patch`] finds the call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u32);

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A variable, or `True`, `False`, `None`.
    Name(String),
    /// A number as it was written.
    Number(String),
    /// A string literal as it was written, quotes included.
    Str(String),
    Attribute {
        base: Box<Expr>,
        name: String,
    },
    Call {
        id: CallId,
        callee: Box<Expr>,
        args: Vec<Arg>,
        trailing_comma: bool,
    },
    /// `base[a, b]`
    Index {
        base: Box<Expr>,
        args: Vec<Expr>,
    },
    /// `lower:upper:step` inside an index.
    Slice(Vec<Option<Expr>>),
    List {
        items: Vec<Expr>,
        trailing_comma: bool,
    },
    Tuple {
        items: Vec<Expr>,
        trailing_comma: bool,
    },
    Dict(Vec<(Expr, Expr)>),
    Paren(Box<Expr>),
    /// `-x`, `not x`, `~x`
    Unary {
        operator: &'static str,
        operand: Box<Expr>,
    },
    /// `a + b`, `a is not b`, …: all of them print with one blank on each side.
    Binary {
        operator: &'static str,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `then if condition else otherwise`
    Conditional {
        then: Box<Expr>,
        condition: Box<Expr>,
        otherwise: Box<Expr>,
    },
}

impl Expr {
    /// `a.b.c` as text, if the expression is a dotted name.
    #[must_use]
    pub fn dotted(&self) -> Option<String> {
        match self {
            Expr::Name(name) => Some(name.clone()),
            Expr::Attribute { base, name } => Some(format!("{}.{name}", base.dotted()?)),
            _ => None,
        }
    }

    /// The expression without the parentheses around it.
    #[must_use]
    pub fn unparenthesised(&self) -> &Expr {
        match self {
            Expr::Paren(inner) => inner.unparenthesised(),
            other => other,
        }
    }

    /// The `N` of `CONSTANTS.cN`.
    #[must_use]
    pub fn constant_number(&self) -> Option<usize> {
        match self.unparenthesised() {
            Expr::Attribute { base, name } if **base == Expr::Name("CONSTANTS".into()) => {
                name.strip_prefix('c')?.parse().ok()
            }
            _ => None,
        }
    }

    /// `(object, attribute)` of `object.attribute` and of `getattr(object, "attribute")`.
    #[must_use]
    pub fn as_attribute(&self) -> Option<(&Expr, &str)> {
        match self {
            Expr::Attribute { base, name } => Some((base, name)),
            Expr::Call { callee, args, .. } => match (&**callee, args.as_slice()) {
                (
                    Expr::Name(f),
                    [
                        object,
                        Arg {
                            value: Expr::Str(name),
                            ..
                        },
                    ],
                ) if f == "getattr" => Some((&object.value, unquoted(name))),
                _ => None,
            },
            _ => None,
        }
    }

    /// The expressions directly inside this one.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Name(_) | Expr::Number(_) | Expr::Str(_) => Vec::new(),
            Expr::Attribute { base, .. } => vec![base],
            Expr::Call { callee, args, .. } => std::iter::once(&**callee)
                .chain(args.iter().map(|a| &a.value))
                .collect(),
            Expr::Index { base, args } => std::iter::once(&**base).chain(args).collect(),
            Expr::Slice(parts) => parts.iter().flatten().collect(),
            Expr::List { items, .. } | Expr::Tuple { items, .. } => items.iter().collect(),
            Expr::Dict(pairs) => pairs.iter().flat_map(|(k, v)| [k, v]).collect(),
            Expr::Paren(inner) => vec![inner],
            Expr::Unary { operand, .. } => vec![operand],
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::Conditional {
                then,
                condition,
                otherwise,
            } => vec![then, condition, otherwise],
        }
    }

    /// The children of two expressions, in pairs, if they are all that can be different: names apart, everything that
    /// stands outside of children is the same.
    pub fn aligned<'a>(&'a self, other: &'a Expr) -> Option<Vec<(&'a Expr, &'a Expr)>> {
        let same = match (self, other) {
            (Expr::Name(_), Expr::Name(_)) => true,
            (Expr::Number(a), Expr::Number(b)) | (Expr::Str(a), Expr::Str(b)) => a == b,
            (Expr::Attribute { name: a, .. }, Expr::Attribute { name: b, .. }) => a == b,
            (Expr::Call { args: a, .. }, Expr::Call { args: b, .. }) => {
                a.iter().map(|a| &a.name).eq(b.iter().map(|b| &b.name))
            }
            (Expr::Unary { operator: a, .. }, Expr::Unary { operator: b, .. })
            | (Expr::Binary { operator: a, .. }, Expr::Binary { operator: b, .. }) => a == b,
            // The parts of a slice that are left out have no place among its children.
            (Expr::Slice(a), Expr::Slice(b)) => a
                .iter()
                .map(Option::is_some)
                .eq(b.iter().map(Option::is_some)),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        let (a, b) = (self.children(), other.children());
        (same && a.len() == b.len()).then(|| a.into_iter().zip(b).collect())
    }

    /// The expressions directly inside this one, to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Name(_) | Expr::Number(_) | Expr::Str(_) => Vec::new(),
            Expr::Attribute { base, .. } => vec![base],
            Expr::Call { callee, args, .. } => std::iter::once(&mut **callee)
                .chain(args.iter_mut().map(|a| &mut a.value))
                .collect(),
            Expr::Index { base, args } => std::iter::once(&mut **base).chain(args).collect(),
            Expr::Slice(parts) => parts.iter_mut().flatten().collect(),
            Expr::List { items, .. } | Expr::Tuple { items, .. } => items.iter_mut().collect(),
            Expr::Dict(pairs) => pairs.iter_mut().flat_map(|(k, v)| [k, v]).collect(),
            Expr::Paren(inner) => vec![inner],
            Expr::Unary { operand, .. } => vec![operand],
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::Conditional {
                then,
                condition,
                otherwise,
            } => vec![then, condition, otherwise],
        }
    }

    /// Calls `visit` on this expression and on all below it, outermost first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Calls `change` on this expression and on all below it, innermost first.
    pub fn walk_mut(&mut self, change: &mut impl FnMut(&mut Expr)) {
        for child in self.children_mut() {
            child.walk_mut(change);
        }
        change(self);
    }
}

impl Stmt {
    /// The expressions that stand directly in this statement, targets of assignments included.
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Stmt::Assign(a) => a
                .targets
                .iter()
                .chain(&a.annotation)
                .chain(&a.values)
                .collect(),
            Stmt::Expr(e) => vec![e],
            Stmt::Return(values) => values.iter().collect(),
            Stmt::If { condition, .. } | Stmt::While { condition, .. } => vec![condition],
            Stmt::For {
                targets, iterable, ..
            } => targets.iter().chain([iterable]).collect(),
            Stmt::With { items, .. } => items
                .iter()
                .flat_map(|(e, b)| std::iter::once(e).chain(b))
                .collect(),
            Stmt::Function(_) | Stmt::Pass | Stmt::Break | Stmt::Continue => Vec::new(),
        }
    }

    /// The same, to change them.
    pub fn expressions_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Stmt::Assign(a) => a
                .targets
                .iter_mut()
                .chain(&mut a.annotation)
                .chain(&mut a.values)
                .collect(),
            Stmt::Expr(e) => vec![e],
            Stmt::Return(values) => values.iter_mut().collect(),
            Stmt::If { condition, .. } | Stmt::While { condition, .. } => vec![condition],
            Stmt::For {
                targets, iterable, ..
            } => targets.iter_mut().chain([iterable]).collect(),
            Stmt::With { items, .. } => items
                .iter_mut()
                .flat_map(|(e, b)| std::iter::once(e).chain(b))
                .collect(),
            Stmt::Function(_) | Stmt::Pass | Stmt::Break | Stmt::Continue => Vec::new(),
        }
    }

    /// The statement lists nested in this statement.
    pub fn blocks(&self) -> Vec<&Vec<Stmt>> {
        match self {
            Stmt::If {
                then, otherwise, ..
            } => std::iter::once(then).chain(otherwise).collect(),
            Stmt::While { body, .. } | Stmt::For { body, .. } | Stmt::With { body, .. } => {
                vec![body]
            }
            Stmt::Function(f) => vec![&f.body],
            _ => Vec::new(),
        }
    }

    /// The same, to change them.
    pub fn blocks_mut(&mut self) -> Vec<&mut Vec<Stmt>> {
        match self {
            Stmt::If {
                then, otherwise, ..
            } => std::iter::once(then).chain(otherwise).collect(),
            Stmt::While { body, .. } | Stmt::For { body, .. } | Stmt::With { body, .. } => {
                vec![body]
            }
            Stmt::Function(f) => vec![&mut f.body],
            _ => Vec::new(),
        }
    }
}

/// Calls `visit` on every expression below `statements`, nested statements included.
pub fn walk<'a>(statements: &'a [Stmt], visit: &mut impl FnMut(&'a Expr)) {
    for statement in statements {
        for expression in statement.expressions() {
            expression.walk(visit);
        }
        for block in statement.blocks() {
            walk(block, visit);
        }
    }
}

/// Calls `change` on every expression below `statements`, nested statements included, innermost first.
pub fn walk_mut(statements: &mut [Stmt], change: &mut impl FnMut(&mut Expr)) {
    for statement in statements {
        for expression in statement.expressions_mut() {
            expression.walk_mut(change);
        }
        for block in statement.blocks_mut() {
            walk_mut(block, change);
        }
    }
}

/// A string literal's text without its quotes. Escapes stay as they are: attribute names have none.
#[must_use]
pub fn unquoted(literal: &str) -> &str {
    literal
        .get(1..literal.len().saturating_sub(1))
        .unwrap_or("")
}

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
