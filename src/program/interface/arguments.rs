//! Arguments of `forward` beside the images: each is given a constant, so that images are left.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::program::ast::{Assign, Expr, Function, Item, Param, Stmt};
use crate::program::parse::parse;

/// An argument of `forward`, and its constant: `step=500`, `size=[7, 7]`, `mask=None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Argument {
    name: String,
    /// A literal.
    value: String,
}

impl Argument {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same constant for an argument of another name.
    #[must_use]
    pub fn named(&self, name: String) -> Self {
        Argument {
            name,
            value: self.value.clone(),
        }
    }
}

impl FromStr for Argument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parted = text.split_once('=');
        let (name, value) = parted.ok_or("expected a name and a value, such as mode=1")?;
        let (name, value) = (name.trim(), value.trim());
        let assigned = match statement(&format!("{name} = {value}")) {
            Some(Stmt::Assign(assign)) => assign,
            _ => return Err(VALUES.into()),
        };
        let is_name = assigned.targets == [Expr::Name(name.to_owned())];
        match assigned.values.as_slice() {
            [literal] if is_name && is_literal(literal) => Ok(Argument {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(VALUES.into()),
        }
    }
}

const VALUES: &str =
    "a value is None, True, False, a number, a \"text\", or a list of such: [7, 7]";

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl TryFrom<String> for Argument {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Argument> for String {
    fn from(argument: Argument) -> Self {
        argument.to_string()
    }
}

/// What is wrong with the constants for a network's arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    #[error(
        "--argument: `forward` has no argument `{name}`; it has {}",
        listed(others)
    )]
    NoSuch { name: String, others: Vec<String> },
    #[error("--argument: `{name}` has to be of type {wanted}, which {value} is not")]
    OtherType {
        name: String,
        wanted: String,
        value: String,
    },
    #[error("--argument: the network has no `forward`")]
    NoForward,
}

impl ArgumentError {
    /// The same with the names that its reader knows.
    #[must_use]
    pub fn renamed(mut self, known: impl Fn(&str) -> String) -> Self {
        if let ArgumentError::NoSuch { name, others } = &mut self {
            others.iter_mut().for_each(|other| *other = known(other));
            *name = known(name);
        }
        if let ArgumentError::OtherType { name, .. } = &mut self {
            *name = known(name);
        }
        self
    }
}

/// The parameters that a method had before some were given constants.
#[derive(Clone, Debug)]
pub struct Parameters(Vec<Param>);

/// Lets `forward` take what is not named, and begin with the constants of what is. What it took before.
///
/// # Errors
/// If it has no such argument, or one of another type.
pub fn give(forward: &mut Function, arguments: &[Argument]) -> Result<Parameters, ArgumentError> {
    let before = forward.params.clone();
    let is_given = |param: &Param| arguments.iter().any(|given| given.name == param.name);
    forward.params.retain(|param| !is_given(param));
    let mut constants = Vec::new();
    for argument in arguments {
        let name = argument.name.clone();
        let mut params = before.iter().skip(1);
        let Some(param) = params.find(|param| param.name == name) else {
            let others = before.iter().skip(1);
            let others = others.map(|param| param.name.clone()).collect();
            return Err(ArgumentError::NoSuch { name, others });
        };
        let wanted = param.annotation.as_ref();
        let wanted = wanted.map_or_else(|| "Tensor".to_owned(), Expr::to_string);
        match constant(argument, &wanted) {
            Some(constant) => constants.push(constant),
            None => {
                let value = argument.value.clone();
                return Err(ArgumentError::OtherType {
                    name,
                    wanted,
                    value,
                });
            }
        }
    }
    forward.body.splice(0..0, constants);
    Ok(Parameters(before))
}

