//! What is done to what a map gives, on its way into a sum.

use tch::{TchError, Tensor};

use super::operand::{Named, named, read};
use crate::program::{Network, Operand, Program, Shape, Statement, ValueId};

/// A step on the way from a map into a sum.
#[derive(Clone, Debug, PartialEq)]
pub enum Passage {
    /// The dimensions are put into this order.
    Permuted(Vec<i64>),
    /// All is multiplied by a number.
    Scaled(f64),
    /// Each channel is multiplied by a number of its own, which this tensor of the network holds.
    ScaledBy(Named),
}

impl Passage {
    /// Takes a tensor of the shape that comes out back to the shape that goes in; what is scaled stays so.
    pub(super) fn back(&self, t: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Passage::Permuted(order) => {
                let place = |of: usize| order.iter().position(|from| *from == of as i64);
                let back: Vec<i64> = (0..order.len())
                    .filter_map(|of| place(of).map(|place| place as i64))
                    .collect();
                t.f_permute(back)
            }
            Passage::Scaled(_) | Passage::ScaledBy(_) => Ok(t.shallow_clone()),
        }
    }

    /// Takes a tensor of the shape that goes in to the shape that comes out, without scaling it.
    pub(super) fn forth(&self, t: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Passage::Permuted(order) => t.f_permute(order),
            Passage::Scaled(_) | Passage::ScaledBy(_) => Ok(t.shallow_clone()),
        }
    }
}

/// Whether a statement may be a passage: what it is given is its first argument that is a value.
pub(super) fn may_be_passage(statement: &Statement) -> bool {
    let operator = statement.operator().unwrap_or_default();
    matches!(operator, "permute" | "transpose" | "mul" | "mul_")
}

/// A value on its way, and the dimension of its channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub value: ValueId,
    pub channel: usize,
}

impl Way {
    /// The passage that a statement, which alone reads the value, is, and where it leads.
    pub fn through(
        self,
        statement: &Statement,
        network: &Network,
        program: &Program,
    ) -> Option<(Passage, Way)> {
        let [value] = statement.outputs[..] else {
            return None;
        };
        let shape = program.shape(self.value)?;
        let rank = shape.len();
        let is_first = statement.args.first().and_then(read) == Some(self.value);
        let passage = match statement.operator()? {
            "permute" if is_first => {
                let order = statement.arg(1, "dims")?.ints()?;
                let order = order.into_iter().map(|dim| axis(dim, rank));
                Passage::Permuted(order.collect::<Option<_>>()?)
            }
            "transpose" if is_first => {
                let [a, b] = [(1, "dim0"), (2, "dim1")]
                    .map(|(place, name)| axis(statement.arg(place, name)?.int()?, rank));
                let mut order: Vec<i64> = (0..rank as i64).collect();
                order.swap(a? as usize, b? as usize);
                Passage::Permuted(order)
            }
            "mul" | "mul_" => self.scaling(statement, network, shape)?,
            _ => return None,
        };
        let channel = match &passage {
            Passage::Permuted(order) => {
                let is_channel = |from: &i64| *from == self.channel as i64;
                order.iter().position(is_channel)?
            }
            _ => self.channel,
        };
        Some((passage, Way { value, channel }))
    }

    fn scaling(self, statement: &Statement, network: &Network, value: &Shape) -> Option<Passage> {
        let [left, right] = &statement.args[..] else {
            return None;
        };
        let by = match (read(left), read(right)) {
            (Some(value), None) if value == self.value => &right.value,
            (None, Some(value)) if value == self.value => &left.value,
            _ => return None,
        };
        if let Operand::Literal(text) = by {
            return text.parse().ok().map(Passage::Scaled);
        }
        let shape = &network.tensor(by)?.shape;
        let channels = value.get(self.channel)?.known()?;
        // Its last dimension is that of the value.
        let at = self
            .channel
            .checked_sub(value.len().checked_sub(shape.len())?)?;
        let is_of_channels = |(i, side): (usize, &i64)| *side == if i == at { channels } else { 1 };
        let fits = at < shape.len() && shape.iter().enumerate().all(is_of_channels);
        fits.then(|| named(by).map(Passage::ScaledBy)).flatten()
    }
}

fn axis(dim: i64, rank: usize) -> Option<i64> {
    crate::program::axis(dim, rank).map(|axis| axis as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_of_dimensions_is_taken_back() {
        let t = Tensor::arange(24, (tch::Kind::Float, tch::Device::Cpu)).view([2, 3, 4]);
        let passage = Passage::Permuted(vec![2, 0, 1]);
        let there = passage.forth(&t).unwrap();
        assert_eq!(there.size(), [4, 2, 3]);
        assert_eq!(passage.back(&there).unwrap(), t);
    }
}
