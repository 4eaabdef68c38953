//! Arithmetic on numbers, truth values, texts and lists that are known before the network runs.

use super::Args;
use crate::program::value::{Dim, Known, Val};

/// The result, if every part it depends on is known.
pub(super) fn result(name: &str, args: &Args) -> Option<Known> {
    let first = args.at(0)?;
    if let Some(answer) = identity_test(name, first, args.at(1)) {
        return Some(Known::Bool(answer));
    }
    match name {
        "len" => return Some(Known::Int(Dim::fixed(first.items()?.len() as i64))),
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
                item: first.as_dim(),
            });
        }
        "floor" => return Some(Known::Int(Dim::fixed(number(first)?.floor() as i64))),
        "ceil" => return Some(Known::Int(Dim::fixed(number(first)?.ceil() as i64))),
        "sqrt" => return Some(Known::Float(number(first)?.sqrt())),
        "__contains__" => {
            let (items, wanted) = (first.items()?, args.at(1)?);
            let all_known = items
                .iter()
                .chain([wanted])
                .all(|v| v.known != Known::Nothing);
            return all_known.then(|| Known::Bool(items.iter().any(|v| v.known == wanted.known)));
        }
        _ => {}
    }
    let second = args.at(1)?;
    match (&first.known, &second.known) {
        (Known::Bool(a), Known::Bool(b)) => logic(name, *a, *b),
        (Known::Int(a), Known::Int(b)) => int_arithmetic(name, *a, *b),
        (Known::Str(a), Known::Str(b)) => compare(name, a, b),
        (Known::List(a), Known::List(b)) if name == "add" => {
            Some(Known::List(a.iter().chain(b).cloned().collect()))
        }
        (Known::List(a), Known::Int(n)) if name == "mul" => {
            let times = usize::try_from(n.known()?).ok()?;
            let repeated = std::iter::repeat_n(a, times.min(1 << 10))
                .flatten()
                .cloned()
                .collect();
            (times <= 1 << 10 && a.len() <= 1 << 10).then_some(Known::List(repeated))
        }
        (Known::List(_), Known::List(_)) => compare(name, &first.ints()?, &second.ints()?),
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
    match (&first.known, &second?.known) {
        (Known::Nothing, _) | (_, Known::Nothing) => None,
        (a, b) if (*a == Known::None) || (*b == Known::None) => Some((a == b) != negated),
        _ => None,
    }
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

fn compare<T: PartialOrd>(name: &str, a: &T, b: &T) -> Option<Known> {
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

fn int_arithmetic(name: &str, a: Dim, b: Dim) -> Option<Known> {
    match name {
        "add" => return a.plus(b).map(Known::Int),
        "sub" => return a.plus(b.negated()).map(Known::Int),
        "mul" => return a.times(b).map(Known::Int),
        "floordiv" | "floor_divide" => return a.over(b).map(Known::Int),
        _ => {}
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
