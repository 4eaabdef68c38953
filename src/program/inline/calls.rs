//! Calls of methods and functions: followed, or left as calls where that fails.

use super::branches::Outcome;
use super::{Flow, Frame, Inliner, MAX_DEPTH, NamedVals, Step, Stop, opaque};
use crate::program::ast::{Class, Expr, Function, Param, Stmt};
use crate::program::builder::{CodePlace, positional};
use crate::program::value::{Known, Operand, Val};
use crate::program::{Argument, CallSite, ModuleId, Op};

/// How many members of a class are searched in the time that counts as one part of work.
const SEARCHED: usize = 16;

impl<'a> Inliner<'a> {
    /// Follows a call of a module's method. Where that fails the call stays one statement.
    pub(super) fn call_method(
        &mut self,
        module: ModuleId,
        name: &str,
        args: NamedVals,
        site: Option<CallSite>,
    ) -> Step<Val> {
        let network = self.network;
        let class = &network.modules.get(module).class;
        let Some(function) = self.class_to_search(class)?.and_then(|c| c.method(name)) else {
            return opaque(format!("{class} has no method {name}"));
        };
        let checkpoint = self.builder.checkpoint();
        let attributes_set = self.attributes_set;
        let place = CodePlace {
            module: Some(module),
            owner: class.clone(),
            function: name.into(),
        };
        let receiver = std::iter::once((None, Val::module(module)));
        let all: NamedVals = receiver.chain(args.iter().cloned()).collect();
        let left = Op::Method {
            module,
            name: name.into(),
        };
        let call = self.builder.begin_call(module, name, &args, site.clone());
        let result = self.run(function, place.clone(), all.clone());
        self.builder.end_call(call, result.as_ref().ok());
        match result {
            Ok(result) => Ok(result),
            Err(Stop::Undecided) => {
                self.builder.roll_back(&checkpoint);
                let Some(outcome) = self.every_way(function, &place, &all) else {
                    self.flattened.insert(key(&place));
                    return self.call_method(module, name, args, site);
                };
                self.builder.leave(Some(module), self.undecided_by);
                Ok(self.stay(left, args, outcome))
            }
            // Attributes that it has set cannot be taken back, and the root's `forward` is the program itself.
            Err(Stop::Opaque(reason))
                if site.is_some() && self.attributes_set == attributes_set =>
            {
                self.builder.roll_back(&checkpoint);
                self.builder.leave(Some(module), reason);
                let args = self.given_away(args);
                Ok(self.builder.emit(left, args, Known::Nothing))
            }
            Err(stop) => Err(stop),
        }
    }