/// Undoes [`give`], whatever was changed behind the constants since then.
pub fn take_back(forward: &mut Function, arguments: &[Argument], before: &Parameters) {
    let is_given = |statement: &&Stmt| match statement {
        Stmt::Assign(Assign { targets, .. }) => match targets.as_slice() {
            [Expr::Name(name)] => arguments.iter().any(|given| given.name == *name),
            _ => false,
        },
        _ => false,
    };
    let body = forward.body.iter().take(arguments.len());
    let constants = body.take_while(is_given).count();
    forward.body.drain(..constants);
    forward.params.clone_from(&before.0);
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", "),
    }
}

/// What assigns its value to an argument of this type; `None` where the value has another one. What runs a network puts its
/// device in the place of that which code names.
fn constant(Argument { name, value }: &Argument, wanted: &str) -> Option<Stmt> {
    let inner = wanted.strip_prefix("Optional[");
    let inner = inner.and_then(|inner| inner.strip_suffix(']'));
    let number = value.strip_prefix('-').unwrap_or(value).trim();
    let is_whole = number.parse::<u64>().is_ok();
    let is_number = number.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let constant = match inner.unwrap_or(wanted) {
        _ if value == "None" => inner.map(|_| value.clone())?,
        "Tensor" => format!(
            "torch.tensor({value}, dtype=None, device=torch.device(\"cpu\"), requires_grad=False)"
        ),
        "int" if is_whole => value.clone(),
        "float" if is_whole => format!("{value}."),
        "float" if is_number => value.clone(),
        "bool" if matches!(value.as_str(), "True" | "False") => value.clone(),
        "str" if value.starts_with(['"', '\'']) => value.clone(),
        "int" | "float" | "bool" | "str" => return None,
        other => format!("annotate({other}, {value})"),
    };
    statement(&match inner {
        Some(_) => format!("{name} = annotate({wanted}, {constant})"),
        None => format!("{name} = {constant}"),
    })
}

/// The only statement in a text.
fn statement(text: &str) -> Option<Stmt> {
    let items = parse(&format!("{text}\n")).ok()?.items;
    match <[Item; 1]>::try_from(items) {
        Ok([Item::Statement(statement)]) => Some(statement),
        _ => None,
    }
}

fn is_literal(value: &Expr) -> bool {
    match value {
        Expr::Number(_) | Expr::Str(_) => true,
        Expr::Name(name) => matches!(name.as_str(), "None" | "True" | "False"),
        Expr::Unary { operator, operand } => {
            *operator == "-" && matches!(**operand, Expr::Number(_))
        }
        Expr::List { items, .. } => items.iter().all(is_literal),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_of_the_types_that_are_asked_for() {
        let constant = |text: &str, wanted: &str| {
            let found = constant(&text.parse().unwrap(), wanted)?;
            Some(crate::program::print_statements(&[found], 0))
        };
        for (text, wanted, expected) in [
            ("n=3", "int", "n = 3\n"),
            ("n=-3", "float", "n = -3.\n"),
            ("n=1e-3", "float", "n = 1e-3\n"),
            ("n=True", "bool", "n = True\n"),
            ("n=\"a\"", "str", "n = \"a\"\n"),
            (
                "n=None",
                "Optional[Tensor]",
                "n = annotate(Optional[Tensor], None)\n",
            ),
            (
                "n=2",
                "Optional[float]",
                "n = annotate(Optional[float], 2.)\n",
            ),
            ("n=[7, 7]", "List[int]", "n = annotate(List[int], [7, 7])\n"),
        ] {
            assert_eq!(
                constant(text, wanted).as_deref(),
                Some(expected),
                "{text}: {wanted}"
            );
        }
        let tensor = constant("n=[[1, 2.5]]", "Tensor").unwrap();
        assert!(
            tensor.starts_with("n = torch.tensor([[1, 2.5]], dtype=None"),
            "{tensor}"
        );
        for (text, wanted) in [
            ("n=1.5", "int"),
            ("n=None", "Tensor"),
            ("n=None", "float"),
            ("n=1", "bool"),
            ("n=1", "str"),
            ("n=1.5", "Optional[int]"),
        ] {
            assert_eq!(constant(text, wanted), None, "{text}: {wanted}");
        }
    }
}
