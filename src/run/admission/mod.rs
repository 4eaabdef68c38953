//! What libtorch may be given to run: code that calls its own functions and operators that compute, nothing else.
//!
//! TorchScript has operators that write files, map them, or start other processes. An archive that names one is refused
//! before libtorch sees a byte of it, whether the code would ever run or not. The check reads the syntax tree, so it
//! holds for every way to spell a call: what it does not understand it refuses.

#![forbid(unsafe_code)]

mod operators;
mod receivers;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::archive::{Archive, NetworkError, Node, Pickle};
use crate::program::Sources;
use crate::program::ast::{Arg, Class, Expr, Function, Item, Member, Stmt};
use receivers::{Classes, Receivers};

/// Why an archive is not given to libtorch.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It holds no network that can be read, so nobody knows what it would do.
    #[error(transparent)]
    Unreadable(#[from] NetworkError),
    /// Its code reaches for something that does more than compute.
    #[error(
        "the code calls {what} (in {place}), which is none of the operators that only compute, so the network is never \
         run; export it without that call"
    )]
    Call {
        /// The operator or function, as the code spells it.
        what: String,
        /// `module.Class.method` whose code it is.
        place: String,
    },
    /// It holds an object of a class that is built into libtorch and does more than compute.
    #[error(
        "the network holds an object of {class}, which is no class that only computes, so the network is never run; \
         export it without that object"
    )]
    Class {
        /// Its qualified name.
        class: String,
    },
}

/// Checks all code of an archive and the classes of its objects.
///
/// # Errors
/// The first thing that is not on the lists, or code that cannot be read.
pub fn admit(archive: &Archive) -> Result<(), Refused> {
    check(archive, &archive.network()?.sources)
}

/// The same for an archive whose code was read before.
///
/// # Errors
/// As [`admit`].
pub fn check(archive: &Archive, sources: &Sources) -> Result<(), Refused> {
    for pickle in [archive.data(), archive.constants()] {
        check_objects(pickle)?;
    }
    check_sources(sources)
}

/// Checks the code alone.
///
/// # Errors
/// The first call that is not on the lists.
pub fn check_sources(sources: &Sources) -> Result<(), Refused> {
    let methods: HashSet<&str> = sources
        .files()
        .flat_map(|(_, file)| &file.items)
        .flat_map(|item| match item {
            Item::Class(class) => class.methods().map(|m| m.name.as_str()).collect(),
            _ => Vec::new(),
        })
        .collect();
    let known = Known {
        methods,
        classes: Classes::of(sources),
    };
    for (module, file) in sources.files() {
        for item in &file.items {
            check_item(module, item, &known)?;
        }
    }
    Ok(())
}

/// What an archive defines itself.
struct Known<'a> {
    /// Names of all methods that its classes have.
    methods: HashSet<&'a str>,
    classes: Classes<'a>,
}

fn check_objects(pickle: &Pickle) -> Result<(), Refused> {
    for id in pickle.reachable() {
        if let Node::Global { module, name } = pickle.get(id) {
            let class = format!("{module}.{name}");
            if is_foreign_class(&class) {
                return Err(Refused::Class { class });
            }
        }
    }
    Ok(())
}

/// Whether this is, or begins with, the name of a class built into libtorch that is not on the list.
fn is_foreign_class(name: &str) -> bool {
    name.strip_prefix("__torch__.torch.classes.")
        .is_some_and(|class| {
            let mut parts = class.split('.');
            let class = (parts.next(), parts.next());
            !operators::CLASSES
                .iter()
                .any(|(folder, name)| class == (Some(folder), Some(name)))
        })
}