    /// The class of this qualified name, if it has code; the work of a search among its members is counted.
    pub(super) fn class_to_search(&mut self, qualified: &str) -> Step<Option<&'a Class>> {
        let network = self.network;
        let class = network.sources.class(qualified);
        self.count_work(class.map_or(0, |c| c.members.len() / SEARCHED))?;
        Ok(class)
    }

    /// Follows a call of a free function, or of a class as a function.
    pub(super) fn call_function(&mut self, qualified: &str, args: NamedVals) -> Step<Val> {
        let network = self.network;
        if let Some(class) = qualified.strip_suffix(".__new__") {
            return Ok(self.new_object(class));
        }
        if let Some(fields) = self.named_tuple(qualified) {
            return self.construct(qualified, &fields, args);
        }
        let (_, shown) = qualified.rsplit_once('.').unwrap_or(("", qualified));
        let mut left = format!("`{shown}` has no code here");
        if let Some(function) = network.sources.function(qualified) {
            let checkpoint = self.builder.checkpoint();
            let attributes_set = self.attributes_set;
            let (owner, name) = qualified.rsplit_once('.').unwrap_or(("", qualified));
            let place = CodePlace {
                module: None,
                owner: owner.into(),
                function: name.into(),
            };
            match self.run(function, place.clone(), args.clone()) {
                Err(Stop::Undecided) => {
                    self.builder.roll_back(&checkpoint);
                    let Some(outcome) = self.every_way(function, &place, &args) else {
                        self.flattened.insert(key(&place));
                        return self.call_function(qualified, args);
                    };
                    let reason = self.undecided_by;
                    self.builder.leave(None, format!("in `{shown}`: {reason}"));
                    return Ok(self.stay(Op::Call(qualified.into()), args, outcome));
                }
                Err(Stop::Opaque(reason)) if self.attributes_set == attributes_set => {
                    self.builder.roll_back(&checkpoint);
                    left = format!("in `{shown}`: {reason}");
                }
                result => return result,
            }
        }
        self.builder.leave(None, left);
        let args = self.given_away(args);
        Ok(self
            .builder
            .emit(Op::Call(qualified.into()), args, Known::Nothing))
    }

    /// A call that stays one statement, though it is known what it gives and costs.
    fn stay(&mut self, op: Op, args: NamedVals, outcome: Outcome<Known>) -> Val {
        let args = self.given_away(args);
        let result = self.builder.emit(op, args, outcome.results);
        if let Some(macs) = outcome.macs {
            self.builder.costs(macs);
        }
        self.unfolded(result)
    }

    /// The fields of `class Name(NamedTuple)`, in order.
    pub(super) fn named_tuple(&self, qualified: &str) -> Option<Vec<&'a str>> {
        let network = self.network;
        let class = network.sources.class(qualified)?;
        let fields = class.fields().filter_map(|f| Some(f.declares()?.0));
        (class.base.as_deref() == Some("NamedTuple")).then(|| fields.collect())
    }

    /// A call of a named tuple's class. Its result is a tuple, but no tuple literal has its type, so the call stays.
    fn construct(&mut self, class: &str, fields: &[&str], args: NamedVals) -> Step<Val> {
        let all_given = args.len() == fields.len()
            && args
                .iter()
                .zip(fields)
                .all(|((name, _), field)| name.as_deref().is_none_or(|n| n == *field));
        if !all_given {
            return opaque("a named tuple with fields that are not given in order");
        }
        let items: Vec<Val> = args.into_iter().map(|(_, v)| self.give_away(v)).collect();
        let operands = items.iter().map(|v| positional(v.operand.clone()));
        let operands = operands.collect();
        let known = Known::Tuple(items);
        let id = self.builder.value(known.clone(), None);
        self.builder
            .push(Op::Call(class.into()), operands, vec![id], false);
        self.builder.costs(0);
        Ok(Val::new(Operand::Value(id), known))
    }

    /// The arguments of a call that is not followed.
    fn given_away(&mut self, args: NamedVals) -> Vec<Argument> {
        let given = args.into_iter().map(|(name, v)| Argument {
            name,
            value: self.give_away(v).operand,
        });
        given.collect()
    }

    pub(super) fn run(
        &mut self,
        function: &'a Function,
        place: CodePlace,
        args: NamedVals,
    ) -> Step<Val> {
        if self.depth == MAX_DEPTH {
            return self.not_followed("calls nest too deep");
        }
        let followed_for_good = self.speculating == 0 && !self.flattened.contains(&key(&place));
        let mut frame = Frame {
            may_stay_a_call: self.depth > 0 && followed_for_good,
            attributes_set: self.attributes_set,
            returned: returned(function),
            ..Frame::new(place)
        };
        self.bind_parameters(&mut frame, &function.params, args)?;
        self.depth += 1;
        let flow = self.block(&mut frame, &function.body);
        self.depth -= 1;
        Ok(match flow? {
            Flow::Return(value) => value,
            Flow::Next => Val::none(),
            Flow::Break | Flow::Continue => return opaque("a loop's end outside a loop"),
        })
    }

    pub(super) fn bind_parameters(
        &mut self,
        frame: &mut Frame,
        params: &'a [Param],
        args: NamedVals,
    ) -> Step<()> {
        let mut given = args.into_iter().peekable();
        for param in params {
            let value =
                match given.next_if(|(name, _)| name.as_deref().is_none_or(|n| n == param.name)) {
                    Some((_, value)) => value,
                    None => match &param.default {
                        Some(default) => self.eval(frame, default)?,
                        None => return opaque(format!("no argument for {}", param.name)),
                    },
                };
            self.set_variable(frame, &param.name, value);
        }
        match given.next() {
            None => Ok(()),
            Some(_) => opaque("arguments in an order that is not followed"),
        }
    }
}

fn key(place: &CodePlace) -> (Option<ModuleId>, String) {
    (place.module, format!("{}.{}", place.owner, place.function))
}

/// The variables that a function returns at its end.
fn returned(function: &Function) -> Vec<String> {
    let Some(Stmt::Return(values)) = function.body.last() else {
        return Vec::new();
    };
    let names = values.iter().filter_map(|value| match value {
        Expr::Name(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}
