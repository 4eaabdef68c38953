//! The flat program while it grows: statements, what their values alias, and in-place writes made functional.
//!
//! `relu_(x)` becomes `x' = relu(x)`, and whatever meant `x` means `x'` from there on. That is the same network
//! only while no statement reads `x` through another value (a view made before). [`Builder::conflicts`] finds such
//! reads; the network is then followed again, and those writes stay in place.

mod checkpoint;
mod finish;

use std::collections::{HashMap, HashSet};

use super::families::{Families, is_foreign};
use super::modules::{ModuleId, ModuleTree};
use super::objects::{self, Objects};
use super::ops;
use super::value::{Known, Operand, Val, ValueId};
use super::{
    Argument, Call, CallIndex, CallSite, CodeLine, Learned, NotFollowed, Op, Program, Statement,
    Value,
};

/// How many statements back a value's statement is looked for: hostile code must not make that slow.
const RECENT: usize = 1 << 11;

/// Why a branch stays whose condition asks for a shape.
pub(super) const UNKNOWN_SHAPE: &str = "a branch on a shape that is not known";
/// Why a branch stays whose one side is the end of a method.
pub(super) const EARLY_RETURN: &str = "it returns early where data decide";

/// An in-place operator that became functional.
struct Write {
    statement: usize,
    root: ValueId,
    /// Its number among the in-place operators met so far.
    ordinal: usize,
}

pub(super) struct Builder<'a> {
    pub values: Vec<Value>,
    pub statements: Vec<Statement>,
    pub calls: Vec<Call>,
    pub not_followed: Vec<NotFollowed>,
    /// Innermost call being followed.
    pub current_call: Option<CallIndex>,
    /// What a value has become by in-place writes.
    latest: HashMap<ValueId, ValueId>,
    /// Former entries of `latest`, to roll back.
    undo: Vec<(ValueId, Option<ValueId>)>,
    writes: Vec<Write>,
    in_place_seen: usize,
    /// The in-place operators, by order of appearance, that must stay so.
    keep_in_place: &'a HashSet<usize>,
    pub learned: &'a Learned,
    /// The paths of all modules.
    pub paths: &'a [&'a str],
    /// Roots of values that may have been written: a number known to be in such a tensor may have changed. They are
    /// never rolled back: a root too many only means that less is known.
    written: HashSet<ValueId>,
    /// The lists and dictionaries made so far.
    pub objects: Objects,
    /// The code being followed runs under `torch.no_grad()`.
    pub no_grad: bool,
    /// Code that was followed runs under `torch.autocast()`.
    pub autocast: bool,
    /// The line of the call being followed.
    pub line: Option<CodeLine>,
}

