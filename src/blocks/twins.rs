//! Methods that differ only in the names of variables and methods: tracing writes a module's code once for each call,
//! as `forward`, `forward1`, …

use std::collections::HashMap;

use crate::program::ast::{Assign, Expr, Function, Stmt};
use crate::program::{ModuleId, Network};

/// How many parts of code are compared at most, over all comparisons.
const MAX_COMPARED: usize = 1 << 23;

pub(super) struct Twins<'a> {
    network: &'a Network,
    /// Results of earlier comparisons, by class and both methods.
    known: HashMap<(&'a str, String, String), bool>,
    left: usize,
}

impl<'a> Twins<'a> {
    pub fn of(network: &'a Network) -> Self {
        Twins {
            network,
            known: HashMap::new(),
            left: MAX_COMPARED,
        }
    }

    /// Counts parts of code that are compared; `false`: there were too many.
    pub fn count(&mut self, parts: usize) -> bool {
        let left = self.left.checked_sub(parts);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether two methods of a module are sure to compute the same.
    pub fn are_same(&mut self, module: ModuleId, one: &str, other: &str) -> bool {
        if one == other {
            return true;
        }
        let class = self.network.modules.get(module).class.as_str();
        let key = (class, one.to_owned(), other.to_owned());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        // A method that calls itself is not followed round and round.
        self.known.insert(key.clone(), false);
        let class = self.network.sources.class(class);
        let same = class
            .and_then(|class| Some((class.method(one)?, class.method(other)?)))
            .is_some_and(|(one, other)| Comparison::same(self, module, one, other));
        self.known.insert(key, same);
        same
    }
}

/// Two functions in lockstep.
struct Comparison<'t, 'a> {
    twins: &'t mut Twins<'a>,
    /// The other's name for each variable of the one.
    names: HashMap<&'a str, &'a str>,
    /// The modules that variables of the one stand for.
    modules: HashMap<&'a str, ModuleId>,
}

impl<'a> Comparison<'_, 'a> {
    fn same(
        twins: &mut Twins<'a>,
        module: ModuleId,
        one: &'a Function,
        other: &'a Function,
    ) -> bool {
        let mut comparison = Comparison {
            twins,
            names: HashMap::new(),
            modules: HashMap::new(),
        };
        // Both methods are of one class, so that the names of types mean the same.
        if one.params.len() != other.params.len() || one.returns != other.returns {
            return false;
        }
        for (a, b) in one.params.iter().zip(&other.params) {
            if a.annotation != b.annotation || a.default != b.default {
                return false;
            }
            comparison.names.insert(&a.name, &b.name);
        }
        if let Some(receiver) = one.params.first() {
            comparison.modules.insert(&receiver.name, module);
        }
        comparison.blocks(&one.body, &other.body)
    }

    fn blocks(&mut self, one: &'a [Stmt], other: &'a [Stmt]) -> bool {
        one.len() == other.len() && one.iter().zip(other).all(|(a, b)| self.statements(a, b))
    }

    fn statements(&mut self, one: &'a Stmt, other: &'a Stmt) -> bool {
        match (one, other) {
            (Stmt::Assign(a), Stmt::Assign(b)) => return self.assignments(a, b),
            (Stmt::For { targets: a, .. }, Stmt::For { targets: b, .. }) if !self.targets(a, b) => {
                return false;
            }
            (Stmt::With { .. } | Stmt::Function(_), _) => return false,
            _ => {}
        }
        std::mem::discriminant(one) == std::mem::discriminant(other)
            && self.all(&one.expressions(), &other.expressions())
            && {
                let (a, b) = (one.blocks(), other.blocks());
                a.len() == b.len() && a.into_iter().zip(b).all(|(a, b)| self.blocks(a, b))
            }
    }

    fn assignments(&mut self, one: &'a Assign, other: &'a Assign) -> bool {
        let values: (Vec<_>, Vec<_>) = (one.values.iter().collect(), other.values.iter().collect());
        if one.annotation != other.annotation || !self.all(&values.0, &values.1) {
            return false;
        }
        if let ([Expr::Name(name)], [value]) = (one.targets.as_slice(), one.values.as_slice()) {
            match self.module(value) {
                Some(module) => self.modules.insert(name, module),
                None => self.modules.remove(name.as_str()),
            };
        }
        self.targets(&one.targets, &other.targets)
    }

    /// Variables that are bound: from here on one stands for the other.
    fn targets(&mut self, one: &'a [Expr], other: &'a [Expr]) -> bool {
        one.len() == other.len()
            && one.iter().zip(other).all(|(a, b)| match (a, b) {
                (Expr::Name(a), Expr::Name(b)) => {
                    self.names.insert(a, b);
                    true
                }
                (a, b) => self.expressions(a, b),
            })
    }

    fn module(&self, expression: &Expr) -> Option<ModuleId> {
        match expression.unparenthesised() {
            Expr::Name(name) => self.modules.get(name.as_str()).copied(),
            other => {
                let (base, name) = other.as_attribute()?;
                let modules = &self.twins.network.modules;
                modules.child(self.module(base)?, name)
            }
        }
    }

    fn all(&mut self, one: &[&'a Expr], other: &[&'a Expr]) -> bool {
        one.len() == other.len() && one.iter().zip(other).all(|(a, b)| self.expressions(a, b))
    }

    fn expressions(&mut self, one: &'a Expr, other: &'a Expr) -> bool {
        let (one, other) = (one.unparenthesised(), other.unparenthesised());
        if !self.twins.count(1) {
            return false;
        }
        if let (Expr::Name(a), Expr::Name(b)) = (one, other) {
            return self.names.get(a.as_str()).copied().unwrap_or(a) == b;
        }
        let is_call = matches!(one, Expr::Call { .. });
        one.aligned(other).is_some_and(|parts| {
            parts.into_iter().enumerate().all(|(i, (a, b))| match i {
                0 if is_call => self.callees(a, b),
                _ => self.expressions(a, b),
            })
        })
    }

    fn callees(&mut self, one: &'a Expr, other: &'a Expr) -> bool {
        match (one.unparenthesised(), other.unparenthesised()) {
            (Expr::Attribute { base: a, name: f }, Expr::Attribute { base: b, name: g }) => {
                let same = f == g
                    || self
                        .module(a)
                        .is_some_and(|module| self.twins.are_same(module, f, g));
                same && self.expressions(a, b)
            }
            (a, b) => self.expressions(a, b),
        }
    }
}
