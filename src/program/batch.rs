//! Networks whose code has the number of images in a batch written into it: followed for batches of just that size.

use std::collections::HashSet;

use super::inline::{self, Images};
use super::value::{Dim, Known, Val, ValueId};
use super::{Learned, Network, Program, ProgramError};

impl Program {
    /// Follows `forward` for batches of so many images, and no others: all sizes are numbers.
    ///
    /// # Errors
    /// Those of [`Program::new`].
    pub fn for_batches_of(
        network: &Network,
        shape: &[i64],
        batch: i64,
        learned: &Learned,
    ) -> Result<Self, ProgramError> {
        let images = Images {
            shape,
            batch: Dim::fixed(batch),
            regardless: false,
        };
        inline::inline(network, images, learned)
    }

    /// Follows `forward` even where an operator refuses its arguments: the shape of its result is unknown then.
    ///
    /// # Errors
    /// If it cannot be followed at all.
    pub fn regardless(
        network: &Network,
        shape: &[i64],
        learned: &Learned,
    ) -> Result<Self, ProgramError> {
        let images = Images {
            shape,
            batch: Dim::BATCH,
            regardless: true,
        };
        inline::inline(network, images, learned)
    }

    /// The values that are computed from the images.
    #[must_use]
    pub fn made_of_images(&self) -> HashSet<ValueId> {
        let mut made = HashSet::from([self.input]);
        for statement in &self.statements {
            if statement.reads().any(|v| made.contains(&v)) {
                made.extend(&statement.outputs);
            }
        }
        made
    }

    /// A program that was followed for batches of `batch` images, with the variable batch size in the place of that
    /// number: in the first dimension of all values that are computed from the images.
    #[must_use]
    pub fn of_any_batch(mut self, batch: i64) -> Self {
        let made = self.made_of_images();
        for value in &made {
            if let Some(value) = self.values.get_mut(value.0 as usize) {
                of_any_batch(&mut value.known, batch);
            }
        }
        for call in &mut self.calls {
            call.args
                .iter_mut()
                .for_each(|value| value_of_any_batch(value, batch, &made));
            value_of_any_batch(&mut call.result, batch, &made);
        }
        value_of_any_batch(&mut self.output, batch, &made);
        self
    }
}

fn value_of_any_batch(value: &mut Val, batch: i64, made: &HashSet<ValueId>) {
    match &mut value.known {
        Known::List(items) | Known::Tuple(items) => items
            .iter_mut()
            .for_each(|item| value_of_any_batch(item, batch, made)),
        Known::Dict(pairs) => pairs
            .iter_mut()
            .for_each(|(_, item)| value_of_any_batch(item, batch, made)),
        known if value.operand.values().iter().any(|v| made.contains(v)) => {
            of_any_batch(known, batch);
        }
        _ => {}
    }
}

fn of_any_batch(known: &mut Known, batch: i64) {
    if let Known::Tensor {
        shape: Some(shape), ..
    } = known
        && let Some(first) = shape.first_mut()
        && first.batch == 0
        && first.n > 0
        && first.n % batch == 0
    {
        *first = Dim {
            n: first.n / batch,
            batch: 1,
        };
    }
}
