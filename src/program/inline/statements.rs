//! Assignments and control flow.

use super::branches::Branch;
use super::{Flow, Frame, Inliner, MAX_STEPS, STATEMENT, Step, opaque};
use crate::program::Op;
use crate::program::ast::{Assign, Expr, Stmt};
use crate::program::builder::positional;
use crate::program::value::{Known, Operand, Val};

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
        self.count_statement()?;
        match statement {
            Stmt::Assign(assign) => self.assign(frame, assign)?,
            Stmt::Expr(expression) => {
                self.eval(frame, expression)?;
            }
            Stmt::Return(values) => return self.returned(frame, values).map(Flow::Return),
            Stmt::If {
                condition,
                then,
                otherwise,
            } => {
                let branch = Branch {
                    statement,
                    condition,
                    then,
                    otherwise: otherwise.as_deref().unwrap_or_default(),
                };
                return self.branch(frame, branch);
            }
            Stmt::While { condition, body } => {
                return self.while_loop(frame, statement, condition, body);
            }
            Stmt::For {
                targets,
                iterable,
                body,
            } => {
                let items = self.iteration(frame, iterable)?;
                let (Some(items), [target]) = (items, targets.as_slice()) else {
                    return self.leave_opaque(frame, statement, None);
                };
                return self.for_loop(frame, target, items, body);
            }
            Stmt::Break => return Ok(Flow::Break),
            Stmt::Continue => return Ok(Flow::Continue),
            Stmt::With { items, body } => return self.with(frame, items, body),
            Stmt::Function(_) => return self.leave_opaque(frame, statement, None),
            Stmt::Pass => {}
        }
        Ok(Flow::Next)
    }

    fn count_statement(&mut self) -> Step<()> {
        self.steps += 1;
        self.count_work(STATEMENT)?;
        self.count_speculation()?;
        if self.steps > MAX_STEPS {
            return self
                .not_followed("the program does not end within the steps the analysis grants it");
        }
        Ok(())
    }

    /// What `return` gives.
    fn returned(&mut self, frame: &mut Frame, values: &'a [Expr]) -> Step<Val> {
        let values = self.evals(frame, values)?;
        Ok(match values.len() {
            0 => Val::none(),
            1 => values.into_iter().next().unwrap_or_else(Val::none),
            _ => Val::tuple(values),
        })
    }

    fn while_loop(
        &mut self,
        frame: &mut Frame,
        statement: &'a Stmt,
        condition: &'a Expr,
        body: &'a [Stmt],
    ) -> Step<Flow> {
        loop {
            self.steps += 1;
            match self.eval(frame, condition)?.as_bool() {
                Some(true) if self.steps < MAX_STEPS => {
                    if let Some(left) = self.loop_body(frame, body)? {
                        return Ok(left);
                    }
                }
                Some(false) => return Ok(Flow::Next),
                _ => return self.leave_opaque(frame, statement, None),
            }
        }
    }

    fn for_loop(
        &mut self,
        frame: &mut Frame,
        target: &'a Expr,
        items: Vec<Val>,
        body: &'a [Stmt],
    ) -> Step<Flow> {
        for item in items {
            self.bind(frame, target, item)?;
            if let Some(left) = self.loop_body(frame, body)? {
                return Ok(left);
            }
        }
        Ok(Flow::Next)
    }

    /// Follows the body of a loop once. `Some` if this leaves the loop: how the code goes on behind it.
    fn loop_body(&mut self, frame: &mut Frame, body: &'a [Stmt]) -> Step<Option<Flow>> {
        Ok(match self.block(frame, body)? {
            Flow::Next | Flow::Continue => None,
            Flow::Break => Some(Flow::Next),
            Flow::Return(value) => Some(Flow::Return(value)),
        })
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
                let values = self.evals(frame, values)?;
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
            items.push(Val::new(Operand::Value(id), known));
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
}
