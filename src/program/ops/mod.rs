//! What an operator's result looks like, from what is known of its arguments.
//!
//! A rule may always answer [`Known::Nothing`]; it must never answer wrongly. An error means that the operator
//! itself would refuse these shapes. Which operator has which rule stands in `table.rs`.

mod arrange;
mod create;
mod einsum;
mod elementwise;
mod fourier;
mod items;
mod join;
mod linear_algebra;
mod lists;
mod macs;
mod pick;
mod product;
mod recurrent;
mod reduce;
mod resample;
mod scalar;
mod table;
mod traits;
mod window;

use super::value::{Dim, Known, Shape, Val, axis, element_count};
use table::Rule;

pub(crate) use macs::statement_macs;
pub(super) use traits::{
    asks_for_shape, changes_shape_in_place, functional_twin, is_activation, is_conversion,
    is_impure, is_view, may_alias, mutates_container, writes_in_place,
};

/// The arguments of a call, with their names where they were given by name.
pub(super) struct Args<'a>(pub &'a [(Option<String>, Val)]);

impl Args<'_> {
    /// The argument at position `i`, or the one named `name`.
    pub fn get(&self, i: usize, name: &str) -> Option<&Val> {
        let positional = self.0.get(i).filter(|(n, _)| n.is_none());
        positional
            .or_else(|| self.0.iter().find(|(n, _)| n.as_deref() == Some(name)))
            .map(|(_, v)| v)
    }

    fn at(&self, i: usize) -> Option<&Val> {
        self.get(i, "")
    }

    fn shape(&self, i: usize) -> Option<&Shape> {
        self.at(i)?.shape()
    }

    fn int(&self, i: usize, name: &str) -> Option<i64> {
        self.get(i, name)?.as_int()
    }

    fn int_or(&self, i: usize, name: &str, default: i64) -> Option<i64> {
        match self.get(i, name) {
            None => Some(default),
            Some(v) if v.known == Known::None => Some(default),
            Some(v) => v.as_int(),
        }
    }
}

/// What an operator gives, or why it would refuse.
pub(super) type Result = std::result::Result<Known, String>;

/// A shape, `None` where it cannot be told, or why the operator would refuse.
type ShapeResult = std::result::Result<Option<Shape>, String>;

/// What is known of the result of `torch.<name>(args)`.
pub(super) fn result(name: &str, args: &Args) -> Result {
    let takes_tensors = args.0.iter().any(|(_, v)| v.is_tensor());
    let rule = table::rule(name);
    match rule {
        Some(Rule::Made(shape)) => return Ok(Known::tensor(shape(name, args)?)),
        Some(Rule::List(shapes)) if takes_tensors || name == "meshgrid" => {
            return Ok(shapes(name, args).map_or(Known::Nothing, list_of));
        }
        Some(Rule::List(shapes)) => {
            if let Some(shapes) = shapes(name, args) {
                return Ok(list_of(shapes));
            }
        }
        _ => {}
    }
    if takes_tensors {
        tensor_result(functional_twin(name).unwrap_or(name), args, rule)
    } else {
        Ok(scalar::result(name, args).unwrap_or(Known::Nothing))
    }
}

/// What is known of each of the results of `a, b = torch.<name>(args)`.
pub(super) fn results(name: &str, args: &Args, count: usize) -> Vec<Known> {
    let Some(Rule::Several(shapes)) = table::rule(name) else {
        return vec![Known::Nothing; count];
    };
    let mut shapes = shapes(name, args).unwrap_or_default();
    shapes.resize(count, None);
    shapes.into_iter().map(Known::tensor).collect()
}

/// Whether data decide how many elements the result of an operator has.
pub(super) fn is_counted_by_data(name: &str) -> bool {
    matches!(table::rule(name), Some(Rule::CountedByData))
}

