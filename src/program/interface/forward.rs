//! What a network's `forward` says of its arguments: images and nothing else, of which type.

use crate::program::ast::{Arg, Expr, Function, Param, Stmt};
use crate::program::{ModuleTree, Network};

const PLAIN: &str = "a plain value";
const CONSTANT: &str = "; --argument NAME=VALUE makes a constant of such";

/// Why `forward` cannot be given a tensor of images alone; `None` if it can, or is not there.
#[must_use]
pub fn refusal(network: &Network) -> Option<String> {
    let forward = forward(network)?;
    let mut params = forward.params.iter().skip(1);
    let takes = |what: String, way_out: &str| {
        Some(format!(
            "`forward` has to take one tensor of images; this one takes {what}{way_out}"
        ))
    };
    let Some(images) = params.next() else {
        return takes("nothing".into(), "");
    };
    if let Some(other) = images.annotation.as_ref().and_then(other_than_a_tensor) {
        let way_out = if other == PLAIN { CONSTANT } else { "" };
        return takes(format!("{other} `{}`", images.name), way_out);
    }
    let wanted: Vec<String> = params
        .filter(|param| param.default.is_none())
        .map(|param: &Param| format!("`{}`", param.name))
        .collect();
    match wanted.as_slice() {
        [] => None,
        _ => takes(format!("{} as well", wanted.join(", ")), CONSTANT),
    }
}

/// The type in words, if no tensor is of this type.
fn other_than_a_tensor(annotation: &Expr) -> Option<&'static str> {
    let name = |expr: &Expr| match expr {
        Expr::Name(name) => name.clone(),
        _ => String::new(),
    };
    match annotation {
        Expr::Name(name)
            if matches!(name.as_str(), "int" | "float" | "bool" | "str" | "number") =>
        {
            Some(PLAIN)
        }
        Expr::Index { base, args } => match (name(base).as_str(), args.as_slice()) {
            ("List", [items]) if name(items) == "Tensor" => Some("a list of tensors"),
            ("List", _) => Some("a list"),
            ("Tuple", _) => Some("a tuple"),
            ("Dict", _) => Some("a dictionary"),
            _ => None,
        },
        _ => None,
    }
}

fn forward(network: &Network) -> Option<&Function> {
    let class = &network.modules.get(ModuleTree::ROOT).class;
    network.sources.class(class)?.method("forward")
}

/// Whether `forward` raises an error for images that are no bytes: `assert x.dtype == torch.uint8`.
pub(super) fn asserts_bytes(network: &Network) -> bool {
    let Some(forward) = forward(network) else {
        return false;
    };
    let Some(images) = forward.params.get(1) else {
        return false;
    };
    let insists = |statement: &Stmt| {
        let Stmt::If {
            condition,
            then,
            otherwise,
        } = statement
        else {
            return false;
        };
        match compared_with_bytes(condition, &images.name).as_deref() {
            Some("torch.eq") => otherwise.as_deref().is_some_and(raises),
            Some("torch.ne") => raises(then),
            _ => false,
        }
    };
    forward.body.iter().any(insists)
}

/// The comparison of the images' element type with that of bytes.
fn compared_with_bytes(condition: &Expr, images: &str) -> Option<String> {
    /// torch.uint8 in code.
    const BYTE: &str = "0";
    let (comparison, args) = call(condition)?;
    let [left, right] = args else { return None };
    let (function, of) = call(&left.value)?;
    let is_type = function == "ops.prim.dtype"
        && matches!(of, [Arg { value: Expr::Name(name), .. }] if name == images);
    let is_byte = matches!(&right.value, Expr::Number(number) if number == BYTE);
    (is_type && is_byte).then_some(comparison)
}

fn raises(body: &[Stmt]) -> bool {
    let raises = |statement: &Stmt| match statement {
        Stmt::Expr(expr) => call(expr).is_some_and(|(name, _)| name == "ops.prim.RaiseException"),
        _ => false,
    };
    body.iter().any(raises)
}

fn call(expr: &Expr) -> Option<(String, &[Arg])> {
    match expr {
        Expr::Call { callee, args, .. } => Some((callee.dotted()?, args)),
        _ => None,
    }
}
