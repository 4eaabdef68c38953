//! Parts of the flat program as TorchScript methods of the root class.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::ast::{Arg, Assign, CallId, Expr, Function, Param, Stmt};
use super::modules::{ModuleId, ModuleTree};
use super::value::{Operand, ValueId};
use super::{Network, Op, Program, Statement};

/// Writes methods for one program.
#[derive(Clone, Copy)]
pub struct Emitter<'a> {
    network: &'a Network,
    program: &'a Program,
}

/// A part of the program with one tensor in and one out.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub input: ValueId,
    pub output: ValueId,
    pub statements: Range<usize>,
    /// Regions inside to leave out.
    pub without: Vec<Skip>,
}

/// A region to leave out: its input takes the place of its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Skip {
    pub statements: Range<usize>,
    pub input: ValueId,
    pub output: ValueId,
}

/// A span as straight code, ready to be written: its statements in order, with regions left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    pub input: ValueId,
    pub output: ValueId,
    pub statements: Vec<Statement>,
}

impl Span {
    /// The value that stands for `value` once the regions are left out.
    fn stand_in(&self, mut value: ValueId) -> ValueId {
        // The input of a region is older than its output, so this ends.
        while let Some(skip) = self.without.iter().find(|s| s.output == value) {
            value = skip.input;
        }
        value
    }
}

impl<'a> Emitter<'a> {
    /// An emitter for the program of a network.
    #[must_use]
    pub fn new(network: &'a Network, program: &'a Program) -> Self {
        Emitter { network, program }
    }

