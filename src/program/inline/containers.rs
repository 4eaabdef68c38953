//! Lists and dictionaries that change while the network runs.

use super::branches::common;
use super::{Inliner, NamedVals, Step, opaque, tensor_of};
use crate::program::ast::{Expr, Stmt, walk};
use crate::program::builder::{positional, short_name};
use crate::program::modules::{Attribute, ModuleId};
use crate::program::objects::{holds_object, too_large};
use crate::program::value::{Dim, Known, ObjectId, Operand, Val};
use crate::program::{Op, ops};

impl Inliner<'_> {
    /// A value the code has just made; a list or a dictionary may change from here on.
    pub(super) fn made(&mut self, val: Val) -> Step<Val> {
        if too_large(&val) {
            return opaque("a value of too many parts");
        }
        Ok(self.builder.objects.add(val))
    }

    /// `torch.append(list, item)` and its like.
    pub(super) fn change_container(&mut self, name: &str, args: &NamedVals) -> Step<Val> {
        let unfollowed =
            || opaque("a list or dictionary that changes in a way that is not followed");
        let values: Vec<&Val> = args.iter().map(|(_, v)| v).collect();
        let Some((container, rest)) = values.split_first() else {
            return unfollowed();
        };
        // Lists in lists are not followed: they could hold each other.
        let nests = |v: &&Val| match (name, &v.known) {
            ("extend", Known::List(items)) => items.iter().any(holds_object),
            _ => holds_object(v),
        };
        let (Some(id), false) = (container.object, rest.iter().any(nests)) else {
            return unfollowed();
        };
        let changed = match &container.known {
            Known::List(items) => change_list(name, items, rest),
            Known::Dict(pairs) => change_dict(name, pairs, rest, self.is_kept(id)),
            _ => None,
        };
        let Some((known, result)) = changed else {
            return unfollowed();
        };
        let content = Val {
            operand: container.operand.clone().with_items(&known),
            known,
            object: Some(id),
        };
        match self.builder.objects.set(id, content.clone()) {
            Some(()) => Ok(result.unwrap_or(content)),
            None => unfollowed(),
        }
    }

    /// A dictionary that a module keeps from call to call, such as a cache, in code that is followed only to be taken
    /// back. It holds what the archive says, and what the code being followed put there.
    pub(super) fn kept_dictionary(
        &mut self,
        module: ModuleId,
        name: &str,
        pairs: &[(Attribute, Attribute)],
    ) -> Step<Val> {
        let key = (module, name.to_owned());
        self.count_work(pairs.len())?;
        let operand = Operand::Attribute {
            module,
            name: name.into(),
        };
        let item = |attribute: &Attribute| {
            Val::placeholder(match attribute {
                Attribute::Tensor(info) => tensor_of(&info.shape),
                Attribute::Str(text) => Known::Str(text.clone()),
                Attribute::Int(n) => Known::Int(Dim::fixed(*n)),
                _ => Known::Nothing,
            })
        };
        let items = pairs.iter().map(|(k, v)| (item(k), item(v)));
        let mut val = Val::new(operand, Known::Dict(items.collect()));
        match self.kept.get(&key) {
            Some(id) => {
                val.object = Some(*id);
                Ok(self.builder.current(&val))
            }
            None => {
                let val = self.made(val)?;
                self.kept.extend(val.object.map(|id| (key, id)));
                Ok(val)
            }
        }
    }

    /// What holds of every value in a dictionary that a module keeps.
    pub(super) fn any_of_kept(&self, dictionary: &Val) -> Known {
        let kept = dictionary.object.is_some_and(|id| self.is_kept(id));
        let Known::Dict(pairs) = &dictionary.known else {
            return Known::Nothing;
        };
        let values = pairs.iter().map(|(_, value)| value.known.clone());
        let common = values.reduce(|a, b| common(&a, &b));
        common.filter(|_| kept).unwrap_or(Known::Nothing)
    }

    fn is_kept(&self, id: ObjectId) -> bool {
        self.kept.values().any(|kept| *kept == id)
    }

    /// Hands a value to code that is not followed, which may change the lists in it or keep them: from here on
    /// nothing is known of these.
    pub(super) fn give_away(&mut self, val: Val) -> Val {
        if !holds_object(&val) {
            return val;
        }
        let val = self.builder.current(&val);
        let known = match val.known {
            Known::List(items) => Known::List(self.give_all_away(items)),
            Known::Tuple(items) => Known::Tuple(self.give_all_away(items)),
            Known::Dict(pairs) => Known::Dict(
                pairs
                    .into_iter()
                    .map(|(k, v)| (k, self.give_away(v)))
                    .collect(),
            ),
            other => other,
        };
        let operand = val.operand.with_items(&known);
        let Some(id) = val.object else {
            return Val::new(operand, known);
        };
        if matches!(operand, Operand::Value(_)) {
            return Val {
                operand,
                known,
                object: Some(id),
            };
        }
        let given = self
            .builder
            .emit(Op::Alias, vec![positional(operand)], Known::Nothing);
        // If there were too many changes to follow, less is known, which is no error.
        let _ = self.builder.objects.set(id, given.clone());
        given
    }

    pub(super) fn give_all_away(&mut self, vals: Vec<Val>) -> Vec<Val> {
        vals.into_iter().map(|v| self.give_away(v)).collect()
    }
}