impl<'a> Builder<'a> {
    pub fn new(
        keep_in_place: &'a HashSet<usize>,
        learned: &'a Learned,
        paths: &'a [&'a str],
    ) -> Self {
        Builder {
            learned,
            paths,

            values: Vec::new(),
            statements: Vec::new(),
            calls: Vec::new(),
            not_followed: Vec::new(),
            current_call: None,
            latest: HashMap::new(),
            undo: Vec::new(),
            writes: Vec::new(),
            in_place_seen: 0,
            keep_in_place,
            written: HashSet::new(),
            objects: Objects::default(),
            no_grad: false,
            autocast: false,
            line: None,
        }
    }

    /// A new value; `alias_of` names the value it may share memory with.
    pub fn value(&mut self, known: Known, alias_of: Option<ValueId>) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        let root = alias_of.map_or(id, |other| self.values[other.0 as usize].root);
        self.values.push(Value {
            known,
            root,
            same_as: None,
        });
        id
    }

    /// The value as it is now, after all writes into tensors, lists and dictionaries so far.
    pub fn current(&self, val: &Val) -> Val {
        let val = self.objects.content(val);
        let all = |items: &[Val]| items.iter().map(|v| self.current(v)).collect();
        let known = match &val.known {
            Known::List(items) => Known::List(all(items)),
            Known::Tuple(items) => Known::Tuple(all(items)),
            Known::Dict(pairs) => Known::Dict(
                pairs
                    .iter()
                    .map(|(k, v)| (self.current(k), self.current(v)))
                    .collect(),
            ),
            Known::Tensor {
                shape,
                item: Some(_),
            } if self.may_be_written(&val.operand) => Known::tensor(shape.clone()),
            other => other.clone(),
        };
        Val {
            operand: self.current_operand(&val.operand).with_items(&known),
            known,
            object: val.object,
        }
    }

    fn may_be_written(&self, operand: &Operand) -> bool {
        let roots = operand.values().into_iter();
        roots
            .map(|v| self.values[v.0 as usize].root)
            .any(|root| self.written.contains(&root))
    }

    fn current_operand(&self, operand: &Operand) -> Operand {
        let all = |items: &[Operand]| items.iter().map(|o| self.current_operand(o)).collect();
        match operand {
            Operand::Value(id) => {
                let mut id = *id;
                while let Some(next) = self.latest.get(&id) {
                    id = *next;
                }
                Operand::Value(id)
            }
            Operand::List(items) => Operand::List(all(items)),
            Operand::Tuple(items) => Operand::Tuple(all(items)),
            Operand::Dict(pairs) => Operand::Dict(
                pairs
                    .iter()
                    .map(|(k, v)| (self.current_operand(k), self.current_operand(v)))
                    .collect(),
            ),
            Operand::Typed {
                form,
                annotation,
                value,
            } => Operand::Typed {
                form,
                annotation: annotation.clone(),
                value: Box::new(self.current_operand(value)),
            },
            other => other.clone(),
        }
    }

    /// Begins a call of a module's method, which the statements from here on belong to.
    pub fn begin_call(
        &mut self,
        module: ModuleId,
        method: &str,
        args: &[(Option<String>, Val)],
        site: Option<CallSite>,
    ) -> CallIndex {
        let index = CallIndex(self.calls.len());
        let start = self.statements.len();
        self.calls.push(Call {
            module,
            method: method.into(),
            site,
            caller: self.current_call,
            args: args.iter().map(|(_, v)| v.clone()).collect(),
            result: Val::none(),
            variables: Vec::new(),
            expressions: Vec::new(),
            range: start..start,
        });
        self.current_call = Some(index);
        index
    }

    /// Ends a call, with what it gave if it was followed to its end.
    pub fn end_call(&mut self, index: CallIndex, result: Option<&Val>) {
        let call = &mut self.calls[index.0];
        self.current_call = call.caller;
        if let Some(result) = result {
            call.result = result.clone();
            call.range.end = self.statements.len();
        }
    }

    /// Appends a statement with these results.
    pub fn push(&mut self, op: Op, args: Vec<Argument>, outputs: Vec<ValueId>, impure: bool) {
        if impure || is_foreign(&op) {
            let read = args.iter().flat_map(|a| a.value.values());
            let roots = read.map(|v| self.values[v.0 as usize].root);
            self.written.extend(roots);
        }
        self.statements.push(Statement {
            op,
            args,
            outputs,
            call: self.current_call,
            impure,
            macs: None,
            no_grad: self.no_grad,
            line: self.line,
        });
    }

    /// Notes that code of a module, or of the one whose code is being followed, stays as it is.
    pub fn leave(&mut self, module: Option<ModuleId>, reason: impl Into<String>) {
        let reason = reason.into();
        let current = self.current_call.map(|c| self.calls[c.0].module);
        self.not_followed.push(NotFollowed {
            module: module.or(current).unwrap_or(ModuleTree::ROOT),
            for_want_of_shape: reason.ends_with(UNKNOWN_SHAPE),
            returns_early: reason.ends_with(EARLY_RETURN),
            reason,
            line: self.line,
        });
    }

    /// Whether a value that decides something was computed from the shape of a tensor that is not known.
    pub fn asks_for_shape(&self, operand: &Operand) -> bool {
        const LOOKED_AT: usize = 64;
        let mut open = operand.values();
        for _ in 0..LOOKED_AT {
            let Some(value) = open.pop() else { break };
            let Some(statement) = self.made_by(value) else {
                continue;
            };
            if statement.operator().is_some_and(ops::asks_for_shape) {
                return true;
            }
            let is_tensor = matches!(self.values[value.0 as usize].known, Known::Tensor { .. });
            if !is_tensor {
                open.extend(statement.reads());
            }
        }
        false
    }

    /// Sets the MACs of the last statement, where they do not follow from the statement itself.
    pub fn costs(&mut self, macs: i64) {
        if let Some(statement) = self.statements.last_mut() {
            statement.macs = Some(macs);
        }
    }

    /// Notes that the last statement gives the elements of its first argument, unchanged.
    pub fn keeps_elements(&mut self, made: &Val) {
        let first = self.statements.last().and_then(|s| s.args.first());
        if let (Some(Operand::Value(of)), Operand::Value(made)) =
            (first.map(|a| &a.value), &made.operand)
        {
            self.values[made.0 as usize].same_as = Some(*of);
        }
    }

    /// The statement among the last ones that gives this value.
    pub fn made_by(&self, id: ValueId) -> Option<&Statement> {
        let recent = self.statements.iter().rev().take(RECENT);
        recent.into_iter().find(|s| s.outputs.contains(&id))
    }

    /// Appends a statement with one result.
    pub fn emit(&mut self, op: Op, args: Vec<Argument>, known: Known) -> Val {
        let alias_of = match &op {
            Op::Call(function) if !ops::may_alias(short_name(function)) => None,
            Op::Method { .. } | Op::Opaque(_) => None,
            _ => args.first().and_then(|a| a.value.values().first().copied()),
        };
        let impure = is_foreign(&op) || matches!(&op, Op::Call(f) if ops::is_impure(short_name(f)));
        let known = self.settled(&op, &args, 0, known);
        let id = self.value(known.clone(), alias_of);
        self.push(op, args, vec![id], impure);
        Val::new(Operand::Value(id), known)
    }

    /// Appends `function(args)` where the function writes into its first argument.
    pub fn emit_in_place(&mut self, function: &str, args: Vec<Argument>, known: Known) -> Val {
        let ordinal = self.in_place_seen;
        self.in_place_seen += 1;
        let target = match args.first().map(|a| &a.value) {
            Some(Operand::Value(id)) => Some(*id),
            _ => None,
        };
        let name = short_name(function);
        match (target, ops::functional_twin(name)) {
            (Some(target), Some(twin)) if !self.keep_in_place.contains(&ordinal) => {
                let function = format!("{}{twin}", &function[..function.len() - name.len()]);
                self.writes.push(Write {
                    statement: self.statements.len(),
                    root: self.values[target.0 as usize].root,
                    ordinal,
                });
                let id = self.value(known.clone(), None);
                self.written.insert(self.values[target.0 as usize].root);
                self.push(Op::Call(function), args, vec![id], false);
                let former = self.latest.insert(target, id);
                self.undo.push((target, former));
                Val::new(Operand::Value(id), known)
            }
            _ => {
                let id = self.value(known.clone(), target);
                self.push(Op::Call(function.to_owned()), args, vec![id], true);
                Val::new(Operand::Value(id), known)
            }
        }
    }
}

/// `conv2d` of `torch.conv2d`; operators of foreign libraries keep their full name.
pub(super) fn short_name(function: &str) -> &str {
    for prefix in ["torch.", "ops.aten.", "ops.prim."] {
        if let Some(rest) = function.strip_prefix(prefix)
            && !rest.contains('.')
        {
            return rest;
        }
    }
    function
}

/// An argument without a name.
pub(super) fn positional(value: Operand) -> Argument {
    Argument { name: None, value }
}

/// The module whose code is being followed.
#[derive(Clone, Debug, PartialEq)]
pub struct CodePlace {
    /// The instance whose method this is; `None` in a free function.
    pub module: Option<ModuleId>,
    /// The class of the method, or the module name of the free function.
    pub owner: String,
    pub function: String,
}
