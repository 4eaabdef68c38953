//! The samples of a regression, one for each image and pixel, as columns of a matrix: features × samples.

use tch::{Kind, TchError, Tensor};

use super::place::{Place, Windows};

/// The pixels of a place's value that are looked at: every `step`th in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    step: i64,
    /// Its first row and its first column.
    first: [i64; 2],
}

impl Grid {
    /// So many pixels at most of each map of images × channels × height × width, as long as one is left: neighbours say
    /// nearly the same.
    #[must_use]
    pub fn of_at_most(pixels: i64, map: &Tensor) -> Self {
        let step = match map.size()[..] {
            [_, _, height, width] => {
                let left = |side: i64, step: i64| (side + step - 1) / step;
                let mut steps = 1..height.max(width);
                let few = steps.find(|step| left(height, *step) * left(width, *step) <= pixels);
                few.unwrap_or(height.max(width)).max(1)
            }
            _ => 1,
        };
        Grid {
            step,
            first: [0; 2],
        }
    }

    /// As many pixels, from elsewhere on: where batches take turns with `number`, no pixel is always left out.
    #[must_use]
    pub fn turned(self, number: usize) -> Self {
        let number = number as i64;
        Grid {
            first: [number % self.step, number / self.step % self.step],
            ..self
        }
    }

    fn of(self, value: &Tensor) -> Result<Tensor, TchError> {
        let [row, column] = self.first;
        let rows = value.f_slice(2, row, None, self.step)?;
        rows.f_slice(3, column, None, self.step)
    }
}

/// What a place's map is given, in f64, of the pixels of its value that `grid` names.
pub(super) fn of_input(place: &Place, input: &Tensor, grid: Grid) -> Result<Tensor, TchError> {
    let samples = match &place.windows {
        None => of_tokens(input)?,
        Some(windows) => side_by_side(&windows.samples(input, grid)?)?,
    };
    samples.f_to_kind(Kind::Double)
}

/// A tensor of the shape of a place's value, in f64; the pixels that `grid` names.
pub(super) fn of_value(place: &Place, value: &Tensor, grid: Grid) -> Result<Tensor, TchError> {
    let mut passages = place.passages.iter().rev();
    let value = passages.try_fold(value.shallow_clone(), |value, passage| passage.back(&value))?;
    let samples = match place.windows {
        None => of_tokens(&value)?,
        Some(_) => side_by_side(&grid.of(&value)?.f_flatten(2, -1)?)?,
    };
    samples.f_to_kind(Kind::Double)
}

/// The features of all tokens, which are the last dimension.
fn of_tokens(t: &Tensor) -> Result<Tensor, TchError> {
    let features = t.size().last().copied().unwrap_or(1);
    t.f_reshape([-1, features])?.f_transpose(0, 1)
}

/// The pixels of all images, images × features × pixels, beside one another: one product of large matrices is quicker than
/// many of small ones.
fn side_by_side(samples: &Tensor) -> Result<Tensor, TchError> {
    let features = samples.size3()?.1;
    samples.f_transpose(0, 1)?.f_reshape([features, -1])
}

impl Windows {
    /// What the kernel sees at pixels of the output: images × features × pixels.
    fn samples(&self, input: &Tensor, grid: Grid) -> Result<Tensor, TchError> {
        if self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0] {
            return grid.of(input)?.f_flatten(2, -1);
        }
        let stride = self.stride.map(|stride| stride * grid.step);
        if grid.first == [0, 0] {
            let input = input.f_contiguous()?;
            return input.f_im2col(self.kernel, self.dilation, self.padding, stride);
        }
        let [top, left] = self.padding;
        let padded = input.f_constant_pad_nd([left, left, top, top])?;
        let rows = padded.f_slice(2, grid.first[0] * self.stride[0], None, 1)?;
        let seen = rows.f_slice(3, grid.first[1] * self.stride[1], None, 1)?;
        seen.f_contiguous()?
            .f_im2col(self.kernel, self.dilation, [0, 0], stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the kernel, its stride, padding and dilation: what it sees at the pixels of a grid is what it sees at all
    /// pixels, of which those are taken.
    #[test]
    fn what_a_kernel_sees_at_the_pixels_of_a_grid_is_part_of_what_it_sees_at_all() {
        let image = Tensor::arange(2 * 3 * 11 * 9, (Kind::Float, tch::Device::Cpu));
        let image = image.view([2, 3, 11, 9]);
        for (kernel, stride, padding, dilation) in [
            ([3, 3], [1, 1], [1, 1], [1, 1]),
            ([3, 2], [2, 1], [1, 0], [1, 2]),
            ([1, 1], [1, 1], [0, 0], [1, 1]),
            ([1, 1], [2, 2], [0, 0], [1, 1]),
            ([5, 3], [2, 3], [2, 1], [1, 1]),
        ] {
            let windows = Windows {
                kernel,
                stride,
                padding,
                dilation,
            };
            let all = windows
                .samples(
                    &image,
                    Grid {
                        step: 1,
                        first: [0; 2],
                    },
                )
                .unwrap();
            let side = |of: usize| {
                let seen = dilation[of] * (kernel[of] - 1) + 1;
                (image.size()[2 + of] + 2 * padding[of] - seen) / stride[of] + 1
            };
            let (images, features) = (all.size()[0], all.size()[1]);
            let all = all.view([images, features, side(0), side(1)]);
            for (step, number) in [(1, 5), (2, 0), (2, 1), (2, 2), (3, 7)] {
                let grid = Grid {
                    step,
                    first: [0; 2],
                }
                .turned(number);
                let found = windows.samples(&image, grid).unwrap();
                let expected = grid.of(&all).unwrap().flatten(2, -1);
                assert_eq!(found, expected, "{windows:?} {grid:?}");
            }
        }
    }
}
