//! The syntax tree of TorchScript source, as libtorch's own printer writes it.
//!
//! The tree keeps just what printing back needs beyond the meaning: literal texts, redundant parentheses and
//! trailing commas. Types are expressions (`Dict[str, Tensor]` is an index), as in Python.

mod class;
mod walk;

pub use walk::{walk, walk_mut};

/// One source file: classes and functions in order.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub items: Vec<Item>,
}

/// A definition or a statement in a source file.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Class(Class),
    Function(Function),
    /// `op_version_set = 1` at the head of old files.
    Statement(Stmt),
}

impl Item {
    /// Of a class or a function, within its file.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Item::Class(class) => Some(&class.name),
            Item::Function(function) => Some(&function.name),
            Item::Statement(_) => None,
        }
    }
}

/// `class Name(Base):` with its fields and methods in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    pub name: String,
    pub base: Option<String>,
    pub members: Vec<Member>,
}

/// A part of a class body.
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// `weight : Tensor`, `__parameters__ = ["weight", ]`, `__annotations__["0"] = T`, `stride : Final[int] = 1`.
    Field(Assign),
    Method(Function),
    Pass,
}

/// `def name(params) -> returns:`, a method or a free function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    pub name: String,
    pub params: Vec<Param>,
    pub returns: Option<Expr>,
    pub body: Vec<Stmt>,
}

/// `name: annotation=default`
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

/// A statement.
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

/// An expression.
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
}

/// A string literal's text without its quotes. Escapes stay as they are: attribute names have none.
#[must_use]
pub fn unquoted(literal: &str) -> &str {
    literal
        .get(1..literal.len().saturating_sub(1))
        .unwrap_or("")
}
