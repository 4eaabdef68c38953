//! Why a network has no block that could be removed.

use crate::blocks::analysis::Analysis;
use crate::blocks::{self, Block, Candidates, Reason, Search};
use crate::program::interface::{PACKED, is_packed, is_quantised};
use crate::program::{Op, Operand, Program, Statement};

/// One sentence, without a full stop at its end.
#[must_use]
pub fn why_nothing_is_removable(analysis: &Analysis) -> String {
    let Analysis {
        network, program, ..
    } = analysis;
    if is_quantised(network, program) {
        return "it is quantised, and its sums run in quantised arithmetic (quantized.add), where no block can be left \
                out; prune it in floating point, then quantise the result"
            .into();
    }
    if is_packed(program) {
        return PACKED.into();
    }
    let mut reasons = analysis.blocks.iter().filter_map(|b| b.obstacle.as_ref());
    if reasons.any(Reason::holds_residual) {
        return obstacles(analysis);
    }
    let early = program.not_followed.iter().find(|l| l.returns_early);
    let early = early.map(|left| {
        let told = left.told(network);
        format!("{told}, and what is behind that is not followed, so no block there can be told")
    });
    let others = program.not_followed.iter().filter(|l| !l.returns_early);
    let unseen = others.count();
    let mut why = match (count(program, is_sum), count(program, is_concatenation)) {
        (0, 0) if let Some(early) = &early => return early.clone(),
        (0, 0) if unseen > 0 && !program.statements.iter().any(is_known) => {
            return "none of its code can be followed".into();
        }
        (0, 0) if unseen > 0 => {
            "nothing is added to what skips it in the code that is followed".into()
        }
        (0, 0) => "it is a plain chain: nothing is added to what skips it".into(),
        (0, joins) => format!(
            "its branches are joined by concatenation (torch.cat, {joins}×), not by sums: without one the number of channels \
             changes"
        ),
        (sums, _) => format!(
            "none of its sums ({sums}) is `x + f(x)` over a region with one tensor in and one out"
        ),
    };
    if let Some(early) = early {
        why += &format!("; {early}");
    }
    if unseen > 0 {
        why += &format!("; {unseen} parts of its code are not followed");
    }
    let spans = removable_spans(analysis);
    if spans > 0 {
        why += &format!(
            "; --candidates all offers spans that keep the shape of their input ({spans})"
        );
    }
    why
}

/// Why none of a network's blocks can be removed, each reason once: one sentence, without a full stop at its end.
#[must_use]
pub fn obstacles(analysis: &Analysis) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for block in &analysis.blocks {
        let Some(reason) = &block.obstacle else {
            continue;
        };
        let reason = reason.to_string();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, paths)) => paths.push(&block.path),
            None => reasons.push((reason, vec![&block.path])),
        }
    }
    if reasons.is_empty() {
        return why_nothing_is_removable(analysis);
    }
    let told = reasons
        .iter()
        .map(|(reason, paths)| format!("{}: {reason}", some_of(paths)));
    told.collect::<Vec<_>>().join("; ")
}

/// The first of these paths, and how many more there are: a list of many names tells little.
#[must_use]
pub fn some_of(paths: &[&str]) -> String {
    const NAMED: usize = 3;
    let named = paths[..paths.len().min(NAMED)].join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// How many blocks a wider search would offer.
fn removable_spans(analysis: &Analysis) -> usize {
    if analysis.request.search.candidates == Candidates::All {
        return 0;
    }
    let search = Search {
        candidates: Candidates::All,
        ..analysis.request.search
    };
    let found = blocks::find(&analysis.network, &analysis.program, search);
    found.iter().filter(|b| Block::is_removable(b)).count()
}

fn count(program: &Program, is: impl Fn(&Program, &Statement) -> bool) -> usize {
    program.statements.iter().filter(|s| is(program, s)).count()
}

/// Two tensors that the network computes, added.
fn is_sum(program: &Program, statement: &Statement) -> bool {
    let computed = |i: usize| match statement.args.get(i).map(|a| &a.value) {
        Some(Operand::Value(id)) => program.is_tensor(*id),
        _ => false,
    };
    matches!(statement.operator(), Some("add" | "add_")) && computed(0) && computed(1)
}

fn is_concatenation(_: &Program, statement: &Statement) -> bool {
    matches!(statement.operator(), Some("cat" | "concat")) && statement.reads().count() > 1
}

fn is_known(statement: &Statement) -> bool {
    !matches!(statement.op, Op::Method { .. } | Op::Opaque(_))
}
