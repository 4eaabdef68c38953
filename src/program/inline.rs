//! Follows the root's `forward` through every call and writes down what it does as a flat program.
//!
//! Attributes and shapes are known before the network runs, so most control flow resolves: `if training`, shape checks
//! that raise, `if self.use_residual`. What does not resolve stays: a statement becomes [`Op::Opaque`], and a call
//! whose body cannot be flattened at all becomes [`Op::Method`] or a plain call.

use std::collections::{HashMap, HashSet};

use super::ast::{Arg, Assign, CallId, Expr, Function, Param, Stmt, unquoted};
use super::builder::{Builder, CodePlace, positional, short_name};
use super::ops::{self, Args};
use super::value::{Dim, Known, Operand, Val};
use super::{
    Argument, Attribute, Call, CallIndex, CallSite, ModuleId, ModuleTree, Network, Op, Program,
};
use super::{emit, opaque};

/// Calls may nest this deep: more is recursion, which TorchScript does not have.
const MAX_DEPTH: usize = 64;
/// Statements and expressions may nest this deep, over all calls: residual networks stay below 25, and a thread's
/// stack of 2 MiB holds 200 levels without compiler optimisation.
const MAX_NESTING: usize = 160;
/// Statements executed at most, loops unrolled: the largest published networks need below 100,000.
const MAX_STEPS: usize = 500_000;

/// Why a network has no flat program for an input shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// The network itself would raise an error.
    #[error("{}{message}", place(.module))]
    Refused { module: String, message: String },
    /// The code is beyond what the analysis follows.
    #[error("{}{reason}", place(.module))]
    NotFollowed { module: String, reason: String },
}

fn place(module: &str) -> String {
    if module.is_empty() {
        String::new()
    } else {
        format!("in {module}: ")
    }
}

/// Why following stops.
enum Stop {
    /// The call being followed has to stay a call.
    Opaque(String),
    Error(ProgramError),
}

type Step<T> = Result<T, Stop>;

fn opaque<T>(reason: impl Into<String>) -> Step<T> {
    Err(Stop::Opaque(reason.into()))
}

/// Follows the network for an input of `n × shape`.
pub(super) fn inline(network: &Network, shape: &[i64]) -> Result<Program, ProgramError> {
    let mut keep_in_place = HashSet::new();
    // Each round keeps at least one more write in place, so this ends; the bound only spares hostile code.
    for _ in 0..MAX_DEPTH {
        let mut inliner = Inliner {
            network,
            builder: Builder::new(&keep_in_place),
            overrides: HashMap::new(),
            depth: 0,
            nesting: 0,
            steps: 0,
        };
        let input = inliner.input(shape);
        let Operand::Value(input_id) = input.operand else {
            break;
        };
        let output =
            match inliner.call_method(ModuleTree::ROOT, "forward", vec![(None, input)], None) {
                Ok(output) => output,
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Opaque(reason)) => {
                    return Err(ProgramError::NotFollowed {
                        module: String::new(),
                        reason,
                    });
                }
            };
        let output = inliner.builder.current(&output);
        let conflicts = inliner.builder.conflicts(&output);
        if conflicts.is_empty() {
            return Ok(inliner.builder.finish(input_id, output));
        }
        keep_in_place.extend(conflicts);
    }
    Err(ProgramError::NotFollowed {
        module: String::new(),
        reason: "too many in-place writes through views".into(),
    })
}

enum Flow {
    Next,
    Return(Val),
}

/// The variables of one function call.
struct Frame {
    variables: HashMap<String, Val>,
    place: CodePlace,
}

struct Inliner<'a> {
    network: &'a Network,
    builder: Builder<'a>,
    /// Attributes assigned while running.
    overrides: HashMap<(ModuleId, String), Val>,
    depth: usize,
    nesting: usize,
    steps: usize,
}

type NamedVals = Vec<(Option<String>, Val)>;

