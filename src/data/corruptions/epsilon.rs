//! How far an attack may change a pixel.

use std::fmt;
use std::str::FromStr;

/// A change of a pixel, in units of pixels in 0..1: `8/255` or `0.03`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epsilon(pub f64);

impl FromStr for Epsilon {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let value = match text.split_once('/') {
            None => number(text),
            Some((above, below)) => number(above)
                .zip(number(below))
                .filter(|(_, below)| *below > 0.)
                .map(|(above, below)| above / below),
        };
        value
            .filter(|value| (0. ..=1.).contains(value))
            .map(Epsilon)
            .ok_or_else(|| {
                "expected a fraction such as 8/255 or a number, from 0 to 1 (pixels go from 0 to 1)"
                    .into()
            })
    }
}

impl fmt::Display for Epsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Pixels are bytes in most files, and papers count in them.
        let bytes = 255. * self.0;
        let rounded = (100. * bytes).round() / 100.;
        if (bytes - rounded).abs() < 1e-9 {
            write!(f, "{rounded}/255")
        } else {
            write!(f, "{}", self.0)
        }
    }
}
