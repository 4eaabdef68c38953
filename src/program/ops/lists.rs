//! Lists of numbers and truth values that are known before the network runs.

use super::{Args, scalar};
use crate::program::value::{Dim, Known, Val};

/// Longer lists are not followed.
pub(in crate::program) const MAX_LENGTH: usize = 1 << 10;

/// The result, if `first` is a list and every part the result depends on is known.
pub(super) fn result(name: &str, first: &Val, args: &Args) -> Option<Known> {
    let items = match (&first.known, name) {
        (Known::List(items), _) => items,
        (Known::Tuple(items), "slice" | "__contains__" | "list" | "any" | "all") => items,
        (Known::Dict(pairs), "__contains__") => {
            if pairs.is_empty() && first.object.is_some() {
                return Some(Known::Bool(false));
            }
            let keys: Vec<&Val> = pairs.iter().map(|(k, _)| k).collect();
            return contains(&keys, args.at(1)?);
        }
        (Known::Dict(pairs), "keys") => {
            return Some(Known::List(pairs.iter().map(|(k, _)| k.clone()).collect()));
        }
        (Known::Dict(pairs), "values") => {
            return Some(Known::List(pairs.iter().map(|(_, v)| v.clone()).collect()));
        }
        _ => return None,
    };
    match (name, args.at(1).map(|v| &v.known)) {
        ("copy" | "list", None) => Some(Known::List(items.clone())),
        ("slice", _) => slice(items, args).map(match first.known {
            Known::Tuple(_) => Known::Tuple,
            _ => Known::List,
        }),
        ("__contains__", Some(_)) => contains(&items.iter().collect::<Vec<_>>(), args.at(1)?),
        ("add", Some(Known::List(more))) if items.len() + more.len() <= MAX_LENGTH => {
            Some(Known::List(items.iter().chain(more).cloned().collect()))
        }
        ("mul", Some(Known::Int(n))) => repeat(items, n.known()?),
        ("eq" | "ne", Some(Known::List(other))) => {
            equal(items, other).map(|same| Known::Bool(same == (name == "eq")))
        }
        ("lt" | "le" | "gt" | "ge", Some(Known::List(_))) => {
            scalar::compare(name, &first.ints()?, &args.at(1)?.ints()?)
        }
        ("sum", None) => items
            .iter()
            .map(Val::as_dim)
            .try_fold(Dim::fixed(0), |sum, n| sum.plus(n?))
            .map(Known::Int),
        ("max", None) => Some(Known::Int(Dim::fixed(*first.ints()?.iter().max()?))),
        ("min", None) => Some(Known::Int(Dim::fixed(*first.ints()?.iter().min()?))),
        ("all", None) => quantified(items, false),
        ("any", None) => quantified(items, true),
        _ => None,
    }
}

/// Whether any item is true (`wanted` is true), or whether all are (`wanted` is false). One item that is `wanted`
/// decides.
fn quantified(items: &[Val], wanted: bool) -> Option<Known> {
    let truth = |v: &Val| match v.known {
        Known::Bool(b) => Some(b),
        Known::Int(n) => Some(n.known()? != 0),
        Known::Float(x) => Some(x != 0.),
        _ => None,
    };
    if items.iter().any(|v| truth(v) == Some(wanted)) {
        return Some(Known::Bool(wanted));
    }
    let all_known = items.iter().all(|v| truth(v).is_some());
    all_known.then_some(Known::Bool(!wanted))
}

fn contains(items: &[&Val], wanted: &Val) -> Option<Known> {
    let constant = |v: &Val| {
        matches!(
            v.known,
            Known::Int(Dim { batch: 0, .. }) | Known::Bool(_) | Known::Str(_) | Known::None
        )
    };
    let all_known = constant(wanted) && items.iter().all(|v| constant(v));
    all_known.then(|| Known::Bool(items.iter().any(|v| v.known == wanted.known)))
}

fn equal(a: &[Val], b: &[Val]) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    let pairs: Vec<(Dim, Dim)> = a
        .iter()
        .zip(b)
        .map(|(a, b)| Some((a.as_dim()?, b.as_dim()?)))
        .collect::<Option<_>>()?;
    if pairs.iter().all(|(a, b)| a == b) {
        return Some(true);
    }
    let differ = |(a, b): &(Dim, Dim)| a.known().zip(b.known()).is_some_and(|(a, b)| a != b);
    pairs.iter().any(differ).then_some(false)
}

fn repeat(items: &[Val], times: i64) -> Option<Known> {
    let times = usize::try_from(times.max(0)).ok()?;
    (items.len().checked_mul(times)? <= MAX_LENGTH).then(|| {
        let repeated = std::iter::repeat_n(items, times).flatten();
        Known::List(repeated.cloned().collect())
    })
}

fn slice(items: &[Val], args: &Args) -> Option<Vec<Val>> {
    let length = items.len() as i64;
    let clamp = |n: i64| (if n < 0 { n.saturating_add(length) } else { n }).clamp(0, length);
    let start = clamp(args.int_or(1, "start", 0)?) as usize;
    let end = clamp(args.int_or(2, "end", i64::MAX)?) as usize;
    let step = usize::try_from(args.int_or(3, "step", 1)?)
        .ok()
        .filter(|n| *n > 0)?;
    let kept = items.get(start..end.max(start))?;
    Some(kept.iter().step_by(step).cloned().collect())
}
