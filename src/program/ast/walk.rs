//! What statements and expressions consist of, and walks through all of it.

use super::{Expr, Stmt};

impl Expr {
    /// The expressions directly inside this one.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Name(_) | Expr::Number(_) | Expr::Str(_) => Vec::new(),
            Expr::Attribute { base, .. } => vec![base],
            Expr::Call { callee, args, .. } => std::iter::once(&**callee)
                .chain(args.iter().map(|a| &a.value))
                .collect(),
            Expr::Index { base, args } => std::iter::once(&**base).chain(args).collect(),
            Expr::Slice(parts) => parts.iter().flatten().collect(),
            Expr::List { items, .. } | Expr::Tuple { items, .. } => items.iter().collect(),
            Expr::Dict(pairs) => pairs.iter().flat_map(|(k, v)| [k, v]).collect(),
            Expr::Paren(inner) => vec![inner],
            Expr::Unary { operand, .. } => vec![operand],
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::Conditional {
                then,
                condition,
                otherwise,
            } => vec![then, condition, otherwise],
        }
    }

    /// The children of two expressions, in pairs, if the expressions are the same but for their children. Two names
    /// count as the same.
    pub fn aligned<'a>(&'a self, other: &'a Expr) -> Option<Vec<(&'a Expr, &'a Expr)>> {
        let same = match (self, other) {
            (Expr::Name(_), Expr::Name(_)) => true,
            (Expr::Number(a), Expr::Number(b)) | (Expr::Str(a), Expr::Str(b)) => a == b,
            (Expr::Attribute { name: a, .. }, Expr::Attribute { name: b, .. }) => a == b,
            (Expr::Call { args: a, .. }, Expr::Call { args: b, .. }) => {
                a.iter().map(|a| &a.name).eq(b.iter().map(|b| &b.name))
            }
            (Expr::Unary { operator: a, .. }, Expr::Unary { operator: b, .. })
            | (Expr::Binary { operator: a, .. }, Expr::Binary { operator: b, .. }) => a == b,
            // A slice has no children for the parts that it leaves out, so these are compared here.
            (Expr::Slice(a), Expr::Slice(b)) => a
                .iter()
                .map(Option::is_some)
                .eq(b.iter().map(Option::is_some)),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        let (a, b) = (self.children(), other.children());
        (same && a.len() == b.len()).then(|| a.into_iter().zip(b).collect())
    }

    /// The expressions directly inside this one, to change them.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Name(_) | Expr::Number(_) | Expr::Str(_) => Vec::new(),
            Expr::Attribute { base, .. } => vec![base],
            Expr::Call { callee, args, .. } => std::iter::once(&mut **callee)
                .chain(args.iter_mut().map(|a| &mut a.value))
                .collect(),
            Expr::Index { base, args } => std::iter::once(&mut **base).chain(args).collect(),
            Expr::Slice(parts) => parts.iter_mut().flatten().collect(),
            Expr::List { items, .. } | Expr::Tuple { items, .. } => items.iter_mut().collect(),
            Expr::Dict(pairs) => pairs.iter_mut().flat_map(|(k, v)| [k, v]).collect(),
            Expr::Paren(inner) => vec![inner],
            Expr::Unary { operand, .. } => vec![operand],
            Expr::Binary { left, right, .. } => vec![left, right],
            Expr::Conditional {
                then,
                condition,
                otherwise,
            } => vec![then, condition, otherwise],
        }
    }

    /// Calls `visit` on this expression and on all below it, outermost first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Calls `change` on this expression and on all below it, innermost first.
    pub fn walk_mut(&mut self, change: &mut impl FnMut(&mut Expr)) {
        for child in self.children_mut() {
            child.walk_mut(change);
        }
        change(self);
    }
}

impl Stmt {
    /// The expressions that stand directly in this statement, targets of assignments included.
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Stmt::Assign(a) => a
                .targets
                .iter()
                .chain(&a.annotation)
                .chain(&a.values)
                .collect(),
            Stmt::Expr(e) => vec![e],
            Stmt::Return(values) => values.iter().collect(),
            Stmt::If { condition, .. } | Stmt::While { condition, .. } => vec![condition],
            Stmt::For {
                targets, iterable, ..
            } => targets.iter().chain([iterable]).collect(),
            Stmt::With { items, .. } => items
                .iter()
                .flat_map(|(e, b)| std::iter::once(e).chain(b))
                .collect(),
            Stmt::Function(_) | Stmt::Pass | Stmt::Break | Stmt::Continue => Vec::new(),
        }
    }

    /// The same, to change them.
    pub fn expressions_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Stmt::Assign(a) => a
                .targets
                .iter_mut()
                .chain(&mut a.annotation)
                .chain(&mut a.values)
                .collect(),
            Stmt::Expr(e) => vec![e],
            Stmt::Return(values) => values.iter_mut().collect(),
            Stmt::If { condition, .. } | Stmt::While { condition, .. } => vec![condition],
            Stmt::For {
                targets, iterable, ..
            } => targets.iter_mut().chain([iterable]).collect(),
            Stmt::With { items, .. } => items
                .iter_mut()
                .flat_map(|(e, b)| std::iter::once(e).chain(b))
                .collect(),
            Stmt::Function(_) | Stmt::Pass | Stmt::Break | Stmt::Continue => Vec::new(),
        }
    }

    /// What this statement binds: variables, most often.
    pub fn targets(&self) -> Vec<&Expr> {
        match self {
            Stmt::Assign(assign) => assign.targets.iter().collect(),
            Stmt::For { targets, .. } => targets.iter().collect(),
            Stmt::With { items, .. } => items.iter().filter_map(|(_, b)| b.as_ref()).collect(),
            _ => Vec::new(),
        }
    }

    /// The statement lists nested in this statement.
    pub fn blocks(&self) -> Vec<&Vec<Stmt>> {
        match self {
            Stmt::If {
                then, otherwise, ..
            } => std::iter::once(then).chain(otherwise).collect(),
            Stmt::While { body, .. } | Stmt::For { body, .. } | Stmt::With { body, .. } => {
                vec![body]
            }
            Stmt::Function(f) => vec![&f.body],
            _ => Vec::new(),
        }
    }

    /// The same, to change them.
    pub fn blocks_mut(&mut self) -> Vec<&mut Vec<Stmt>> {
        match self {
            Stmt::If {
                then, otherwise, ..
            } => std::iter::once(then).chain(otherwise).collect(),
            Stmt::While { body, .. } | Stmt::For { body, .. } | Stmt::With { body, .. } => {
                vec![body]
            }
            Stmt::Function(f) => vec![&mut f.body],
            _ => Vec::new(),
        }
    }
}

/// Calls `visit` on every expression below `statements`, nested statements included.
pub fn walk<'a>(statements: &'a [Stmt], visit: &mut impl FnMut(&'a Expr)) {
    for statement in statements {
        for expression in statement.expressions() {
            expression.walk(visit);
        }
        for block in statement.blocks() {
            walk(block, visit);
        }
    }
}

/// Calls `change` on every expression below `statements`, nested statements included, innermost first.
pub fn walk_mut(statements: &mut [Stmt], change: &mut impl FnMut(&mut Expr)) {
    for statement in statements {
        for expression in statement.expressions_mut() {
            expression.walk_mut(change);
        }
        for block in statement.blocks_mut() {
            walk_mut(block, change);
        }
    }
}
