//! What kind of operator a name stands for.

/// Operators whose result has elements of their first argument, unchanged, in its memory.
#[rustfmt::skip]
const VIEWS: &[&str] = &[
    // Another shape.
    "view", "view_as", "reshape", "reshape_as", "_reshape_alias", "_unsafe_view", "flatten", "unflatten", "ravel",
    "squeeze", "unsqueeze", "expand", "expand_as", "broadcast_to", "atleast_1d", "atleast_2d", "atleast_3d",
    "as_strided",
    // Another order of the dimensions.
    "transpose", "permute", "t", "numpy_T", "mT", "mH", "adjoint", "matrix_H", "movedim", "moveaxis", "swapaxes",
    "swapdims",
    // Parts.
    "slice", "select", "narrow", "diagonal", "unfold", "unbind", "chunk", "split", "split_with_sizes", "tensor_split",
    "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "hsplit", "vsplit", "dsplit", "real", "imag",
    "view_as_complex", "view_as_real",
    // The argument itself, where there is nothing to do.
    "contiguous", "detach", "dropout", "feature_dropout", "alpha_dropout", "alias", "lift_fresh", "positive", "data",
    "resolve_conj", "resolve_neg",
];

/// In-place operators whose twin without the underscore computes the same values.
pub(in crate::program) fn functional_twin(name: &str) -> Option<&str> {
    /// Besides the activations.
    const TWINS: &[&str] = &[
        "add",
        "sub",
        "mul",
        "div",
        "clamp_max",
        "alpha_dropout",
        "threshold",
        "neg",
        "exp",
        "sqrt",
        "pow",
        "square",
        "masked_fill",
    ];
    let twin = name.strip_suffix('_')?;
    (is_activation(twin) || TWINS.contains(&twin)).then_some(twin)
}

/// Whether the operator gives a tensor's sizes or something that follows from them.
pub(in crate::program) fn asks_for_shape(name: &str) -> bool {
    matches!(
        name,
        "size" | "dim" | "len" | "numel" | "is_nested" | "sym_size" | "sym_numel" | "stride"
    )
}

/// Whether the operator writes into its first argument.
pub(in crate::program) fn writes_in_place(name: &str) -> bool {
    name.ends_with('_') && !name.ends_with("__")
}

/// Whether the operator changes the sizes of its first argument, whose other names then have wrong ones.
pub(in crate::program) fn changes_shape_in_place(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "unsqueeze_",
        "squeeze_",
        "transpose_",
        "t_",
        "swapaxes_",
        "swapdims_",
        "as_strided_",
        "resize_",
        "resize_as_",
        "set_",
        "swap_",
    ];
    NAMES.contains(&name)
}

/// Whether the result has elements of its first argument, unchanged.
pub(in crate::program) fn is_view(name: &str) -> bool {
    VIEWS.contains(&name)
}

/// Whether the operator gives its first argument in another element type: `x.to(torch.float)`.
pub(in crate::program) fn is_conversion(name: &str) -> bool {
    matches!(
        name,
        "to" | "type_as" | "float" | "half" | "double" | "bfloat16" | "_to_copy"
    )
}

/// Whether the operator changes the list or dictionary it is given.
pub(in crate::program) fn mutates_container(name: &str) -> bool {
    const MUTATORS: &[&str] = &[
        "append",
        "extend",
        "insert",
        "clear",
        "pop",
        "popitem",
        "remove",
        "reverse",
        "sort",
        "update",
        "setdefault",
        "_set_item",
        "__delitem__",
        "Delete",
    ];
    MUTATORS.contains(&name)
}

/// Whether the result may share memory with the first argument.
pub(in crate::program) fn may_alias(name: &str) -> bool {
    /// Besides views and conversions: some give their argument itself where there is nothing to do, and some give lists
    /// of views.
    const OTHERS: &[&str] = &[
        "cpu",
        "cuda",
        "conj",
        "_conj",
        "index",
        "pad",
        "meshgrid",
        "broadcast_tensors",
    ];
    let may_convert_nothing = is_conversion(name) && name != "_to_copy";
    is_view(name) || may_convert_nothing || OTHERS.contains(&name)
}

/// Activations that may stand behind the addition of a residual block: one input, same shape, element by element.
pub(in crate::program) fn is_activation(name: &str) -> bool {
    const ACTIVATIONS: &[&str] = &[
        "relu",
        "relu6",
        "hardtanh",
        "silu",
        "gelu",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "hardswish",
        "hardsigmoid",
        "sigmoid",
        "tanh",
        "mish",
        "softplus",
        "clamp",
        "clamp_min",
        "dropout",
        "feature_dropout",
        "prelu",
        "fake_quantize_per_tensor_affine",
        "fused_moving_avg_obs_fake_quant",
    ];
    ACTIVATIONS.contains(&name)
}

/// Whether the result depends on more than the arguments, so that the call must stay where it is.
pub(in crate::program) fn is_impure(name: &str) -> bool {
    writes_in_place(name)
        || matches!(
            name,
            "rand" | "randn" | "rand_like" | "randn_like" | "bernoulli" | "randint"
        )
}
