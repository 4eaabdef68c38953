//! What the network computes.
pub mod ast;
mod lexer;
mod parse;
mod print;
pub use parse::{ParseError, parse};
pub use print::{print, print_statements};
