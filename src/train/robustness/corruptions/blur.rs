//! Gaussian blur, one direction after the other.

/// Standard deviations from the centre at which the Gaussian is cut off.
const REACH: f64 = 4.;

/// Blurs every channel; the deviation is in pixels. Beyond an edge its pixels go on.
pub(super) fn gaussian(pixels: &mut [f32], [_, height, width]: [usize; 3], deviation: f64) {
    let weights = weights(deviation);
    let mut line = Vec::new();
    for plane in pixels.chunks_exact_mut(height * width) {
        for y in 0..height {
            blur_line(plane, y * width, 1, width, &weights, &mut line);
        }
        for x in 0..width {
            blur_line(plane, x, width, height, &weights, &mut line);
        }
    }
}

/// Weights of a pixel and of its neighbours in increasing distance, each meant for both sides; together 1.
fn weights(deviation: f64) -> Vec<f64> {
    let reach = (REACH * deviation).ceil() as usize;
    let mut weights: Vec<f64> = (0..=reach)
        .map(|distance| (-0.5 * (distance as f64 / deviation).powi(2)).exp())
        .collect();
    let sum = 2. * weights.iter().sum::<f64>() - weights[0];
    weights.iter_mut().for_each(|w| *w /= sum);
    weights
}

/// Blurs `count` pixels that begin at `first` and lie `step` apart.
fn blur_line(
    plane: &mut [f32],
    first: usize,
    step: usize,
    count: usize,
    weights: &[f64],
    line: &mut Vec<f64>,
) {
    line.clear();
    line.extend((0..count).map(|i| f64::from(plane[first + i * step])));
    let last = count - 1;
    for i in 0..count {
        let mut sum = weights[0] * line[i];
        for (distance, weight) in weights.iter().enumerate().skip(1) {
            let before = line[i.saturating_sub(distance)];
            let behind = line[(i + distance).min(last)];
            sum += weight * (before + behind);
        }
        plane[first + i * step] = sum as f32;
    }
}