/// Whether the statement may change a list, or hand one to code that does.
pub(super) fn may_change_containers(statement: &Stmt) -> bool {
    let mut found = false;
    walk(std::slice::from_ref(statement), &mut |expression| {
        if let Expr::Call { callee, .. } = expression {
            let name = callee.dotted().unwrap_or_default();
            let known = ["torch.", "ops.prim.", "ops.aten."];
            let own = known.iter().any(|prefix| name.starts_with(prefix)) || !name.contains('.');
            found |= name.is_empty() || !own || ops::mutates_container(short_name(&name));
        }
    });
    found
}

/// The list after the change, and what the operator gives if that is not the list.
fn change_list(name: &str, items: &[Val], args: &[&Val]) -> Option<(Known, Option<Val>)> {
    let mut items = items.to_vec();
    let place = |index: &Val, length: usize| {
        let index = index.as_int()?;
        let length = length as i64;
        usize::try_from(if index < 0 { index + length } else { index }).ok()
    };
    let mut result = None;
    match (name, args) {
        ("append", [item]) => items.push((*item).clone()),
        ("extend", [more]) => match &more.known {
            Known::List(more) => items.extend(more.iter().cloned()),
            _ => return None,
        },
        ("insert", [index, item]) => {
            let index = place(index, items.len())?;
            items.insert(index.min(items.len()), (*item).clone());
        }
        ("_set_item", [index, item]) => {
            let index = place(index, items.len())?;
            *items.get_mut(index)? = (*item).clone();
        }
        ("pop", []) => result = Some(items.pop()?),
        ("pop", [index]) => {
            let index = place(index, items.len()).filter(|i| *i < items.len())?;
            result = Some(items.remove(index));
        }
        ("clear", []) => items.clear(),
        ("reverse", []) => items.reverse(),
        _ => return None,
    }
    Some((Known::List(items), result))
}

/// The dictionary after the change. With `any_key` keys may be unknown: then only the values count.
fn change_dict(
    name: &str,
    pairs: &[(Val, Val)],
    args: &[&Val],
    any_key: bool,
) -> Option<(Known, Option<Val>)> {
    let constant = |key: &Val| {
        matches!(
            key.known,
            Known::Str(_) | Known::Int(Dim { batch: 0, .. }) | Known::Bool(_)
        )
    };
    let ("_set_item", [key, item]) = (name, args) else {
        return None;
    };
    if !any_key && !pairs.iter().map(|(k, _)| k).chain([*key]).all(constant) {
        return None;
    }
    let mut pairs = pairs.to_vec();
    let same = |k: &Val| constant(k) && k.known == key.known;
    match pairs.iter_mut().find(|(k, _)| same(k)) {
        Some((_, place)) => *place = (*item).clone(),
        None => pairs.push(((*key).clone(), (*item).clone())),
    }
    Some((Known::Dict(pairs), Some(Val::none())))
}
