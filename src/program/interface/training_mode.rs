//! Networks that were traced in training mode: dropout and the statistics of each batch are in their code, and no flag
//! turns them off.

use std::fmt;

use crate::program::{Network, Operand, Program, Statement, has_literal_switch};

/// What of training mode is written into the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingMode {
    pub dropouts: usize,
    pub batch_statistics: usize,
}

impl TrainingMode {
    /// `None` for a network that was traced in evaluation mode, or scripted. In scripted code a switch is a variable; a
    /// literal that is on there is the author's intention.
    #[must_use]
    pub fn traced(network: &Network, program: &Program) -> Option<Self> {
        let count =
            |is: fn(&Statement) -> bool| program.statements.iter().filter(|s| is(s)).count();
        let found = TrainingMode {
            dropouts: count(drops),
            batch_statistics: count(takes_batch_statistics),
        };
        let any = found.dropouts + found.batch_statistics > 0;
        (any && has_literal_switch(&network.sources, "True")).then_some(found)
    }
}

impl fmt::Display for TrainingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TrainingMode {
            dropouts,
            batch_statistics,
        } = self;
        match (dropouts, batch_statistics) {
            (_, 0) => write!(f, "dropout ({dropouts}×) is"),
            (0, _) => write!(f, "batch statistics ({batch_statistics}×) are"),
            _ => write!(
                f,
                "dropout ({dropouts}×) and batch statistics ({batch_statistics}×) are"
            ),
        }
    }
}

/// Whether it is dropout that is on.
fn drops(statement: &Statement) -> bool {
    let is_dropout = statement
        .operator()
        .is_some_and(|name| name.trim_end_matches('_').ends_with("dropout"));
    let never = |p: &Operand| matches!(p, Operand::Literal(p) if p.parse() == Ok(0.));
    is_dropout && is_on(statement.arg(2, "train")) && !statement.arg(1, "p").is_some_and(never)
}

/// Whether it normalises by the batch at hand although it has running statistics.
fn takes_batch_statistics(statement: &Statement) -> bool {
    let has_statistics = |o: &Operand| !matches!(o, Operand::Literal(_));
    let is_norm = matches!(
        statement.operator(),
        Some("batch_norm" | "_native_batch_norm_legit" | "_native_batch_norm_legit_functional")
    );
    is_norm
        && is_on(statement.arg(5, "training"))
        && statement.arg(3, "running_mean").is_some_and(has_statistics)
}

fn is_on(switch: Option<&Operand>) -> bool {
    matches!(switch, Some(Operand::Literal(literal)) if literal == "True")
}

/// The first operator that draws random numbers in evaluation mode as well.
#[must_use]
pub fn draws(program: &Program) -> Option<&str> {
    const RANDOM: &[&str] = &[
        "rand",
        "randn",
        "rand_like",
        "randn_like",
        "randint",
        "randperm",
        "bernoulli",
        "normal",
        "uniform",
        "random",
        "multinomial",
        "poisson",
    ];
    let random = |s: &&Statement| {
        let name = s.operator().unwrap_or_default();
        drops(s) || RANDOM.contains(&name.trim_end_matches('_'))
    };
    program.statements.iter().find(random)?.operator()
}
