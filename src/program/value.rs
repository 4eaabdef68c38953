//! What is known of a value before the network runs: kinds, shapes, constants.

use std::fmt;

use super::modules::ModuleId;

/// A single-assignment value of the flat program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// A list or a dictionary that the code being followed made itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub u32);

/// A size: a plain number, or that number times the batch size, which no analysis may fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dim {
    pub n: i64,
    /// How often the batch size is a factor.
    pub batch: u8,
}

impl Dim {
    /// The batch size itself.
    pub const BATCH: Dim = Dim { n: 1, batch: 1 };

    /// A plain number.
    #[must_use]
    pub const fn fixed(n: i64) -> Self {
        Dim { n, batch: 0 }
    }

    /// The number, if the batch size is no factor of it.
    #[must_use]
    pub fn known(self) -> Option<i64> {
        (self.batch == 0).then_some(self.n)
    }

    /// The product; `None` if it overflows.
    #[must_use]
    pub fn times(self, other: Dim) -> Option<Dim> {
        Some(Dim {
            n: self.n.checked_mul(other.n)?,
            batch: self.batch.checked_add(other.batch)?,
        })
    }

    /// Floor division; only exact where the batch size is a factor.
    #[must_use]
    pub fn over(self, other: Dim) -> Option<Dim> {
        let batch = self.batch.checked_sub(other.batch)?;
        if other.n <= 0 || (batch > 0 && self.n % other.n != 0) {
            return None;
        }
        Some(Dim {
            n: self.n.div_euclid(other.n),
            batch,
        })
    }

    /// The sum, if it is a number times a power of the batch size.
    #[must_use]
    pub fn plus(self, other: Dim) -> Option<Dim> {
        match (self, other) {
            (a, Dim { n: 0, batch: 0 }) => Some(a),
            (Dim { n: 0, batch: 0 }, b) => Some(b),
            (a, b) if a.batch == b.batch => Some(Dim {
                n: a.n.checked_add(b.n)?,
                batch: a.batch,
            }),
            _ => None,
        }
    }

    /// The same size below zero.
    #[must_use]
    pub fn negated(self) -> Dim {
        Dim {
            n: self.n.wrapping_neg(),
            batch: self.batch,
        }
    }
}

/// As people write it; the batch size is `n`.
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.n, self.batch) {
            (n, 0) => write!(f, "{n}"),
            (1, 1) => f.write_str("n"),
            (n, 1) => write!(f, "{n}n"),
            (n, power) => write!(f, "{n}n^{power}"),
        }
    }
}

/// A shape as people write it: `16×32×32`.
#[must_use]
pub fn show_shape<T: fmt::Display>(shape: &[T]) -> String {
    let sizes: Vec<String> = shape.iter().map(T::to_string).collect();
    sizes.join("×")
}

/// The place of a dimension, which may be counted from the end.
#[must_use]
pub fn axis(dim: i64, rank: usize) -> Option<usize> {
    let rank = rank as i64;
    let from_start = if dim < 0 { dim.checked_add(rank)? } else { dim };
    (0..rank)
        .contains(&from_start)
        .then_some(from_start as usize)
}

/// The number in a tensor without dimensions, of the precision that arithmetic on it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    Int(Dim),
    Single(f32),
    Double(f64),
}

/// The sizes of a tensor, outermost first.
pub type Shape = Vec<Dim>;

/// The number of elements.
#[must_use]
pub fn element_count(shape: &[Dim]) -> Option<Dim> {
    shape
        .iter()
        .try_fold(Dim::fixed(1), |count, dim| count.times(*dim))
}

/// Where an argument comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    Value(ValueId),
    /// A tensor attribute of a module: a parameter or a buffer.
    Attribute {
        module: ModuleId,
        name: String,
    },
    /// Entry of the archive's constant table: `CONSTANTS.c3`.
    Constant(usize),
    /// A literal, as source text.
    Literal(String),
    List(Vec<Operand>),
    Tuple(Vec<Operand>),
    Dict(Vec<(Operand, Operand)>),
    /// `annotate(type, value)` or `unchecked_cast(type, value)`: the type cannot be told from the value alone.
    Typed {
        form: &'static str,
        annotation: String,
        value: Box<Operand>,
    },
    /// A module handed to code that stays opaque.
    Module(ModuleId),
}

