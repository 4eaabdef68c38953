//! Each kernel against the definition of a convolution, with each set of vector instructions.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const ACTIVATIONS: [Activation; 5] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::Hardswish,
    Activation::Silu,
];

/// The definition of a convolution, in f64: taps are out × in × k × k, with a single `in` if each channel is by itself.
fn direct(c: &Convolution, taps: &[f32]) -> Vec<f64> {
    let shape = &c.shape;
    let (rows, columns) = shape.output().unwrap();
    let by_itself = c.kernel == Kernel::Depthwise;
    let inputs = if by_itself { 1 } else { shape.inputs };
    let (side, outputs) = (shape.kernel, shape.outputs);
    let mut output = Vec::new();
    for i in 0..shape.images * rows * columns * outputs {
        let (pixel, channel) = (i / outputs, i % outputs);
        let (image, row, column) = (
            pixel / columns / rows,
            pixel / columns % rows * shape.stride,
            pixel % columns * shape.stride,
        );
        let mut sum = f64::from(c.epilogue.bias[channel]);
        for (tap, (y, x)) in (0..side * side).map(|tap| (tap, (tap / side, tap % side))) {
            let Some(place) = shape.place(image, row + y, column + x) else {
                continue;
            };
            for input in 0..inputs {
                let weight = taps[(channel * inputs + input) * side * side + tap];
                let from = if by_itself { channel } else { input };
                sum += f64::from(c.images[place + from]) * f64::from(weight);
            }
        }
        sum += c.epilogue.addend.map_or(0., |a| f64::from(a[i]));
        output.push(active(c.epilogue.activation, sum));
    }
    output
}

fn active(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.),
        Activation::Relu6 => x.clamp(0., 6.),
        Activation::Hardswish => x * (x + 3.).clamp(0., 6.) / 6.,
        Activation::Silu => x / (1. + (-x).exp()),
    }
}

/// What a kernel gives for random numbers, with each set of vector instructions, is what the definition says.
fn assert_computes(kernel: Kernel, shape: Shape, activation: Activation, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.random::<f32>() - 0.5).collect() };
    let (rows, columns) = shape.output().unwrap();
    let images = random(shape.images * shape.height * shape.width * shape.inputs);
    let (inputs, outputs) = (shape.inputs, shape.outputs);
    let ins = if kernel == Kernel::Depthwise {
        1
    } else {
        inputs
    };
    let taps = random(outputs * ins * shape.kernel * shape.kernel);
    let weights = match kernel {
        Kernel::Winograd => winograd::weights(&taps, inputs, outputs),
        Kernel::Dense => dense::weights(&taps, inputs, outputs),
        Kernel::Depthwise => depthwise::weights(&taps, outputs),
    };
    // Sums in the bends of the activations.
    let bias: Vec<f32> = random(outputs).iter().map(|b| b * 16.).collect();
    let addend = random(shape.images * rows * columns * outputs);
    let convolution = Convolution {
        kernel,
        shape,
        images: &images,
        weights: &weights,
        epilogue: Epilogue {
            bias: &bias,
            addend: seed.is_multiple_of(2).then_some(&addend[..]),
            activation,
        },
    };
    let expected = direct(&convolution, &taps);
    for cap in ["default", "avx2", "avx512"] {
        let mut output = vec![f32::NAN; addend.len()];
        convolution.run_with(up_to(cap), &mut output);
        for (found, expected) in output.iter().zip(&expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 1e-4, "{found}, not {expected} ({cap}, {shape:?})");
        }
    }
}

/// Sizes of a convolution, channels aside, from many random numbers.
fn shape(sides: [usize; 2], kernel: usize, stride: usize, seed: u64) -> Shape {
    let zeros = |place: u32| (seed >> (8 * place)) as usize % kernel;
    Shape {
        images: 1 + (seed >> 40) as usize % 3,
        height: sides[0],
        width: sides[1],
        inputs: 0,
        outputs: 0,
        kernel,
        stride,
        padding: Padding {
            top: zeros(1),
            left: zeros(2),
            bottom: zeros(3),
            right: zeros(4),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn minimal_filtering_is_the_convolution_that_its_definition_says(
        sides in [1usize..=13, 1usize..=13],
        panels in [1usize..=3, 1usize..=3],
        activation in prop::sample::select(&ACTIVATIONS),
        seed in any::<u64>(),
    ) {
        let mut shape = shape(sides, 3, 1, seed);
        (shape.inputs, shape.outputs) = (panels[0] * CHANNELS, panels[1] * CHANNELS);
        prop_assume!(shape.output().is_some());
        assert_computes(Kernel::Winograd, shape, activation, seed);
    }

    #[test]
    fn a_product_is_the_convolution_that_its_definition_says(
        sides in [1usize..=9, 1usize..=9],
        (kernel, stride) in (1usize..=5, 1usize..=3),
        channels in [1usize..=40, CHANNELS..=70],
        activation in prop::sample::select(&ACTIVATIONS),
        seed in any::<u64>(),
    ) {
        let mut shape = shape(sides, kernel, stride, seed);
        [shape.inputs, shape.outputs] = channels;
        prop_assume!(shape.output().is_some());
        assert_computes(Kernel::Dense, shape, activation, seed);
    }

    #[test]
    fn channels_by_themselves_are_the_convolution_that_its_definition_says(
        sides in [1usize..=17, 1usize..=17],
        kernel in prop::sample::select(&[3usize, 5, 7]),
        stride in 1usize..=2,
        channels in CHANNELS..=70,
        activation in prop::sample::select(&ACTIVATIONS),
        seed in any::<u64>(),
    ) {
        let mut shape = shape(sides, kernel, stride, seed);
        (shape.inputs, shape.outputs) = (channels, channels);
        prop_assume!(shape.output().is_some());
        assert_computes(Kernel::Depthwise, shape, activation, seed);
    }
}

/// What an activation makes of numbers: a convolution of one pixel with weights of 1.
fn activated(activation: Activation, numbers: [f32; CHANNELS], cap: &str) -> [f32; CHANNELS] {
    let shape = Shape {
        inputs: CHANNELS,
        outputs: CHANNELS,
        padding: Padding {
            top: 1,
            left: 1,
            bottom: 1,
            right: 1,
        },
        images: 1,
        ..shape([1, 1], 3, 1, 0)
    };
    let convolution = Convolution {
        kernel: Kernel::Depthwise,
        shape,
        images: &numbers,
        weights: &[1.; 9 * CHANNELS],
        epilogue: Epilogue {
            bias: &[0.; CHANNELS],
            addend: None,
            activation,
        },
    };
    let mut output = [0.; CHANNELS];
    convolution.run_with(up_to(cap), &mut output);
    output
}

#[test]
fn activations_are_as_exact_as_floats_and_leave_what_is_no_number() {
    for (activation, cap) in ACTIVATIONS
        .into_iter()
        .flat_map(|a| ["default", "avx2", "avx512"].map(|cap| (a, cap)))
    {
        for start in (-200..200).map(|i| i as f32 / 2.) {
            let numbers = std::array::from_fn(|i| start + i as f32 / 33.);
            for (found, x) in activated(activation, numbers, cap).iter().zip(numbers) {
                let expected = active(activation, f64::from(x));
                let error = (f64::from(*found) - expected).abs();
                assert!(
                    error <= 5e-7 * expected.abs() + 1e-35,
                    "{activation:?} of {x}: {found}, not {expected} ({cap})"
                );
            }
        }
        let nothing = activated(activation, [f32::NAN; CHANNELS], cap);
        assert!(nothing.iter().all(|x| x.is_nan()), "{activation:?} ({cap})");
    }
}
