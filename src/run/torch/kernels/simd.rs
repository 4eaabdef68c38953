//! Vectors of floats in slices.

use pulp::Simd;

/// The vector that begins at a place.
#[inline(always)]
pub fn load<S: Simd>(from: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&from[at..at + S::F32_LANES]).0[0]
}

/// So many vectors, one behind another.
#[inline(always)]
pub fn load_all<S: Simd, const VECTORS: usize>(
    simd: S,
    from: &[f32],
    at: usize,
) -> [S::f32s; VECTORS] {
    let from = S::as_simd_f32s(&from[at..at + VECTORS * S::F32_LANES]).0;
    let mut vectors = [simd.splat_f32s(0.); VECTORS];
    vectors.copy_from_slice(&from[..VECTORS]);
    vectors
}

#[inline(always)]
pub fn store<S: Simd>(to: &mut [f32], at: usize, value: S::f32s) {
    S::as_mut_simd_f32s(&mut to[at..at + S::F32_LANES]).0[0] = value;
}
