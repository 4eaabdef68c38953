//! Calls of the graph as lines of TorchScript.

use super::error::ExportedError;
use super::schema::{Argument, Device, Float, NamedArgument, Node, OptionalTensor, Symbol};
use crate::program::switch_of;

/// How the values of a graph are named in the code that is being written.
pub trait Names {
    fn of(&self, value: &str) -> Result<String, ExportedError>;
}

/// The variable of a value. Names of a graph may be words of the language; with these two letters in front they are not.
pub fn variable(value: &str) -> String {
    format!("v_{value}")
}

/// The value that a variable stands for.
pub fn value_of(variable: &str) -> Option<&str> {
    variable.strip_prefix("v_")
}

/// An attribute of an object.
pub fn member(object: &str, name: &str) -> String {
    match is_identifier(name) {
        true => format!("{object}.{name}"),
        false => format!("getattr({object}, \"{name}\")"),
    }
}

/// The attribute at a path below an object.
pub fn path_of(object: &str, path: &str) -> String {
    let parts = path.split('.').filter(|part| !part.is_empty());
    parts.fold(object.to_owned(), |object, part| member(&object, part))
}

/// Words that cannot be the name of an attribute in code.
const RESERVED: [&str; 24] = [
    "False", "None", "True", "and", "as", "assert", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "for", "if", "import", "in", "is", "lambda", "not", "or", "return",
    "while",
];

pub fn is_identifier(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(is_word) && !RESERVED.contains(&name)
}

/// Operators that check what the exporter assumed, and compute nothing.
pub fn is_check(target: &str) -> bool {
    const CHECKS: [&str; 5] = [
        "torch.ops.aten._assert_scalar.default",
        "torch.ops.aten._assert_tensor_metadata.default",
        "torch.ops.aten._assert_async.msg",
        "torch.ops.aten.sym_constrain_range.default",
        "torch.ops.aten.sym_constrain_range_for_size.default",
    ];
    CHECKS.contains(&target)
}

/// Python's operators on sizes, as TorchScript has them.
const ARITHMETIC: [(&str, &str); 16] = [
    ("add", "torch.add"),
    ("and_", "torch.__and__"),
    ("eq", "torch.eq"),
    ("floordiv", "torch.floordiv"),
    ("ge", "torch.ge"),
    ("gt", "torch.gt"),
    ("le", "torch.le"),
    ("lt", "torch.lt"),
    ("mod", "torch.remainder"),
    ("mul", "torch.mul"),
    ("ne", "torch.ne"),
    ("neg", "torch.neg"),
    ("or_", "torch.__or__"),
    ("pow", "torch.pow"),
    ("sub", "torch.sub"),
    ("truediv", "torch.div"),
];

/// What a node calls, in code.
fn callee(node: &Node) -> Result<(String, &str), ExportedError> {
    let target = node.target.as_str();
    let refused = |why| ExportedError::Operator {
        node: node.gives().next().unwrap_or("without a result").to_owned(),
        target: target.to_owned(),
        why,
    };
    if target == "torch.ops.aten.sym_size.int" {
        return Ok(("torch.size".into(), "size"));
    }
    if target.starts_with("torch.ops.higher_order") {
        return Err(ExportedError::HigherOrder {
            target: target.to_owned(),
        });
    }
    if let Some(name) = target.strip_prefix("_operator.") {
        let known = ARITHMETIC.iter().find(|(python, _)| *python == name);
        let (_, function) = known.ok_or_else(|| refused("no operator on sizes has this name"))?;
        return Ok(((*function).to_owned(), name));
    }
    let overload = target.strip_prefix("torch.ops.");
    let parts: Vec<&str> = overload.unwrap_or_default().split('.').collect();
    match parts[..] {
        // Of `view` one overload reads the bytes in another type; named alone it would be taken for a shape.
        ["aten", "view", "dtype"] => Err(refused("it gives bytes another type")),
        ["aten", name, _] if is_identifier(name) => Ok((format!("torch.{name}"), name)),
        [namespace, name, _] if is_identifier(namespace) && is_identifier(name) => {
            Ok((format!("ops.{namespace}.{name}"), name))
        }
        _ => Err(refused("this is no operator of a library")),
    }
}

