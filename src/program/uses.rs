//! Where the code of all methods speaks of modules and of what they hold, whether it ever runs or not.
//!
//! A class does not know where its objects hang, so it is read once for all of them: what its methods speak of is told
//! by paths from their own object on, `blocks.2` for `getattr(self.blocks, "2")`.

use std::collections::HashMap;

use super::ast::{Arg, Assign, CallId, Class, Expr, Function, Item, Stmt};
use super::{ModuleId, Network, Sources};

/// What a method does with a module or a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Usage<'a> {
    /// It calls a method of it.
    Called {
        method: &'a str,
        id: CallId,
        args: &'a [Arg],
    },
    /// It only binds it to a variable; uses of that variable are uses of their own.
    Named,
    /// It picks one of the modules in it by a number.
    Picked,
    /// It hands it on or computes with it; `within` is the call in which it does, if there is one.
    Read { within: Option<CallId> },
}

/// One place where a method speaks of something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Use<'a> {
    pub method: &'a str,
    pub usage: Usage<'a>,
}

/// What the methods of one class speak of: a tree of names.
#[derive(Debug, Default)]
struct ClassUses<'a> {
    nodes: Vec<Node<'a>>,
    /// What methods do with the constants that the code calls `CONSTANTS.cN`.
    constants: HashMap<usize, Vec<Use<'a>>>,
}

#[derive(Debug, Default)]
struct Node<'a> {
    children: HashMap<&'a str, usize>,
    uses: Vec<Use<'a>>,
}

/// The places where a network's code speaks of modules and tensors.
#[derive(Debug, Default)]
pub struct Uses<'a> {
    classes: HashMap<String, ClassUses<'a>>,
}

/// A place where code speaks of a module or a tensor, or of something near it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundUse<'a> {
    /// The module whose method it is.
    pub owner: ModuleId,
    pub method: &'a str,
    pub usage: Usage<'a>,
    pub target: Target,
}

/// What the code speaks of, as seen from the module or tensor that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Itself,
    /// A module or a tensor inside it.
    Inside,
    /// The module that holds it.
    Holder,
    /// A module around its holder.
    Around,
}

impl<'a> Uses<'a> {
    /// Reads all classes.
    #[must_use]
    pub fn of(sources: &'a Sources) -> Self {
        let mut classes = HashMap::new();
        for (module, file) in sources.files() {
            for item in &file.items {
                if let Item::Class(class) = item {
                    let name = format!("{module}.{}", class.name);
                    classes.entry(name).or_insert_with(|| ClassUses::of(class));
                }
            }
        }
        Uses { classes }
    }

    /// Every place in the methods of a class that speaks of a constant.
    #[must_use]
    pub fn of_constant(&self, class: &str, number: usize) -> &[Use<'a>] {
        let class = self.classes.get(class);
        let uses = class.and_then(|class| class.constants.get(&number));
        uses.map(Vec::as_slice).unwrap_or_default()
    }

    /// Every place that speaks of attribute `name` of a module, outside of what hangs there itself. `class_of` tells
    /// the class of a module.
    #[must_use]
    pub fn of_attribute<'c>(
        &self,
        network: &Network,
        class_of: impl Fn(ModuleId) -> &'c str,
        owner: ModuleId,
        name: &str,
    ) -> Vec<FoundUse<'a>> {
        let mut found = Vec::new();
        // Names from the module at hand down to the attribute, in reverse.
        let mut names = vec![name.to_owned()];
        let mut at = Some(owner);
        while let Some(module) = at {
            if let Some(uses) = self.classes.get(class_of(module)) {
                uses.collect(module, &names, &mut found);
            }
            let inner = network.modules.get(module);
            at = inner.parent;
            names.push(inner.path.rsplit('.').next().unwrap_or_default().to_owned());
        }
        found
    }

    /// Whether any code calls this method of a module. `class_of` tells the class of a module.
    #[must_use]
    pub fn calls_method<'c>(
        &self,
        network: &Network,
        class_of: impl Fn(ModuleId) -> &'c str,
        module: ModuleId,
        method: &str,
    ) -> bool {
        let is_it = |found: &Use| matches!(found.usage, Usage::Called { method: called, .. } if called == method);
        // Names from the module at hand down to the one in question, in reverse.
        let mut names: Vec<&str> = Vec::new();
        let mut at = Some(module);
        while let Some(around) = at {
            let uses = self.classes.get(class_of(around));
            let node = uses.and_then(|uses| uses.at(&names));
            if node.is_some_and(|node| node.uses.iter().any(is_it)) {
                return true;
            }
            let inner = network.modules.get(around);
            at = inner.parent;
            names.push(inner.path.rsplit('.').next().unwrap_or_default());
        }
        false
    }
}

impl<'a> ClassUses<'a> {
    fn of(class: &'a Class) -> Self {
        let mut uses = ClassUses {
            nodes: vec![Node::default()],
            constants: HashMap::new(),
        };
        for method in class.methods() {
            if let Some(receiver) = method.params.first() {
                let mut reader = Reader {
                    uses: &mut uses,
                    method: &method.name,
                    bound: bindings(method),
                    modules: HashMap::from([(receiver.name.as_str(), 0)]),
                };
                reader.statements(&method.body);
            }
        }
        uses
    }

