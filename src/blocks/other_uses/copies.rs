//! Copies of the code of a span in other methods. Freezing makes them, and people write them where a block has no
//! module.

use std::collections::{HashMap, HashSet};

use crate::blocks::twins::Twins;
use crate::program::ast::{CallId, Expr, Function, Stmt, walk};
use crate::program::{Mention, ModuleId, Network};

/// How many variables, each bound to the next, are followed at most.
const MAX_STEPS: usize = 256;

/// A method, and what its variables stand for.
struct MethodCode<'a> {
    function: &'a Function,
    bound: HashMap<&'a str, Meaning<'a>>,
}

#[derive(Clone, Copy)]
enum Meaning<'a> {
    Parameter,
    /// It is bound several times, or not by an assignment.
    Unclear,
    Whole(&'a Expr),
    /// One of the values that are unpacked.
    Part(&'a Expr, usize),
}

impl<'a> Meaning<'a> {
    /// What a statement gives to its target of this number.
    fn given_by(statement: &'a Stmt, target: usize) -> Self {
        let Stmt::Assign(assign) = statement else {
            return Meaning::Unclear;
        };
        match (assign.targets.as_slice(), assign.values.as_slice()) {
            ([_], [value]) if !assign.trailing_comma => Meaning::Whole(value),
            (_, [value]) => Meaning::Part(value, target),
            _ => Meaning::Unclear,
        }
    }
}

impl<'a> MethodCode<'a> {
    fn of(function: &'a Function) -> Self {
        let mut code = MethodCode {
            function,
            bound: HashMap::new(),
        };
        for param in &function.params {
            code.bind(&param.name, Meaning::Parameter);
        }
        code.statements(&function.body);
        code
    }

    fn bind(&mut self, name: &'a str, meaning: Meaning<'a>) {
        self.bound
            .entry(name)
            .and_modify(|known| *known = Meaning::Unclear)
            .or_insert(meaning);
    }

    fn statements(&mut self, statements: &'a [Stmt]) {
        for statement in statements {
            for (i, target) in statement.targets().into_iter().enumerate() {
                if let Expr::Name(name) = target {
                    self.bind(name, Meaning::given_by(statement, i));
                }
            }
            for block in statement.blocks() {
                self.statements(block);
            }
        }
    }

    /// The expression that a variable is bound to, through any number of variables; and which part of it, if it is
    /// unpacked.
    fn behind(&self, mut expression: &'a Expr) -> (&'a Expr, Option<usize>) {
        for _ in 0..MAX_STEPS {
            expression = expression.unparenthesised();
            let Expr::Name(name) = expression else { break };
            match self.bound.get(name.as_str()) {
                Some(Meaning::Whole(value)) => expression = value,
                Some(Meaning::Part(value, i)) => return (value, Some(*i)),
                _ => break,
            }
        }
        (expression, None)
    }

    fn is_variable(&self, name: &str) -> bool {
        self.bound.contains_key(name)
    }

    fn receiver(&self) -> Option<&str> {
        self.function.params.first().map(|p| p.name.as_str())
    }

    /// The name of something that is no variable: `torch.relu`, `CONSTANTS.c3`.
    fn global(&self, expression: &Expr) -> Option<String> {
        let name = expression.dotted()?;
        let root = name.split('.').next().unwrap_or_default();
        (name.contains('.') && !self.is_variable(root)).then_some(name)
    }
}

/// A place where the span's code is written again.
pub(super) struct Copy {
    /// The call whose result stands for the span's output.
    pub call: CallId,
    pub stand_in: Mention,
    /// All calls of the copy.
    pub calls: HashSet<CallId>,
}

/// The code of a span, to be looked for in other methods: what gives the call `output` in a method of a module, from
/// `input` on.
pub(super) struct SpanCode<'a> {
    pub network: &'a Network,
    pub module: ModuleId,
    pub method: &'a Function,
    pub output: CallId,
    pub input: Mention,
}

impl SpanCode<'_> {
    /// The places where another method of the same class writes this code again; none if that is too much to compare.
    pub fn copies_in(&self, method: &Function, twins: &mut Twins) -> Vec<Copy> {
        if !twins.count(part_count(self.method) + part_count(method)) {
            return Vec::new();
        }
        let (own, other) = (MethodCode::of(self.method), MethodCode::of(method));
        let mut calls = calls_in(self.method).into_iter();
        let Some((_, pattern)) = calls.rfind(|(id, _)| *id == self.output) else {
            return Vec::new();
        };
        let mut copies = Vec::new();
        for (call, place) in calls_in(method) {
            let mut attempt = Attempt {
                network: self.network,
                twins,
                module: self.module,
                one: &own,
                other: &other,
                input: &self.input,
                stand_in: None,
                matched: HashMap::new(),
                calls: HashSet::new(),
            };
            if attempt.same(pattern, place)
                && let Some((_, stand_in)) = attempt.stand_in
            {
                copies.push(Copy {
                    call,
                    stand_in,
                    calls: attempt.calls,
                });
            }
        }
        copies
    }
}

fn part_count(function: &Function) -> usize {
    let mut count = 0;
    walk(&function.body, &mut |_| count += 1);
    count
}

fn calls_in(function: &Function) -> Vec<(CallId, &Expr)> {
    let mut calls = Vec::new();
    walk(&function.body, &mut |expression| {
        if let Expr::Call { id, .. } = expression {
            calls.push((*id, expression));
        }
    });
    calls
}

