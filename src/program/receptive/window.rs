//! Windows that slide over the positions: convolutions and poolings.

/// What a window adds to the field and to the stride.
pub(super) struct Window {
    /// From its first to its last position.
    pub reach: [i64; 2],
    pub stride: [i64; 2],
}

/// The two sizes that a list of one or two names: `[3]` or `[3, 3]`.
pub(super) fn pair(list: &[i64]) -> Option<[i64; 2]> {
    match *list {
        [both] => Some([both, both]),
        [height, width] => Some([height, width]),
        _ => None,
    }
}