impl<'a> Inliner<'a> {
    fn input(&mut self, shape: &[i64]) -> Val {
        let dims = std::iter::once(Dim::BATCH)
            .chain(shape.iter().map(|n| Dim::fixed(*n)))
            .collect();
        let known = Known::Tensor {
            shape: Some(dims),
            item: None,
        };
        let id = self.builder.value(known.clone(), None);
        Val {
            operand: Operand::Value(id),
            known,
        }
    }

    fn module_path(&self) -> String {
        let call = self
            .builder
            .current_call
            .map(|c| self.builder.calls[c.0].module);
        call.map_or_else(String::new, |id| self.network.modules.get(id).path.clone())
    }

    fn not_followed<T>(&self, reason: impl Into<String>) -> Step<T> {
        Err(Stop::Error(ProgramError::NotFollowed {
            module: self.module_path(),
            reason: reason.into(),
        }))
    }

    /// Runs `inner` one level of statements or expressions deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Step<T>) -> Step<T> {
        if self.nesting == MAX_NESTING {
            return self.not_followed("statements and expressions nest too deep");
        }
        self.nesting += 1;
        let result = inner(self);
        self.nesting -= 1;
        result
    }

    fn refuse<T>(&self, message: impl Into<String>) -> Step<T> {
        Err(Stop::Error(ProgramError::Refused {
            module: self.module_path(),
            message: message.into(),
        }))
    }

    // ---- calls ----

    fn call_method(
        &mut self,
        module: ModuleId,
        name: &str,
        args: NamedVals,
        site: Option<CallSite>,
    ) -> Step<Val> {
        let network = self.network;
        let class = &network.modules.get(module).class;
        let Some(function) = network.sources.class(class).and_then(|c| c.method(name)) else {
            return opaque(format!("{class} has no method {name}"));
        };
        let is_root = site.is_none();
        let checkpoint = self.builder.checkpoint();
        let overrides = self.overrides.len();
        let caller = self.builder.current_call;
        let index = CallIndex(self.builder.calls.len());
        let start = self.builder.statements.len();
        self.builder.calls.push(Call {
            module,
            method: name.into(),
            site,
            caller,
            args: args.iter().map(|(_, v)| v.clone()).collect(),
            result: Val::none(),
            range: start..start,
        });
        self.builder.current_call = Some(index);
        let place = CodePlace {
            module: Some(module),
            owner: class.clone(),
            function: name.into(),
        };
        let receiver = std::iter::once((None, Val::module(module)));
        let result = self.run(
            function,
            place,
            receiver.chain(args.iter().cloned()).collect(),
        );
        self.builder.current_call = caller;
        match result {
            Ok(result) => {
                let end = self.builder.statements.len();
                let call = &mut self.builder.calls[index.0];
                call.result = result.clone();
                call.range.end = end;
                Ok(result)
            }
            // Attributes it may have set cannot be taken back, so such a call is not rolled back.
            Err(Stop::Opaque(_)) if !is_root && self.overrides.len() == overrides => {
                self.builder.roll_back(&checkpoint);
                let args = args
                    .into_iter()
                    .map(|(name, v)| Argument {
                        name,
                        value: v.operand,
                    })
                    .collect();
                Ok(self.builder.emit(
                    Op::Method {
                        module,
                        name: name.into(),
                    },
                    args,
                    Known::Nothing,
                ))
            }
            Err(stop) => Err(stop),
        }
    }

    fn call_function(&mut self, qualified: &str, args: NamedVals) -> Step<Val> {
        let network = self.network;
        if let Some(function) = network.sources.function(qualified) {
            let checkpoint = self.builder.checkpoint();
            let overrides = self.overrides.len();
            let (owner, name) = qualified.rsplit_once('.').unwrap_or(("", qualified));
            let place = CodePlace {
                module: None,
                owner: owner.into(),
                function: name.into(),
            };
            match self.run(function, place, args.clone()) {
                Err(Stop::Opaque(_)) if self.overrides.len() == overrides => {
                    self.builder.roll_back(&checkpoint)
                }
                result => return result,
            }
        }
        Ok(self
            .builder
            .emit(Op::Call(qualified.into()), arguments(args), Known::Nothing))
    }

    fn run(&mut self, function: &'a Function, place: CodePlace, args: NamedVals) -> Step<Val> {
        if self.depth == MAX_DEPTH {
            return self.not_followed("calls nest too deep");
        }
        let mut frame = Frame {
            variables: HashMap::new(),
            place,
        };
        self.bind_parameters(&mut frame, &function.params, args)?;
        self.depth += 1;
        let flow = self.block(&mut frame, &function.body);
        self.depth -= 1;
        Ok(match flow? {
            Flow::Return(value) => value,
            Flow::Next => Val::none(),
        })
    }

    fn bind_parameters(
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
            frame.variables.insert(param.name.clone(), value);
        }
        match given.next() {
            None => Ok(()),
            Some(_) => opaque("arguments in an order that is not followed"),
        }
    }

    // ---- statements ----

    fn block(&mut self, frame: &mut Frame, statements: &'a [Stmt]) -> Step<Flow> {
        self.nested(|inliner| {
            for statement in statements {
                if let Flow::Return(value) = inliner.statement(frame, statement)? {
                    return Ok(Flow::Return(value));
                }
            }
            Ok(Flow::Next)
        })
    }

    fn statement(&mut self, frame: &mut Frame, statement: &'a Stmt) -> Step<Flow> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return self.refuse("the program does not end within the steps the analysis grants it");
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
                    (None, _) => self.leave_opaque(frame, statement),
                };
            }
            Stmt::While { condition, body } => loop {
                self.steps += 1;
                let value = self.eval(frame, condition)?;
                match value.as_bool() {
                    Some(true) if self.steps < MAX_STEPS => {
                        if let Flow::Return(value) = self.block(frame, body)? {
                            return Ok(Flow::Return(value));
                        }
                    }
                    Some(false) => break,
                    _ => return self.leave_opaque(frame, statement),
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
                    return self.leave_opaque(frame, statement);
                };
                for item in items {
                    self.bind(frame, target, item)?;
                    if let Flow::Return(value) = self.block(frame, body)? {
                        return Ok(Flow::Return(value));
                    }
                }
            }
            Stmt::With { .. } | Stmt::Function(_) | Stmt::Break | Stmt::Continue => {
                return self.leave_opaque(frame, statement);
            }
            Stmt::Pass => {}
        }
        Ok(Flow::Next)
    }

    /// What a loop runs over, if that is known: a list, or `range` of a number.
    fn iteration(&mut self, frame: &mut Frame, iterable: &'a Expr) -> Step<Option<Vec<Val>>> {
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

    fn assign(&mut self, frame: &mut Frame, assign: &'a Assign) -> Step<()> {
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

    fn unpack(&mut self, value: &Val, count: usize) -> Step<Vec<Val>> {
        if let Some(items) = value.items() {
            return if items.len() == count {
                Ok(items.to_vec())
            } else {
                opaque("unpacking of unequal sides")
            };
        }
        let root = value.operand.values().first().copied();
        let outputs: Vec<_> = (0..count)
            .map(|_| self.builder.value(Known::Nothing, root))
            .collect();
        self.builder.push(
            Op::Unpack,
            vec![positional(value.operand.clone())],
            outputs.clone(),
            false,
        );
        Ok(outputs
            .into_iter()
            .map(|id| Val {
                operand: Operand::Value(id),
                known: Known::Nothing,
            })
            .collect())
    }

    fn bind(&mut self, frame: &mut Frame, target: &'a Expr, value: Val) -> Step<()> {
        match target {
            Expr::Name(name) => {
                frame.variables.insert(name.clone(), value);
                Ok(())
            }
            Expr::Attribute { base, name } => match self.eval(frame, base)?.known {
                Known::Module(module) => {
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
                _ => opaque("an assignment to an attribute of an object"),
            },
            _ => opaque("an assignment to a place that is not followed"),
        }
    }

    /// Leaves a statement as it is, with its variables renamed.
    fn leave_opaque(&mut self, frame: &mut Frame, statement: &Stmt) -> Step<Flow> {
        let builder = &mut self.builder;
        let network = self.network;
        let lookup = |variables: &HashMap<String, Val>, name: &str| variables.get(name).cloned();
        let Some(renamed) =
            opaque::Renaming::of(statement, |name| lookup(&frame.variables, name).is_some())
        else {
            return opaque("control flow that returns from its middle");
        };
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
        for name in &renamed.writes {
            let id = builder.value(Known::Nothing, None);
            if let Some(value) = lookup(&frame.variables, name) {
                let operand = builder.current(&value).operand;
                builder.push(Op::Alias, vec![positional(operand)], vec![id], false);
                reads.push(positional(Operand::Value(id)));
            }
            names.insert(name.clone(), emit::value_name(id));
            frame.variables.insert(
                name.clone(),
                Val {
                    operand: Operand::Value(id),
                    known: Known::Nothing,
                },
            );
            outputs.push(id);
        }
        let body = renamed.apply(statement, &names);
        builder.push(Op::Opaque(vec![body]), reads, outputs, true);
        Ok(Flow::Next)
    }

    // ---- expressions ----

    fn eval(&mut self, frame: &mut Frame, expression: &'a Expr) -> Step<Val> {
        self.eval_results(frame, expression, 1)
    }

    /// Evaluates an expression whose value is assigned to `results` variables.
    fn eval_results(
        &mut self,
        frame: &mut Frame,
        expression: &'a Expr,
        results: usize,
    ) -> Step<Val> {
        self.nested(|inliner| inliner.eval_nested(frame, expression, results))
    }

    fn eval_nested(
        &mut self,
        frame: &mut Frame,
        expression: &'a Expr,
        results: usize,
    ) -> Step<Val> {
        match expression {
            Expr::Name(name) => Ok(self.name(frame, name)),
            Expr::Number(text) => Ok(number(text)),
            Expr::Str(text) => Ok(Val {
                operand: Operand::Literal(text.clone()),
                known: Known::Str(unquoted(text).into()),
            }),
            Expr::Paren(inner) => self.eval_results(frame, inner, results),
            Expr::List { items, .. } => Ok(Val::list(self.evals(frame, items)?)),
            Expr::Tuple { items, .. } => Ok(Val::tuple(self.evals(frame, items)?)),
            Expr::Dict(pairs) => {
                let pairs: Vec<(Val, Val)> = pairs
                    .iter()
                    .map(|(k, v)| Ok((self.eval(frame, k)?, self.eval(frame, v)?)))
                    .collect::<Step<_>>()?;
                let operand = Operand::Dict(
                    pairs
                        .iter()
                        .map(|(k, v)| (k.operand.clone(), v.operand.clone()))
                        .collect(),
                );
                Ok(Val {
                    operand,
                    known: Known::Dict(pairs),
                })
            }
            Expr::Attribute { .. } => self.attribute_expression(frame, expression),
            Expr::Index { base, args } => match args.as_slice() {
                [index] => {
                    let (base, index) = (self.eval(frame, base)?, self.eval(frame, index)?);
                    Ok(self.index(&base, &index))
                }
                _ => opaque("an index of several parts"),
            },
            Expr::Unary {
                operator: "-",
                operand,
            } => {
                let value = self.eval(frame, operand)?;
                match (&value.known, &value.operand) {
                    (Known::Int(n), Operand::Literal(text)) => Ok(Val {
                        operand: Operand::Literal(format!("-{text}")),
                        known: Known::Int(n.negated()),
                    }),
                    (Known::Float(x), Operand::Literal(text)) => Ok(Val {
                        operand: Operand::Literal(format!("-{text}")),
                        known: Known::Float(-x),
                    }),
                    _ => self.primitive("torch.neg", vec![(None, value)], 1),
                }
            }
            Expr::Conditional {
                then,
                condition,
                otherwise,
            } => match self.eval(frame, condition)?.as_bool() {
                Some(true) => self.eval(frame, then),
                Some(false) => self.eval(frame, otherwise),
                None => opaque("a conditional expression"),
            },
            Expr::Call {
                id, callee, args, ..
            } => self.call(frame, *id, callee, args, results),
            Expr::Unary { .. } | Expr::Binary { .. } | Expr::Slice(_) => {
                opaque("an operator that is not followed")
            }
        }
    }

    fn evals(&mut self, frame: &mut Frame, expressions: &'a [Expr]) -> Step<Vec<Val>> {
        expressions.iter().map(|e| self.eval(frame, e)).collect()
    }

    fn name(&self, frame: &Frame, name: &str) -> Val {
        match name {
            "True" => Val::bool(true),
            "False" => Val::bool(false),
            "None" => Val::none(),
            _ => match frame.variables.get(name) {
                Some(value) => self.builder.current(value),
                None => Val {
                    operand: Operand::Literal(name.into()),
                    known: Known::Nothing,
                },
            },
        }
    }

    fn attribute_expression(&mut self, frame: &mut Frame, expression: &'a Expr) -> Step<Val> {
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
    fn global(&self, dotted: &str) -> Val {
        if let Some(index) = dotted
            .strip_prefix("CONSTANTS.c")
            .and_then(|n| n.parse::<usize>().ok())
            && let Some(info) = self.network.constants.get(index)
        {
            return Val {
                operand: Operand::Constant(index),
                known: tensor_of(&info.shape),
            };
        }
        let known = match dotted.starts_with("__torch__.") {
            true => Known::Function(dotted.into()),
            false => Known::Nothing,
        };
        Val {
            operand: Operand::Literal(dotted.into()),
            known,
        }
    }

    fn attribute(&mut self, base: &Val, name: &str) -> Step<Val> {
        let Known::Module(module) = base.known else {
            let arg = vec![positional(base.operand.clone())];
            return Ok(self
                .builder
                .emit(Op::Field(name.into()), arg, Known::Nothing));
        };
        if let Some(value) = self.overrides.get(&(module, name.to_owned())) {
            return Ok(self.builder.current(value));
        }
        let operand = Operand::Attribute {
            module,
            name: name.into(),
        };
        let known = match self.network.modules.attribute(module, name) {
            // Programs are analysed in evaluation mode, whatever mode the archive was saved in.
            Some(Attribute::Bool(_)) if name == "training" => return Ok(Val::bool(false)),
            Some(attribute) => match attribute_value(attribute) {
                Some(Val {
                    operand: Operand::List(_),
                    known,
                }) => known,
                Some(value) => return Ok(value),
                None => match attribute {
                    Attribute::Tensor(info) => tensor_of(&info.shape),
                    _ => Known::Nothing,
                },
            },
            None => return self.class_constant(module, name),
        };
        Ok(Val { operand, known })
    }

    /// `stride : Final[int] = 2` in the class body.
    fn class_constant(&mut self, module: ModuleId, name: &str) -> Step<Val> {
        let network = self.network;
        let class = &network.modules.get(module).class;
        let field = network.sources.class(class).and_then(|c| {
            c.fields().find(|f| {
                f.declares()
                    .is_some_and(|(declared, _)| declared == name && !f.values.is_empty())
            })
        });
        match field.map(|f| f.values.as_slice()) {
            Some([value]) => {
                let place = CodePlace {
                    module: Some(module),
                    owner: class.clone(),
                    function: String::new(),
                };
                self.eval(
                    &mut Frame {
                        variables: HashMap::new(),
                        place,
                    },
                    value,
                )
            }
            _ => opaque(format!("{class} has no attribute {name}")),
        }
    }

    fn index(&mut self, base: &Val, index: &Val) -> Val {
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
                self.builder.emit(Op::Index, args, Known::Nothing)
            }
        }
    }

    fn args(&mut self, frame: &mut Frame, args: &'a [Arg]) -> Step<NamedVals> {
        args.iter()
            .map(|a| Ok((a.name.clone(), self.eval(frame, &a.value)?)))
            .collect()
    }

    fn call(
        &mut self,
        frame: &mut Frame,
        id: CallId,
        callee: &'a Expr,
        args: &'a [Arg],
        results: usize,
    ) -> Step<Val> {
        if let Expr::Name(name) = callee
            && !frame.variables.contains_key(name)
        {
            return self.builtin(frame, name, args, results);
        }
        if let Some(dotted) = callee.dotted()
            && !frame
                .variables
                .contains_key(dotted.split('.').next().unwrap_or_default())
        {
            let args = self.args(frame, args)?;
            return match dotted.starts_with("__torch__.") {
                true => self.call_function(&dotted, args),
                false => self.primitive(&dotted, args, results),
            };
        }
        if let Expr::Attribute { base, name } = callee {
            let receiver = self.eval(frame, base)?;
            let Known::Module(module) = receiver.known else {
                return opaque(format!("a method {name} of an object that is no module"));
            };
            let args = self.args(frame, args)?;
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

    /// The words of the language that look like functions.
    fn builtin(
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
            ("annotate" | "unchecked_cast", [annotation, value]) => {
                let value = self.eval(frame, &value.value)?;
                let form = if name == "annotate" {
                    "annotate"
                } else {
                    "unchecked_cast"
                };
                // A value of the program has its type from the statement that made it.
                let typed = match &value.operand {
                    Operand::Value(_) | Operand::Literal(_) if form == "unchecked_cast" => {
                        value.operand.clone()
                    }
                    operand => Operand::Typed {
                        form,
                        annotation: annotation.value.to_string(),
                        value: Box::new(operand.clone()),
                    },
                };
                Ok(Val {
                    operand: typed,
                    known: value.known,
                })
            }
            ("fork" | "uninitialized" | "isinstance" | "setattr" | "wait" | "awaitable", _) => {
                opaque(format!("`{name}` is not followed"))
            }
            _ => {
                let args = self.args(frame, args)?;
                self.primitive(name, args, results)
            }
        }
    }

    /// A call of one of torch's own operators.
    fn primitive(&mut self, function: &str, args: NamedVals, results: usize) -> Step<Val> {
        let name = short_name(function);
        let first = args.first().map(|(_, v)| v.clone());
        match (name, &first) {
            ("RaiseException", first) => {
                let message = match first.as_ref().map(|v| &v.known) {
                    Some(Known::Str(text)) => text.clone(),
                    _ => "the network raises an error for this input".into(),
                };
                return self.refuse(message);
            }
            ("warn", _) => return Ok(Val::none()),
            (_, Some(first)) if !first.is_tensor() && ops::mutates_container(name) => {
                return opaque("a list or dictionary that changes while the network runs");
            }
            ("size", Some(tensor)) if tensor.shape().is_some() => {
                return self.size(tensor, args.get(1));
            }
            // In evaluation mode dropout hands its very input on.
            (
                "dropout" | "dropout_" | "feature_dropout" | "feature_dropout_" | "alpha_dropout",
                Some(input),
            ) if Args(&args).get(2, "train").and_then(Val::as_bool) == Some(false) => {
                return Ok(input.clone());
            }
            _ => {}
        }
        let known = match ops::result(name, &Args(&args)) {
            Ok(known) => known,
            Err(message) => return self.refuse(message),
        };
        if let Some(literal) = literal(&known) {
            return Ok(literal);
        }
        if ops::writes_in_place(name) {
            return Ok(self.builder.emit_in_place(function, arguments(args), known));
        }
        if results > 1 && !matches!(known, Known::List(_)) {
            let outputs: Vec<_> = (0..results)
                .map(|_| self.builder.value(Known::Nothing, None))
                .collect();
            self.builder.push(
                Op::Call(function.into()),
                arguments(args),
                outputs.clone(),
                ops::is_impure(name),
            );
            let items = outputs.into_iter().map(|id| Val {
                operand: Operand::Value(id),
                known: Known::Nothing,
            });
            return Ok(Val::tuple(items.collect()));
        }
        let args = arguments(args);
        Ok(match known {
            Known::List(pieces) => self.pieces(function, args, &pieces),
            known => self.builder.emit(Op::Call(function.into()), args, known),
        })
    }

    /// An operator that gives a list: the list, and each of its items taken out of it.
    fn pieces(&mut self, function: &str, args: Vec<Argument>, pieces: &[Val]) -> Val {
        let list = self
            .builder
            .emit(Op::Call(function.into()), args, Known::Nothing);
        let items = (0..).zip(pieces).map(|(i, piece)| match &piece.operand {
            Operand::Literal(text) if !text.is_empty() => piece.clone(),
            Operand::Literal(_) => {
                let args = vec![
                    positional(list.operand.clone()),
                    positional(Val::int(i).operand),
                ];
                self.builder.emit(Op::Index, args, piece.known.clone())
            }
            _ => piece.clone(),
        });
        let items = items.collect();
        Val {
            operand: list.operand.clone(),
            known: Known::List(items),
        }
    }

    /// `torch.size(x)` and `torch.size(x, i)`: only the batch size is left to run time.
    fn size(&mut self, tensor: &Val, dim: Option<&(Option<String>, Val)>) -> Step<Val> {
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
            None => Ok(Val::list((0..rank).map(one).collect())),
            Some(Some(i)) if (-rank..rank).contains(&i) => {
                Ok(one(if i < 0 { i + rank } else { i }))
            }
            Some(Some(_)) => self.refuse("size: no such dimension"),
            Some(None) => opaque("a size at an unknown dimension"),
        }
    }
}

fn arguments(args: NamedVals) -> Vec<Argument> {
    args.into_iter()
        .map(|(name, v)| Argument {
            name,
            value: v.operand,
        })
        .collect()
}

fn tensor_of(shape: &[i64]) -> Known {
    Known::Tensor {
        shape: Some(shape.iter().map(|n| Dim::fixed(*n)).collect()),
        item: None,
    }
}

fn number(text: &str) -> Val {
    let known = match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(n), _) => Known::Int(Dim::fixed(n)),
        (_, Ok(x)) => Known::Float(x),
        _ => Known::Nothing,
    };
    Val {
        operand: Operand::Literal(text.into()),
        known,
    }
}