/// A node as lines of code; none for what only checks.
pub fn lines(node: &Node, names: &impl Names) -> Result<Option<String>, ExportedError> {
    if is_check(&node.target) {
        return Ok(None);
    }
    let (callee, operator) = callee(node)?;
    let mut args = Vec::new();
    let switch = switch_of(&callee);
    for (place, input) in node.inputs.iter().enumerate() {
        args.push(argument(operator, input, Some(place) == switch, names)?);
    }
    let call = format!("{callee}({})", args.join(", "));
    let all = |names: Vec<&str>| -> String {
        names
            .into_iter()
            .map(|name| variable(name) + ", ")
            .collect()
    };
    Ok(Some(match &node.outputs[..] {
        [] | [Argument::None(_)] => call,
        [Argument::Tensors(_)] => format!("{}= {call}", all(node.gives().collect())),
        [one] => {
            let name = one.names().into_iter().next();
            let name = name.ok_or_else(|| odd(&node.target, "a result without a name"))?;
            format!("{} = {call}", variable(name))
        }
        several => {
            let targets = several.iter().enumerate().map(|(place, output)| {
                match output.names()[..] {
                    [name] => Ok(variable(name) + ", "),
                    // What nobody is given has no name.
                    [] => Ok(format!("_{place}, ")),
                    _ => Err(odd(&node.target, "a list among several results")),
                }
            });
            let targets: String = targets.collect::<Result<_, _>>()?;
            format!("{targets}= {call}")
        }
    }))
}

fn odd(target: &str, what: &str) -> ExportedError {
    ExportedError::Graph {
        detail: format!("{target} has {what}"),
    }
}

/// What a node gives an operator. A switch of training that an exporter in evaluation mode made a literal is the module's
/// again, so that the network can be trained.
fn argument(
    operator: &str,
    input: &NamedArgument,
    is_switch: bool,
    names: &impl Names,
) -> Result<String, ExportedError> {
    let text = match (operator, input.name.as_str()) {
        _ if is_switch && matches!(input.arg, Argument::Bool(false)) => "self.training".to_owned(),
        // It says what the machine had that exported.
        ("batch_norm", "cudnn_enabled") => "True".to_owned(),
        _ => literal(operator, &input.arg, names)?,
    };
    match input.kind {
        Some(2) if is_identifier(&input.name) => Ok(format!("{}={text}", input.name)),
        Some(2) => Err(odd(operator, "an argument with an odd name")),
        _ => Ok(text),
    }
}

/// Operators whose lists of tensors may have gaps.
const WITH_GAPS: [&str; 5] = [
    "_unsafe_index",
    "_unsafe_index_put",
    "index",
    "index_put",
    "index_put_",
];