fn check_item<'a>(module: &str, item: &'a Item, known: &'a Known<'a>) -> Result<(), Refused> {
    let check = |function: &'a Function, class: Option<&'a Class>, place: String| {
        Checker {
            place: &place,
            known,
            code: Some((class, function)),
            receivers: OnceCell::new(),
            variables: variables(function),
            local_functions: local_functions(&function.body),
        }
        .function(function)
    };
    match item {
        Item::Function(function) => check(function, None, format!("{module}.{}", function.name)),
        Item::Statement(statement) => {
            loose(module, known).statements(std::slice::from_ref(statement))
        }
        Item::Class(definition) => {
            let class = format!("{module}.{}", definition.name);
            for member in &definition.members {
                match member {
                    Member::Method(function) => {
                        let place = format!("{class}.{}", function.name);
                        check(function, Some(definition), place)?;
                    }
                    Member::Field(field) => {
                        let field = Stmt::Assign(field.clone());
                        loose(&class, known).statements(std::slice::from_ref(&field))?;
                    }
                    Member::Pass => {}
                }
            }
            Ok(())
        }
    }
}

/// For statements outside functions.
fn loose<'p, 'a>(place: &'p str, known: &'a Known<'a>) -> Checker<'p, 'a> {
    Checker {
        place,
        known,
        code: None,
        receivers: OnceCell::new(),
        variables: HashMap::new(),
        local_functions: HashSet::new(),
    }
}

struct Checker<'p, 'a> {
    place: &'p str,
    known: &'a Known<'a>,
    /// The function whose code it is, and the class whose method that is.
    code: Option<(Option<&'a Class>, &'a Function)>,
    /// Made when it is first asked for.
    receivers: OnceCell<Receivers<'a>>,
    /// Names that stand for values here, whatever they mean elsewhere; and whether all they ever stand for is a function
    /// of the archive.
    variables: HashMap<&'a str, bool>,
    /// Functions defined in this one: what is handed to another thread.
    local_functions: HashSet<&'a str>,
}

