//! Source text to syntax tree. Depth is bounded, so that hostile nesting gives an error and does not overflow the
//! stack, here or where the tree is walked, printed or dropped.

mod expressions;
mod lexer;

use super::ast::{Assign, Class, Expr, File, Function, Item, Member, Param, Stmt};
use lexer::{Spanned, Token, lex};

/// Brackets and blocks may nest this deep, and an expression's tree may be this high. libtorch's printer stays
/// below 20.
const MAX_DEPTH: usize = 128;

/// Names, numbers, texts and signs that all source files of a network may have together. A syntax tree takes a hundred
/// times the memory of the shortest text it can be read from; the largest published networks have a tenth of this.
pub(super) const MAX_TOKENS: usize = 1 << 20;

/// Why a source text is not TorchScript; line and column count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

type Parse<T> = Result<T, ParseError>;

/// Parses one source file.
///
/// # Errors
/// The first place where `text` is not TorchScript as libtorch prints it.
pub fn parse(text: &str) -> Result<File, ParseError> {
    let mut left = MAX_TOKENS;
    Ok(parse_within(text, &mut left)?.0)
}

/// The methods of the only class in a text.
///
/// # Errors
/// Those of [`parse`].
pub fn methods_of(text: &str) -> Result<Vec<Function>, ParseError> {
    let items = parse(text)?.items.into_iter();
    let members = items.flat_map(|item| match item {
        Item::Class(class) => class.members,
        _ => Vec::new(),
    });
    let methods = members.filter_map(|member| match member {
        Member::Method(method) => Some(method),
        _ => None,
    });
    Ok(methods.collect())
}

/// The same as [`parse`], for as many tokens as are left, of which it takes its own; and the line of each call, by its
/// number.
pub(super) fn parse_within(text: &str, left: &mut usize) -> Result<(File, Vec<u32>), ParseError> {
    let tokens = lex(text, *left)?;
    *left = left.saturating_sub(tokens.len());
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        height: 0,
        calls: Vec::new(),
    };
    let mut items = Vec::new();
    while parser.peek() != Token::End {
        items.push(parser.item()?);
    }
    Ok((File { items }, parser.calls))
}

struct Parser<'t, 'a> {
    tokens: &'t [Spanned<'a>],
    at: usize,
    depth: usize,
    /// The height of the tree of the last expression, or of the highest tree among the entries of the last bracket.
    height: usize,
    /// The line of each call so far.
    calls: Vec<u32>,
}

