//! The names a pickle may refer to: those libtorch's own TorchScript reader knows, and no others.

use crate::program::dtype::Dtype;

/// Functions that libtorch's reader stands in for.
const FUNCTIONS: [(&str, &str); 11] = [
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_qtensor"),
    ("torch._utils", "_rebuild_sparse_tensor"),
    ("torch.jit._pickle", "build_intlist"),
    ("torch.jit._pickle", "build_doublelist"),
    ("torch.jit._pickle", "build_boollist"),
    ("torch.jit._pickle", "build_tensorlist"),
    ("torch.jit._pickle", "restore_type_tag"),
    ("collections", "OrderedDict"),
    ("builtins", "complex"),
    ("torch", "device"),
];

/// How a tensor is quantised.
const QSCHEMES: [&str; 5] = [
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
];

/// What an allowed name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A class or enumeration whose source is in the archive, or a class registered with libtorch.
    Class,
    /// A function that rebuilds a value.
    Function,
    /// A plain value: a storage type or a quantisation scheme.
    Value,
}

/// What `module.name` stands for; `None` when it is not on the list.
pub fn kind(module: &str, name: &str) -> Option<Kind> {
    let own_class = (module == "__torch__" || module.starts_with("__torch__.")) && !name.is_empty();
    // GLOBAL ends its two texts by line feeds.
    if own_class && !module.contains('\n') && !name.contains('\n') {
        Some(Kind::Class)
    } else if FUNCTIONS.contains(&(module, name)) {
        Some(Kind::Function)
    } else if module == "torch"
        && (Dtype::from_storage_class(name).is_some() || QSCHEMES.contains(&name))
    {
        Some(Kind::Value)
    } else {
        None
    }
}