    fn child(&mut self, node: usize, name: &'a str) -> usize {
        if let Some(child) = self.nodes[node].children.get(name) {
            return *child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[node].children.insert(name, child);
        child
    }

    /// Where `names`, in reverse, lead.
    fn at(&self, names: &[&str]) -> Option<&Node<'a>> {
        let root = self.nodes.first()?;
        names.iter().rev().try_fold(root, |node, name| {
            self.nodes.get(*node.children.get(*name)?)
        })
    }

    /// Adds the uses of the attribute that `names`, in reverse, lead to.
    fn collect(&self, owner: ModuleId, names: &[String], found: &mut Vec<FoundUse<'a>>) {
        let mut add = |node: &Node<'a>, target: Target| {
            // A call of a module around it is followed in the code of that module.
            let around = matches!(target, Target::Holder | Target::Around);
            let counts =
                |u: &&Use| !around || !matches!(u.usage, Usage::Called { .. } | Usage::Named);
            let uses = node.uses.iter().filter(counts);
            found.extend(uses.map(|found| FoundUse {
                owner,
                method: found.method,
                usage: found.usage,
                target,
            }));
        };
        let mut node = &self.nodes[0];
        for (left, name) in names.iter().enumerate().rev() {
            let target = if left == 0 {
                Target::Holder
            } else {
                Target::Around
            };
            add(node, target);
            match node.children.get(name.as_str()) {
                Some(child) => node = &self.nodes[*child],
                None => return,
            }
        }
        add(node, Target::Itself);
        let mut open: Vec<usize> = node.children.values().copied().collect();
        while let Some(child) = open.pop() {
            let node = &self.nodes[child];
            add(node, Target::Inside);
            open.extend(node.children.values());
        }
    }
}

/// How often a method binds each variable.
fn bindings(method: &Function) -> HashMap<&str, usize> {
    fn count<'a>(statements: &'a [Stmt], bound: &mut HashMap<&'a str, usize>) {
        for statement in statements {
            if let Stmt::Function(function) = statement {
                for param in &function.params {
                    *bound.entry(&param.name).or_default() += 1;
                }
            }
            for target in statement.targets() {
                target.walk(&mut |part| {
                    if let Expr::Name(name) = part {
                        *bound.entry(name).or_default() += 1;
                    }
                });
            }
            for block in statement.blocks() {
                count(block, bound);
            }
        }
    }
    let mut bound = HashMap::new();
    for param in &method.params {
        *bound.entry(param.name.as_str()).or_default() += 1;
    }
    count(&method.body, &mut bound);
    bound
}

struct Reader<'s, 'a> {
    uses: &'s mut ClassUses<'a>,
    method: &'a str,
    bound: HashMap<&'a str, usize>,
    /// The variables that stand for what hangs at a place, as far as they were met.
    modules: HashMap<&'a str, usize>,
}

impl<'a> Reader<'_, 'a> {
    fn statements(&mut self, statements: &'a [Stmt]) {
        for statement in statements {
            match statement {
                Stmt::Assign(assign) => self.assign(assign),
                other => {
                    for expression in other.expressions() {
                        self.expression(expression, None);
                    }
                }
            }
            for block in statement.blocks() {
                self.statements(block);
            }
        }
    }

    /// A variable that is bound once is another name for what it is bound to.
    fn assign(&mut self, assign: &'a Assign) {
        if let ([Expr::Name(name)], [value]) = (assign.targets.as_slice(), assign.values.as_slice())
            && self.bound.get(name.as_str()) == Some(&1)
            && let Some(node) = self.place(value)
        {
            self.modules.insert(name, node);
            return self.note(node, Usage::Named);
        }
        for target in &assign.targets {
            if !matches!(target, Expr::Name(_)) {
                self.expression(target, None);
            }
        }
        for value in &assign.values {
            self.expression(value, None);
        }
    }

    /// The place an expression stands for.
    fn place(&mut self, expression: &'a Expr) -> Option<usize> {
        let expression = expression.unparenthesised();
        if let Expr::Name(name) = expression {
            return self.modules.get(name.as_str()).copied();
        }
        let (base, name) = expression.as_attribute()?;
        let base = self.place(base)?;
        Some(self.uses.child(base, name))
    }

    fn note(&mut self, node: usize, usage: Usage<'a>) {
        let method = self.method;
        self.uses.nodes[node].uses.push(Use { method, usage });
    }

    fn expression(&mut self, expression: &'a Expr, within: Option<CallId>) {
        if let Some(node) = self.place(expression) {
            return self.note(node, Usage::Read { within });
        }
        if let Some(number) = expression.constant_number() {
            let (method, usage) = (self.method, Usage::Read { within });
            let uses = self.uses.constants.entry(number).or_default();
            return uses.push(Use { method, usage });
        }
        match expression {
            Expr::Call {
                id, callee, args, ..
            } => {
                match callee.unparenthesised() {
                    Expr::Attribute { base, name } => match self.place(base) {
                        Some(node) => {
                            let (method, id) = (name.as_str(), *id);
                            self.note(node, Usage::Called { method, id, args });
                        }
                        None => self.expression(base, Some(*id)),
                    },
                    Expr::Name(_) => {}
                    other => self.expression(other, Some(*id)),
                }
                for arg in args {
                    self.expression(&arg.value, Some(*id));
                }
            }
            Expr::Index { base, args } => {
                match self.place(base) {
                    Some(node) => self.note(node, Usage::Picked),
                    None => self.expression(base, within),
                }
                for arg in args {
                    self.expression(arg, within);
                }
            }
            other => {
                for part in other.children() {
                    self.expression(part, within);
                }
            }
        }
    }
}