/// Whether the result has the elements of the first argument, unchanged, in the same shape.
pub(super) fn is_identity(name: &str, args: &Args, result: &Known) -> bool {
    let shape = match result {
        Known::Tensor { shape, .. } => shape.as_ref(),
        _ => None,
    };
    let keeps_shape = shape.is_some() && shape == args.shape(0);
    let number = args.at(1).and_then(items::of);
    match name {
        "add" | "sub" | "subtract" => keeps_shape && number.is_some_and(items::is_zero),
        "mul" | "multiply" | "div" | "divide" | "true_divide" | "pow" => {
            keeps_shape && args.0.len() == 2 && number.is_some_and(items::is_one)
        }
        "contiguous" | "clone" | "detach" | "alias" | "lift_fresh" | "positive" | "data" => true,
        "view" | "view_as" | "reshape" | "reshape_as" | "flatten" | "squeeze" | "expand"
        | "expand_as" | "slice" | "narrow" => keeps_shape,
        _ => false,
    }
}

/// Whether an operator has a rule.
pub(super) fn has_rule(name: &str) -> bool {
    table::rule(name).is_some()
}

/// Whether an operator gives a number where it is given no tensor.
pub(super) fn computes_numbers(name: &str) -> bool {
    matches!(
        table::rule(name),
        Some(Rule::Like(_) | Rule::Broadcast(_) | Rule::Reduced(..) | Rule::Several(_))
    )
}

/// Whether an operator gives no tensor.
pub(super) fn gives_no_tensor(name: &str) -> bool {
    matches!(table::rule(name), Some(Rule::NoTensor))
}

fn tensor_result(name: &str, args: &Args, rule: Option<Rule>) -> Result {
    let number = |known: Option<Known>| Ok(known.unwrap_or(Known::Nothing));
    match name {
        "__is__" | "__isnot__" => {
            let test = args
                .at(0)
                .and_then(|first| scalar::identity_test(name, first, args.at(1)));
            return number(test.map(Known::Bool));
        }
        "dim" => {
            return number(
                args.shape(0)
                    .map(|s| Known::Int(Dim::fixed(s.len() as i64))),
            );
        }
        "len" => {
            return number(
                args.shape(0)
                    .and_then(|s| s.first())
                    .map(|d| Known::Int(*d)),
            );
        }
        "numel" => return number(args.shape(0).and_then(|s| element_count(s)).map(Known::Int)),
        // The input is an ordinary tensor, and so is every value of known shape that is computed from it.
        "is_nested" => return number(args.shape(0).map(|_| Known::Bool(false))),
        "int" | "Int" | "IntImplicit" | "ScalarImplicit" | "item" | "Float" | "FloatImplicit" => {
            let item = args.at(0).and_then(items::of);
            return number(item.and_then(|item| items::number(name, item)));
        }
        "float" | "bool" if args.0.len() == 1 && args.shape(0).is_none_or(|s| s.is_empty()) => {
            let item = args.at(0).and_then(items::of).filter(|_| name == "float");
            return number(item.and_then(|item| items::number(name, item)));
        }
        _ => {}
    }
    let shape = match rule {
        _ if changes_shape_in_place(name) => None,
        Some(Rule::NoTensor) => return Ok(Known::Nothing),
        _ if writes_in_place(name) => args.shape(0).cloned(),
        Some(Rule::Several(shapes)) => match shapes(name, args).as_deref() {
            Some([one]) => one.clone(),
            // Only the assignment tells how many there are.
            _ => return Ok(Known::Nothing),
        },
        Some(rule) => shape_by(rule, name, args)?,
        None => None,
    };
    Ok(Known::Tensor {
        shape,
        item: items::arithmetic(name, args),
    })
}

fn shape_by(rule: Rule, name: &str, args: &Args) -> ShapeResult {
    match rule {
        Rule::Like(place) => Ok(args.shape(place).cloned()),
        Rule::Broadcast(count) => elementwise::broadcast_args(name, args, count),
        Rule::Reduced(dims, keep) => Ok(reduce::reduced(args, dims, keep)),
        Rule::One(shape) | Rule::Made(shape) => shape(name, args),
        Rule::Several(_) | Rule::List(_) | Rule::NoTensor | Rule::CountedByData => Ok(None),
    }
}

fn list_of(shapes: Vec<Shape>) -> Known {
    let item = |shape| Val::placeholder(Known::tensor(Some(shape)));
    Known::List(shapes.into_iter().map(item).collect())
}
