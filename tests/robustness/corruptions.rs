use ckaprune::train::robustness::{Corruption, Severity};

const SHAPES: [[usize; 3]; 3] = [[3, 32, 32], [1, 28, 28], [3, 45, 61]];

/// Smooth shades, edges and texture, as photographs have them.
fn scene([channels, height, width]: [usize; 3]) -> Vec<f32> {
    let mut pixels = Vec::new();
    for c in 0..channels {
        for y in 0..height {
            for x in 0..width {
                let (v, u) = (y as f32 / height as f32, x as f32 / width as f32);
                let sky = 0.35 + 0.25 * v + 0.1 * c as f32 * u;
                let disc = (u - 0.6).powi(2) + (v - 0.45).powi(2) < 0.06;
                let texture = 0.06 * ((7 * y + 5 * x + 3 * c) % 9) as f32 / 9.;
                pixels.push(sky + if disc { 0.2 } else { -0.1 } + texture);
            }
        }
    }
    assert!(pixels.iter().all(|x| (0. ..=1.).contains(x)));
    pixels
}

fn severity(number: u8) -> Severity {
    Severity::try_from(number).unwrap()
}

fn corrupted(kind: Corruption, level: u8, shape: [usize; 3], seed: u64, number: usize) -> Vec<f32> {
    let mut pixels = scene(shape);
    kind.apply(severity(level), &mut pixels, shape, seed, number);
    pixels
}

fn squared_change(before: &[f32], after: &[f32]) -> f64 {
    let squares = before
        .iter()
        .zip(after)
        .map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / before.len() as f64
}

#[test]
fn each_severity_changes_more_than_the_one_before() {
    for shape in SHAPES {
        for kind in &Corruption::ALL {
            let mut last = 1e-6;
            for level in 1..=5 {
                let after = corrupted(*kind, level, shape, 0, 0);
                assert!(
                    after.iter().all(|x| (0. ..=1.).contains(x)),
                    "{kind} {level}"
                );
                let change = squared_change(&scene(shape), &after);
                assert!(
                    change > 1.05 * last,
                    "{kind} {level} of {shape:?}: {change} after {last}"
                );
                last = change;
            }
        }
    }
}

#[test]
fn noise_has_its_deviation_and_is_drawn_for_each_image_severity_and_seed() {
    let shape = [3, 64, 64];
    let noise = |level: u8, seed: u64, number: usize| {
        let mut pixels = vec![0.5; 3 * 64 * 64];
        Corruption::Noise.apply(severity(level), &mut pixels, shape, seed, number);
        pixels
    };
    for (level, deviation) in [(1, 0.04), (2, 0.06), (3, 0.08), (4, 0.12)] {
        let values = noise(level, 0, 7);
        let count = values.len() as f64;
        let mean = values.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let squares = values.iter().map(|x| (f64::from(*x) - mean).powi(2));
        let found = (squares.sum::<f64>() / count).sqrt();
        // Five standard errors of 12,288 values.
        assert!((mean - 0.5).abs() < 5. * deviation / count.sqrt(), "{mean}");
        assert!(
            (found / deviation - 1.).abs() < 5. / (2. * count).sqrt(),
            "{found}"
        );
    }
    assert_eq!(noise(1, 0, 7), noise(1, 0, 7));
    assert_ne!(noise(1, 0, 7), noise(1, 0, 8));
    assert_ne!(noise(1, 0, 7), noise(1, 1, 7));
    // Another draw, not the same one made stronger.
    let [weak, strong] = [1, 3].map(|level| (noise(level, 0, 7)[0] - 0.5) / 0.04);
    assert!((2. * weak - strong).abs() > 1e-3, "{weak} {strong}");
}

#[test]
fn all_but_noise_depend_on_the_image_alone() {
    for kind in &Corruption::ALL {
        let same = corrupted(*kind, 3, SHAPES[0], 0, 1) == corrupted(*kind, 3, SHAPES[0], 5, 2);
        assert_eq!(same, *kind != Corruption::Noise, "{kind}");
    }
}