    #[must_use]
    pub fn network(&self) -> &'a Network {
        self.network
    }

    #[must_use]
    pub fn program(&self) -> &'a Program {
        self.program
    }

    /// The code of a span, as far as its output needs it.
    #[must_use]
    pub fn code(&self, span: &Span) -> Code {
        let output = span.stand_in(span.output);
        Code {
            input: span.input,
            output,
            statements: self.self_contained(span, [output]),
        }
    }

    /// The statements of a span that these values need, with the sizes that were computed in front of it.
    fn self_contained(
        &self,
        span: &Span,
        values: impl IntoIterator<Item = ValueId>,
    ) -> Vec<Statement> {
        let needed = self.needed(span, values.into_iter().collect());
        let sizes = self.sizes_from_outside(span, &needed);
        sizes.chain(needed).collect()
    }

    /// Statements that tell sizes which were computed in front of the span.
    fn sizes_from_outside(
        &self,
        span: &Span,
        statements: &[Statement],
    ) -> impl Iterator<Item = Statement> + use<'_> {
        let made: HashSet<ValueId> = statements.iter().flat_map(|s| s.outputs.clone()).collect();
        let read: BTreeSet<ValueId> = statements.iter().flat_map(Statement::reads).collect();
        let input = span.input;
        let outside = move |v: &ValueId| *v != input && !made.contains(v);
        let outside = read.into_iter().filter(outside);
        outside.filter_map(move |size| self.program.tell_size(input, size))
    }

    /// The method `name(self, x: Tensor) -> Tensor` that runs the code. With `weights` it has a second parameter, the
    /// list of tensors of that name.
    #[must_use]
    pub fn method(&self, name: &str, code: &Code, weights: Option<&str>) -> Function {
        let mut body = self.body(code.input, &code.statements);
        body.push(Stmt::Return(vec![value_name(code.output)]));
        let input = value_text(code.input);
        let params: Vec<(&str, &str)> = std::iter::once((input.as_str(), "Tensor"))
            .chain(weights.map(|name| (name, "List[Tensor]")))
            .collect();
        root_method(self.network, name, &params, "Tensor", body)
    }

    /// The method `name(self, x: Tensor) -> List[Tensor]` that runs the program as far as these values need it.
    #[must_use]
    pub fn list_method(&self, name: &str, values: &[ValueId]) -> Function {
        self.list_method_of(&self.whole_program(), name, values)
    }

    /// The same for values of a span, whose output does not matter.
    #[must_use]
    pub fn list_method_of(&self, span: &Span, name: &str, values: &[ValueId]) -> Function {
        let statements = self.self_contained(span, values.iter().copied());
        let mut body = self.body(span.input, &statements);
        let items = values.iter().map(|v| value_name(*v)).collect();
        body.push(Stmt::Return(vec![tensor_list(items)]));
        let input = value_text(span.input);
        let params = [(input.as_str(), "Tensor")];
        root_method(self.network, name, &params, "List[Tensor]", body)
    }

    fn whole_program(&self) -> Span {
        Span {
            input: self.program.input,
            output: self.program.input,
            statements: 0..self.program.statements.len(),
            without: Vec::new(),
        }
    }

    /// The method `name(self, x: Tensor)` that runs the program as far as these values need it, and gives them as a
    /// tuple, whatever they are: libtorch infers its type.
    #[must_use]
    pub fn values_method(&self, name: &str, values: &[ValueId]) -> Function {
        let mut method = self.list_method(name, values);
        let tuple = Expr::Tuple {
            items: values.iter().map(|v| value_name(*v)).collect(),
            trailing_comma: values.len() == 1,
        };
        method.body.pop();
        method.body.push(Stmt::Return(vec![tuple]));
        method.returns = None;
        method
    }

    /// The whole program without some regions, its variables numbered in the order in which they appear: two
    /// programs that compute the same in the same way have the same text.
    #[must_use]
    pub fn normal_form(&self, without: &[Skip]) -> String {
        let (output, needed) = self.whole(without);
        let mut body: Vec<Stmt> = needed.iter().flat_map(|(_, s)| self.statement(s)).collect();
        body.push(Stmt::Return(vec![operand(self.network, &output)]));
        let mut numbers = HashMap::new();
        super::ast::walk_mut(&mut body, &mut |expression| {
            if let Expr::Name(name) = expression
                && name
                    .strip_prefix('v')
                    .is_some_and(|n| n.parse::<u32>().is_ok())
            {
                let next = numbers.len();
                *name = format!("v{}", numbers.entry(name.clone()).or_insert(next));
            }
        });
        super::print_statements(&body, 0)
    }

    /// The statements, by number, that are left of the program without some regions.
    #[must_use]
    pub fn left(&self, without: &[Skip]) -> Vec<usize> {
        let (_, needed) = self.whole(without);
        needed.into_iter().map(|(i, _)| i).collect()
    }

    /// What the program gives without some regions, and the statements it needs for that.
    fn whole(&self, without: &[Skip]) -> (Operand, Vec<(usize, Statement)>) {
        let span = Span {
            without: without.to_vec(),
            ..self.whole_program()
        };
        let mut output = self.program.output.operand.clone();
        output.rename(&|v| span.stand_in(v));
        let needed = self.needed_places(&span, output.values().into_iter().collect());
        (output, needed)
    }

    /// The statements of a span that these values need, in order, reading what stands for the outputs left out.
    fn needed(&self, span: &Span, needed: HashSet<ValueId>) -> Vec<Statement> {
        let needed = self.needed_places(span, needed);
        needed.into_iter().map(|(_, statement)| statement).collect()
    }

    /// The same with the number of each.
    fn needed_places(&self, span: &Span, mut needed: HashSet<ValueId>) -> Vec<(usize, Statement)> {
        let left_out = |i: usize| span.without.iter().any(|skip| skip.statements.contains(&i));
        let mut kept = Vec::new();
        for i in span.statements.clone().rev().filter(|i| !left_out(*i)) {
            let statement = &self.program.statements[i];
            if statement.impure || statement.outputs.iter().any(|v| needed.contains(v)) {
                let mut statement = statement.clone();
                if !span.without.is_empty() {
                    statement.rename(&|v| span.stand_in(v));
                }
                needed.extend(statement.reads());
                kept.push((i, statement));
            }
        }
        kept.reverse();
        kept
    }

    fn body(&self, input: ValueId, statements: &[Statement]) -> Vec<Stmt> {
        let mut body = Vec::new();
        if self.writes_input(input, statements) {
            // The caller keeps this tensor for other runs, so nothing may write into it.
            body.push(assign(
                vec![value_name(input)],
                call("torch.clone", vec![value_name(input)]),
            ));
        }
        body.extend(statements.iter().flat_map(|s| self.statement(s)));
        body
    }

    fn writes_input(&self, input: ValueId, statements: &[Statement]) -> bool {
        let root = self.program.value(input).root;
        statements.iter().any(|statement| {
            statement.impure
                && statement
                    .reads()
                    .any(|v| v == input || self.program.value(v).root == root)
        })
    }

    fn statement(&self, statement: &Statement) -> Vec<Stmt> {
        let args = |from: usize| -> Vec<Arg> {
            statement.args[from..]
                .iter()
                .map(|a| Arg {
                    name: a.name.clone(),
                    value: operand(self.network, &a.value),
                })
                .collect()
        };
        let first = || {
            statement
                .args
                .first()
                .map_or(Expr::Name("None".into()), |a| {
                    operand(self.network, &a.value)
                })
        };
        let value = match &statement.op {
            Op::Opaque(body) => return body.clone(),
            Op::SetAttribute { module, name } => {
                return vec![assign(
                    vec![member(module_path(self.network, *module), name)],
                    first(),
                )];
            }
            Op::Call(function) => call_with(Expr::Name(function.clone()), args(0)),
            Op::Method { module, name } => {
                let receiver = Expr::Paren(Box::new(module_path(self.network, *module)));
                call_with(member(receiver, name), args(0))
            }
            Op::Index => Expr::Index {
                base: Box::new(Expr::Paren(Box::new(first()))),
                args: args(1).into_iter().map(|a| a.value).collect(),
            },
            Op::Field(name) => member(Expr::Paren(Box::new(first())), name),
            Op::Unpack | Op::Alias => first(),
        };
        if statement.outputs.is_empty() {
            return vec![Stmt::Expr(value)];
        }
        let Stmt::Assign(mut assign) = assign(
            statement.outputs.iter().map(|v| value_name(*v)).collect(),
            value,
        ) else {
            return Vec::new();
        };
        assign.trailing_comma = statement.op == Op::Unpack;
        vec![Stmt::Assign(assign)]
    }
}

