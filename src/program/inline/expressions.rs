//! Names, literals, indices and what is called.

use super::{Frame, Inliner, NamedVals, Step, opaque, tensor_of};
use crate::program::ast::{Arg, CallId, Expr, unquoted};
use crate::program::builder::positional;
use crate::program::objects::holds_object;
use crate::program::value::{Dim, Known, Operand, Val};
use crate::program::{CallSite, CodeLine, ModuleId, Op, is_of_archive};

/// A call in the code, as it is written.
#[derive(Clone, Copy)]
struct CallExpression<'a> {
    id: CallId,
    callee: &'a Expr,
    args: &'a [Arg],
}

impl<'a> Inliner<'a> {
    pub(super) fn eval(&mut self, frame: &mut Frame, expression: &'a Expr) -> Step<Val> {
        self.eval_results(frame, expression, 1)
    }

    /// Evaluates an expression whose value is assigned to `results` variables.
    pub(super) fn eval_results(
        &mut self,
        frame: &mut Frame,
        expression: &'a Expr,
        results: usize,
    ) -> Step<Val> {
        let value = self.nested(|inliner| inliner.eval_nested(frame, expression, results))?;
        self.count_work(value.weight())?;
        Ok(value)
    }

    pub(super) fn eval_nested(
        &mut self,
        frame: &mut Frame,
        expression: &'a Expr,
        results: usize,
    ) -> Step<Val> {
        // Each case has a function of its own: this one is on the stack once for every level of nesting.
        match expression {
            Expr::Name(name) => Ok(self.name(frame, name)),
            Expr::Number(text) => Ok(number(text)),
            Expr::Str(text) => Ok(text_literal(text)),
            Expr::Paren(inner) => self.eval_results(frame, inner, results),
            Expr::List { items, .. } => self.list(frame, items),
            Expr::Tuple { items, .. } => self.tuple(frame, items),
            Expr::Dict(pairs) => self.dict(frame, pairs),
            Expr::Attribute { .. } => self.attribute_expression(frame, expression),
            Expr::Index { base, args } => self.index_expression(frame, base, args),
            Expr::Unary {
                operator: "-",
                operand,
            } => self.negative(frame, operand),
            Expr::Conditional {
                then,
                condition,
                otherwise,
            } => {
                let chosen = self.chosen(frame, condition, then, otherwise)?;
                self.eval(frame, chosen)
            }
            Expr::Call {
                id, callee, args, ..
            } => {
                let id = *id;
                self.noted_call(frame, CallExpression { id, callee, args }, results)
            }
            Expr::Unary { .. } | Expr::Binary { .. } | Expr::Slice(_) => {
                opaque("an operator that is not followed")
            }
        }
    }

