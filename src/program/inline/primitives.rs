//! The language's own functions and torch's operators.

use super::{Frame, Inliner, NamedVals, Step, arguments, opaque};
use crate::program::ast::{Arg, Expr, unquoted};
use crate::program::builder::{positional, short_name};
use crate::program::dtype::Dtype;
use crate::program::ops::{self, Args};
use crate::program::value::{Known, Operand, Val};
use crate::program::{Argument, Attribute, Op, Statement, ValueId};

impl<'a> Inliner<'a> {
    /// Calls of the language's own functions.
    pub(super) fn builtin(
        &mut self,
        frame: &mut Frame,
        name: &str,
        args: &'a [Arg],
        results: usize,
    ) -> Step<Val> {
        match (name, args) {
            (
                "getattr",
                [
                    object,
                    Arg {
                        value: Expr::Str(attribute),
                        ..
                    },
                ],
            ) => {
                let object = self.eval(frame, &object.value)?;
                self.attribute(&object, unquoted(attribute))
            }
            ("annotate", [annotation, value]) => {
                self.typed(frame, "annotate", &annotation.value, &value.value)
            }
            ("unchecked_cast", [annotation, value]) => {
                self.typed(frame, "unchecked_cast", &annotation.value, &value.value)
            }
            // Nothing reads it: it fills the place of a value where the code raises an error or gives none.
            ("uninitialized", [annotation]) => Ok(Val::new(
                Operand::Literal(format!("uninitialized({})", annotation.value)),
                Known::Nothing,
            )),
            ("isinstance", [object, kinds]) => {
                let object = self.eval(frame, &object.value)?;
                match is_instance(&object.known, &kinds.value) {
                    Some(answer) => Ok(Val::bool(answer)),
                    None => opaque("`isinstance` of a value that is not known"),
                }
            }
            ("fork" | "isinstance" | "setattr" | "wait" | "awaitable", _) => {
                opaque(format!("`{name}` is not followed"))
            }
            _ => {
                let args = self.args(frame, args)?;
                self.primitive(name, args, results)
            }
        }
    }

    /// `annotate(type, value)` and `unchecked_cast(type, value)`.
    fn typed(
        &mut self,
        frame: &mut Frame,
        form: &'static str,
        annotation: &'a Expr,
        expression: &'a Expr,
    ) -> Step<Val> {
        let value = self.eval(frame, expression)?;
        let is_literal = matches!(
            expression.unparenthesised(),
            Expr::List { .. } | Expr::Dict(_)
        );
        if value.object.is_some() && !is_literal {
            return Ok(value);
        }
        // A value of the program has its type from the statement that made it.
        let operand = match &value.operand {
            Operand::Value(_) | Operand::Literal(_) if form == "unchecked_cast" => {
                value.operand.clone()
            }
            operand => Operand::Typed {
                form,
                annotation: annotation.to_string(),
                value: Box::new(operand.clone()),
            },
        };
        let typed = Val { operand, ..value };
        self.builder.objects.retype(&typed);
        Ok(typed)
    }

    /// A call of one of torch's own operators.
    pub(super) fn primitive(
        &mut self,
        function: &str,
        args: NamedVals,
        results: usize,
    ) -> Step<Val> {
        let name = short_name(function);
        if let Some(value) = self.without_statement(name, &args)? {
            return Ok(value);
        }
        self.refuse_hidden_changes(name, &args)?;
        let known = self.known_result(name, &args)?;
        if let Some(literal) = literal(&known) {
            return self.made(literal);
        }
        if ops::writes_in_place(name) {
            return Ok(self.builder.emit_in_place(function, arguments(args), known));
        }
        Ok(match known {
            Known::List(pieces) => self.pieces(function, arguments(args), &pieces),
            _ if results > 1 => self.several(function, args, results),
            known => {
                let same = ops::is_identity(name, &Args(&args), &known);
                let made = self
                    .builder
                    .emit(Op::Call(function.into()), arguments(args), known);
                if same {
                    self.builder.keeps_elements(&made);
                }
                made
            }
        })
    }