impl Operand {
    /// The program values in this operand.
    pub fn values(&self) -> Vec<ValueId> {
        match self {
            Operand::Value(id) => vec![*id],
            Operand::List(items) | Operand::Tuple(items) => {
                items.iter().flat_map(Operand::values).collect()
            }
            Operand::Dict(pairs) => pairs
                .iter()
                .flat_map(|(k, v)| [k.values(), v.values()])
                .flatten()
                .collect(),
            Operand::Typed { value, .. } => value.values(),
            Operand::Attribute { .. }
            | Operand::Constant(_)
            | Operand::Literal(_)
            | Operand::Module(_) => Vec::new(),
        }
    }

    /// Puts other values in the places of these.
    pub(super) fn rename(&mut self, new: &impl Fn(ValueId) -> ValueId) {
        match self {
            Operand::Value(id) => *id = new(*id),
            Operand::List(items) | Operand::Tuple(items) => {
                items.iter_mut().for_each(|o| o.rename(new));
            }
            Operand::Dict(pairs) => pairs.iter_mut().for_each(|(k, v)| {
                k.rename(new);
                v.rename(new);
            }),
            Operand::Typed { value, .. } => value.rename(new),
            Operand::Attribute { .. }
            | Operand::Constant(_)
            | Operand::Literal(_)
            | Operand::Module(_) => {}
        }
    }

    /// The same list, tuple or dictionary with these items.
    #[must_use]
    pub fn with_items(self, known: &Known) -> Self {
        let all = |items: &[Val]| items.iter().map(|v| v.operand.clone()).collect();
        match (self, known) {
            (Operand::List(_), Known::List(items)) => Operand::List(all(items)),
            (Operand::Tuple(_), Known::Tuple(items)) => Operand::Tuple(all(items)),
            (Operand::Dict(_), Known::Dict(pairs)) => Operand::Dict(
                pairs
                    .iter()
                    .map(|(k, v)| (k.operand.clone(), v.operand.clone()))
                    .collect(),
            ),
            (
                Operand::Typed {
                    form,
                    annotation,
                    value,
                },
                known,
            ) => Operand::Typed {
                form,
                annotation,
                value: Box::new(value.with_items(known)),
            },
            (operand, _) => operand,
        }
    }

    /// The literal as an integer.
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        match self {
            Operand::Literal(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The items as integers, if this is a list or a tuple of literals.
    #[must_use]
    pub fn ints(&self) -> Option<Vec<i64>> {
        match self {
            Operand::List(items) | Operand::Tuple(items) => {
                items.iter().map(Operand::int).collect()
            }
            Operand::Typed { value, .. } => value.ints(),
            _ => None,
        }
    }
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    Nothing,
    Tensor {
        /// `None`: a tensor of unknown shape.
        shape: Option<Shape>,
        /// The number in a tensor made of one (`NumToTensor` in traced code).
        item: Option<Item>,
    },
    Int(Dim),
    Float(f64),
    Bool(bool),
    Str(String),
    None,
    List(Vec<Val>),
    Tuple(Vec<Val>),
    Dict(Vec<(Val, Val)>),
    Module(ModuleId),
    /// A function or class of the archive, or a member of an enumeration, by its qualified name.
    Function(String),
    /// An object of a class of the archive that is no module, by its number among those made.
    Object(usize),
}

/// A value while the program is being inlined: where it comes from and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Val {
    pub operand: Operand,
    pub known: Known,
    /// Which list or dictionary this is, where code may change it: all that mean it see the change.
    pub object: Option<ObjectId>,
}

impl Known {
    /// A tensor whose number, if it has just one, is not known.
    #[must_use]
    pub fn tensor(shape: Option<Shape>) -> Self {
        Known::Tensor { shape, item: None }
    }
}

impl Val {
    /// A value that no list or dictionary of the code stands behind.
    #[must_use]
    pub fn new(operand: Operand, known: Known) -> Self {
        Val {
            operand,
            known,
            object: None,
        }
    }

    /// What stands for an item of a list that an operator or a call gives: only what is known of it counts.
    #[must_use]
    pub fn placeholder(known: Known) -> Self {
        Val::new(Operand::Literal(String::new()), known)
    }

    /// Whether the value stands for an item of a list that an operator gives.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        matches!(&self.operand, Operand::Literal(text) if text.is_empty())
    }

    /// `None`
    #[must_use]
    pub fn none() -> Self {
        Val::new(Operand::Literal("None".into()), Known::None)
    }

