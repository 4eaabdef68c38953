//! Arithmetic on numbers, truth values, texts and lists that are known before the network runs.

use super::{Args, items, lists};
use crate::program::value::{Dim, Known, Val};

/// The longest text that is made by joining.
const MAX_TEXT: usize = 1 << 16;

/// The result, if every part it depends on is known.
pub(super) fn result(name: &str, args: &Args) -> Option<Known> {
    let first = args.at(0)?;
    if let Some(answer) = identity_test(name, first, args.at(1)) {
        return Some(Known::Bool(answer));
    }
    if let Some(known) = lists::result(name, first, args) {
        return Some(known);
    }
    match name {
        "len" => return length(first),
        "__not__" => return Some(Known::Bool(!first.as_bool()?)),
        "int" | "Int" | "IntImplicit" | "ScalarImplicit" => {
            return match first.known {
                Known::Int(n) => Some(Known::Int(n)),
                Known::Float(x) => Some(Known::Int(Dim::fixed(x.trunc() as i64))),
                Known::Bool(b) => Some(Known::Int(Dim::fixed(b.into()))),
                _ => None,
            };
        }
        "float" | "Float" => return Some(Known::Float(number(first)?)),
        "bool" | "Bool" => {
            return Some(Known::Bool(
                first.as_bool().or_else(|| Some(number(first)? != 0.))?,
            ));
        }
        "neg" => {
            return match first.known {
                Known::Int(n) => Some(Known::Int(n.negated())),
                Known::Float(x) => Some(Known::Float(-x)),
                _ => None,
            };
        }
        "NumToTensor" => {
            return Some(Known::Tensor {
                shape: Some(vec![]),
                item: items::of(first),
            });
        }
        "floor" => return Some(Known::Int(Dim::fixed(number(first)?.floor() as i64))),
        "ceil" => return Some(Known::Int(Dim::fixed(number(first)?.ceil() as i64))),
        "sqrt" => return Some(Known::Float(number(first)?.sqrt())),
        _ => {}
    }
    let second = args.at(1)?;
    match (&first.known, &second.known) {
        (Known::Bool(a), Known::Bool(b)) => logic(name, *a, *b),
        (Known::Int(a), Known::Int(b)) => int_arithmetic(name, *a, *b),
        (Known::Str(a), Known::Str(b)) if name == "add" => {
            (a.len() + b.len() <= MAX_TEXT).then(|| Known::Str(format!("{a}{b}")))
        }
        (Known::Str(a), Known::Str(b)) => compare(name, a, b),
        // Members of an enumeration.
        (Known::Function(a), Known::Function(b)) => match name {
            "eq" | "__is__" => Some(Known::Bool(a == b)),
            "ne" | "__isnot__" => Some(Known::Bool(a != b)),
            _ => None,
        },
        _ => float_arithmetic(name, number(first)?, number(second)?),
    }
}

/// `is`, `is not` against `None`.
pub(super) fn identity_test(name: &str, first: &Val, second: Option<&Val>) -> Option<bool> {
    let negated = match name {
        "__is__" => false,
        "__isnot__" => true,
        _ => return None,
    };
    let second = second?;
    match (&first.known, &second.known) {
        // A value is the same tensor as itself. Two values may be the same tensor too, so that nothing is known of
        // them.
        (Known::Tensor { .. }, Known::Tensor { .. }) => {
            (first.operand == second.operand).then_some(!negated)
        }
        (Known::Nothing, _) | (_, Known::Nothing) => None,
        (a, b) if (*a == Known::None) || (*b == Known::None) => Some((a == b) != negated),
        _ => None,
    }
}

/// The length of a text, of which the source's spelling is known, or of a list.
fn length(value: &Val) -> Option<Known> {
    let length = match &value.known {
        Known::Str(text) if text.is_ascii() && !text.contains('\\') => text.len(),
        Known::Dict(pairs) => pairs.len(),
        _ => value.items()?.len(),
    };
    Some(Known::Int(Dim::fixed(length as i64)))
}

fn number(value: &Val) -> Option<f64> {
    match value.known {
        Known::Int(n) => n.known().map(|n| n as f64),
        Known::Float(x) => Some(x),
        Known::Bool(b) => Some(f64::from(u8::from(b))),
        _ => None,
    }
}

fn logic(name: &str, a: bool, b: bool) -> Option<Known> {
    Some(Known::Bool(match name {
        "__and__" => a && b,
        "__or__" => a || b,
        "__xor__" | "ne" => a != b,
        "eq" => a == b,
        _ => return None,
    }))
}

pub(super) fn compare<T: PartialOrd>(name: &str, a: &T, b: &T) -> Option<Known> {
    Some(Known::Bool(match name {
        "eq" => a == b,
        "ne" => a != b,
        "lt" => a < b,
        "le" => a <= b,
        "gt" => a > b,
        "ge" => a >= b,
        _ => return None,
    }))
}

pub(super) fn int_arithmetic(name: &str, a: Dim, b: Dim) -> Option<Known> {
    match name {
        "add" => return a.plus(b).map(Known::Int),
        "sub" => return a.plus(b.negated()).map(Known::Int),
        "mul" => return a.times(b).map(Known::Int),
        "floordiv" | "floor_divide" => return a.over(b).map(Known::Int),
        _ => {}
    }
    if a == b
        && let Some(answer) = compare(name, &0, &0)
    {
        return Some(answer);
    }
    let (a, b) = (a.known()?, b.known()?);
    match name {
        "remainder" | "mod" if b > 0 => Some(Known::Int(Dim::fixed(a.rem_euclid(b)))),
        "min" => Some(Known::Int(Dim::fixed(a.min(b)))),
        "max" => Some(Known::Int(Dim::fixed(a.max(b)))),
        "pow" => Some(Known::Int(Dim::fixed(
            a.checked_pow(u32::try_from(b).ok()?)?,
        ))),
        "div" => Some(Known::Float(a as f64 / b as f64)),
        _ => compare(name, &a, &b),
    }
}

fn float_arithmetic(name: &str, a: f64, b: f64) -> Option<Known> {
    Some(Known::Float(match name {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "div" => a / b,
        "pow" => a.powf(b),
        "min" => a.min(b),
        "max" => a.max(b),
        _ => return compare(name, &a, &b),
    }))
}
