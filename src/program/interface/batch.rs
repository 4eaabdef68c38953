//! Networks that take batches of one size alone: tracing may write the number of images into the code.

use std::collections::BTreeSet;
use std::fmt;

use super::input::Layout;
use crate::program::{
    Dim, Known, Learned, ModuleTree, Network, Operand, Program, ProgramError, Statement, Val,
    element_count,
};

/// Sizes that are tried at most: each takes as long as an analysis.
const MOST_TRIED: usize = 6;

/// The only size of batch that a network takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedBatch {
    pub images: i64,
    /// Where that is written: `torch.reshape in head (__torch__/net.py:12)`.
    pub place: String,
}

impl fmt::Display for FixedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "made for batches of {} ({})", self.images, self.place)
    }
}

/// A network's flat program for images of one shape.
#[derive(Clone, Debug)]
pub struct Followed {
    pub program: Program,
    pub layout: Layout,
    pub batch: Option<FixedBatch>,
}

impl Followed {
    /// For images of a shape `[channels, height, width]`.
    ///
    /// # Errors
    /// Those of [`Layout::follow`].
    pub fn of(network: &Network, shape: &[i64], learned: &Learned) -> Result<Self, ProgramError> {
        match Layout::follow_with(network, shape, learned) {
            Ok((program, layout)) => {
                let arranged = layout.arranged(shape);
                let fixed = if takes_any_batch(&program) {
                    None
                } else {
                    fixed(network, &arranged, learned, &program)
                };
                let (program, batch) = match fixed {
                    Some((program, batch)) => (program, Some(batch)),
                    None => (program, None),
                };
                Ok(Followed {
                    program,
                    layout,
                    batch,
                })
            }
            Err(refused @ ProgramError::Refused { .. }) => {
                let mut layouts = [Layout::ChannelsFirst, Layout::ChannelsLast].into_iter();
                let found = layouts.find_map(|layout| {
                    let arranged = layout.arranged(shape);
                    let usual = Program::regardless(network, &arranged, learned).ok()?;
                    let (program, batch) = fixed(network, &arranged, learned, &usual)?;
                    layout
                        .is_of(&program, shape)
                        .then_some((program, layout, batch))
                });
                let (program, layout, batch) = found.ok_or(refused)?;
                Ok(Followed {
                    program,
                    layout,
                    batch: Some(batch),
                })
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the program gives something for each image, and none of its statements fixes the number of images.
fn takes_any_batch(program: &Program) -> bool {
    let firsts = first_sizes(program);
    firsts.iter().any(|first| first.batch > 0)
        && !program
            .statements
            .iter()
            .any(|statement| images_of_fixed_sizes(program, statement).is_some())
}

/// The first dimension of each tensor that the network gives, where it is known.
fn first_sizes(program: &Program) -> Vec<Dim> {
    fn add(value: &Val, found: &mut Vec<Dim>) {
        match &value.known {
            Known::List(items) | Known::Tuple(items) => {
                items.iter().for_each(|item| add(item, found));
            }
            Known::Dict(pairs) => pairs.iter().for_each(|(_, item)| add(item, found)),
            _ => found.extend(value.shape().and_then(|shape| shape.first())),
        }
    }
    let mut found = Vec::new();
    add(&program.output, &mut found);
    found
}

/// The size of batch that the network takes and no other, with its program for it. `usual` is the program for batches
/// of any size, as far as there is one.
fn fixed(
    network: &Network,
    shape: &[i64],
    learned: &Learned,
    usual: &Program,
) -> Option<(Program, FixedBatch)> {
    let written = WrittenNumbers::of(network, usual);
    let follow = |images| Program::for_batches_of(network, shape, images, learned);
    let fits = |images: i64| {
        let program = follow(images).ok()?;
        let rows = first_sizes(&program);
        rows.contains(&Dim::fixed(images)).then_some(program)
    };
    // If the network takes twice as many images as well, the number in its code means something else.
    let takes = |images: i64| {
        follow(images).is_ok_and(|program| {
            let rows = first_sizes(&program);
            rows.is_empty() || rows.contains(&Dim::fixed(images))
        })
    };
    let (program, images) = written.sizes().into_iter().find_map(|images| {
        let program = fits(images)?;
        let twice = images.checked_mul(2)?;
        (!takes(twice)).then_some((program, images))
    })?;
    let place = written.place(network, usual, images);
    Some((program.of_any_batch(images), FixedBatch { images, place }))
}

/// A statement that may have a number of images written into it.
struct WrittenNumber<'a> {
    statement: &'a Statement,
    images: i64,
    certainty: Certainty,
}

/// How sure it is that a number in the code is the number of images, the surest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Certainty {
    /// A tensor of the whole batch is given sizes that hold just so many images.
    Room,
    /// It is a size of a value that is computed from the images.
    OfImages,
    OfOthers,
}

struct WrittenNumbers<'a>(Vec<WrittenNumber<'a>>);

impl<'a> WrittenNumbers<'a> {
    fn of(network: &Network, program: &'a Program) -> Self {
        let made = program.made_of_images();
        let mut numbers = Vec::new();
        for statement in &program.statements {
            let of_images = statement.reads().any(|v| made.contains(&v));
            let mut add = |images: Option<i64>, certainty| {
                numbers.extend(images.filter(|n| *n > 0).map(|images| WrittenNumber {
                    statement,
                    images,
                    certainty,
                }));
            };
            let certainty = if of_images {
                Certainty::OfImages
            } else {
                Certainty::OfOthers
            };
            add(images_of_fixed_sizes(program, statement), Certainty::Room);
            add(first_of_sizes(statement), certainty);
            add(images_cut_off(statement), certainty);
            if of_images && let Some(least) = fewest_of_several(statement) {
                let tensors = statement.args.iter().flat_map(|a| tensors(&a.value));
                tensors
                    .filter_map(|tensor| network.tensor(tensor)?.shape.first().copied())
                    .filter(|first| *first >= least)
                    .for_each(|first| add(Some(first), certainty));
            }
        }
        numbers.sort_by_key(|number| number.certainty);
        WrittenNumbers(numbers)
    }

