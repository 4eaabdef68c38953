//! Assignments and control flow.

use std::collections::HashMap;

use super::branches::{Outcome, Variables};
use super::containers::may_change_containers;
use super::{Flow, Frame, Inliner, MAX_STEPS, STATEMENT, Step, opaque};
use crate::program::ast::{Assign, Expr, Stmt, walk};
use crate::program::builder::{UNKNOWN_SHAPE, positional};
use crate::program::opaque::Renaming;
use crate::program::value::{Known, Operand, Val};
use crate::program::{Op, emit};

impl<'a> Inliner<'a> {
    pub(super) fn block(&mut self, frame: &mut Frame, statements: &'a [Stmt]) -> Step<Flow> {
        self.nested(|inliner| {
            for statement in statements {
                match inliner.statement(frame, statement)? {
                    Flow::Next => {}
                    left => return Ok(left),
                }
            }
            Ok(Flow::Next)
        })
    }

    pub(super) fn statement(&mut self, frame: &mut Frame, statement: &'a Stmt) -> Step<Flow> {
        self.steps += 1;
        self.count_work(STATEMENT)?;
        self.count_speculation()?;
        if self.steps > MAX_STEPS {
            return self
                .not_followed("the program does not end within the steps the analysis grants it");
        }
        match statement {
            Stmt::Assign(assign) => self.assign(frame, assign)?,
            Stmt::Expr(expression) => {
                self.eval(frame, expression)?;
            }
            Stmt::Return(values) => {
                let values: Vec<Val> = values
                    .iter()
                    .map(|e| self.eval(frame, e))
                    .collect::<Step<_>>()?;
                return Ok(Flow::Return(match values.len() {
                    0 => Val::none(),
                    1 => values.into_iter().next().unwrap_or_else(Val::none),
                    _ => Val::tuple(values),
                }));
            }
            Stmt::If {
                condition,
                then,
                otherwise,
            } => {
                let value = self.eval(frame, condition)?;
                return match (value.as_bool(), otherwise) {
                    (Some(true), _) => self.block(frame, then),
                    (Some(false), Some(otherwise)) => self.block(frame, otherwise),
                    (Some(false), None) => Ok(Flow::Next),
                    (None, _) => {
                        self.undecided_by = match self.builder.asks_for_shape(&value.operand) {
                            true => UNKNOWN_SHAPE,
                            false => UNDECIDED,
                        };
                        let otherwise = otherwise.as_deref().unwrap_or_default();
                        self.undecided(frame, statement, then, otherwise)
                    }
                };
            }
            Stmt::While { condition, body } => loop {
                self.steps += 1;
                let value = self.eval(frame, condition)?;
                match value.as_bool() {
                    Some(true) if self.steps < MAX_STEPS => match self.block(frame, body)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                    },
                    Some(false) => break,
                    _ => return self.leave_opaque(frame, statement, None),
                }
            },
            Stmt::For {
                targets,
                iterable,
                body,
            } => {
                let (Some(items), [target]) =
                    (self.iteration(frame, iterable)?, targets.as_slice())
                else {
                    return self.leave_opaque(frame, statement, None);
                };
                for item in items {
                    self.bind(frame, target, item)?;
                    match self.block(frame, body)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => break,
                        Flow::Return(value) => return Ok(Flow::Return(value)),
                    }
                }
            }
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::With { items, body } => return self.with(frame, items, body),
            Stmt::Function(_) => return self.leave_opaque(frame, statement, None),
            Stmt::Pass => {}
        }
        Ok(Flow::Next)
    }

    /// What a loop runs over, if that is known: a list, or `range` of a number.
    pub(super) fn iteration(
        &mut self,
        frame: &mut Frame,
        iterable: &'a Expr,
    ) -> Step<Option<Vec<Val>>> {
        if let Expr::Call { callee, args, .. } = iterable
            && let (Expr::Name(name), [count]) = (&**callee, args.as_slice())
            && name == "range"
        {
            let count = self.eval(frame, &count.value)?.as_int();
            return Ok(count
                .filter(|n| *n <= MAX_STEPS as i64)
                .map(|n| (0..n).map(Val::int).collect()));
        }
        Ok(self.eval(frame, iterable)?.items().map(<[Val]>::to_vec))
    }

    pub(super) fn assign(&mut self, frame: &mut Frame, assign: &'a Assign) -> Step<()> {
        let Assign {
            targets,
            trailing_comma,
            values,
            ..
        } = assign;
        match (targets.as_slice(), values.as_slice()) {
            (_, []) => Ok(()),
            ([target], [value]) if !trailing_comma => {
                let value = self.eval(frame, value)?;
                self.bind(frame, target, value)
            }
            (targets, [value]) => {
                let several = if *trailing_comma { 1 } else { targets.len() };
                let value = self.eval_results(frame, value, several)?;
                let items = self.unpack(&value, targets.len())?;
                targets
                    .iter()
                    .zip(items)
                    .try_for_each(|(t, v)| self.bind(frame, t, v))
            }
            (targets, values) if targets.len() == values.len() => {
                let values: Vec<Val> = values
                    .iter()
                    .map(|e| self.eval(frame, e))
                    .collect::<Step<_>>()?;
                targets
                    .iter()
                    .zip(values)
                    .try_for_each(|(t, v)| self.bind(frame, t, v))
            }
            _ => opaque("an assignment of unequal sides"),
        }
    }

    pub(super) fn unpack(&mut self, value: &Val, count: usize) -> Step<Vec<Val>> {
        if let Some(items) = value.items() {
            return if items.len() == count {
                Ok(items.to_vec())
            } else {
                opaque("unpacking of unequal sides")
            };
        }
        let root = value.operand.values().first().copied();
        let args = vec![positional(value.operand.clone())];
        let mut items = Vec::with_capacity(count);
        let mut outputs = Vec::with_capacity(count);
        for output in 0..count {
            let known = self
                .builder
                .settled(&Op::Unpack, &args, output, Known::Nothing);
            let id = self.builder.value(known.clone(), root);
            outputs.push(id);
            items.push(Val {
                operand: Operand::Value(id),
                known,
                object: None,
            });
        }
        self.builder.push(Op::Unpack, args, outputs, false);
        Ok(items)
    }

    pub(super) fn bind(&mut self, frame: &mut Frame, target: &'a Expr, value: Val) -> Step<()> {
        match target {
            Expr::Name(name) => {
                self.set_variable(frame, name, value);
                Ok(())
            }
            Expr::Attribute { base, name } => match self.eval(frame, base)?.known {
                Known::Module(module) => {
                    if self.speculating > 0 {
                        return opaque("an attribute set on a way that may not be taken");
                    }
                    self.attributes_set += 1;
                    let value = self.give_away(value);
                    let op = Op::SetAttribute {
                        module,
                        name: name.clone(),
                    };
                    self.builder.push(
                        op,
                        vec![positional(value.operand.clone())],
                        Vec::new(),
                        true,
                    );
                    self.overrides.insert((module, name.clone()), value);
                    Ok(())
                }
                Known::Object(number) => {
                    self.set_field(number, name, value);
                    Ok(())
                }
                _ => opaque("an assignment to an attribute of an object"),
            },
            _ => opaque("an assignment to a place that is not followed"),
        }
    }

    /// Leaves a statement as it is, with its variables renamed. `outcome` is what is known of it nevertheless.
    pub(super) fn leave_opaque(
        &mut self,
        frame: &mut Frame,
        statement: &Stmt,
        outcome: Option<Outcome<Variables>>,
    ) -> Step<Flow> {
        let network = self.network;
        let lookup = |variables: &HashMap<String, Val>, name: &str| variables.get(name).cloned();
        let Some(renamed) = Renaming::of(statement, |name| frame.variables.contains_key(name))
        else {
            return opaque("control flow that returns from its middle");
        };
        self.count_work(copying_work(frame, statement, &renamed))?;
        let mentioned = renamed.reads.iter().chain(&renamed.writes);
        let mut held = mentioned.filter_map(|name| frame.variables.get(name));
        if held.any(|v| matches!(v.known, Known::Object(_))) {
            return opaque("control flow that data decide around an object of a class");
        }
        let reason = match statement {
            Stmt::If { .. } => self.undecided_by,
            Stmt::While { .. } | Stmt::For { .. } => "a loop whose length data decide",
            _ => "a statement that is not followed",
        };
        self.builder.leave(None, reason);
        if may_change_containers(statement) {
            for name in renamed.reads.iter().chain(&renamed.writes) {
                if let Some(value) = frame.variables.get(name).cloned() {
                    let value = self.give_away(value);
                    frame.variables.insert(name.clone(), value);
                }
            }
        }
        let builder = &mut self.builder;
        let mut reads = Vec::new();
        let mut names = HashMap::new();
        for name in &renamed.reads {
            if let Some(value) = lookup(&frame.variables, name) {
                let operand = builder.current(&value).operand;
                names.insert(name.clone(), emit::operand(network, &operand));
                reads.push(positional(operand));
            }
        }
        let mut outputs = Vec::new();
        let read = reads.clone();
        for name in &renamed.writes {
            let known = outcome.as_ref().and_then(|o| o.results.get(name)?.clone());
            let known = known.unwrap_or(Known::Nothing);
            let control = Op::Opaque(Vec::new());
            let known = builder.settled(&control, &read, outputs.len(), known);
            let id = builder.value(known.clone(), None);
            if let Some(value) = lookup(&frame.variables, name) {
                let operand = builder.current(&value).operand;
                builder.push(Op::Alias, vec![positional(operand)], vec![id], false);
                reads.push(positional(Operand::Value(id)));
            }
            names.insert(name.clone(), emit::value_name(id));
            outputs.push((id, known));
        }
        let body = renamed.apply(statement, &names);
        let ids = outputs.iter().map(|(id, _)| *id).collect();
        builder.push(Op::Opaque(vec![body]), reads, ids, true);
        if let Some(macs) = outcome.and_then(|o| o.macs) {
            builder.costs(macs);
        }
        for (name, (id, known)) in renamed.writes.iter().zip(outputs) {
            let value = self.unfolded(Val {
                operand: Operand::Value(id),
                known,
                object: None,
            });
            frame.variables.insert(name.clone(), value);
        }
        Ok(Flow::Next)
    }
}

/// Work of copying a statement: each mention of a variable becomes what the variable holds.
fn copying_work(frame: &Frame, statement: &Stmt, renamed: &Renaming) -> usize {
    let mut expressions = 0;
    walk(std::slice::from_ref(statement), &mut |_| expressions += 1);
    let read = renamed.reads.iter().filter_map(|n| frame.variables.get(n));
    let largest = read.map(Val::weight).max().unwrap_or(0);
    (1 + largest).saturating_mul(expressions)
}

/// Why a branch stays.
pub(super) const UNDECIDED: &str = "a branch that data decide";