fn literal(operator: &str, arg: &Argument, names: &impl Names) -> Result<String, ExportedError> {
    let refused = |what: &str| odd(operator, what);
    let optional = |tensor: &OptionalTensor| match tensor.name() {
        Some(name) => names.of(name),
        None => Ok("None".into()),
    };
    let symbol = |symbol: &Symbol| match symbol {
        Symbol::Name(name) => names.of(name),
        Symbol::Int(n) => Ok(n.to_string()),
        Symbol::Float(x) => float(x).ok_or_else(|| refused("a number that is none")),
        Symbol::Bool(b) => Ok(boolean(*b)),
    };
    let floats = |all: &[Float]| -> Result<Vec<String>, ExportedError> {
        let each = all.iter().map(float).collect::<Option<_>>();
        each.ok_or_else(|| refused("a number that is none"))
    };
    Ok(match arg {
        Argument::None(_) => "None".into(),
        Argument::Tensor(tensor) => names.of(&tensor.name)?,
        Argument::OptionalTensor(tensor) => optional(tensor)?,
        Argument::Tensors(tensors) => {
            let each = tensors.iter().map(|tensor| names.of(&tensor.name));
            let kind = match WITH_GAPS.contains(&operator) {
                true => "Optional[Tensor]",
                false => "Tensor",
            };
            list(kind, each.collect::<Result<_, _>>()?)
        }
        Argument::OptionalTensors(tensors) => {
            let each = tensors.iter().map(optional);
            list("Optional[Tensor]", each.collect::<Result<_, _>>()?)
        }
        Argument::Int(n) => n.to_string(),
        Argument::Ints(all) => list("int", all.iter().map(i64::to_string).collect()),
        Argument::Float(x) => float(x).ok_or_else(|| refused("a number that is none"))?,
        Argument::Floats(all) => list("float", floats(all)?),
        Argument::Bool(b) => boolean(*b),
        Argument::Bools(all) => list("bool", all.iter().map(|b| boolean(*b)).collect()),
        Argument::String(text) => {
            quoted(text).ok_or_else(|| refused("a text with quotes or control characters"))?
        }
        Argument::SymInt(one) | Argument::SymFloat(one) | Argument::SymBool(one) => symbol(one)?,
        Argument::SymInts(all) => symbols("int", all, symbol)?,
        Argument::SymFloats(all) => symbols("float", all, symbol)?,
        Argument::SymBools(all) => symbols("bool", all, symbol)?,
        Argument::ScalarType(number) => {
            numbered(&SCALAR_TYPES, *number).ok_or_else(|| refused("an unknown element type"))?
        }
        Argument::MemoryFormat(number) => {
            numbered(&MEMORY_FORMATS, *number).ok_or_else(|| refused("an unknown memory format"))?
        }
        Argument::Layout(number) => {
            numbered(&LAYOUTS, *number).ok_or_else(|| refused("an unknown layout"))?
        }
        Argument::Device(device) => {
            self::device(device).ok_or_else(|| refused("an odd name of a device"))?
        }
        Argument::NestedTensors(_)
        | Argument::IntLists(_)
        | Argument::Complex(_)
        | Argument::Strings(_)
        | Argument::Graph(_)
        | Argument::CustomObj(_)
        | Argument::Operator(_)
        | Argument::Named(_) => {
            return Err(refused("an argument of a kind that TorchScript has not"));
        }
    })
}

fn symbols(
    kind: &str,
    all: &[Symbol],
    symbol: impl Fn(&Symbol) -> Result<String, ExportedError>,
) -> Result<String, ExportedError> {
    let each = all.iter().map(symbol).collect::<Result<_, _>>()?;
    Ok(list(kind, each))
}

/// A list; one that is empty, or whose items do not tell it, needs its type said.
fn list(kind: &str, items: Vec<String>) -> String {
    let text = format!("[{}]", items.join(", "));
    match items.is_empty() || kind.starts_with("Optional") {
        true => format!("annotate(List[{kind}], {text})"),
        false => text,
    }
}

fn boolean(b: bool) -> String {
    match b {
        true => "True".into(),
        false => "False".into(),
    }
}

fn float(x: &Float) -> Option<String> {
    let x = match x {
        Float::Number(x) => *x,
        Float::Text(text) => match text.as_str() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            "NaN" => f64::NAN,
            _ => return None,
        },
    };
    Some(match x {
        // Names that libtorch's code has for them.
        _ if x.is_nan() => "nan".into(),
        _ if x == f64::INFINITY => "inf".into(),
        _ if x == f64::NEG_INFINITY => "-inf".into(),
        _ => format!("{x:?}"),
    })
}

fn quoted(text: &str) -> Option<String> {
    let is_plain = |c: char| (' '..='~').contains(&c) && !matches!(c, '"' | '\'' | '\\');
    text.chars().all(is_plain).then(|| format!("\"{text}\""))
}

fn device(device: &Device) -> Option<String> {
    let kind = quoted(&device.kind)?;
    Some(match device.index {
        None => format!("torch.device({kind})"),
        Some(index) => format!("torch.device(\"{}:{index}\")", device.kind),
    })
}