/// What stands for the span's input in a copy: a parameter, or the result of an expression or a part of it.
#[derive(Clone, Copy)]
enum StandIn<'a> {
    Parameter(&'a str),
    Made(&'a Expr, Option<usize>),
}

impl PartialEq for StandIn<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (StandIn::Parameter(a), StandIn::Parameter(b)) => a == b,
            (StandIn::Made(a, i), StandIn::Made(b, j)) => std::ptr::eq(*a, *b) && i == j,
            _ => false,
        }
    }
}

/// One attempt to read an expression as a copy of the span.
struct Attempt<'s, 't, 'a> {
    network: &'a Network,
    twins: &'s mut Twins<'t>,
    module: ModuleId,
    one: &'s MethodCode<'a>,
    other: &'s MethodCode<'a>,
    input: &'s Mention,
    /// What stands for the input in the copy, and how the code there can speak of it.
    stand_in: Option<(StandIn<'a>, Mention)>,
    /// Expressions of the span, and what each is in the copy.
    matched: HashMap<*const Expr, *const Expr>,
    calls: HashSet<CallId>,
}

impl<'a> Attempt<'_, '_, 'a> {
    fn same(&mut self, one: &'a Expr, other: &'a Expr) -> bool {
        if !self.twins.count(1) {
            return false;
        }
        if self.is_input(one) {
            return self.is_stand_in(other);
        }
        let ((a, part), (b, other_part)) = (self.one.behind(one), self.other.behind(other));
        if part != other_part {
            return false;
        }
        if self.is_input(a) && part.is_none() {
            return self.is_stand_in(other);
        }
        if let Some(known) = self.matched.get(&std::ptr::from_ref(a)) {
            return *known == std::ptr::from_ref(b);
        }
        let same = self.same_form(a, b);
        if same && !matches!(a, Expr::Name(_)) {
            self.matched.insert(a, b);
        }
        same
    }

    fn is_input(&self, expression: &Expr) -> bool {
        match (self.input, expression.unparenthesised()) {
            (Mention::Variable(variable), Expr::Name(name)) => name == variable,
            (Mention::Expression(wanted), Expr::Call { id, .. }) => id == wanted,
            _ => false,
        }
    }

    /// Whether this can stand for the input in the copy.
    fn is_stand_in(&mut self, expression: &'a Expr) -> bool {
        let (behind, part) = self.other.behind(expression);
        let meaning = |name: &String| self.other.bound.get(name.as_str());
        let mention = match (expression.unparenthesised(), behind) {
            (_, Expr::Name(name)) if !matches!(meaning(name), Some(Meaning::Parameter)) => None,
            (Expr::Name(name), _) => Some(Mention::Variable(name.clone())),
            (_, Expr::Call { id, .. }) if part.is_none() => Some(Mention::Expression(*id)),
            _ => None,
        };
        let Some(mention) = mention else {
            return false;
        };
        let behind = match behind {
            Expr::Name(name) => StandIn::Parameter(name),
            other => StandIn::Made(other, part),
        };
        let (known, _) = self.stand_in.get_or_insert((behind, mention));
        *known == behind
    }

    fn same_form(&mut self, a: &'a Expr, b: &'a Expr) -> bool {
        match (self.one.global(a), self.other.global(b)) {
            (Some(a), Some(b)) => return a == b,
            (None, None) => {}
            _ => return false,
        }
        if let (Expr::Name(a), Expr::Name(b)) = (a, b) {
            return match (self.one.is_variable(a), self.other.is_variable(b)) {
                (false, false) => a == b,
                // Of the parameters only the module itself is sure to be the same in both.
                (true, true) => {
                    self.one.receiver() == Some(a.as_str())
                        && self.other.receiver() == Some(b.as_str())
                }
                _ => false,
            };
        }
        let call = match b {
            Expr::Call { id, .. } => Some(*id),
            _ => None,
        };
        let same = a.aligned(b).is_some_and(|parts| {
            parts.into_iter().enumerate().all(|(i, (a, b))| match i {
                0 if call.is_some() => self.callees(a, b),
                _ => self.same(a, b),
            })
        });
        self.calls.extend(call.filter(|_| same));
        same
    }

    fn callees(&mut self, f: &'a Expr, g: &'a Expr) -> bool {
        let (f, g) = (f.unparenthesised(), g.unparenthesised());
        match (self.one.global(f), self.other.global(g)) {
            (Some(f), Some(g)) => return f == g,
            (None, None) => {}
            _ => return false,
        }
        match (f, g) {
            (Expr::Attribute { base: x, name: f }, Expr::Attribute { base: y, name: g }) => {
                let module = self.module_of(x, MAX_STEPS);
                let same = f == g || module.is_some_and(|m| self.twins.are_same(m, f, g));
                same && self.same(x, y)
            }
            (f, g) => self.same(f, g),
        }
    }

    /// The module that an expression of the span's own method stands for.
    fn module_of(&self, expression: &'a Expr, steps: usize) -> Option<ModuleId> {
        let steps = steps.checked_sub(1)?;
        let (behind, None) = self.one.behind(expression) else {
            return None;
        };
        if let Expr::Name(name) = behind {
            return (self.one.receiver() == Some(name.as_str())).then_some(self.module);
        }
        let (base, name) = behind.as_attribute()?;
        let base = self.module_of(base, steps)?;
        self.network.modules.child(base, name)
    }
}
