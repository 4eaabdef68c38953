//! Batch normalisations whose statistics training would not change.
//!
//! A momentum of 0 changes nothing. Neither does None once many batches were counted: it means the average over all of
//! them. Tracing writes 0 for both.

use crate::archive::network::source_file;
use crate::archive::{Archive, NetworkError};
use crate::program::ast::{Expr, Function, Item, walk_mut};
use crate::program::{Known, Operand, Program, Statement, print};

/// PyTorch's default.
const USUAL: &str = "0.10000000000000001";
/// The place of the momentum among the arguments of `torch.batch_norm`.
const PLACE: usize = 6;

/// How many batch normalisations have running statistics and the momentum 0 or None.
#[must_use]
pub fn unmoved_statistics(program: &Program) -> usize {
    let is_unmoved = |s: &&Statement| {
        let statistics = s.arg(3, "running_mean");
        s.operator() == Some("batch_norm")
            && statistics.is_some_and(|o| !matches!(o, Operand::Literal(_)))
            && s.arg(PLACE, "momentum").and_then(|m| number(program, m)) == Some(0.)
    };
    program.statements.iter().filter(is_unmoved).count()
}

fn number(program: &Program, operand: &Operand) -> Option<f64> {
    match operand {
        Operand::Literal(text) => text.parse().ok(),
        Operand::Value(id) => match program.value(*id).known {
            Known::Float(x) => Some(x),
            _ => None,
        },
        _ => None,
    }
}

/// Gives every batch normalisation the usual momentum. This is for a copy that is trained or measured; the archive that
/// is written keeps its own.
///
/// # Errors
/// If the archive's code cannot be read.
pub fn with_usual_momentum(archive: &mut Archive) -> Result<(), NetworkError> {
    let mut sources = archive.network()?.sources;
    for (module, file) in sources.files_mut() {
        for item in &mut file.items {
            match item {
                Item::Class(class) => class.methods_mut().for_each(replace),
                Item::Function(function) => replace(function),
                _ => {}
            }
        }
        archive.set_source(&source_file(module), print(file));
    }
    Ok(())
}

fn replace(function: &mut Function) {
    walk_mut(&mut function.body, &mut |expression| {
        let Expr::Call { callee, args, .. } = expression else {
            return;
        };
        if callee.dotted().as_deref() != Some("torch.batch_norm") {
            return;
        }
        let named = args
            .iter()
            .position(|a| a.name.as_deref() == Some("momentum"));
        if let Some(momentum) = args.get_mut(named.unwrap_or(PLACE)) {
            momentum.value = Expr::Number(USUAL.into());
        }
    });
}
