//! What single options take: how each text is read, and what is said of one that cannot be read.

mod config;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::data::{Augment, ResizeTo};

use config::CONFIG_NAME;
pub use config::{first_line, read_object, text_of, with_config};

/// A value for each channel: `0.485,0.456,0.406`
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelValues(pub Vec<f32>);

impl FromStr for ChannelValues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.trim().parse::<f32>().ok().filter(|x| x.is_finite());
        let numbers: Option<Vec<f32>> = text.split(',').map(number).collect();
        numbers
            .map(ChannelValues)
            .ok_or_else(|| "expected numbers parted by commas, such as 0.485,0.456,0.406".into())
    }
}

/// An input size. It has channels only if they were named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub channels: Option<usize>,
    pub height: usize,
    pub width: usize,
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LARGEST: usize = 1 << 16;
        let part = |part: &str| {
            part.trim()
                .parse::<usize>()
                .ok()
                .filter(|n| (1..=LARGEST).contains(n))
        };
        let parts: Option<Vec<usize>> = text.split(['x', '×', ',']).map(part).collect();
        match parts.as_deref() {
            Some([side]) => Ok(Size { channels: None, height: *side, width: *side }),
            Some([height, width]) => Ok(Size { channels: None, height: *height, width: *width }),
            Some([channels, height, width]) => Ok(Size { channels: Some(*channels), height: *height, width: *width }),
            _ => Err("expected a side (32), height x width (224x224) or channels x height x width (3x32x32)".into()),
        }
    }
}

/// A height and a width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    pub height: usize,
    pub width: usize,
}

impl FromStr for Sides {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(Size {
                channels: None,
                height,
                width,
            }) => Ok(Sides { height, width }),
            _ => Err("expected a side (224) or height x width (192x256)".into()),
        }
    }
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// What images are resized to: a shorter side (256), or height x width.
///
/// # Errors
/// What was expected instead.
pub fn resize(text: &str) -> Result<ResizeTo, String> {
    let sides: Sides = text
        .parse()
        .map_err(|_| "expected a shorter side (256) or height x width (192x256)")?;
    Ok(match text.trim().parse() {
        Ok(side) => ResizeTo::Shorter(side),
        Err(_) => ResizeTo::Exactly(sides.height, sides.width),
    })
}

/// One of several parts of a job: `3/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Counted from 1.
    pub number: usize,
    pub of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        parts
            .and_then(|(number, of)| {
                Some(Shard {
                    number: number.trim().parse().ok()?,
                    of: of.trim().parse().ok()?,
                })
            })
            .filter(|shard| (1..=shard.of).contains(&shard.number))
            .ok_or_else(|| "expected a part and their number, such as 3/16".into())
    }
}

impl Shard {
    /// Which of so many images belong to this part.
    #[must_use]
    pub fn range(self, images: usize) -> std::ops::Range<usize> {
        let bound = |parts: usize| (images as u128 * parts as u128 / self.of as u128) as usize;
        bound(self.number - 1)..bound(self.number)
    }
}

/// Random changes to training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augmentation(pub Augment);

impl FromStr for Augmentation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut augment = Augment {
            crop_padding: 0,
            flip: false,
        };
        for word in text.split(',').map(str::trim) {
            match word {
                "crop" => augment.crop_padding = Augment::default().crop_padding,
                "flip" => augment.flip = true,
                "none" => {}
                _ => return Err("expected crop, flip, crop,flip or none".into()),
            }
        }
        Ok(Augmentation(augment))
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0.crop_padding > 0, self.0.flip) {
            (true, true) => "crop,flip",
            (true, false) => "crop",
            (false, true) => "flip",
            (false, false) => "none",
        })
    }
}

/// What training learns from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Teach {
    pub features: bool,
    pub scores: bool,
    pub labels: bool,
}

impl FromStr for Teach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut teach = Teach {
            features: false,
            scores: false,
            labels: false,
        };
        for word in text.split(',').map(str::trim) {
            match word {
                "features" => teach.features = true,
                "scores" => teach.scores = true,
                "labels" => teach.labels = true,
                _ => {
                    return Err(
                        "expected features, scores, labels, or several of them parted by commas"
                            .into(),
                    );
                }
            }
        }
        Ok(teach)
    }
}

impl fmt::Display for Teach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            (self.features, "features"),
            (self.scores, "scores"),
            (self.labels, "labels"),
        ];
        let names: Vec<&str> = named
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, name)| *name)
            .collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Display for ChannelValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(f32::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

/// A value for each channel to divide by: all are above 0.
///
/// # Errors
/// What was expected instead.
pub fn deviations(text: &str) -> Result<ChannelValues, String> {
    text.parse()
        .ok()
        .filter(|numbers: &ChannelValues| numbers.0.iter().all(|x| *x > 0.))
        .ok_or_else(|| {
            "expected positive numbers parted by commas, such as 0.229,0.224,0.225".into()
        })
}

/// A number of threads.
///
/// # Errors
/// What was expected instead.
pub fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "expected a whole number, 1 or more".into())
}

