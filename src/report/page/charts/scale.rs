//! Where values stand on an axis, and how they are written.

use crate::report::{in_percent, percent_to, thousands};

/// What kind of number a value is. That decides how it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Numbers without a unit, with as many decimals as it takes to tell them apart.
    #[default]
    Plain,
    /// Fractions, written in percent.
    Percent,
    /// Whole numbers, such as MACs: `125.5 M`.
    Count,
    /// Seconds, written in milliseconds.
    Milliseconds,
}

impl Unit {
    /// A value in short. `span` is the distance between the least and the greatest of the values beside it.
    #[must_use]
    pub fn show(self, value: f64, span: f64) -> String {
        match self {
            Unit::Plain => format!("{value:.*}", decimals(span)),
            Unit::Percent => percent_to(decimals(100. * span).min(2), value),
            Unit::Milliseconds => format!("{:.*} ms", decimals(1e3 * span).min(3), 1e3 * value),
            Unit::Count => count(value),
        }
    }

    /// A value in full.
    #[must_use]
    pub fn exact(self, value: f64) -> String {
        match self {
            Unit::Plain => format!("{value:.6}"),
            Unit::Percent => in_percent(value),
            Unit::Milliseconds => format!("{:.3} ms", 1e3 * value),
            Unit::Count => thousands(value.round() as i64),
        }
    }
}

/// As many decimals as it takes to see a hundredth of the span.
fn decimals(span: f64) -> usize {
    match span.abs().log10() {
        size if size.is_finite() => (2. - size.ceil()).clamp(0., 9.) as usize,
        _ => 2,
    }
}

fn count(value: f64) -> String {
    let (unit, word) = match value.abs() {
        x if x >= 1e12 => (1e12, " T"),
        x if x >= 1e9 => (1e9, " G"),
        x if x >= 1e6 => (1e6, " M"),
        x if x >= 1e4 => (1e3, " k"),
        _ => return thousands(value.round() as i64),
    };
    let short = format!("{:.1}", value / unit);
    format!("{}{word}", short.trim_end_matches(".0"))
}

/// Values along a line of the picture.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Lowest and highest value.
    pub values: [f64; 2],
    /// Where these two stand.
    pub places: [f64; 2],
}

impl Scale {
    /// Where a value stands. A value beyond an end stands at that end.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let [low, high] = self.values;
        let [from, to] = self.places;
        let part = match high - low {
            span if span > 0. => ((value - low) / span).clamp(0., 1.),
            _ => 0.5,
        };
        from + part * (to - from)
    }

    #[must_use]
    pub fn span(&self) -> f64 {
        self.values[1] - self.values[0]
    }

    /// About `wanted` round values within the scale: 1, 2 or 5 times a power of ten apart.
    #[must_use]
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        let [low, high] = self.values;
        let rough = self.span() / wanted.max(1) as f64;
        if !(rough > 0. && rough.is_finite()) {
            return vec![low];
        }
        let power = 10f64.powf(rough.log10().floor());
        let step = power
            * match rough / power {
                r if r <= 1. => 1.,
                r if r <= 2. => 2.,
                r if r <= 5. => 5.,
                _ => 10.,
            };
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|n| n as f64 * step).collect()
    }
}

/// The least and the greatest of the finite values.
#[must_use]
pub fn extent(values: impl IntoIterator<Item = f64>) -> Option<[f64; 2]> {
    let finite = values.into_iter().filter(|v| v.is_finite());
    finite.fold(None, |extent, v| match extent {
        None => Some([v, v]),
        Some([low, high]) => Some([v.min(low), v.max(high)]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let ticks = |low, high| {
            let scale = Scale {
                values: [low, high],
                places: [0., 1.],
            };
            let show = |v: f64| Unit::Plain.show(v, high - low);
            scale
                .ticks(4)
                .into_iter()
                .map(show)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(ticks(0., 10.), "0.0 5.0 10.0");
        assert_eq!(ticks(0.88, 0.935), "0.880 0.900 0.920");
        assert_eq!(ticks(-3., 4.), "-2.0 0.0 2.0 4.0");
        assert_eq!(ticks(5., 5.), "5.00");
    }

    #[test]
    fn values_are_written_in_their_unit() {
        let shown = [
            Unit::Percent.show(0.9326, 0.1),
            Unit::Count.show(125_485_696., 1e8),
            Unit::Count.show(4_000_000., 1e8),
            Unit::Count.show(640., 1e3),
            Unit::Milliseconds.show(0.001_234, 0.01),
            Unit::Count.exact(125_485_696.),
        ];
        assert_eq!(
            shown,
            ["93.3 %", "125.5 M", "4 M", "640", "1.2 ms", "125,485,696"]
        );
    }

    #[test]
    fn values_beyond_the_ends_stand_at_the_ends() {
        let scale = Scale {
            values: [0., 2.],
            places: [100., 0.],
        };
        assert_eq!(
            [-1., 0., 1., 5.].map(|v| scale.place(v)),
            [100., 100., 50., 0.]
        );
    }
}
