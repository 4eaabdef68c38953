//! Whether a network's `forward` takes images and nothing else.

use crate::program::ast::{Expr, Param};
use crate::program::{ModuleTree, Network};

/// Why `forward` cannot be given a tensor of images alone; `None` if it can, or is not there.
#[must_use]
pub fn refusal(network: &Network) -> Option<String> {
    let class = &network.modules.get(ModuleTree::ROOT).class;
    let forward = network.sources.class(class)?.method("forward")?;
    let mut params = forward.params.iter().skip(1);
    let takes = |what: String| {
        Some(format!(
            "`forward` has to take one tensor of images; this one takes {what}"
        ))
    };
    let Some(images) = params.next() else {
        return takes("nothing".into());
    };
    if let Some(other) = images.annotation.as_ref().and_then(other_than_a_tensor) {
        return takes(format!("{other} `{}`", images.name));
    }
    let wanted: Vec<String> = params
        .filter(|param| param.default.is_none())
        .map(|param: &Param| format!("`{}`", param.name))
        .collect();
    match wanted.as_slice() {
        [] => None,
        _ => takes(format!("{} as well", wanted.join(", "))),
    }
}

/// What the type is, in words, if no tensor is of it.
fn other_than_a_tensor(annotation: &Expr) -> Option<&'static str> {
    let name = |expr: &Expr| match expr {
        Expr::Name(name) => name.clone(),
        _ => String::new(),
    };
    match annotation {
        Expr::Name(name)
            if matches!(name.as_str(), "int" | "float" | "bool" | "str" | "number") =>
        {
            Some("a plain value")
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
