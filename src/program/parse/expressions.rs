//! Expressions, by precedence.

use super::lexer::Token;
use super::{Parse, Parser};
use crate::program::ast::{Arg, CallId, Expr};

impl Parser<'_, '_> {
    /// One expression or more, parted by commas; whether a comma stood behind the last.
    pub(super) fn expressions(&mut self) -> Parse<(Vec<Expr>, bool)> {
        let mut list = vec![self.expression()?];
        while self.accept_punct(",") {
            if matches!(self.peek(), Token::Punct("=") | Token::Newline) {
                return Ok((list, true));
            }
            list.push(self.expression()?);
        }
        Ok((list, false))
    }

    /// Loop variables: names only, so that `in` is not read as an operator.
    pub(super) fn targets(&mut self) -> Parse<(Vec<Expr>, bool)> {
        let mut list = vec![self.postfix()?];
        while self.accept_punct(",") {
            list.push(self.postfix()?);
        }
        Ok((list, false))
    }

    pub(super) fn expression(&mut self) -> Parse<Expr> {
        self.nested(|p| {
            let then = p.binary(0)?;
            if !p.accept_word("if") {
                return Ok(then);
            }
            let mut height = p.height;
            let condition = p.binary(0)?;
            height = height.max(p.height);
            if !p.accept_word("else") {
                return p.unexpected("`else`");
            }
            let otherwise = p.expression()?;
            p.grow(height.max(p.height))?;
            Ok(Expr::Conditional {
                then: Box::new(then),
                condition: Box::new(condition),
                otherwise: Box::new(otherwise),
            })
        })
    }

    /// Binary operators by precedence climbing; all of them bind to the left here.
    pub(super) fn binary(&mut self, lowest: u8) -> Parse<Expr> {
        let mut left = self.unary()?;
        while let Some((operator, precedence, words)) = self.binary_operator() {
            if precedence < lowest {
                break;
            }
            self.at += words;
            let height = self.height;
            let right = self.nested(|p| p.binary(precedence + 1))?;
            self.grow(height.max(self.height))?;
            left = Expr::Binary {
                operator,
                left: Box::new(left),
                right: Box::new(right),
            };
        }
        Ok(left)
    }

    /// The operator at this place, its precedence and how many tokens it has.
    pub(super) fn binary_operator(&self) -> Option<(&'static str, u8, usize)> {
        let second = self.tokens.get(self.at + 1).map(|s| s.token);
        Some(match self.peek() {
            Token::Name("or") => ("or", 0, 1),
            Token::Name("and") => ("and", 1, 1),
            Token::Name("is") if second == Some(Token::Name("not")) => ("is not", 3, 2),
            Token::Name("is") => ("is", 3, 1),
            Token::Name("not") if second == Some(Token::Name("in")) => ("not in", 3, 2),
            Token::Name("in") => ("in", 3, 1),
            Token::Punct(p) => match p {
                "==" | "!=" | "<" | "<=" | ">" | ">=" => (p, 3, 1),
                "|" => (p, 4, 1),
                "^" => (p, 5, 1),
                "&" => (p, 6, 1),
                "<<" | ">>" => (p, 7, 1),
                "+" | "-" => (p, 8, 1),
                "*" | "/" | "//" | "%" | "@" => (p, 9, 1),
                "**" => (p, 11, 1),
                _ => return None,
            },
            _ => return None,
        })
    }

    pub(super) fn unary(&mut self) -> Parse<Expr> {
        let operator = match self.peek() {
            Token::Punct("-") => "-",
            Token::Punct("~") => "~",
            Token::Name("not") => "not ",
            _ => return self.postfix(),
        };
        self.next();
        // `not` binds looser than comparisons, the signs tighter than products.
        let precedence = if operator == "not " { 3 } else { 10 };
        let operand = self.nested(|p| p.binary(precedence))?;
        self.grow(self.height)?;
        Ok(Expr::Unary {
            operator,
            operand: Box::new(operand),
        })
    }