    fn chosen(
        &mut self,
        frame: &mut Frame,
        condition: &'a Expr,
        then: &'a Expr,
        otherwise: &'a Expr,
    ) -> Step<&'a Expr> {
        match self.eval(frame, condition)?.as_bool() {
            Some(true) => Ok(then),
            Some(false) => Ok(otherwise),
            None => opaque("a conditional expression"),
        }
    }

    fn negative(&mut self, frame: &mut Frame, operand: &'a Expr) -> Step<Val> {
        let value = self.eval(frame, operand)?;
        let known = match value.known {
            Known::Int(n) => Known::Int(n.negated()),
            Known::Float(x) => Known::Float(-x),
            _ => return self.primitive("torch.neg", vec![(None, value)], 1),
        };
        match &value.operand {
            Operand::Literal(text) => Ok(Val::new(Operand::Literal(format!("-{text}")), known)),
            _ => self.primitive("torch.neg", vec![(None, value)], 1),
        }
    }

    fn index_expression(
        &mut self,
        frame: &mut Frame,
        base: &'a Expr,
        args: &'a [Expr],
    ) -> Step<Val> {
        let [index] = args else {
            return opaque("an index of several parts");
        };
        let (base, index) = (self.eval(frame, base)?, self.eval(frame, index)?);
        Ok(self.index(&base, &index))
    }

    /// Evaluates a call, and notes which value the expression gave.
    fn noted_call(
        &mut self,
        frame: &mut Frame,
        call: CallExpression<'a>,
        results: usize,
    ) -> Step<Val> {
        let id = call.id;
        let value = self.call(frame, call, results)?;
        if let Operand::Value(result) = value.operand
            && let Some(call) = self.method_call(frame)
        {
            call.expressions.push((id, result));
            self.bindings += 1;
        }
        Ok(value)
    }

    fn list(&mut self, frame: &mut Frame, items: &'a [Expr]) -> Step<Val> {
        let items = self.evals(frame, items)?;
        self.made(Val::list(items))
    }

    fn tuple(&mut self, frame: &mut Frame, items: &'a [Expr]) -> Step<Val> {
        let items = self.evals(frame, items)?;
        self.made(Val::tuple(items))
    }

    fn dict(&mut self, frame: &mut Frame, pairs: &'a [(Expr, Expr)]) -> Step<Val> {
        let pairs = pairs
            .iter()
            .map(|(k, v)| Ok((self.eval(frame, k)?, self.eval(frame, v)?)))
            .collect::<Step<_>>()?;
        self.made(Val::dict(pairs))
    }

    pub(super) fn evals(&mut self, frame: &mut Frame, expressions: &'a [Expr]) -> Step<Vec<Val>> {
        expressions.iter().map(|e| self.eval(frame, e)).collect()
    }

    pub(super) fn name(&self, frame: &Frame, name: &str) -> Val {
        match name {
            "True" => Val::bool(true),
            "False" => Val::bool(false),
            "None" => Val::none(),
            // Libtorch writes infinities by these names.
            "inf" | "nan" if !frame.variables.contains_key(name) => number(name),
            _ => match frame.variables.get(name) {
                Some(value) => self.builder.current(value),
                None => Val::new(Operand::Literal(name.into()), Known::Nothing),
            },
        }
    }

    pub(super) fn attribute_expression(
        &mut self,
        frame: &mut Frame,
        expression: &'a Expr,
    ) -> Step<Val> {
        if let Some(dotted) = expression.dotted() {
            let first = dotted.split('.').next().unwrap_or_default();
            if !frame.variables.contains_key(first) {
                return Ok(self.global(&dotted));
            }
        }
        let Some((base, name)) = expression.as_attribute() else {
            return opaque("an attribute of nothing");
        };
        let base = self.eval(frame, base)?;
        self.attribute(&base, name)
    }

    /// `CONSTANTS.c0`, `__torch__.f`, or a name of torch's own such as a dtype.
    pub(super) fn global(&self, dotted: &str) -> Val {
        if let Some(index) = dotted
            .strip_prefix("CONSTANTS.c")
            .and_then(|n| n.parse::<usize>().ok())
            && let Some(info) = self.network.constants.get(index)
        {
            let item = self.network.constant_items.get(&index);
            return Val::new(
                Operand::Constant(index),
                match item {
                    Some(n) => Known::Tensor {
                        shape: Some(Vec::new()),
                        item: Some(*n),
                    },
                    None => tensor_of(&info.shape),
                },
            );
        }
        let known = if is_of_archive(dotted) {
            Known::Function(dotted.into())
        } else {
            Known::Nothing
        };
        Val::new(Operand::Literal(dotted.into()), known)
    }

    pub(super) fn index(&mut self, base: &Val, index: &Val) -> Val {
        if let Known::Module(container) = base.known
            && let Some(module) = self.module_at(container, index)
        {
            return Val::module(module);
        }
        let found = match (&base.known, index.as_int()) {
            (Known::List(items) | Known::Tuple(items), Some(i)) => {
                let i = if i < 0 { i + items.len() as i64 } else { i };
                usize::try_from(i).ok().and_then(|i| items.get(i))
            }
            (Known::Dict(pairs), _) if index.known != Known::Nothing => pairs
                .iter()
                .find(|(k, _)| k.known == index.known)
                .map(|(_, v)| v),
            _ => None,
        };
        match found {
            Some(item) => item.clone(),
            None => {
                let args = vec![
                    positional(base.operand.clone()),
                    positional(index.operand.clone()),
                ];
                let known = self.any_of_kept(base);
                self.builder.emit(Op::Index, args, known)
            }
        }
    }

    /// The module that a container's code picks by its place or its key.
    fn module_at(&self, container: ModuleId, index: &Val) -> Option<ModuleId> {
        let mut modules = self.network.modules.get(container).children();
        let found = match (index.as_int(), &index.known) {
            (Some(i @ 0..), _) => modules.nth(usize::try_from(i).ok()?),
            (Some(i), _) => modules.nth_back(usize::try_from(-(i + 1)).ok()?),
            (None, Known::Str(key)) => modules.find(|(name, _)| *name == key),
            _ => None,
        };
        found.map(|(_, module)| module)
    }

    pub(super) fn args(&mut self, frame: &mut Frame, args: &'a [Arg]) -> Step<NamedVals> {
        let mut args: NamedVals = args
            .iter()
            .map(|a| Ok((a.name.clone(), self.eval(frame, &a.value)?)))
            .collect::<Step<_>>()?;
        // A later argument may have changed a list before it.
        for (_, value) in args.iter_mut().filter(|(_, v)| holds_object(v)) {
            *value = self.builder.current(value);
        }
        Ok(args)
    }

    fn call(&mut self, frame: &mut Frame, call: CallExpression<'a>, results: usize) -> Step<Val> {
        let CallExpression { id, callee, args } = call;
        if let Expr::Name(name) = callee
            && !frame.variables.contains_key(name)
        {
            self.builder.line = self.line(frame, id);
            return self.builtin(frame, name, args, results);
        }
        if let Some(dotted) = callee.dotted()
            && !frame
                .variables
                .contains_key(dotted.split('.').next().unwrap_or_default())
        {
            let args = self.args(frame, args)?;
            self.builder.line = self.line(frame, id);
            return if is_of_archive(&dotted) {
                self.call_function(&dotted, args)
            } else {
                self.primitive(&dotted, args, results)
            };
        }
        if let Expr::Attribute { base, name } = callee {
            let receiver = self.eval(frame, base)?;
            let module = match receiver.known {
                Known::Module(module) => module,
                Known::Object(_) => return self.object_method(frame, receiver, name, args),
                _ => return opaque(format!("a method {name} of an object that is no module")),
            };
            let args = self.args(frame, args)?;
            self.builder.line = self.line(frame, id);
            let site = CallSite {
                place: frame.place.clone(),
                id,
            };
            return self.call_method(module, name, args, Some(site));
        }
        match self.eval(frame, callee)?.known {
            Known::Function(qualified) => {
                let args = self.args(frame, args)?;
                self.call_function(&qualified, args)
            }
            _ => opaque("a call of something that is not known"),
        }
    }
}

impl Inliner<'_> {
    /// Where a call of the code being followed stands.
    fn line(&self, frame: &Frame, id: CallId) -> Option<CodeLine> {
        let owner = &frame.place.owner;
        let sources = &self.network.sources;
        // The owner is a class, or the file of a free function.
        let file = match sources.file(owner) {
            Some(_) if frame.place.module.is_none() => owner,
            _ => owner.rsplit_once('.')?.0,
        };
        sources.line(file, id)
    }
}

fn text_literal(text: &str) -> Val {
    Val::new(
        Operand::Literal(text.into()),
        Known::Str(unquoted(text).into()),
    )
}

fn number(text: &str) -> Val {
    let known = match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(n), _) => Known::Int(Dim::fixed(n)),
        (_, Ok(x)) => Known::Float(x),
        _ => Known::Nothing,
    };
    Val::new(Operand::Literal(text.into()), known)
}
