//! Whose method a call is: sure only where libtorch can take the receiver for nothing but an object of one class.

use std::collections::{HashMap, HashSet};

use crate::program::Sources;
use crate::program::ast::{Class, Expr, Function, Item, Stmt};

/// Names that lead to one another are followed so far.
const MAX_STEPS: usize = 64;

/// The classes of an archive, by qualified name, but those of a name that two things have.
pub(super) struct Classes<'a> {
    known: HashMap<String, &'a Class>,
}

impl<'a> Classes<'a> {
    pub fn of(sources: &'a Sources) -> Self {
        let mut known = HashMap::new();
        let mut ambiguous = HashSet::new();
        for (module, file) in sources.files() {
            for item in &file.items {
                let (name, class) = match item {
                    Item::Class(class) => (&class.name, Some(class)),
                    Item::Function(function) => (&function.name, None),
                    Item::Statement(_) => continue,
                };
                let name = format!("{module}.{name}");
                if known.insert(name.clone(), class).is_some() {
                    ambiguous.insert(name);
                }
            }
        }
        let known = known
            .into_iter()
            .filter(|(name, _)| !ambiguous.contains(name));
        Classes {
            known: known
                .filter_map(|(name, class)| Some((name, class?)))
                .collect(),
        }
    }

    fn named(&self, name: &Expr) -> Option<&'a Class> {
        let class = self.known.get(&name.unparenthesised().dotted()?)?;
        // Others have no methods of their own.
        matches!(
            class.base.as_deref(),
            None | Some("Module" | "ModuleInterface" | "Interface")
        )
        .then_some(*class)
    }
}

/// What one variable is bound to.
enum Binding<'a> {
    Value(&'a Expr),
    Type(&'a Expr),
    /// The first parameter of a method.
    Receiver,
    /// In several places, or by something else.
    Unclear,
}

/// The variables of one function.
pub(super) struct Receivers<'a> {
    classes: &'a Classes<'a>,
    /// Whose method it is.
    class: Option<&'a Class>,
    bindings: HashMap<&'a str, Binding<'a>>,
}

impl<'a> Receivers<'a> {
    pub fn of(classes: &'a Classes<'a>, class: Option<&'a Class>, function: &'a Function) -> Self {
        let mut receivers = Receivers {
            classes,
            class,
            bindings: HashMap::new(),
        };
        for (i, param) in function.params.iter().enumerate() {
            let binding = match (&param.annotation, class) {
                (_, Some(_)) if i == 0 => Binding::Receiver,
                (Some(declared), _) => Binding::Type(declared),
                (None, _) => Binding::Unclear,
            };
            receivers.bind(&param.name, binding);
        }
        receivers.statements(&function.body);
        receivers
    }

    /// Whether an expression is sure to be an object of a class that has this method.
    pub fn have(&self, receiver: &Expr, method: &str) -> bool {
        self.class_of(receiver, MAX_STEPS)
            .is_some_and(|class| class.method(method).is_some())
    }

    fn bind(&mut self, name: &'a str, binding: Binding<'a>) {
        self.bindings
            .entry(name)
            .and_modify(|known| *known = Binding::Unclear)
            .or_insert(binding);
    }

    fn statements(&mut self, statements: &'a [Stmt]) {
        for statement in statements {
            let targets: Vec<&Expr> = match statement {
                Stmt::Assign(assign) => {
                    let (targets, values) = (assign.targets.as_slice(), assign.values.as_slice());
                    if let ([Expr::Name(name)], [value]) = (targets, values) {
                        let binding = assign.annotation.as_ref().map(Binding::Type);
                        self.bind(name, binding.unwrap_or(Binding::Value(value)));
                        continue;
                    }
                    assign.targets.iter().collect()
                }
                Stmt::For { targets, .. } => targets.iter().collect(),
                Stmt::With { items, .. } => items.iter().filter_map(|(_, n)| n.as_ref()).collect(),
                Stmt::Function(function) => {
                    self.bind(&function.name, Binding::Unclear);
                    for param in &function.params {
                        self.bind(&param.name, Binding::Unclear);
                    }
                    Vec::new()
                }
                _ => Vec::new(),
            };
            for target in targets {
                target.walk(&mut |part| {
                    if let Expr::Name(name) = part {
                        self.bind(name, Binding::Unclear);
                    }
                });
            }
            for block in statement.blocks() {
                self.statements(block);
            }
        }
    }

    fn class_of(&self, expression: &Expr, steps: usize) -> Option<&'a Class> {
        let steps = steps.checked_sub(1)?;
        match expression.unparenthesised() {
            Expr::Name(name) => match self.bindings.get(name.as_str())? {
                Binding::Value(value) => self.class_of(value, steps),
                Binding::Type(declared) => self.classes.named(declared),
                Binding::Receiver => self.class,
                Binding::Unclear => None,
            },
            Expr::Call { callee, .. } if self.is_constructor(callee) => self.classes.named(callee),
            other => {
                let (base, name) = other.as_attribute()?;
                let class = self.class_of(base, steps)?;
                let mut fields = class.fields().filter_map(|field| field.declares());
                let (_, declared) = fields.find(|(field, _)| *field == name)?;
                // Of two declarations it would not be known which one holds.
                let unique = fields.all(|(field, _)| field != name);
                unique.then(|| self.classes.named(declared))?
            }
        }
    }

    fn is_constructor(&self, callee: &Expr) -> bool {
        let name = callee.unparenthesised().dotted();
        name.is_some_and(|name| name.starts_with("__torch__."))
            && !self.bindings.contains_key("__torch__")
    }
}