/// The schema's numbers beside those of the operators.
const SCALAR_TYPES: [(u64, u64); 18] = [
    (1, 0),
    (2, 1),
    (3, 2),
    (4, 3),
    (5, 4),
    (6, 5),
    (7, 6),
    (8, 7),
    (9, 8),
    (10, 9),
    (11, 10),
    (12, 11),
    (13, 15),
    (28, 27),
    (29, 24),
    (30, 23),
    (31, 26),
    (32, 25),
];
const MEMORY_FORMATS: [(u64, u64); 4] = [(1, 0), (2, 2), (3, 3), (4, 1)];
const LAYOUTS: [(u64, u64); 7] = [(1, 1), (2, 2), (3, 5), (4, 6), (5, 7), (6, 3), (7, 0)];

fn numbered(table: &[(u64, u64)], number: u64) -> Option<String> {
    let found = table.iter().find(|(schema, _)| *schema == number);
    found.map(|(_, operator)| operator.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    impl Names for Plain {
        fn of(&self, value: &str) -> Result<String, ExportedError> {
            Ok(variable(value))
        }
    }

    fn line(json: &str) -> String {
        let node: Node = serde_json::from_str(json).unwrap();
        lines(&node, &Plain).unwrap().unwrap_or_default()
    }

    #[test]
    fn a_node_becomes_a_call() {
        let found = line(
            r#"{"target": "torch.ops.aten.clamp.default", "inputs": [
                {"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
                {"name": "min", "arg": {"as_float": "-Infinity"}, "kind": 1},
                {"name": "max", "arg": {"as_float": 1e-05}, "kind": 2}],
                "outputs": [{"as_tensor": {"name": "clamp"}}], "metadata": {}}"#,
        );
        assert_eq!(found, "v_clamp = torch.clamp(v_x, -inf, max=1e-5)");
    }

    #[test]
    fn results_are_unpacked_as_they_come() {
        let of = |outputs: &str| {
            line(&format!(
                r#"{{"target": "torch.ops.aten.unbind.int", "inputs": [], "outputs": {outputs}}}"#
            ))
        };
        let two = r#"[{"as_tensors": [{"name": "a"}, {"name": "b"}]}]"#;
        assert_eq!(of(two), "v_a, v_b, = torch.unbind()");
        let gap = r#"[{"as_tensor": {"name": "a"}}, {"as_none": true}]"#;
        assert_eq!(of(gap), "v_a, _1, = torch.unbind()");
        assert_eq!(of("[]"), "torch.unbind()");
    }

    #[test]
    fn what_evaluation_mode_switched_off_is_the_module_s_to_switch() {
        let norm = |training: bool| {
            let tensor = r#"{"name": "input", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}"#;
            let before = [tensor; 5].join(", ");
            line(&format!(
                r#"{{"target": "torch.ops.aten.batch_norm.default", "inputs": [{before},
                {{"name": "training", "arg": {{"as_bool": {training}}}, "kind": 1}},
                {{"name": "cudnn_enabled", "arg": {{"as_bool": false}}, "kind": 1}}],
                "outputs": [{{"as_tensor": {{"name": "b"}}}}]}}"#
            ))
        };
        let of = |switch: &str| {
            format!("v_b = torch.batch_norm(v_x, v_x, v_x, v_x, v_x, {switch}, True)")
        };
        assert_eq!(norm(false), of("self.training"));
        assert_eq!(norm(true), of("True"));
    }

    #[test]
    fn texts_cannot_leave_their_quotes() {
        let node = r#"{"target": "torch.ops.aten.einsum.default", "inputs": [
            {"name": "equation", "arg": {"as_string": "\"); evil("}, "kind": 1}], "outputs": []}"#;
        let node: Node = serde_json::from_str(node).unwrap();
        assert!(lines(&node, &Plain).is_err());
        let node = r#"{"target": "torch.ops.aten.relu(x).default", "inputs": [], "outputs": []}"#;
        let node: Node = serde_json::from_str(node).unwrap();
        assert!(lines(&node, &Plain).is_err());
    }
}
