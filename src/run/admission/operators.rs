//! What only computes: operators, built-in functions and classes.

use std::collections::HashSet;
use std::sync::LazyLock;

/// `aten::add` a line, as `tests/zoo/operators.py` writes them from libtorch's own register.
static OPERATORS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("operators.txt").lines().collect());

/// What a value that is no object of a class answers to as a method, and is not on the list; written by the same script.
static WITHHELD: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("withheld.txt").lines().collect());

/// The operators that scoring puts in the place of some convolutions; they check what they are given.
const OWN: [(&str, &str); 3] = [
    ("ckaprune", "winograd"),
    ("ckaprune", "dense"),
    ("ckaprune", "depthwise"),
];

/// Functions of the language, called by their bare names. `print` writes to the standard output and nowhere else.
pub(super) const BUILTINS: [&str; 41] = [
    "abs",
    "all",
    "annotate",
    "any",
    "bin",
    "bool",
    "chr",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "float",
    "fork",
    "getattr",
    "hasattr",
    "hash",
    "hex",
    "int",
    "isinstance",
    "len",
    "list",
    "max",
    "min",
    "oct",
    "ord",
    "pow",
    "print",
    "range",
    "rangelist",
    "reversed",
    "round",
    "slice",
    "sorted",
    "str",
    "sum",
    "tuple",
    "type",
    "unchecked_cast",
    "unchecked_unwrap_optional",
    "uninitialized",
    "zip",
];

/// Classes of libtorch itself whose objects an archive may hold: folder and name.
pub(super) const CLASSES: [(&str, &str); 7] = [
    ("profiler", "_RecordFunction"),
    ("quantized", "Conv2dPackedParamsBase"),
    ("quantized", "Conv3dPackedParamsBase"),
    ("quantized", "EmbeddingPackedParamsBase"),
    ("quantized", "LinearPackedParamsBase"),
    ("rnn", "CellParamsBase"),
    ("sparse", "LinearPackedParamsBase"),
];

/// Methods of those classes, and the one that every object has.
pub(super) const METHODS: [&str; 8] = [
    "__init__",
    "unpack",
    "stride",
    "padding",
    "output_padding",
    "dilation",
    "groups",
    "bias",
];

/// Whether `namespace::name` is an operator that only computes.
pub(super) fn has(namespace: &str, name: &str) -> bool {
    OWN.contains(&(namespace, name)) || OPERATORS.contains(format!("{namespace}::{name}").as_str())
}

/// Whether `value.name()` is an operator that may not be called, unless the value is an object with a method of that name.
pub(super) fn is_withheld(name: &str) -> bool {
    WITHHELD.contains(name)
}
