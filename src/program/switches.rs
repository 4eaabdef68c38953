//! Training switches: the arguments that tell operators whether the network is being trained.

use super::ast::{Class, Expr, Item, walk};
use super::{Op, Operand, Program, Sources};

/// Operators with a training switch, and the position of it among their arguments.
const SWITCHES: &[(&str, usize)] = &[
    ("torch.batch_norm", 5),
    ("torch.instance_norm", 5),
    ("torch.dropout", 2),
    ("torch.dropout_", 2),
    ("torch.feature_dropout", 2),
    ("torch.feature_dropout_", 2),
    ("torch.alpha_dropout", 2),
    ("torch.alpha_dropout_", 2),
    ("torch.feature_alpha_dropout", 2),
    ("torch.feature_alpha_dropout_", 2),
    ("torch.rrelu", 3),
    ("torch.rrelu_", 3),
    ("torch.native_dropout", 2),
    ("torch._native_batch_norm_legit", 5),
    ("torch._native_batch_norm_legit_functional", 5),
];

impl Program {
    /// The program with all training switches on. What a network does in training alone is not in it: the program was
    /// followed in evaluation mode.
    #[must_use]
    pub fn in_training(&self) -> Program {
        let mut program = self.clone();
        for statement in &mut program.statements {
            let Op::Call(function) = &statement.op else {
                continue;
            };
            let Some((_, position)) = SWITCHES.iter().find(|(name, _)| name == function) else {
                continue;
            };
            if let Some(switch) = statement.args.get_mut(*position) {
                switch.value = Operand::Literal("True".into());
            }
        }
        program
    }
}

/// Whether a training switch in the methods of some class is this literal, `True` or `False`: then that code was
/// traced.
#[must_use]
pub fn has_literal_switch(sources: &Sources, literal: &str) -> bool {
    let mut found = false;
    let items = sources.files().flat_map(|(_, file)| &file.items);
    let classes = items.filter_map(|item| match item {
        Item::Class(class) => Some(class),
        _ => None,
    });
    for method in classes.flat_map(Class::methods) {
        walk(&method.body, &mut |expression| {
            if let Expr::Call { callee, args, .. } = expression
                && let Some(position) = training_switch(callee)
            {
                let switch = args.get(position).map(|a| &a.value);
                found |= matches!(switch, Some(Expr::Name(name)) if name == literal);
            }
        });
    }
    found
}

/// The position of the training switch among the arguments of a function that has one.
#[must_use]
pub fn training_switch(callee: &Expr) -> Option<usize> {
    switch_of(&callee.dotted()?)
}

/// The same for a function of this name: `torch.batch_norm`.
#[must_use]
pub fn switch_of(function: &str) -> Option<usize> {
    let (_, position) = SWITCHES.iter().find(|(name, _)| *name == function)?;
    Some(*position)
}
