//! What all charts draw with: sizes in CSS pixels, ink, hatching, words that fit.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// As attributes of the elements, so that a picture is complete without a style sheet; that of a page overrides them.
pub const INK: &str = "#222222";
pub const PAPER: &str = "#ffffff";
pub const FAINT: &str = "#6b6b6b";

pub const FONT: &str = "system-ui, sans-serif";
pub const FONT_SIZE: f64 = 11.;
/// Distance from one line of text to the next.
pub const LINE: f64 = 16.;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub width: f64,
    pub height: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// A length or place as SVG has it, rounded to a tenth of a pixel.
#[must_use]
pub fn px(length: f64) -> String {
    let tenths = (length * 10.).round() / 10.;
    // Adding 0 turns −0 into 0.
    (tenths + 0.).to_string()
}

/// About how wide a text is.
#[must_use]
pub fn width_of(text: &str) -> f64 {
    0.6 * FONT_SIZE * text.width() as f64
}

/// The widest of several texts, at most `most`.
#[must_use]
pub fn widest<'a>(texts: impl IntoIterator<Item = &'a str>, most: f64) -> f64 {
    texts.into_iter().map(width_of).fold(0., f64::max).min(most)
}

/// The text, or its two ends if it is wider than `width`.
#[must_use]
pub fn fitted(text: &str, width: f64) -> Cow<'_, str> {
    if width_of(text) <= width {
        return text.into();
    }
    let columns = ((width / width_of("x")).floor() as usize).max(3) - 1;
    // The end of a path tells more than its beginning.
    let head = take(text.chars(), columns / 3);
    let mut tail: Vec<char> = take(text.chars().rev(), columns - columns / 3)
        .chars()
        .collect();
    tail.reverse();
    format!("{head}…{}", tail.into_iter().collect::<String>()).into()
}

fn take(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or_default();
        used <= columns
    };
    chars.take_while(fits).collect()
}

/// Diagonal lines across a rectangle, as a path.
#[must_use]
pub fn hatching(area: Rect) -> String {
    const STEP: f64 = 4.;
    let Rect {
        x,
        y,
        width,
        height,
    } = area;
    let mut path = String::new();
    let mut along = STEP;
    while along < width + height {
        let (x1, y1) = (x + (along - height).max(0.), y + along.min(height));
        let (x2, y2) = (x + along.min(width), y + (along - width).max(0.));
        // Writing to a String cannot fail.
        let _ = write!(path, "M{} {}L{} {}", px(x1), px(y1), px(x2), px(y2));
        along += STEP;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_keeps_its_ends() {
        let width = width_of("0123456789");
        assert_eq!(fitted("layer1.3", width), "layer1.3");
        assert_eq!(
            fitted("encoder.layers.encoder_layer_11", width),
            "enc…yer_11"
        );
        for text in ["模块".repeat(30), "x".repeat(1000)] {
            assert!(width_of(&fitted(&text, width)) <= width);
        }
    }

    #[test]
    fn hatching_stays_within_its_rectangle() {
        let area = Rect {
            x: 10.,
            y: 20.,
            width: 30.,
            height: 8.,
        };
        let path = hatching(area);
        let numbers: Vec<f64> = path
            .split(['M', 'L', ' '])
            .filter_map(|n| n.parse().ok())
            .collect();
        assert!(numbers.len() > 12);
        for place in numbers.chunks(2) {
            assert!((10. ..=40.).contains(&place[0]) && (20. ..=28.).contains(&place[1]));
        }
    }
}