    /// The numbers of images to try, in order.
    fn sizes(&self) -> Vec<i64> {
        let mut seen = BTreeSet::new();
        let all = self.0.iter().map(|number| number.images);
        all.filter(|images| seen.insert(*images))
            .take(MOST_TRIED)
            .collect()
    }

    fn place(&self, network: &Network, program: &Program, images: i64) -> String {
        let first = self.0.iter().find(|number| number.images == images);
        let Some(statement) = first.map(|m| m.statement) else {
            return "its code".into();
        };
        let call = statement.call.and_then(|call| program.calls.get(call.0));
        let module = call.map_or(ModuleTree::ROOT, |call| call.module);
        let path = match network.modules.get(module).path.as_str() {
            "" => "the root".to_owned(),
            path => path.to_owned(),
        };
        let line = statement.line.map(|line| network.sources.show_line(line));
        let line = line.map_or(String::new(), |line| format!(", {line}"));
        format!(
            "torch.{} in {path}{line}",
            statement.operator().unwrap_or_default()
        )
    }
}

/// How many images fixed sizes hold, where a tensor of the whole batch is given these sizes.
fn images_of_fixed_sizes(program: &Program, statement: &Statement) -> Option<i64> {
    if !matches!(
        statement.operator(),
        Some("reshape" | "view" | "_unsafe_view" | "expand")
    ) {
        return None;
    }
    let Some(Operand::Value(tensor)) = statement.arg(0, "self") else {
        return None;
    };
    let image = match element_count(program.shape(*tensor)?)? {
        Dim { n, batch: 1 } => n,
        _ => return None,
    };
    let sizes = sizes(statement)?;
    let wanted = sizes.iter().try_fold(1_i64, |product, n| {
        product.checked_mul(*n).filter(|_| *n > 0)
    })?;
    (image > 0 && wanted % image == 0).then(|| wanted / image)
}

/// The first number of a list of sizes.
fn first_of_sizes(statement: &Statement) -> Option<i64> {
    let operator = statement.operator()?;
    let makes = matches!(
        operator,
        "reshape"
            | "view"
            | "_unsafe_view"
            | "expand"
            | "repeat"
            | "tile"
            | "zeros"
            | "ones"
            | "full"
            | "empty"
            | "rand"
            | "randn"
            | "new_zeros"
            | "new_ones"
            | "new_full"
            | "new_empty"
            | "broadcast_to"
    );
    makes.then(|| sizes(statement)?.first().copied())?
}

/// The first list of numbers among its arguments.
fn sizes(statement: &Statement) -> Option<Vec<i64>> {
    let mut args = statement.args.iter().take(2);
    args.find_map(|argument| argument.value.ints().filter(|sizes| !sizes.is_empty()))
}

/// How many entries of the first dimension are kept.
fn images_cut_off(statement: &Statement) -> Option<i64> {
    let (dim, length) = match statement.operator()? {
        "slice" => {
            let start = statement.arg(2, "start").map_or(Some(0), Operand::int)?;
            let end = statement.arg(3, "end")?.int()?;
            (statement.arg(1, "dim")?, end.checked_sub(start)?)
        }
        "narrow" => (statement.arg(1, "dim")?, statement.arg(3, "length")?.int()?),
        _ => return None,
    };
    (dim.int()? == 0).then_some(length)
}

/// The least size from which on the first dimensions of its arguments have to be the same.
fn fewest_of_several(statement: &Statement) -> Option<i64> {
    let operator = statement.operator()?;
    match operator.strip_suffix('_').unwrap_or(operator) {
        "add" | "sub" | "mul" | "div" | "where" => Some(2),
        "cat" | "stack" => Some(1),
        _ => None,
    }
}

/// The tensors of an argument.
fn tensors(operand: &Operand) -> Vec<&Operand> {
    match operand {
        Operand::List(items) | Operand::Tuple(items) => items.iter().flat_map(tensors).collect(),
        other => vec![other],
    }
}
