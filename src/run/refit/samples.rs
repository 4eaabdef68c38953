//! The samples of a regression, one for each image and pixel, as columns of matrices: images × features × pixels. Maps of
//! features lie so already.

use tch::{Kind, TchError, Tensor};

use super::place::{Place, Windows};

/// What a place's map is given, in f64; of every `step`th pixel of its value in both directions.
pub(super) fn of_input(place: &Place, input: &Tensor, step: i64) -> Result<Tensor, TchError> {
    let samples = match &place.windows {
        None => of_tokens(input)?,
        Some(windows) => windows.samples(input, step)?,
    };
    samples.f_to_kind(Kind::Double)
}

/// A tensor of the shape of a place's value, in f64; every `step`th pixel in both directions.
pub(super) fn of_value(place: &Place, value: &Tensor, step: i64) -> Result<Tensor, TchError> {
    let samples = match place.windows {
        None => of_tokens(value)?,
        Some(_) => every(value, step)?.f_flatten(2, -1)?,
    };
    samples.f_to_kind(Kind::Double)
}

fn every(value: &Tensor, step: i64) -> Result<Tensor, TchError> {
    let rows = value.f_slice(2, None, None, step)?;
    rows.f_slice(3, None, None, step)
}

/// The features of all tokens, which are the last dimension.
fn of_tokens(t: &Tensor) -> Result<Tensor, TchError> {
    let features = t.size().last().copied().unwrap_or(1);
    t.f_reshape([1, -1, features])?.f_transpose(1, 2)
}

impl Windows {
    /// What the kernel sees at pixels of the output.
    fn samples(&self, input: &Tensor, step: i64) -> Result<Tensor, TchError> {
        let stride = self.stride.map(|stride| stride * step);
        if self.kernel == [1, 1] && stride == [1, 1] && self.padding == [0, 0] {
            return input.f_flatten(2, -1);
        }
        let input = input.f_contiguous()?;
        input.f_im2col(self.kernel, self.dilation, self.padding, stride)
    }
}