/// The method `name(self) -> List[Tensor]` that gives these tensors of the archive: attributes and constants.
#[must_use]
pub fn tensor_list_method(network: &Network, name: &str, tensors: &[Operand]) -> Function {
    let items = tensors
        .iter()
        .map(|tensor| {
            let tensor = operand(network, tensor);
            // An attribute may be declared Optional[Tensor].
            call("unchecked_cast", vec![Expr::Name("Tensor".into()), tensor])
        })
        .collect();
    let body = vec![Stmt::Return(vec![tensor_list(items)])];
    root_method(network, name, &[], "List[Tensor]", body)
}

fn tensor_list(items: Vec<Expr>) -> Expr {
    let list = Expr::List {
        items,
        trailing_comma: false,
    };
    call("annotate", vec![Expr::Name("List[Tensor]".into()), list])
}

/// A method of the root class.
fn root_method(
    network: &Network,
    name: &str,
    params: &[(&str, &str)],
    returns: &str,
    body: Vec<Stmt>,
) -> Function {
    let param = |(name, annotation): (&str, &str)| Param {
        name: name.into(),
        annotation: Some(Expr::Name(annotation.into())),
        default: None,
    };
    let root = network.modules.root().class.as_str();
    Function {
        name: name.into(),
        params: std::iter::once(("self", root))
            .chain(params.iter().copied())
            .map(param)
            .collect(),
        returns: Some(Expr::Name(returns.into())),
        body,
    }
}

impl Statement {
    /// Replaces the values that a statement reads.
    fn rename(&mut self, new: &impl Fn(ValueId) -> ValueId) {
        let before: Vec<ValueId> = self.reads().collect();
        for argument in &mut self.args {
            argument.value.rename(new);
        }
        if let Op::Opaque(body) = &mut self.op {
            let names: HashMap<String, String> = before
                .into_iter()
                .map(|v| (value_text(v), value_text(new(v))))
                .collect();
            super::ast::walk_mut(body, &mut |expression| {
                if let Expr::Name(name) = expression
                    && let Some(new) = names.get(name)
                {
                    name.clone_from(new);
                }
            });
        }
    }
}

fn value_text(id: ValueId) -> String {
    format!("v{}", id.0)
}

/// The variable that holds a value.
pub(super) fn value_name(id: ValueId) -> Expr {
    Expr::Name(value_text(id))
}

/// An operand as an expression in a method of the root class.
pub(super) fn operand(network: &Network, value: &Operand) -> Expr {
    let all = |items: &[Operand]| items.iter().map(|o| operand(network, o)).collect();
    match value {
        Operand::Value(id) => value_name(*id),
        Operand::Attribute { module, name } => member(module_path(network, *module), name),
        Operand::Constant(index) => Expr::Name(format!("CONSTANTS.c{index}")),
        Operand::Literal(text) => Expr::Name(text.clone()),
        Operand::List(items) => Expr::List {
            items: all(items),
            trailing_comma: false,
        },
        Operand::Tuple(items) => Expr::Tuple {
            items: all(items),
            trailing_comma: items.len() == 1,
        },
        Operand::Dict(pairs) => Expr::Dict(
            pairs
                .iter()
                .map(|(k, v)| (operand(network, k), operand(network, v)))
                .collect(),
        ),
        Operand::Typed {
            form,
            annotation,
            value,
        } => call(
            form,
            vec![Expr::Name(annotation.clone()), operand(network, value)],
        ),
        Operand::Module(id) => module_path(network, *id),
    }
}

/// `self.layer1`, or `getattr(self.layer1, "0")` where the name is no identifier.
fn module_path(network: &Network, module: ModuleId) -> Expr {
    let root = Expr::Name("self".into());
    if module == ModuleTree::ROOT {
        return root;
    }
    network
        .modules
        .get(module)
        .path
        .split('.')
        .fold(root, member)
}

fn member(base: Expr, name: &str) -> Expr {
    let identifier = name.starts_with(|c: char| c == '_' || c.is_alphabetic())
        && name.chars().all(|c| c == '_' || c.is_alphanumeric());
    if identifier {
        Expr::Attribute {
            base: Box::new(base),
            name: name.into(),
        }
    } else {
        call("getattr", vec![base, Expr::Str(format!("\"{name}\""))])
    }
}

fn call(function: &str, args: Vec<Expr>) -> Expr {
    call_with(
        Expr::Name(function.into()),
        args.into_iter()
            .map(|value| Arg { name: None, value })
            .collect(),
    )
}

/// Emitted calls are never looked up again, so their number does not matter.
fn call_with(callee: Expr, args: Vec<Arg>) -> Expr {
    Expr::Call {
        id: CallId(u32::MAX),
        callee: Box::new(callee),
        args,
        trailing_comma: false,
    }
}

fn assign(targets: Vec<Expr>, value: Expr) -> Stmt {
    Stmt::Assign(Assign {
        targets,
        trailing_comma: false,
        annotation: None,
        spaced_colon: false,
        values: vec![value],
    })
}