impl<'a> Checker<'_, 'a> {
    fn refuse(&self, what: impl Into<String>) -> Result<(), Refused> {
        Err(Refused::Call {
            what: what.into(),
            place: self.place.to_owned(),
        })
    }

    fn function(&self, function: &Function) -> Result<(), Refused> {
        for param in &function.params {
            for expression in param.annotation.iter().chain(&param.default) {
                self.expression(expression)?;
            }
        }
        if let Some(returns) = &function.returns {
            self.expression(returns)?;
        }
        self.statements(&function.body)
    }

    fn statements(&self, statements: &[Stmt]) -> Result<(), Refused> {
        for statement in statements {
            for expression in statement.expressions() {
                self.expression(expression)?;
            }
            match statement {
                Stmt::Function(function) => self.function(function)?,
                _ => {
                    for block in statement.blocks() {
                        self.statements(block)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn expressions<'e>(
        &self,
        expressions: impl IntoIterator<Item = &'e Expr>,
    ) -> Result<(), Refused> {
        expressions.into_iter().try_for_each(|e| self.expression(e))
    }

    /// Depth is bounded: the parser refuses deep nesting.
    fn expression(&self, expression: &Expr) -> Result<(), Refused> {
        match expression {
            // A namespace that is no part of a full name could be given another name.
            Expr::Name(name) if NAMESPACES.contains(&name.as_str()) => self.refuse(name),
            Expr::Attribute { base, .. } => match expression.dotted() {
                Some(name) if is_qualified(&name) => self.qualified(&name),
                _ => self.expression(base),
            },
            Expr::Call { callee, args, .. } => self.call(callee, args),
            other => self.expressions(other.children()),
        }
    }

    /// A name such as `torch.conv2d`, `ops.quantized.add` or `__torch__.net.Block`.
    fn qualified(&self, name: &str) -> Result<(), Refused> {
        let parts: Vec<&str> = name.split('.').collect();
        let allowed = match parts.as_slice() {
            ["torch", operator] => operators::has("aten", operator),
            ["ops", namespace, operator] => operators::has(namespace, operator),
            ["__torch__", ..] => !is_foreign_class(name),
            _ => false,
        };
        if allowed { Ok(()) } else { self.refuse(name) }
    }

    fn call(&self, callee: &Expr, args: &[Arg]) -> Result<(), Refused> {
        let values = args.iter().map(|a| &a.value);
        match callee.unparenthesised() {
            Expr::Name(name) => {
                if !self.is_function(name) {
                    return self.refuse(name);
                }
                if let ("fork", [function, ..]) = (name.as_str(), args) {
                    self.forked(&function.value)?;
                }
                self.expressions(values)
            }
            attribute @ Expr::Attribute { base, name } => {
                match attribute.dotted() {
                    Some(full) if is_qualified(&full) => self.qualified(&full)?,
                    _ => {
                        // A value's method is one of its class, or the operator of that name.
                        if !operators::has("aten", name) && !self.is_method(base, name) {
                            return self.refuse(format!(".{name}()"));
                        }
                        self.expression(base)?;
                    }
                }
                self.expressions(values)
            }
            _ => self.refuse("the result of an expression"),
        }
    }

    /// Whether a call of a method that is no operator on the list is one of a method that was read.
    fn is_method(&self, receiver: &Expr, name: &str) -> bool {
        let own = self.known.methods.contains(name);
        if !operators::is_withheld(name) {
            return own || operators::METHODS.contains(&name);
        }
        let Some((class, function)) = self.code else {
            return false;
        };
        let receivers = || Receivers::of(&self.known.classes, class, function);
        own && self.receivers.get_or_init(receivers).have(receiver, name)
    }

    /// What another thread runs has to be a function whose body is read here.
    fn forked(&self, function: &Expr) -> Result<(), Refused> {
        match function {
            Expr::Name(name)
                if self.local_functions.contains(name.as_str())
                    && !self.variables.contains_key(name.as_str()) =>
            {
                Ok(())
            }
            _ => self.refuse("fork of something that is no function of its own"),
        }
    }

    /// Whether a bare name stands for a function that may be called. A variable may hold another one under the name of
    /// a built-in function.
    fn is_function(&self, name: &str) -> bool {
        match self.variables.get(name) {
            Some(is_function) => *is_function,
            None => operators::BUILTINS.contains(&name) && !self.local_functions.contains(name),
        }
    }
}

/// Where qualified names begin.
const NAMESPACES: [&str; 3] = ["torch", "ops", "__torch__"];

fn is_qualified(name: &str) -> bool {
    name.split_once('.')
        .is_some_and(|(root, _)| NAMESPACES.contains(&root))
}

/// Parameters and everything that is assigned or unpacked into, functions inside included; and whether that is a
/// function of the archive each time: `_0 = __torch__.torch.nn.functional.relu`.
fn variables(function: &Function) -> HashMap<&str, bool> {
    let mut names = HashMap::new();
    collect_parameters(function, &mut names);
    collect_variables(&function.body, &mut names);
    names
}

fn collect_parameters<'a>(function: &'a Function, names: &mut HashMap<&'a str, bool>) {
    names.extend(function.params.iter().map(|p| (p.name.as_str(), false)));
}

fn collect_variables<'a>(statements: &'a [Stmt], names: &mut HashMap<&'a str, bool>) {
    for statement in statements {
        let (targets, values): (Vec<&Expr>, &[Expr]) = match statement {
            Stmt::Assign(assign) => (assign.targets.iter().collect(), &assign.values),
            Stmt::For { targets, .. } => (targets.iter().collect(), &[]),
            Stmt::With { items, .. } => (
                items.iter().filter_map(|(_, name)| name.as_ref()).collect(),
                &[],
            ),
            Stmt::Function(function) => {
                collect_parameters(function, names);
                (Vec::new(), &[])
            }
            _ => (Vec::new(), &[]),
        };
        let named = |value: &Expr| value.dotted().is_some_and(|n| n.starts_with("__torch__."));
        let is_function = matches!((targets.as_slice(), values), ([_], [value]) if named(value));
        for target in targets {
            target.walk(&mut |expression| {
                if let Expr::Name(name) = expression {
                    *names.entry(name).or_insert(is_function) &= is_function;
                }
            });
        }
        for block in statement.blocks() {
            collect_variables(block, names);
        }
    }
}

fn local_functions(statements: &[Stmt]) -> HashSet<&str> {
    let mut found = HashSet::new();
    for statement in statements {
        if let Stmt::Function(function) = statement {
            found.insert(function.name.as_str());
        }
        for block in statement.blocks() {
            found.extend(local_functions(block));
        }
    }
    found
}
