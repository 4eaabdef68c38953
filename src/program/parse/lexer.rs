//! Tokens of TorchScript source, with Python's indentation turned into [`Token::Indent`] and [`Token::Dedent`].

use super::ParseError;

/// One token. Literals keep their text: `0.10000000000000001` must come out of the printer as it went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// An identifier or a keyword.
    Name(&'a str),
    Number(&'a str),
    /// A string literal, quotes and escapes included.
    Str(&'a str),
    /// An operator or a bracket.
    Punct(&'static str),
    Newline,
    Indent,
    Dedent,
    End,
}

/// A token and where it starts, both counted from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spanned<'a> {
    pub token: Token<'a>,
    pub line: usize,
    pub column: usize,
    /// Whether a blank stands before it.
    pub spaced: bool,
}

/// Longest first, so that `->` is not read as `-`.
const PUNCTUATION: &[&str] = &[
    "->", "==", "!=", "<=", ">=", "//", "**", "<<", ">>", "(", ")", "[", "]", "{", "}", ",", ":",
    ".", "=", "-", "+", "*", "/", "%", "<", ">", "@", "&", "|", "^", "~",
];

/// Splits `text` into at most `limit` tokens.
///
/// # Errors
/// A tab in the indentation, a dedent to a level that was never opened, an unterminated string, a character that
/// starts no token, or a token too many.
pub(super) fn lex(text: &str, limit: usize) -> Result<Vec<Spanned<'_>>, ParseError> {
    Lexer {
        limit,
        text,
        at: 0,
        line: 1,
        line_start: 0,
        brackets: 0,
        levels: vec![0],
        tokens: Vec::new(),
    }
    .run()
}

struct Lexer<'a> {
    limit: usize,
    text: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
    /// Open brackets: inside them line ends do not count.
    brackets: usize,
    /// Widths of the open indentation levels, outermost first.
    levels: Vec<usize>,
    tokens: Vec<Spanned<'a>>,
}

impl<'a> Lexer<'a> {
    fn run(mut self) -> Result<Vec<Spanned<'a>>, ParseError> {
        while self.at < self.text.len() {
            if self.tokens.len() > self.limit {
                return Err(self.error("more source code than any network has"));
            }
            if self.at == self.line_start && self.brackets == 0 {
                self.indentation()?;
            } else {
                self.token()?;
            }
        }
        if !matches!(
            self.tokens.last(),
            None | Some(Spanned {
                token: Token::Newline | Token::Dedent,
                ..
            })
        ) {
            self.push(Token::Newline);
        }
        for _ in 1..self.levels.len() {
            self.push(Token::Dedent);
        }
        self.push(Token::End);
        Ok(self.tokens)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, token: Token<'a>) {
        let spaced = self.text[..self.at].ends_with(' ');
        self.tokens.push(Spanned {
            token,
            line: self.line,
            column: self.at - self.line_start + 1,
            spaced,
        });
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError {
            line: self.line,
            column: self.at - self.line_start + 1,
            message: message.into(),
        }
    }

    /// Reads the blanks at a line's start and opens or closes levels. Blank lines and comments have no level.
    fn indentation(&mut self) -> Result<(), ParseError> {
        let width = self.rest().len() - self.rest().trim_start_matches(' ').len();
        self.at += width;
        match self.rest().bytes().next() {
            None => return Ok(()),
            Some(b'\n' | b'\r') => return self.line_end(),
            Some(b'#') => {
                self.skip_comment();
                return self.line_end();
            }
            Some(b'\t') => {
                return Err(self
                    .error("a tab in the indentation: TorchScript source is indented by spaces"));
            }
            Some(_) => {}
        }
        let current = *self.levels.last().unwrap_or(&0);
        if width > current {
            self.levels.push(width);
            self.push(Token::Indent);
        }
        while width < *self.levels.last().unwrap_or(&0) {
            self.levels.pop();
            self.push(Token::Dedent);
        }
        if width != *self.levels.last().unwrap_or(&0) {
            return Err(self.error("this line's indentation matches no open block"));
        }
        self.token()
    }

    fn line_end(&mut self) -> Result<(), ParseError> {
        self.at += self.rest().len() - self.rest().trim_start_matches('\r').len();
        match self.rest().bytes().next() {
            Some(b'\n') => {
                self.at += 1;
                self.line += 1;
                self.line_start = self.at;
                Ok(())
            }
            None => Ok(()),
            Some(_) => Err(self.error("a carriage return inside a line")),
        }
    }

    fn skip_comment(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    fn token(&mut self) -> Result<(), ParseError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(());
        };
        match first {
            ' ' => self.at += 1,
            '#' => self.skip_comment(),
            '\n' | '\r' => {
                if self.brackets == 0 {
                    self.push(Token::Newline);
                }
                self.line_end()?;
            }
            '"' | '\'' => self.string(first)?,
            c if c.is_ascii_digit() => self.number()?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number()?,
            c if c == '_' || c.is_alphabetic() => {
                let end = rest
                    .find(|c: char| !(c == '_' || c.is_alphanumeric()))
                    .unwrap_or(rest.len());
                self.take(Token::Name(&rest[..end]), end);
            }
            _ => self.punctuation()?,
        }
        Ok(())
    }

    fn take(&mut self, token: Token<'a>, length: usize) {
        self.push(token);
        self.at += length;
    }

    fn string(&mut self, quote: char) -> Result<(), ParseError> {
        let rest = self.rest();
        let mut escaped = false;
        for (i, c) in rest.char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.take(Token::Str(&rest[..=i]), i + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(self.error("a string that is not closed on its line"))
    }

    /// A real number, or a complex one in one word: `1.-2.5j`.
    fn number(&mut self) -> Result<(), ParseError> {
        let rest = self.rest();
        let real = number_length(rest);
        let imaginary = match rest[real..].strip_prefix(['+', '-']) {
            Some(tail) => 1 + number_length(tail),
            None => 0,
        };
        let is_complex = imaginary > 1 && rest[real + imaginary..].starts_with('j');
        let end = if is_complex { real + imaginary } else { real };
        let end = end + usize::from(rest[end..].starts_with('j'));
        if rest[end..].starts_with(|c: char| c == '_' || c == '.' || c.is_alphanumeric()) {
            return Err(self.error("not a number, and names do not start with a digit"));
        }
        self.take(Token::Number(&rest[..end]), end);
        Ok(())
    }

    fn punctuation(&mut self) -> Result<(), ParseError> {
        let rest = self.rest();
        let Some(&punct) = PUNCTUATION.iter().find(|p| rest.starts_with(**p)) else {
            return Err(self.error(format!(
                "unexpected character {:?}",
                rest.chars().next().unwrap_or(' ')
            )));
        };
        match punct {
            "(" | "[" | "{" => self.brackets += 1,
            ")" | "]" | "}" => {
                self.brackets = self.brackets.checked_sub(1).ok_or_else(|| {
                    self.error(format!("{punct:?} closes a bracket that was never opened"))
                })?;
            }
            _ => {}
        }
        self.take(Token::Punct(punct), punct.len());
        Ok(())
    }
}

/// The length of `12`, `1.`, `.5`, `1.5e-05` at the text's start.
fn number_length(text: &str) -> usize {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut end = digits(text);
    if text[end..].starts_with('.') {
        end += 1 + digits(&text[end + 1..]);
    }
    if let Some(exponent) = text[end..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let power = digits(&exponent[sign..]);
        end += if power > 0 { 1 + sign + power } else { 0 };
    }
    end
}