/// The value of an attribute that holds no tensor or module below it, or holds a module itself.
fn attribute_value(attribute: &Attribute) -> Option<Val> {
    Some(match attribute {
        Attribute::Module(id) => Val::module(*id),
        Attribute::None => Val::none(),
        Attribute::Bool(b) => Val::bool(*b),
        Attribute::Int(n) => Val::int(*n),
        Attribute::Float(x) => Val::float(*x),
        Attribute::Str(text) => Val::str(text),
        Attribute::List(items) => {
            Val::list(items.iter().map(attribute_value).collect::<Option<_>>()?)
        }
        Attribute::Tuple(items) => {
            Val::tuple(items.iter().map(attribute_value).collect::<Option<_>>()?)
        }
        Attribute::Tensor(_) | Attribute::Other => return None,
    })
}

/// The value as a literal, if it is a constant.
fn literal(known: &Known) -> Option<Val> {
    Some(match known {
        Known::Int(n) => Val::int(n.known()?),
        Known::Float(x) => Val::float(*x),
        Known::Bool(b) => Val::bool(*b),
        Known::None => Val::none(),
        Known::List(items) if !items.is_empty() && items.iter().all(|v| !v.is_tensor()) => {
            Val::list(items.clone())
        }
        _ => return None,
    })
}
