//! What is done to the sums of a convolution on their way to memory: bias, addition and activation.

use pulp::Simd;

use super::simd::{load, store};
use crate::run::inference::Activation;

/// Bias, addition and activation, in this order.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a> {
    /// One for each output channel.
    pub bias: &'a [f32],
    /// Added to the output, whose shape it has.
    pub addend: Option<&'a [f32]>,
    pub activation: Activation,
}

/// The output, and what is done on the way to it.
pub struct Sink<'a, S: Simd> {
    pub simd: S,
    epilogue: Epilogue<'a>,
    low: S::f32s,
    high: S::f32s,
    output: &'a mut [f32],
}

impl<'a, S: Simd> Sink<'a, S> {
    #[inline(always)]
    pub fn new(simd: S, epilogue: Epilogue<'a>, output: &'a mut [f32]) -> Self {
        let (low, high) = match epilogue.activation {
            Activation::Relu => (0., f32::INFINITY),
            Activation::Relu6 => (0., 6.),
            _ => (f32::NEG_INFINITY, f32::INFINITY),
        };
        Sink {
            simd,
            epilogue,
            low: simd.splat_f32s(low),
            high: simd.splat_f32s(high),
            output,
        }
    }

    /// Puts the sums of the channels from `channel` on, a vector of them, at `place` of the output. Activations that are
    /// no mere bounds wait for [`bend`](Self::bend): they need registers, which are full of sums until all are put.
    #[inline(always)]
    pub fn put(&mut self, sums: S::f32s, channel: usize, place: usize) {
        let simd = self.simd;
        let mut value = simd.add_f32s(sums, load::<S>(self.epilogue.bias, channel));
        if let Some(addend) = self.epilogue.addend {
            value = simd.add_f32s(value, load::<S>(addend, place));
        }
        store::<S>(
            self.output,
            place,
            bounded(simd, value, self.low, self.high),
        );
    }

    /// Applies to values that were put, `count` from `place` on, an activation that is no mere bounds.
    #[inline(always)]
    pub fn bend(&mut self, place: usize, count: usize) {
        let activation = self.epilogue.activation;
        if !matches!(activation, Activation::Hardswish | Activation::Silu) {
            return;
        }
        let (vectors, rest) = S::as_mut_simd_f32s(&mut self.output[place..place + count]);
        for vector in vectors {
            *vector = bent(self.simd, *vector, activation);
        }
        if !rest.is_empty() {
            let value = bent(self.simd, self.simd.partial_load_f32s(rest), activation);
            self.simd.partial_store_f32s(rest, value);
        }
    }
}

#[inline(always)]
fn bent<S: Simd>(simd: S, value: S::f32s, activation: Activation) -> S::f32s {
    match activation {
        Activation::Hardswish => {
            let (zero, six) = (simd.splat_f32s(0.), simd.splat_f32s(6.));
            let shifted = simd.add_f32s(value, simd.splat_f32s(3.));
            let gate = bounded(simd, shifted, zero, six);
            simd.div_f32s(simd.mul_f32s(value, gate), six)
        }
        Activation::Silu => {
            let one = simd.splat_f32s(1.);
            let power = exponential(simd, simd.sub_f32s(simd.splat_f32s(0.), value));
            simd.div_f32s(value, simd.add_f32s(one, power))
        }
        Activation::None | Activation::Relu | Activation::Relu6 => value,
    }
}

/// Not a number stays what it is, as in libtorch.
#[inline(always)]
fn bounded<S: Simd>(simd: S, value: S::f32s, low: S::f32s, high: S::f32s) -> S::f32s {
    let value = simd.select_f32s(simd.less_than_f32s(value, low), low, value);
    simd.select_f32s(simd.greater_than_f32s(value, high), high, value)
}

/// The coefficients of `exp(x)` for |x| ≤ ln 2 / 2, highest power first: its Taylor series, whose next term is below half
/// a unit in the last place there.
const SERIES: [f32; 8] = [
    1. / 5040.,
    1. / 720.,
    1. / 120.,
    1. / 24.,
    1. / 6.,
    1. / 2.,
    1.,
    1.,
];

/// `exp`, of arguments bounded to where a float holds the result in full precision.
#[inline(always)]
fn exponential<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = bounded(simd, x, simd.splat_f32s(-87.), simd.splat_f32s(88.));
    // Added to this number, 3 · 2²², a float is rounded to an integer, which its last bits then hold.
    let magic = simd.splat_f32s(12_582_912.);
    let scaled = simd.mul_add_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), magic);
    let whole = simd.sub_f32s(scaled, magic);
    // ln 2 in two parts, the first of which has so few digits that its product is exact.
    let rest = simd.mul_add_f32s(whole, simd.splat_f32s(-0.693_359_4), x);
    let rest = simd.mul_add_f32s(whole, simd.splat_f32s(2.121_944_4e-4), rest);
    let mut sum = simd.splat_f32s(SERIES[0]);
    for factor in &SERIES[1..] {
        sum = simd.mul_add_f32s(sum, rest, simd.splat_f32s(*factor));
    }
    // Times 2 to the power of that integer: added to the exponent, which stands above 23 bits.
    let power = simd.wrapping_dyn_shl_u32s(
        simd.transmute_u32s_f32s(scaled),
        simd.splat_u32s(f32::MANTISSA_DIGITS - 1),
    );
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(sum), power))
}