    pub(super) fn postfix(&mut self) -> Parse<Expr> {
        let mut expression = self.atom()?;
        loop {
            let height = self.height;
            let base = Box::new(expression);
            expression = if self.accept_punct(".") {
                if matches!(*base, Expr::Number(_)) {
                    return self.error("a number has no attributes");
                }
                Expr::Attribute {
                    base,
                    name: self.name()?,
                }
            } else if self.accept_punct("(") {
                let (args, trailing_comma) = self.separated(")", Self::arg)?;
                let id = CallId(self.calls.len() as u32);
                self.calls.push(self.line());
                Expr::Call {
                    id,
                    callee: base,
                    args,
                    trailing_comma,
                }
            } else if self.accept_punct("[") {
                let (args, trailing_comma) = self.separated("]", Self::subscript)?;
                if trailing_comma {
                    return self.error("a tuple stands in parentheses");
                }
                Expr::Index { base, args }
            } else {
                return Ok(*base);
            };
            self.grow(height.max(self.height))?;
        }
    }

    pub(super) fn arg(&mut self) -> Parse<Arg> {
        let value = self.expression()?;
        match value {
            Expr::Name(name) if self.accept_punct("=") => Ok(Arg {
                name: Some(name),
                value: self.expression()?,
            }),
            value => Ok(Arg { name: None, value }),
        }
    }

    pub(super) fn subscript(&mut self) -> Parse<Expr> {
        let mut parts = vec![self.slice_part()?];
        let mut height = self.height;
        while self.accept_punct(":") {
            parts.push(self.slice_part()?);
            height = height.max(self.height);
        }
        match (parts.len(), parts.pop().flatten()) {
            (1, Some(only)) => Ok(only),
            (1, None) => self.unexpected("an index"),
            (_, last) => {
                parts.push(last);
                self.grow(height)?;
                Ok(Expr::Slice(parts))
            }
        }
    }

    pub(super) fn slice_part(&mut self) -> Parse<Option<Expr>> {
        if matches!(self.peek(), Token::Punct(":" | "]" | ",")) {
            self.height = 0;
            return Ok(None);
        }
        self.expression().map(Some)
    }

    /// Entries parted by commas up to `close`; whether a comma stood before `close`.
    pub(super) fn separated<T>(
        &mut self,
        close: &'static str,
        mut entry: impl FnMut(&mut Self) -> Parse<T>,
    ) -> Parse<(Vec<T>, bool)> {
        let mut entries = Vec::new();
        let mut trailing_comma = false;
        let mut height = 0;
        while !self.accept_punct(close) {
            entries.push(entry(self)?);
            height = height.max(self.height);
            trailing_comma = self.accept_punct(",");
            if !trailing_comma && self.peek() != Token::Punct(close) {
                return self.unexpected(&format!("`,` or `{close}`"));
            }
        }
        self.height = height;
        Ok((entries, trailing_comma))
    }

    pub(super) fn atom(&mut self) -> Parse<Expr> {
        self.height = 0;
        match self.peek() {
            Token::Name(word) if is_reserved(word) => self.unexpected("an expression"),
            Token::Name(name) => {
                self.next();
                Ok(Expr::Name(name.to_owned()))
            }
            Token::Number(text) => {
                self.next();
                Ok(Expr::Number(text.to_owned()))
            }
            Token::Str(text) => {
                self.next();
                Ok(Expr::Str(text.to_owned()))
            }
            Token::Punct("[") => {
                self.next();
                let (items, trailing_comma) = self.separated("]", Self::expression)?;
                self.grow(self.height)?;
                Ok(Expr::List {
                    items,
                    trailing_comma,
                })
            }
            Token::Punct("(") => {
                self.next();
                let (mut items, trailing_comma) = self.separated(")", Self::expression)?;
                self.grow(self.height)?;
                match items.pop() {
                    Some(only) if items.is_empty() && !trailing_comma => {
                        Ok(Expr::Paren(Box::new(only)))
                    }
                    last => {
                        items.extend(last);
                        Ok(Expr::Tuple {
                            items,
                            trailing_comma,
                        })
                    }
                }
            }
            Token::Punct("{") => {
                self.next();
                let (pairs, _) = self.separated("}", |p| {
                    let key = p.expression()?;
                    let height = p.height;
                    p.expect_punct(":")?;
                    let value = p.expression()?;
                    p.height = height.max(p.height);
                    Ok((key, value))
                })?;
                self.grow(self.height)?;
                Ok(Expr::Dict(pairs))
            }
            _ => self.unexpected("an expression"),
        }
    }
}

fn is_reserved(word: &str) -> bool {
    const RESERVED: &[&str] = &[
        "if", "else", "for", "while", "in", "is", "and", "or", "not", "def", "class", "return",
        "pass", "break", "continue", "with", "as",
    ];
    RESERVED.contains(&word)
}