    /// `True` or `False`
    #[must_use]
    pub fn bool(b: bool) -> Self {
        Val::new(
            Operand::Literal(if b { "True" } else { "False" }.into()),
            Known::Bool(b),
        )
    }

    /// A whole number.
    #[must_use]
    pub fn int(n: i64) -> Self {
        Val::new(Operand::Literal(n.to_string()), Known::Int(Dim::fixed(n)))
    }

    /// A float of the program's own; Rust's shortest text reads back as the same number.
    #[must_use]
    pub fn float(x: f64) -> Self {
        let text = if x.is_finite() {
            format!("{x:?}")
        } else {
            format!("float('{x}')").to_lowercase()
        };
        Val::new(Operand::Literal(text), Known::Float(x))
    }

    /// A list of these values.
    #[must_use]
    pub fn list(items: Vec<Val>) -> Self {
        Val::new(
            Operand::List(items.iter().map(|v| v.operand.clone()).collect()),
            Known::List(items),
        )
    }

    /// A tuple of these values.
    #[must_use]
    pub fn tuple(items: Vec<Val>) -> Self {
        Val::new(
            Operand::Tuple(items.iter().map(|v| v.operand.clone()).collect()),
            Known::Tuple(items),
        )
    }

    /// A dictionary of these keys and values.
    #[must_use]
    pub fn dict(pairs: Vec<(Val, Val)>) -> Self {
        let operands = pairs
            .iter()
            .map(|(k, v)| (k.operand.clone(), v.operand.clone()));
        Val::new(Operand::Dict(operands.collect()), Known::Dict(pairs))
    }

    /// A text.
    #[must_use]
    pub fn str(text: &str) -> Self {
        Val::new(
            Operand::Literal(format!("{text:?}")),
            Known::Str(text.into()),
        )
    }

    /// A module.
    #[must_use]
    pub fn module(id: ModuleId) -> Self {
        Val::new(Operand::Module(id), Known::Module(id))
    }

    /// How many parts a copy of it has. A list holds the operands of all that lies in it, and so does every list that
    /// it lies in; a long text counts as several parts.
    #[must_use]
    pub(super) fn weight(&self) -> usize {
        self.count().1
    }

    /// The values it consists of, itself included, and its weight.
    fn count(&self) -> (usize, usize) {
        const TEXT: usize = 64;
        let sum = |(size, weight): (usize, usize), part: &Val| {
            let (more, heavier) = part.count();
            (size + more, weight.saturating_add(heavier))
        };
        let (size, weight) = match &self.known {
            Known::List(items) | Known::Tuple(items) => items.iter().fold((1, 0), sum),
            Known::Dict(pairs) => pairs.iter().flat_map(|(k, v)| [k, v]).fold((1, 0), sum),
            Known::Str(text) => (1 + text.len() / TEXT, 0),
            _ => (1, 0),
        };
        (size, weight.saturating_add(size))
    }

    /// Whether it is known to be a tensor.
    #[must_use]
    pub fn is_tensor(&self) -> bool {
        matches!(self.known, Known::Tensor { .. })
    }

    /// The shape, if it is a tensor of known shape.
    #[must_use]
    pub fn shape(&self) -> Option<&Shape> {
        match &self.known {
            Known::Tensor { shape, .. } => shape.as_ref(),
            _ => None,
        }
    }

    /// The whole number, which may have the batch size as a factor.
    #[must_use]
    pub fn as_dim(&self) -> Option<Dim> {
        match self.known {
            Known::Int(dim) => Some(dim),
            _ => None,
        }
    }

    /// The whole number, if it does not depend on the batch size.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        self.as_dim()?.known()
    }

    /// The truth value, if it is known.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self.known {
            Known::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The items of a list or a tuple.
    #[must_use]
    pub fn items(&self) -> Option<&[Val]> {
        match &self.known {
            Known::List(items) | Known::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The items as sizes.
    #[must_use]
    pub fn dims(&self) -> Option<Vec<Dim>> {
        self.items()?.iter().map(Val::as_dim).collect()
    }

    /// The items as integers; a single integer counts as a list of one.
    #[must_use]
    pub fn ints(&self) -> Option<Vec<i64>> {
        match self.as_int() {
            Some(n) => Some(vec![n]),
            None => self.items()?.iter().map(Val::as_int).collect(),
        }
    }
}
