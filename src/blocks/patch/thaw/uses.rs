//! Where the code reads constants, and as what.

use crate::program::ast::{Arg, Expr, Function, Stmt};

/// What a constant is to the operator that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A weight or bias, by the operator's own signature.
    Weight(&'static str),
    /// A statistic that batch norm measured.
    Statistic(&'static str),
    /// An operand of arithmetic, which does not say whether it is a weight.
    Operand,
}

/// One place that reads a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConstantUse {
    /// The `N` of `CONSTANTS.cN`.
    pub constant: usize,
    /// A word for the operator.
    pub operator: &'static str,
    pub role: Role,
    /// The number of the call in its method, in the order of evaluation.
    pub call: usize,
    /// Whether the call stands in a branch or a loop.
    pub conditional: bool,
}

/// An operator with weights: its names, a word for it, and the positions of what it reads.
struct Weighted {
    names: &'static [&'static str],
    word: &'static str,
    roles: &'static [(usize, Role)],
}

const WEIGHTED: &[Weighted] = &[
    Weighted {
        names: &[
            "conv1d",
            "conv2d",
            "conv3d",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
            "_convolution",
        ],
        word: "conv",
        roles: &[(1, Role::Weight("weight")), (2, Role::Weight("bias"))],
    },
    Weighted {
        names: &["linear"],
        word: "linear",
        roles: &[(1, Role::Weight("weight")), (2, Role::Weight("bias"))],
    },
    Weighted {
        names: &["addmm", "baddbmm"],
        word: "linear",
        roles: &[(0, Role::Weight("bias")), (2, Role::Weight("weight"))],
    },
    Weighted {
        names: &["mm", "bmm", "matmul"],
        word: "matmul",
        roles: &[(0, Role::Weight("weight")), (1, Role::Weight("weight"))],
    },
    Weighted {
        names: &["bilinear"],
        word: "bilinear",
        roles: &[(2, Role::Weight("weight")), (3, Role::Weight("bias"))],
    },
    Weighted {
        names: &["batch_norm", "instance_norm"],
        word: "norm",
        roles: &[
            (1, Role::Weight("weight")),
            (2, Role::Weight("bias")),
            (3, Role::Statistic("running_mean")),
            (4, Role::Statistic("running_var")),
        ],
    },
    Weighted {
        names: &["layer_norm", "group_norm"],
        word: "norm",
        roles: &[(2, Role::Weight("weight")), (3, Role::Weight("bias"))],
    },
    Weighted {
        names: &["prelu"],
        word: "prelu",
        roles: &[(1, Role::Weight("weight"))],
    },
    Weighted {
        names: &["embedding", "embedding_bag"],
        word: "embedding",
        roles: &[(0, Role::Weight("weight"))],
    },
    Weighted {
        names: &["lstm", "gru", "rnn_tanh", "rnn_relu"],
        word: "recurrent",
        roles: &[(2, Role::Weight("weight"))],
    },
    Weighted {
        names: &["_native_multi_head_attention"],
        word: "attention",
        roles: &[
            (5, Role::Weight("qkv_weight")),
            (6, Role::Weight("qkv_bias")),
            (7, Role::Weight("projection_weight")),
            (8, Role::Weight("projection_bias")),
        ],
    },
];

/// Operators that a gradient passes through, and a word for a weight that stands among their operands.
const ARITHMETIC: &[(&str, &[&str])] = &[
    ("offset", &["add", "sub", "rsub"]),
    ("scale", &["mul", "div"]),
    ("token", &["cat", "stack", "expand", "expand_as", "repeat"]),
    ("table", &["index", "index_select"]),
    (
        "tensor",
        &[
            "chunk",
            "clone",
            "einsum",
            "exp",
            "flatten",
            "narrow",
            "permute",
            "reshape",
            "select",
            "sigmoid",
            "slice",
            "softmax",
            "softplus",
            "split",
            "squeeze",
            "t",
            "tanh",
            "transpose",
            "unbind",
            "unsqueeze",
            "view",
        ],
    ),
];

/// The word for the operator in names, and what the argument at `position` is to it.
fn role(function: &str, position: usize) -> Option<(&'static str, Role)> {
    let name = function.strip_prefix("torch.")?;
    if let Some(operator) = WEIGHTED.iter().find(|w| w.names.contains(&name)) {
        let mut roles = operator.roles.iter();
        let role = roles.find(|(at, _)| *at == position).map(|(_, role)| *role);
        return role.map(|role| (operator.word, role));
    }
    let twin = name.strip_suffix('_');
    if twin.is_some() && position == 0 {
        // The operator writes into it, which is not allowed for parameters.
        return None;
    }
    let name = twin.unwrap_or(name);
    let (word, _) = ARITHMETIC.iter().find(|(_, names)| names.contains(&name))?;
    Some((word, Role::Operand))
}

/// Calls `visit` with every expression that reads a constant in a way [`Role`] has a word for, in the order of
/// evaluation.
pub(super) fn for_each_use(method: &mut Function, visit: &mut impl FnMut(&mut Expr, ConstantUse)) {
    let mut calls = 0;
    statements(&mut method.body, false, &mut calls, visit);
}

fn statements(
    body: &mut [Stmt],
    conditional: bool,
    calls: &mut usize,
    visit: &mut impl FnMut(&mut Expr, ConstantUse),
) {
    for statement in body {
        for expression in statement.expressions_mut() {
            expression.walk_mut(&mut |expression| {
                if let Expr::Call { callee, args, .. } = expression
                    && let Some(function) = callee.dotted()
                {
                    *calls += 1;
                    let call = *calls;
                    operands(
                        &function,
                        args,
                        &mut |expression, constant, operator, role| {
                            let found = ConstantUse {
                                constant,
                                operator,
                                role,
                                call,
                                conditional,
                            };
                            visit(expression, found);
                        },
                    );
                }
            });
        }
        for block in statement.blocks_mut() {
            statements(block, true, calls, visit);
        }
    }
}

/// The constants among the arguments of a call, also those in a list.
fn operands(
    function: &str,
    args: &mut [Arg],
    visit: &mut impl FnMut(&mut Expr, usize, &'static str, Role),
) {
    for (position, arg) in args.iter_mut().enumerate() {
        let Some((operator, role)) = role(function, position).filter(|_| arg.name.is_none()) else {
            continue;
        };
        for expression in listed(&mut arg.value) {
            if let Some(constant) = expression.constant_number() {
                visit(expression, constant, operator, role);
            }
        }
    }
}

/// The items of a list, with or without a type annotation; anything else is the one item.
fn listed(value: &mut Expr) -> Vec<&mut Expr> {
    if matches!(value, Expr::Call { callee, .. } if callee.dotted().as_deref() == Some("annotate"))
        && let Expr::Call { args, .. } = value
    {
        return match args.as_mut_slice() {
            [_, Arg { value, .. }] => listed(value),
            _ => Vec::new(),
        };
    }
    match value {
        Expr::List { items, .. } => items.iter_mut().collect(),
        other => vec![other],
    }
}
