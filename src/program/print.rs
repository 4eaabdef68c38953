//! Syntax tree to source text, in the very layout libtorch's printer uses: for a file libtorch wrote,
//! `print(parse(text)) == text`, character for character.

use std::fmt::{self, Write};

use super::ast::{Arg, Assign, Class, Expr, File, Function, Item, Member, Stmt};

/// Prints a whole file.
#[must_use]
pub fn print(file: &File) -> String {
    let mut out = Printer {
        text: String::new(),
        level: 0,
    };
    for item in &file.items {
        match item {
            Item::Class(class) => out.class(class),
            Item::Function(function) => out.function(function, PARAMETERS_ON_LINES),
            Item::Statement(statement) => out.statement(statement),
        }
    }
    out.text
}

/// Prints statements as they stand in a body `level` blocks deep (two blanks a level).
#[must_use]
pub fn print_statements(statements: &[Stmt], level: usize) -> String {
    let mut out = Printer {
        text: String::new(),
        level,
    };
    for statement in statements {
        out.statement(statement);
    }
    out.text
}

/// Parameters behind the first stand on lines of their own, four blanks in whatever the level.
const PARAMETERS_ON_LINES: &str = ",\n    ";

struct Printer {
    text: String,
    level: usize,
}

impl Printer {
    fn line(&mut self, content: impl fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:width$}{content}", "", width = 2 * self.level);
    }

    fn class(&mut self, class: &Class) {
        match &class.base {
            Some(base) => self.line(format_args!("class {}({base}):", class.name)),
            None => self.line(format_args!("class {}:", class.name)),
        }
        // Interfaces have signatures only, and those on one line.
        let interface = class
            .base
            .as_deref()
            .is_some_and(|b| b.ends_with("Interface"));
        let between = if interface { ", " } else { PARAMETERS_ON_LINES };
        self.level += 1;
        for member in &class.members {
            match member {
                Member::Field(assign) => self.line(assign),
                Member::Method(function) => self.function(function, between),
                Member::Pass => self.line("pass"),
            }
        }
        self.level -= 1;
    }

    fn function(&mut self, function: &Function, between: &str) {
        let mut head = format!("def {}(", function.name);
        for (i, param) in function.params.iter().enumerate() {
            head.push_str(if i > 0 { between } else { "" });
            head.push_str(&param.name);
            if let Some(annotation) = &param.annotation {
                let _ = write!(head, ": {annotation}");
            }
            if let Some(default) = &param.default {
                let _ = write!(head, "={default}");
            }
        }
        head.push(')');
        if let Some(returns) = &function.returns {
            let _ = write!(head, " -> {returns}");
        }
        self.line(format_args!("{head}:"));
        self.block(&function.body);
    }

    fn block(&mut self, statements: &[Stmt]) {
        self.level += 1;
        for statement in statements {
            self.statement(statement);
        }
        self.level -= 1;
    }

    fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Assign(assign) => self.line(assign),
            Stmt::Expr(expression) => self.line(expression),
            Stmt::Return(values) if values.is_empty() => self.line("return"),
            Stmt::Return(values) => self.line(format_args!("return {}", Joined(values))),
            Stmt::If {
                condition,
                then,
                otherwise,
            } => {
                self.line(format_args!("if {condition}:"));
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.line("else:");
                    self.block(otherwise);
                }
            }
            Stmt::While { condition, body } => {
                self.line(format_args!("while {condition}:"));
                self.block(body);
            }
            Stmt::For {
                targets,
                iterable,
                body,
            } => {
                self.line(format_args!("for {} in {iterable}:", Joined(targets)));
                self.block(body);
            }
            Stmt::With { items, body } => {
                let items: Vec<String> = items
                    .iter()
                    .map(|(context, binding)| match binding {
                        Some(binding) => format!("{context} as {binding}"),
                        None => context.to_string(),
                    })
                    .collect();
                self.line(format_args!("with {}:", items.join(", ")));
                self.block(body);
            }
            Stmt::Function(function) => self.function(function, PARAMETERS_ON_LINES),
            Stmt::Pass => self.line("pass"),
            Stmt::Break => self.line("break"),
            Stmt::Continue => self.line("continue"),
        }
    }
}

/// Entries parted by `, `.
struct Joined<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, entry) in self.0.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Assign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            Joined(&self.targets),
            if self.trailing_comma { "," } else { "" }
        )?;
        if let Some(annotation) = &self.annotation {
            write!(
                f,
                "{}: {annotation}",
                if self.spaced_colon { " " } else { "" }
            )?;
        }
        if !self.values.is_empty() {
            write!(f, " = {}", Joined(&self.values))?;
        }
        Ok(())
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}={}", self.value),
            None => write!(f, "{}", self.value),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Name(text) | Expr::Number(text) | Expr::Str(text) => f.write_str(text),
            Expr::Attribute { base, name } => write!(f, "{base}.{name}"),
            Expr::Call {
                callee,
                args,
                trailing_comma,
                ..
            } => {
                write!(
                    f,
                    "{callee}({}{})",
                    Joined(args),
                    if *trailing_comma { ", " } else { "" }
                )
            }
            Expr::Index { base, args } => write!(f, "{base}[{}]", Joined(args)),
            Expr::Slice(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    f.write_str(if i > 0 { ":" } else { "" })?;
                    if let Some(part) = part {
                        write!(f, "{part}")?;
                    }
                }
                Ok(())
            }
            Expr::List {
                items,
                trailing_comma,
            } => {
                write!(
                    f,
                    "[{}{}]",
                    Joined(items),
                    if *trailing_comma { ", " } else { "" }
                )
            }
            // The only comma of a 1-tuple has no blank behind it.
            Expr::Tuple {
                items,
                trailing_comma,
            } => {
                write!(
                    f,
                    "({}{})",
                    Joined(items),
                    if *trailing_comma { "," } else { "" }
                )
            }
            Expr::Dict(pairs) => {
                f.write_str("{")?;
                for (i, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
            Expr::Paren(inner) => write!(f, "({inner})"),
            Expr::Unary { operator, operand } => write!(f, "{operator}{operand}"),
            Expr::Binary {
                operator,
                left,
                right,
            } => write!(f, "{left} {operator} {right}"),
            Expr::Conditional {
                then,
                condition,
                otherwise,
            } => write!(f, "{then} if {condition} else {otherwise}"),
        }
    }
}
