//! Sizes of images: how they are shown, and how many values they mean.

/// A size as `--input-size` takes it: `3x32x32`.
pub(super) fn shown<T: ToString>(sides: &[T]) -> String {
    let sides: Vec<String> = sides.iter().map(T::to_string).collect();
    sides.join("x")
}

/// The product of all sides; `None` if it is beyond any memory.
pub(super) fn product(sides: &[usize]) -> Option<usize> {
    sides
        .iter()
        .try_fold(1_usize, |n, side| n.checked_mul(*side))
}