/// A page to write. The document beside it, with the extension `json`, must not have the name of the file of options.
///
/// # Errors
/// What was expected instead.
pub fn report_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_none_or(|extension| extension != "html") {
        return Err("expected a file name that ends in .html".into());
    }
    if path.with_extension("json").file_name() == Some(CONFIG_NAME.as_ref()) {
        return Err(format!(
            "expected another name: {CONFIG_NAME}, which would be written as well, holds options"
        ));
    }
    Ok(path)
}

/// A number that is not negative.
///
/// # Errors
/// What was expected instead.
pub fn non_negative(text: &str) -> Result<f64, String> {
    number_in(text, |x| x >= 0.).ok_or_else(|| "expected a number, 0 or more".into())
}

/// A momentum: from 1 on, steps grow without bound.
///
/// # Errors
/// What was expected instead.
pub fn momentum(text: &str) -> Result<f64, String> {
    number_in(text, |x| (0. ..1.).contains(&x))
        .ok_or_else(|| "expected a number from 0 to below 1".into())
}

/// A number of things, with a unit or without: `70M`, `1.5G`, `850000`.
///
/// # Errors
/// What was expected instead.
pub fn count(text: &str) -> Result<f64, String> {
    const UNITS: [(char, i32); 4] = [('k', 3), ('M', 6), ('G', 9), ('T', 12)];
    let text = text.trim();
    let unit = UNITS
        .iter()
        .find_map(|(unit, power)| Some((text.strip_suffix(*unit)?, *power)));
    let (number, power) = unit.unwrap_or((text, 0));
    // The power of ten is read with the digits: multiplied, `125.485696M` would not be the whole number that it names.
    let (digits, own) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let power = own
        .parse::<i32>()
        .ok()
        .and_then(|own| own.checked_add(power));
    power
        .and_then(|power| number_in(&format!("{digits}e{power}"), |x| x >= 0.))
        .ok_or_else(|| "expected a number such as 850000 or 70M (k, M, G, T)".into())
}

/// Any number but NaN and the infinite ones.
///
/// # Errors
/// What was expected instead.
pub fn number(text: &str) -> Result<f64, String> {
    number_in(text, |_| true).ok_or_else(|| "expected a number".into())
}

/// A time above 0: seconds, or with units as in `1h 30m`.
///
/// # Errors
/// What was expected instead.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = match text.trim().parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| !time.is_zero())
        .ok_or_else(|| "expected a time such as 90, 90s, 45m or 2h".into())
}

/// A number above 0.
///
/// # Errors
/// What was expected instead.
pub fn positive(text: &str) -> Result<f64, String> {
    number_in(text, |x| x > 0.).ok_or_else(|| "expected a number above 0".into())
}

/// A part of something: less than all of it.
///
/// # Errors
/// What was expected instead.
pub fn part(text: &str) -> Result<f64, String> {
    number_in(text, |x| (0. ..1.).contains(&x))
        .ok_or_else(|| "expected a number from 0 to below 1".into())
}

/// A part of a side, or all of it.
///
/// # Errors
/// What was expected instead.
pub fn crop_pct(text: &str) -> Result<f64, String> {
    number_in(text, |x| x > 0. && x <= 1.)
        .ok_or_else(|| "expected a number above 0, up to 1, such as 0.875".into())
}

/// A part of something, or all of it.
///
/// # Errors
/// What was expected instead.
pub fn fraction(text: &str) -> Result<f64, String> {
    let percent = || {
        number_in(text.trim_end_matches(['%', ' ']), |x| {
            (5. ..=100.).contains(&x)
        })
    };
    number_in(text, |x| (0. ..=1.).contains(&x)).ok_or_else(|| match percent() {
        Some(percent) => format!(
            "expected a number from 0 to 1; {percent} % is {}",
            percent / 100.
        ),
        None => "expected a number from 0 to 1".into(),
    })
}

/// Where in training the learning rate falls: parts of the epochs, from 0 to 1, in rising order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Milestones(pub Vec<f64>);

impl FromStr for Milestones {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let places: Result<Vec<f64>, String> =
            text.split(',').map(|n| fraction(n.trim())).collect();
        places
            .ok()
            .filter(|places| places.is_sorted())
            .map(Milestones)
            .ok_or_else(|| {
                "expected rising numbers from 0 to 1 parted by commas, such as 0.5,0.75".into()
            })
    }
}

fn number_in(text: &str, allowed: impl Fn(f64) -> bool) -> Option<f64> {
    text.parse()
        .ok()
        .filter(|x: &f64| x.is_finite() && allowed(*x))
}

/// The path of a block.
///
/// # Errors
/// What was expected instead.
pub fn block_path(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected paths of blocks parted by commas, such as layer1.1,layer1.2".into()),
        path => Ok(path.to_owned()),
    }
}
