//! Where the elements of a tensor are after `reshape`, `permute` and the like.
//!
//! A skip that is flattened to tokens for one sum, and brought back into its shape for the next, is still the identity.

use crate::program::{Dim, Operand, Program, Statement, axis};

/// A row of elements of the original tensor: `size` of them, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    size: Dim,
    stride: Dim,
}

/// A tensor's dimensions, each made of axes of the original tensor, the outermost first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout(Vec<Vec<Axis>>);

impl Layout {
    /// Every element in its place.
    pub fn of(shape: &[Dim]) -> Option<Self> {
        let mut stride = Dim::fixed(1);
        let mut dims = Vec::with_capacity(shape.len());
        for size in shape.iter().rev() {
            dims.push(vec![Axis {
                size: *size,
                stride,
            }]);
            stride = stride.times(*size)?;
        }
        dims.reverse();
        Some(Layout(dims))
    }

    /// Whether every element is where it was, whatever the shape.
    pub fn is_in_order(&self) -> bool {
        let mut stride = Some(Dim::fixed(1));
        for axis in self.0.iter().flatten().rev() {
            if axis.size == Dim::fixed(1) {
                continue;
            }
            if stride != Some(axis.stride) {
                return false;
            }
            stride = axis.stride.times(axis.size);
        }
        true
    }

    /// What the statement makes of a tensor of this layout, its first argument; `None` if it does more than rearrange
    /// it.
    pub fn rearranged(&self, program: &Program, statement: &Statement) -> Option<Self> {
        match statement.operator()? {
            "reshape" | "view" | "flatten" | "unflatten" | "squeeze" | "unsqueeze" | "view_as"
            | "reshape_as" => self.reshaped(program.shape(*statement.outputs.first()?)?),
            "permute" => {
                let order = statement.arg(1, "dims")?.ints()?;
                self.permuted(&order)
            }
            "transpose" | "swapaxes" | "swapdims" => {
                let at = |i, name| self.place(statement.arg(i, name).and_then(Operand::int)?);
                let mut dims = self.0.clone();
                dims.swap(at(1, "dim0")?, at(2, "dim1")?);
                Some(Layout(dims))
            }
            "contiguous" | "clone" | "alias" | "detach" => Some(self.clone()),
            _ => None,
        }
    }

    fn place(&self, dim: i64) -> Option<usize> {
        axis(dim, self.0.len())
    }

    fn permuted(&self, order: &[i64]) -> Option<Self> {
        let places: Vec<usize> = order
            .iter()
            .map(|d| self.place(*d))
            .collect::<Option<_>>()?;
        let each_once = (0..self.0.len()).all(|i| places.contains(&i));
        let same_rank = places.len() == self.0.len();
        (each_once && same_rank)
            .then(|| Layout(places.iter().map(|i| self.0[*i].clone()).collect()))
    }

    /// The same elements in the same order, in dimensions of these sizes.
    fn reshaped(&self, shape: &[Dim]) -> Option<Self> {
        let mut left: Vec<Axis> = self.0.iter().flatten().rev().copied().collect();
        left.retain(|axis| axis.size != Dim::fixed(1));
        let mut dims = Vec::with_capacity(shape.len());
        for size in shape {
            let (mut missing, mut axes) = (*size, Vec::new());
            while missing != Dim::fixed(1) {
                let axis = left.pop()?;
                if let Some(rest) = quotient(missing, axis.size) {
                    axes.push(axis);
                    missing = rest;
                } else {
                    let inner = quotient(axis.size, missing)?;
                    axes.push(Axis {
                        size: missing,
                        stride: axis.stride.times(inner)?,
                    });
                    left.push(Axis {
                        size: inner,
                        stride: axis.stride,
                    });
                    missing = Dim::fixed(1);
                }
            }
            dims.push(axes);
        }
        left.is_empty().then_some(Layout(dims))
    }
}

/// Division without remainder.
fn quotient(dividend: Dim, divisor: Dim) -> Option<Dim> {
    let quotient = dividend.over(divisor)?;
    (quotient.times(divisor) == Some(dividend)).then_some(quotient)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sizes: &[i64]) -> Vec<Dim> {
        let mut shape = vec![Dim::BATCH];
        shape.extend(sizes.iter().map(|n| Dim::fixed(*n)));
        shape
    }

    fn layout(sizes: &[i64]) -> Layout {
        Layout::of(&shape(sizes)).unwrap()
    }

    #[test]
    fn tokens_and_back_is_the_identity() {
        let tokens = layout(&[12, 4, 6]).reshaped(&shape(&[12, 24])).unwrap();
        let tokens = tokens.permuted(&[0, 2, 1]).unwrap();
        assert!(!tokens.is_in_order());
        let image = tokens.permuted(&[0, -1, 1]).unwrap();
        let image = image.reshaped(&shape(&[12, 4, 6])).unwrap();
        assert!(image.is_in_order());
    }

    #[test]
    fn tokens_folded_back_without_their_transposition_are_not() {
        let tokens = layout(&[12, 4, 6]).reshaped(&shape(&[12, 24])).unwrap();
        let tokens = tokens.permuted(&[0, 2, 1]).unwrap();
        let image = tokens.reshaped(&shape(&[12, 4, 6])).unwrap();
        assert!(!image.is_in_order());
    }

    #[test]
    fn windows_go_back_the_way_they_came() {
        let split = layout(&[8, 8, 5])
            .reshaped(&shape(&[2, 4, 2, 4, 5]))
            .unwrap();
        let windows = split.permuted(&[0, 1, 3, 2, 4, 5]).unwrap();
        let batch = Dim { n: 4, batch: 1 };
        let flat = windows
            .reshaped(&[batch, Dim::fixed(16), Dim::fixed(5)])
            .unwrap();
        assert!(!flat.is_in_order());
        let split = flat.reshaped(&shape(&[2, 2, 4, 4, 5])).unwrap();
        let back = split.permuted(&[0, 1, 3, 2, 4, 5]).unwrap();
        assert!(back.reshaped(&shape(&[8, 8, 5])).unwrap().is_in_order());
        let turned = split.permuted(&[0, 1, 4, 2, 3, 5]).unwrap();
        assert!(!turned.reshaped(&shape(&[8, 8, 5])).unwrap().is_in_order());
    }

    #[test]
    fn sizes_that_do_not_divide_are_not_followed() {
        assert_eq!(layout(&[6, 4]).reshaped(&shape(&[4, 6])), None);
    }
}