    /// What an operator gives where the flat program needs no statement of its own for it.
    fn without_statement(&mut self, name: &str, args: &NamedVals) -> Step<Option<Val>> {
        let value = match (name, args.first().map(|(_, v)| v)) {
            ("RaiseException", message) => {
                return self.refuse(match message.map(|v| &v.known) {
                    Some(Known::Str(text)) => text.as_str(),
                    _ => "the network raises an error for this input",
                });
            }
            ("warn", _) => Val::none(),
            ("set_grad_enabled", Some(enabled)) => self.set_grad_enabled(enabled)?,
            ("dict", None) => self.new_dict()?,
            (_, Some(first)) if !first.is_tensor() && ops::mutates_container(name) => {
                self.change_container(name, args)?
            }
            ("__getitem__" | "select", Some(list)) if list.items().is_some() => {
                let Some((_, index)) = args.get(1) else {
                    return Ok(None);
                };
                self.index(list, index)
            }
            ("size", Some(tensor)) if tensor.shape().is_some() => self.size(tensor, args.get(1))?,
            // In evaluation mode dropout hands its very input on.
            (
                "dropout"
                | "dropout_"
                | "feature_dropout"
                | "feature_dropout_"
                | "alpha_dropout"
                | "feature_alpha_dropout",
                Some(input),
            ) if Args(args).get(2, "train").and_then(Val::as_bool) == Some(false) => input.clone(),
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    /// What is known of the result of an operator.
    fn known_result(&self, name: &str, args: &NamedVals) -> Step<Known> {
        let unknown_shape = Known::tensor(None);
        match ops::result(name, &Args(args)) {
            // An index of truth values gives as many elements as are true.
            Ok(_) if name == "index" && !self.has_integer_indices(args) => Ok(unknown_shape),
            Ok(known) => Ok(known),
            Err(_) if self.regardless => Ok(unknown_shape),
            Err(message) => self.refuse(message),
        }
    }

    /// `torch.dict()`, which has this type unless code says otherwise.
    fn new_dict(&mut self) -> Step<Val> {
        let dict = Val::dict(Vec::new());
        let operand = Operand::Typed {
            form: "annotate",
            annotation: "Dict[str, Tensor]".into(),
            value: Box::new(dict.operand.clone()),
        };
        self.made(Val { operand, ..dict })
    }

    /// Refuses changes that the flat program could not show.
    fn refuse_hidden_changes(&self, name: &str, args: &NamedVals) -> Step<()> {
        let target = args.first().map(|(_, v)| &v.operand);
        let changes_constant =
            ops::writes_in_place(name) && matches!(target, Some(Operand::Constant(_)));
        let has_out = args
            .iter()
            .any(|(name, v)| name.as_deref() == Some("out") && v.known != Known::None);
        if ops::changes_shape_in_place(name) || changes_constant || has_out {
            return opaque(format!("`{name}` changes what other code relies on"));
        }
        Ok(())
    }

    /// `a, b = function(args)`
    fn several(&mut self, function: &str, args: NamedVals, count: usize) -> Val {
        let name = short_name(function);
        let mut known = ops::results(name, &Args(&args), count);
        let (op, args) = (Op::Call(function.into()), arguments(args));
        let mut ids = Vec::with_capacity(count);
        for (output, known) in known.iter_mut().enumerate() {
            *known = self.builder.settled(&op, &args, output, known.clone());
            ids.push(self.builder.value(known.clone(), None));
        }
        self.builder
            .push(op, args, ids.clone(), ops::is_impure(name));
        let items = ids
            .into_iter()
            .zip(known)
            .map(|(id, known)| Val::new(Operand::Value(id), known));
        Val::tuple(items.collect())
    }

    /// Whether all tensors an index consists of are known to hold integers.
    fn has_integer_indices(&self, args: &NamedVals) -> bool {
        let args = Args(args);
        let Some(indices) = args.get(1, "indices").and_then(Val::items) else {
            return false;
        };
        indices
            .iter()
            .filter(|v| v.known != Known::None)
            .all(|v| matches!(self.dtype(&v.operand), Some(Dtype::Int64 | Dtype::Int32)))
    }

    /// The element type of a parameter, a buffer, a constant, or a view of one.
    fn dtype(&self, operand: &Operand) -> Option<Dtype> {
        let mut operand = operand;
        for _ in 0..4 {
            match operand {
                Operand::Attribute { module, name } => {
                    return match self.network.modules.attribute(*module, name)? {
                        Attribute::Tensor(info) => Some(info.dtype),
                        _ => None,
                    };
                }
                Operand::Constant(index) => return Some(self.network.constants.get(*index)?.dtype),
                Operand::Value(id) => {
                    let made_by = self.builder.made_by(*id)?;
                    let operator = made_by.operator()?;
                    if makes_integers(made_by, *id, |data| self.consists_of_integers(data)) {
                        return Some(Dtype::Int64);
                    }
                    if !ops::is_view(operator) {
                        return None;
                    }
                    operand = &made_by.args.first()?.value;
                }
                Operand::Typed { value, .. } => operand = value,
                _ => return None,
            }
        }
        None
    }

    /// Whether all numbers in a literal or an attribute, or in a list of such, are integers.
    fn consists_of_integers(&self, data: &Operand) -> bool {
        match data {
            Operand::Literal(_) => data.int().is_some(),
            Operand::List(items) | Operand::Tuple(items) => {
                items.iter().all(|item| self.consists_of_integers(item))
            }
            Operand::Typed { value, .. } => self.consists_of_integers(value),
            Operand::Attribute { module, name } => {
                let attribute = self.network.modules.attribute(*module, name);
                attribute.is_some_and(holds_integers)
            }
            _ => false,
        }
    }

    /// An operator that gives a list: the list, and each of its items taken out of it.
    pub(super) fn pieces(&mut self, function: &str, args: Vec<Argument>, pieces: &[Val]) -> Val {
        let list = self
            .builder
            .emit(Op::Call(function.into()), args, Known::Nothing);
        let items = (0..).zip(pieces).map(|(i, piece)| {
            if !piece.is_placeholder() {
                return piece.clone();
            }
            let args = vec![
                positional(list.operand.clone()),
                positional(Val::int(i).operand),
            ];
            self.builder.emit(Op::Index, args, piece.known.clone())
        });
        let known = Known::List(items.collect());
        if let Operand::Value(id) = list.operand {
            self.builder.values[id.0 as usize].known = known.clone();
        }
        Val { known, ..list }
    }

    /// `torch.size(x)` and `torch.size(x, i)`: only the batch size is left to run time.
    pub(super) fn size(&mut self, tensor: &Val, dim: Option<&(Option<String>, Val)>) -> Step<Val> {
        let shape = tensor.shape().cloned().unwrap_or_default();
        let rank = shape.len() as i64;
        let mut one = |i: i64| match shape[i as usize].known() {
            Some(n) => Val::int(n),
            None => {
                let args = vec![
                    positional(tensor.operand.clone()),
                    positional(Val::int(i).operand),
                ];
                self.builder.emit(
                    Op::Call("torch.size".into()),
                    args,
                    Known::Int(shape[i as usize]),
                )
            }
        };
        match dim.map(|(_, v)| v.as_int()) {
            None => {
                let sizes = (0..rank).map(one).collect();
                self.made(Val::list(sizes))
            }
            Some(Some(i)) if (-rank..rank).contains(&i) => {
                Ok(one(if i < 0 { i + rank } else { i }))
            }
            Some(Some(_)) => self.refuse("size: no such dimension"),
            Some(None) => opaque("a size at an unknown dimension"),
        }
    }
}

/// Whether a value is of one of these types, by their names; `None` for types that say what a list holds.
fn is_instance(known: &Known, kinds: &Expr) -> Option<bool> {
    let own = match known {
        Known::Tensor { .. } => "Tensor",
        Known::Int(_) => "int",
        Known::Float(_) => "float",
        Known::Bool(_) => "bool",
        Known::Str(_) => "str",
        Known::None => "NoneType",
        Known::List(_) => "list",
        Known::Tuple(_) => "tuple",
        Known::Dict(_) => "dict",
        _ => return None,
    };
    match kinds.unparenthesised() {
        Expr::Name(kind) if kind == own => Some(true),
        Expr::Name(kind) if KINDS.contains(&kind.as_str()) => Some(false),
        Expr::Tuple { items, .. } | Expr::List { items, .. } => items
            .iter()
            .map(|kind| is_instance(known, kind))
            .try_fold(false, |any, one| Some(any || one?)),
        _ => None,
    }
}

/// Types that exclude each other: a value has at most one of them.
const KINDS: [&str; 9] = [
    "Tensor", "int", "float", "bool", "str", "NoneType", "list", "tuple", "dict",
];

/// Operators that give elements of the type that they are asked for.
const MAKERS: &[&str] = &[
    "tensor",
    "arange",
    "zeros",
    "ones",
    "full",
    "eye",
    "randint",
    "zeros_like",
    "ones_like",
    "full_like",
    "new_zeros",
    "new_ones",
    "new_full",
];

/// Whether an operator makes integers of what it is given here. `integers` tells whether an operand consists of them.
fn makes_integers(
    statement: &Statement,
    value: ValueId,
    integers: impl Fn(&Operand) -> bool,
) -> bool {
    let is_integral = |kind: &Operand| {
        const INT32: i64 = 3;
        const INT64: i64 = 4;
        matches!(kind.int(), Some(INT32 | INT64))
    };
    let Some(operator) = statement.operator() else {
        return false;
    };
    let mut named = statement.args.iter().filter(|a| a.name.is_some());
    let asked = named
        .find(|a| a.name.as_deref() == Some("dtype"))
        .map(|a| &a.value)
        .filter(|kind| **kind != Val::none().operand);
    if let Some(kind) = asked.filter(|_| MAKERS.contains(&operator)) {
        return is_integral(kind);
    }
    let mut positional = statement.args.iter().filter(|a| a.name.is_none());
    match operator {
        "tensor" => statement.arg(0, "data").is_some_and(integers),
        "arange" => positional.all(|a| a.value.int().is_some()),
        "argsort" | "argmax" | "argmin" | "randperm" | "searchsorted" | "bucketize" => true,
        "sort" | "topk" | "max" | "min" | "median" | "mode" | "kthvalue" | "cummax" | "cummin" => {
            statement.outputs.get(1) == Some(&value)
        }
        // It may stand behind the device, or alone.
        "to" => [1, 2]
            .iter()
            .any(|at| statement.arg(*at, "dtype").is_some_and(is_integral)),
        _ => false,
    }
}

/// Whether an attribute is an integer, or a list or tuple of such.
fn holds_integers(attribute: &Attribute) -> bool {
    match attribute {
        Attribute::Int(_) => true,
        Attribute::List(items) | Attribute::Tuple(items) => items.iter().all(holds_integers),
        _ => false,
    }
}

/// The value as a literal, if it is a constant or made of values that are there already.
fn literal(known: &Known) -> Option<Val> {
    Some(match known {
        Known::Int(n) => Val::int(n.known()?),
        Known::Float(x) => Val::float(*x),
        Known::Bool(b) => Val::bool(*b),
        Known::None => Val::none(),
        Known::List(items) if !items.is_empty() && !items.iter().any(Val::is_placeholder) => {
            Val::list(items.clone())
        }
        Known::Tuple(items) => Val::tuple(items.clone()),
        _ => return None,
    })
}