impl<'a> Parser<'_, 'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).map_or(Token::End, |s| s.token)
    }

    /// The line of what was read last.
    fn line(&self) -> u32 {
        let last = self.tokens.get(self.at.saturating_sub(1));
        last.map_or(0, |s| u32::try_from(s.line).unwrap_or(u32::MAX))
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn error<T>(&self, message: impl Into<String>) -> Parse<T> {
        let place = self.tokens.get(self.at).or(self.tokens.last());
        let (line, column) = place.map_or((1, 1), |s| (s.line, s.column));
        Err(ParseError {
            line,
            column,
            message: message.into(),
        })
    }

    fn unexpected<T>(&self, expected: &str) -> Parse<T> {
        let found = match self.peek() {
            Token::Name(t) | Token::Number(t) | Token::Str(t) => format!("`{t}`"),
            Token::Punct(p) => format!("`{p}`"),
            Token::Newline => "the line's end".into(),
            Token::Indent => "deeper indentation".into(),
            Token::Dedent => "the block's end".into(),
            Token::End => "the file's end".into(),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    fn accept(&mut self, token: Token<'_>) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn accept_punct(&mut self, punct: &'static str) -> bool {
        self.accept(Token::Punct(punct))
    }

    fn accept_word(&mut self, word: &str) -> bool {
        self.accept(Token::Name(word))
    }

    fn expect_punct(&mut self, punct: &'static str) -> Parse<()> {
        if self.accept_punct(punct) {
            Ok(())
        } else {
            self.unexpected(&format!("`{punct}`"))
        }
    }

    fn expect_newline(&mut self) -> Parse<()> {
        if self.accept(Token::Newline) {
            Ok(())
        } else {
            self.unexpected("the line's end")
        }
    }

    fn name(&mut self) -> Parse<String> {
        match self.peek() {
            Token::Name(name) => {
                self.at += 1;
                Ok(name.to_owned())
            }
            _ => self.unexpected("a name"),
        }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        if self.depth == MAX_DEPTH {
            return self.too_deep();
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Puts a node above subtrees of this height. A chain `a.b.c.d` or `a + b + c` makes a high tree without any
    /// recursion here.
    fn grow(&mut self, subtrees: usize) -> Parse<()> {
        if subtrees == MAX_DEPTH {
            return self.too_deep();
        }
        self.height = subtrees + 1;
        Ok(())
    }

    fn too_deep<T>(&self) -> Parse<T> {
        self.error(format!("nested more than {MAX_DEPTH} levels deep"))
    }

    fn item(&mut self) -> Parse<Item> {
        match self.peek() {
            Token::Name("class") => Ok(Item::Class(self.class()?)),
            Token::Name("def") => Ok(Item::Function(self.function()?)),
            Token::Name(_)
                if self
                    .tokens
                    .get(self.at + 1)
                    .is_some_and(|s| s.token == Token::Punct("=")) =>
            {
                Ok(Item::Statement(self.simple_statement()?))
            }
            _ => self.unexpected("`class`, `def` or an assignment"),
        }
    }

    fn class(&mut self) -> Parse<Class> {
        self.next();
        let name = self.name()?;
        let base = if self.accept_punct("(") {
            let base = self.name()?;
            self.expect_punct(")")?;
            Some(base)
        } else {
            None
        };
        let members = self.block(Self::member)?;
        Ok(Class {
            name,
            base,
            members,
        })
    }

    fn member(&mut self) -> Parse<Member> {
        match self.peek() {
            Token::Name("def") => Ok(Member::Method(self.function()?)),
            Token::Name("pass") => {
                self.next();
                self.expect_newline()?;
                Ok(Member::Pass)
            }
            _ => match self.simple_statement()? {
                Stmt::Assign(assign) => Ok(Member::Field(assign)),
                _ => self.error("a class holds fields and methods only"),
            },
        }
    }

    fn function(&mut self) -> Parse<Function> {
        self.next();
        let name = self.name()?;
        self.expect_punct("(")?;
        let mut params = Vec::new();
        while !self.accept_punct(")") {
            params.push(self.param()?);
            if !self.accept_punct(",") && self.peek() != Token::Punct(")") {
                return self.unexpected("`,` or `)`");
            }
        }
        let returns = if self.accept_punct("->") {
            Some(self.expression()?)
        } else {
            None
        };
        let body = self.block(Self::statement)?;
        Ok(Function {
            name,
            params,
            returns,
            body,
        })
    }

    fn param(&mut self) -> Parse<Param> {
        let name = self.name()?;
        let annotation = if self.accept_punct(":") {
            Some(self.expression()?)
        } else {
            None
        };
        let default = if self.accept_punct("=") {
            Some(self.expression()?)
        } else {
            None
        };
        Ok(Param {
            name,
            annotation,
            default,
        })
    }

    /// `:` newline, indented entries.
    fn block<T>(&mut self, mut entry: impl FnMut(&mut Self) -> Parse<T>) -> Parse<Vec<T>> {
        self.expect_punct(":")?;
        self.expect_newline()?;
        if !self.accept(Token::Indent) {
            return self.unexpected("an indented block");
        }
        self.nested(|p| {
            let mut entries = Vec::new();
            while !p.accept(Token::Dedent) {
                entries.push(entry(p)?);
            }
            Ok(entries)
        })
    }

    fn statement(&mut self) -> Parse<Stmt> {
        match self.peek() {
            Token::Name("if") => {
                self.next();
                let condition = self.expression()?;
                let then = self.block(Self::statement)?;
                let otherwise = if self.accept_word("else") {
                    Some(self.block(Self::statement)?)
                } else {
                    None
                };
                Ok(Stmt::If {
                    condition,
                    then,
                    otherwise,
                })
            }
            Token::Name("while") => {
                self.next();
                let condition = self.expression()?;
                Ok(Stmt::While {
                    condition,
                    body: self.block(Self::statement)?,
                })
            }
            Token::Name("for") => {
                self.next();
                let (targets, _) = self.targets()?;
                if !self.accept_word("in") {
                    return self.unexpected("`in`");
                }
                let iterable = self.expression()?;
                Ok(Stmt::For {
                    targets,
                    iterable,
                    body: self.block(Self::statement)?,
                })
            }
            Token::Name("with") => {
                self.next();
                let mut items = vec![self.with_item()?];
                while self.accept_punct(",") {
                    items.push(self.with_item()?);
                }
                Ok(Stmt::With {
                    items,
                    body: self.block(Self::statement)?,
                })
            }
            Token::Name("def") => Ok(Stmt::Function(self.function()?)),
            _ => self.simple_statement(),
        }
    }

    fn with_item(&mut self) -> Parse<(Expr, Option<Expr>)> {
        let context = self.expression()?;
        let binding = if self.accept_word("as") {
            Some(self.postfix()?)
        } else {
            None
        };
        Ok((context, binding))
    }

    fn simple_statement(&mut self) -> Parse<Stmt> {
        let statement = match self.peek() {
            Token::Name("pass") => self.word(Stmt::Pass),
            Token::Name("break") => self.word(Stmt::Break),
            Token::Name("continue") => self.word(Stmt::Continue),
            Token::Name("return") => {
                self.next();
                let ends = self.peek() == Token::Newline;
                Stmt::Return(if ends { Vec::new() } else { self.values()? })
            }
            _ => self.assignment_or_expression()?,
        };
        self.expect_newline()?;
        Ok(statement)
    }

    /// Expressions without the trailing comma that would make a tuple of them: libtorch puts tuples in parentheses.
    fn values(&mut self) -> Parse<Vec<Expr>> {
        match self.expressions()? {
            (values, false) => Ok(values),
            (_, true) => self.error("a tuple stands in parentheses"),
        }
    }

    fn word(&mut self, statement: Stmt) -> Stmt {
        self.next();
        statement
    }

    fn assignment_or_expression(&mut self) -> Parse<Stmt> {
        let start = self.at;
        let (mut first, trailing_comma) = self.expressions()?;
        let colon = self.tokens.get(self.at);
        let spaced_colon = colon.is_some_and(|s| s.spaced && s.token == Token::Punct(":"));
        let annotation = if self.accept_punct(":") {
            Some(self.expression()?)
        } else {
            None
        };
        let assigns = self.peek() == Token::Punct("=");
        if (assigns || annotation.is_some()) && !first.iter().all(is_target) {
            self.at = start;
            return self.error("cannot be assigned to: only variables, attributes and items can");
        }
        if self.accept_punct("=") {
            let values = self.values()?;
            return Ok(Stmt::Assign(Assign {
                targets: first,
                trailing_comma,
                annotation,
                spaced_colon,
                values,
            }));
        }
        match (annotation, first.pop()) {
            (None, Some(only)) if first.is_empty() && !trailing_comma => Ok(Stmt::Expr(only)),
            (Some(annotation), Some(only)) if first.is_empty() => Ok(Stmt::Assign(Assign {
                targets: vec![only],
                trailing_comma,
                annotation: Some(annotation),
                spaced_colon,
                values: Vec::new(),
            })),
            _ => self.unexpected("`=`"),
        }
    }
}

fn is_target(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Name(_) | Expr::Attribute { .. } | Expr::Index { .. }
    )
}
