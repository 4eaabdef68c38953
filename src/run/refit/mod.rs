//! Linear maps of a network fitted anew in closed form: where there are such maps, and the regression.

mod operand;
mod passage;
mod place;
mod ridge;
mod samples;

use anyhow::Result;
use tch::{TchError, Tensor};

use crate::run::torch::explain;

pub use operand::Named;
pub use passage::Passage;
pub use place::{Maps, Norm, Place, Windows};
pub use ridge::{Products, best_penalty, solution};
pub use samples::Grid;

impl Place {
    /// What is missing in its value for it to be as good as `target`. Where a rectifier follows, all that is below zero is
    /// as good as zero.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn missing(&self, value: &Tensor, target: &Tensor) -> Result<Tensor> {
        let missing = || -> Result<Tensor, TchError> {
            let missing = target.f_sub(value)?;
            if !self.is_rectified {
                return Ok(missing);
            }
            let excess = value.f_relu()?.f_neg()?;
            missing.f_where_self(&target.f_gt(0.)?, &excess)
        };
        missing().map_err(explain)
    }

    /// Sums over images and pixels of what its map is given, and of what is `missing` in its value. A last column of ones
    /// stands for a constant, where it can have one. Only the pixels of `grid` are looked at.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn products(&self, input: &Tensor, missing: &Tensor, grid: Grid) -> Result<Products> {
        let products = || -> Result<Products, TchError> {
            let z = samples::of_input(self, input, grid)?;
            let r = samples::of_value(self, missing, grid)?;
            Products::of(&z, &r, self.has_shift())
        };
        products().map_err(explain)
    }

    /// Its value once `d`, inputs × outputs, is added to its map as the sum has it, scaled: what the map is given, and the
    /// value as it is, being given.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn changed_by(&self, d: &Tensor, input: &Tensor, value: &Tensor) -> Result<Tensor> {
        let changed = || -> Result<Tensor, TchError> {
            let d = d.f_transpose(0, 1)?.f_to_kind(value.f_kind()?)?;
            let inputs = d.size2()?.1 - i64::from(self.has_shift());
            let weight = d.f_narrow(1, 0, inputs)?;
            let bias = match self.has_shift() {
                true => Some(d.f_select(1, inputs)?.f_contiguous()?),
                false => None,
            };
            let more = match &self.windows {
                None => input.f_linear(&weight, bias.as_ref())?,
                Some(windows) => {
                    let [height, width] = windows.kernel;
                    let weight = weight.f_contiguous()?;
                    let weight = weight.f_view([d.size2()?.0, -1, height, width])?;
                    let [stride, padding, dilation] =
                        [&windows.stride, &windows.padding, &windows.dilation];
                    input.f_conv2d(&weight, bias.as_ref(), stride, padding, dilation, 1)?
                }
            };
            let mut passages = self.passages.iter();
            value.f_add(&passages.try_fold(more, |more, passage| passage.forth(&more))?)
        };
        changed().map_err(explain)
    }
}
