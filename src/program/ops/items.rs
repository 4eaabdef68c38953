//! Arithmetic on tensors of one number: how traced code computes sizes.
//!
//! libtorch's rules for element types decide what is rounded where: two integers divide in single precision, and a
//! number that is no tensor takes the type of the tensor beside it.

use super::{Args, scalar};
use crate::program::value::{Dim, Item, Known, Val};

/// The number in a tensor made of one, or a plain number.
pub(super) fn of(value: &Val) -> Option<Item> {
    match value.known {
        Known::Int(n) => Some(Item::Int(n)),
        Known::Float(x) => Some(Item::Double(x)),
        Known::Tensor { item, .. } => item,
        _ => None,
    }
}

pub(super) fn is_zero(item: Item) -> bool {
    double(item) == Some(0.)
}

pub(super) fn is_one(item: Item) -> bool {
    double(item) == Some(1.)
}

/// `int(x)`, `float(x)`, `x.item()`
pub(super) fn number(name: &str, item: Item) -> Option<Known> {
    match (name, item) {
        ("Float" | "float" | "FloatImplicit", item) => Some(Known::Float(double(item)?)),
        (_, Item::Int(n)) => Some(Known::Int(n)),
        ("item" | "ScalarImplicit", item) => Some(Known::Float(double(item)?)),
        (_, item) => Some(Known::Int(whole(double(item)?)?)),
    }
}

/// The number in the result of arithmetic on tensors of one number.
pub(super) fn arithmetic(name: &str, args: &Args) -> Option<Item> {
    let [(None, first), rest @ ..] = args.0 else {
        return None;
    };
    let a = of(first)?;
    let unscaled =
        |rest: &[(Option<String>, Val)]| rest.iter().all(|(_, alpha)| alpha.as_int() == Some(1));
    match (name, rest) {
        ("clone" | "detach" | "alias" | "contiguous" | "lift_fresh" | "data", _) => Some(a),
        ("to", [(None, kind), ..]) if kind.as_int().is_some() => converted(a, kind),
        ("to", [(None, _), (None, kind), ..]) => converted(a, kind),
        ("neg" | "abs" | "ceil" | "floor" | "round" | "trunc" | "fix", []) => unary(name, a),
        ("sqrt", []) => match a {
            Item::Int(n) => Some(Item::Single((n.known()? as f32).sqrt())),
            Item::Single(x) => Some(Item::Single(x.sqrt())),
            Item::Double(x) => Some(Item::Double(x.sqrt())),
        },
        ("add" | "sub", [(None, b), scale @ ..]) if unscaled(scale) => binary(name, first, b),
        ("rsub", [(None, b), scale @ ..]) if unscaled(scale) => binary("sub", b, first),
        (
            "mul" | "multiply" | "floor_divide" | "remainder" | "maximum" | "minimum" | "max"
            | "min" | "true_divide",
            [(None, b)],
        ) => binary(name, first, b),
        ("div" | "divide", [(None, b)]) => binary("true_divide", first, b),
        ("div" | "divide", [(None, b), (_, rounding)]) => match &rounding.known {
            Known::Str(word) if word == "floor" => binary("floor_divide", first, b),
            Known::Str(word) if word == "trunc" => binary("trunc_divide", first, b),
            Known::None => binary("true_divide", first, b),
            _ => None,
        },
        ("clamp_min", [(_, least)]) => binary("maximum", first, least),
        ("clamp_max", [(_, most)]) => binary("minimum", first, most),
        ("clamp" | "clip", _) => clamped(args),
        _ => None,
    }
}

/// `clamp(x, min, max)`, either of them none.
fn clamped(args: &Args) -> Option<Item> {
    let mut value = args.at(0)?.clone();
    for (at, name, operator) in [(1, "min", "maximum"), (2, "max", "minimum")] {
        if let Some(bound) = args.get(at, name).filter(|v| v.known != Known::None) {
            let item = binary(operator, &value, bound)?;
            value.known = Known::Tensor {
                shape: Some(Vec::new()),
                item: Some(item),
            };
        }
    }
    of(&value)
}

pub(super) fn double(item: Item) -> Option<f64> {
    Some(match item {
        Item::Int(n) => n.known()? as f64,
        Item::Single(x) => f64::from(x),
        Item::Double(x) => x,
    })
}

fn whole(x: f64) -> Option<Dim> {
    (x.abs() < 1e15).then(|| Dim::fixed(x.trunc() as i64))
}

/// `to(x, kind)`, where the kind is libtorch's number of an element type.
fn converted(a: Item, kind: &Val) -> Option<Item> {
    Some(match (kind.as_int()?, a) {
        (3 | 4, Item::Int(n)) => Item::Int(n),
        (3 | 4, a) => Item::Int(whole(double(a)?)?),
        (6, Item::Single(x)) => Item::Single(x),
        (6, a) => Item::Single(double(a)? as f32),
        (7, a) => Item::Double(double(a)?),
        _ => return None,
    })
}

fn unary(name: &str, a: Item) -> Option<Item> {
    macro_rules! rounded {
        ($x:expr) => {
            match name {
                "neg" => -$x,
                "abs" => $x.abs(),
                "ceil" => $x.ceil(),
                "floor" => $x.floor(),
                "round" => $x.round_ties_even(),
                _ => $x.trunc(),
            }
        };
    }
    Some(match (name, a) {
        ("neg", Item::Int(n)) => Item::Int(n.negated()),
        ("abs", Item::Int(n)) => Item::Int(Dim::fixed(n.known()?.checked_abs()?)),
        (_, Item::Int(n)) => Item::Int(n),
        (_, Item::Single(x)) => Item::Single(rounded!(x)),
        (_, Item::Double(x)) => Item::Double(rounded!(x)),
    })
}

/// Whether arithmetic on the two is in double precision: one of them is a tensor of that type, not a plain number.
fn in_double(a: &Val, b: &Val) -> bool {
    let is = |v: &Val| v.is_tensor() && matches!(of(v), Some(Item::Double(_)));
    is(a) || is(b)
}

fn binary(name: &str, left: &Val, right: &Val) -> Option<Item> {
    let (a, b) = (of(left)?, of(right)?);
    let name = match name {
        "maximum" => "max",
        "minimum" => "min",
        "multiply" => "mul",
        name => name,
    };
    if let (Item::Int(a), Item::Int(b)) = (a, b)
        && name != "true_divide"
    {
        let known = match name {
            "trunc_divide" => {
                let quotient = a.known()?.checked_div(b.known()?)?;
                return Some(Item::Int(Dim::fixed(quotient)));
            }
            _ => scalar::int_arithmetic(name, a, b)?,
        };
        return match known {
            Known::Int(n) => Some(Item::Int(n)),
            _ => None,
        };
    }
    macro_rules! computed {
        ($a:expr, $b:expr) => {
            match name {
                "add" => $a + $b,
                "sub" => $a - $b,
                "mul" => $a * $b,
                "true_divide" => $a / $b,
                "floor_divide" => ($a / $b).floor(),
                "trunc_divide" => ($a / $b).trunc(),
                "max" => $a.max($b),
                "min" => $a.min($b),
                _ => return None,
            }
        };
    }
    let (x, y) = (double(a)?, double(b)?);
    Some(if in_double(left, right) {
        Item::Double(computed!(x, y))
    } else {
        Item::Single(computed!(x as f32, y as f32))
    })
}