fn close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (found_one, wanted_one) in found.iter().zip(wanted) {
        assert!(
            (found_one - wanted_one).abs() < 1e-6,
            "{found:?} is not {wanted:?}"
        );
    }
}

#[test]
fn contrast_draws_each_channel_to_its_own_mean() {
    let mut pixels = vec![0.2, 0.4, 0.6, 0.8, 0., 1., 0., 1.];
    Corruption::Contrast.apply(severity(5), &mut pixels, [2, 2, 2], 0, 0);
    // Both means are 0.5; 0.15 of the distance is left.
    let wanted = [0.455, 0.485, 0.515, 0.545, 0.425, 0.575, 0.425, 0.575];
    close(&pixels, &wanted);
    let mut pixels = vec![0.2, 0.4, 0.1, 0.3];
    Corruption::Contrast.apply(severity(2), &mut pixels, [2, 1, 2], 0, 0);
    // Means 0.3 and 0.2; 0.6 is left.
    close(&pixels, &[0.24, 0.36, 0.14, 0.26]);
}

#[test]
fn brightness_adds_and_stops_at_white() {
    let mut pixels = vec![0., 0.5, 0.8, 1.];
    Corruption::Brightness.apply(severity(4), &mut pixels, [1, 2, 2], 0, 0);
    close(&pixels, &[0.3, 0.8, 1., 1.]);
}

#[test]
fn pixelate_gives_every_cell_its_mean() {
    // Severity 4 halves the resolution: cells of 2 x 2.
    let mut pixels: Vec<f32> = (0..16).map(|i| i as f32 / 16.).collect();
    Corruption::Pixelate.apply(severity(4), &mut pixels, [1, 4, 4], 0, 0);
    let [a, b, c, d] = [2.5 / 16., 4.5 / 16., 10.5 / 16., 12.5 / 16.];
    let wanted = [a, a, b, b, a, a, b, b, c, c, d, d, c, c, d, d];
    close(&pixels, &wanted);
    // Severity 3 leaves three cells of five columns; columns 0 to 4 are in cells 0, 0, 1, 1, 2 (⌊3x/5⌋).
    let mut pixels = vec![0., 0.2, 0.4, 0.6, 1.];
    Corruption::Pixelate.apply(severity(3), &mut pixels, [1, 1, 5], 0, 0);
    close(&pixels, &[0.1, 0.1, 0.5, 0.5, 1.]);
}

#[test]
fn blur_spreads_a_point_as_a_gaussian_of_its_deviation() {
    // 0.04 of 50 pixels.
    let (side, deviation) = (50, 2_f64);
    let mut pixels = vec![0.; side * side];
    pixels[20 * side + 30] = 1.;
    Corruption::Blur.apply(severity(5), &mut pixels, [1, side, side], 0, 0);
    let bell = |d: i32| (-0.5 * (f64::from(d) / deviation).powi(2)).exp();
    let all: f64 = (-8..=8).map(bell).sum();
    for (dy, dx) in [(0, 0), (1, 0), (0, -3), (4, 5)] {
        let at = ((20 + dy) * side as i32 + 30 + dx) as usize;
        let wanted = bell(dy) * bell(dx) / (all * all);
        assert!(
            (f64::from(pixels[at]) - wanted).abs() < 1e-6,
            "{dy} {dx}: {}",
            pixels[at]
        );
    }
    let sum: f64 = pixels.iter().map(|x| f64::from(*x)).sum();
    assert!((sum - 1.).abs() < 1e-4, "{sum}");
    // A plain image has no edges, not even at its border.
    let mut plain = vec![0.3; 7 * 5];
    Corruption::Blur.apply(severity(5), &mut plain, [1, 7, 5], 0, 0);
    close(&plain, &[0.3; 35]);
}
