//! Gaussian blur, one direction after the other.

/// Standard deviations from the centre at which the Gaussian is cut off.
const REACH: f64 = 4.;

/// Blurs every channel; the deviation is in pixels. Beyond an edge its pixels go on.
pub(super) fn gaussian(pixels: &mut [f32], [_, height, width]: [usize; 3], deviation: f64) {
    let weights = weights(deviation);
    let mut line = Vec::new();
    for plane in pixels.chunks_exact_mut(height * width) {
        for y in 0..height {
            let row = Line {
                first: y * width,
                step: 1,
                count: width,
            };
            row.blur(plane, &weights, &mut line);
        }
        for x in 0..width {
            let column = Line {
                first: x,
                step: width,
                count: height,
            };
            column.blur(plane, &weights, &mut line);
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

/// A row or a column: `count` pixels of a channel that begin at `first` and lie `step` apart.
struct Line {
    first: usize,
    step: usize,
    count: usize,
}

impl Line {
    /// Blurs the pixels; `before` is room for what they were.
    fn blur(&self, plane: &mut [f32], weights: &[f64], before: &mut Vec<f64>) {
        let place = |i: usize| self.first + i * self.step;
        before.clear();
        before.extend((0..self.count).map(|i| f64::from(plane[place(i)])));
        let last = self.count - 1;
        for i in 0..self.count {
            let mut sum = weights[0] * before[i];
            for (distance, weight) in weights.iter().enumerate().skip(1) {
                let one_side = before[i.saturating_sub(distance)];
                let other_side = before[(i + distance).min(last)];
                sum += weight * (one_side + other_side);
            }
            plane[place(i)] = sum as f32;
        }
    }
}
