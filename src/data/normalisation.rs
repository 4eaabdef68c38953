//! The scale of the pixels that a network sees.

use serde::Serialize;

use super::error::DataError;

/// What the brightest pixel is before mean and standard deviation are applied; the darkest is 0. `Unit` is what
/// torchvision's `ToTensor` gives, `Byte` what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum PixelRange {
    #[default]
    #[serde(rename = "1")]
    Unit,
    #[serde(rename = "255")]
    Byte,
}

impl PixelRange {
    /// In the order in which they are listed.
    pub const ALL: [PixelRange; 2] = [PixelRange::Unit, PixelRange::Byte];

    /// As options have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PixelRange::Unit => "1",
            PixelRange::Byte => "255",
        }
    }

    /// The brightest pixel.
    #[must_use]
    pub fn brightest(self) -> f32 {
        match self {
            PixelRange::Unit => 1.0,
            PixelRange::Byte => 255.0,
        }
    }
}

/// `(pixel - mean) / std`, with one value for each channel or one for all, on the scale of a [`PixelRange`].
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    range: PixelRange,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Default for Normalisation {
    /// Leaves pixels as they are, in 0..1.
    fn default() -> Self {
        Self::none(PixelRange::Unit)
    }
}

impl Normalisation {
    /// The normalisation of pixels in 0..1.
    ///
    /// # Errors
    ///
    /// An empty list, a value that is not finite, a standard deviation that is not positive, or one of them that pixels
    /// in 0..1 cannot have.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self, DataError> {
        Self::on(PixelRange::Unit, mean, std)
    }

    /// The normalisation of pixels on this scale.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), for pixels on this scale.
    pub fn on(range: PixelRange, mean: Vec<f32>, std: Vec<f32>) -> Result<Self, DataError> {
        if mean.is_empty() || std.is_empty() {
            let message = "mean and std need a value for each channel, or one for all";
            return Err(DataError::Setting(message.to_owned()));
        }
        if let Some(bad) = mean.iter().find(|v| !v.is_finite()) {
            return Err(DataError::Setting(format!(
                "mean {bad} is not a number to subtract"
            )));
        }
        if let Some(bad) = std.iter().find(|v| !(v.is_finite() && **v > 0.0)) {
            return Err(DataError::Setting(format!(
                "std {bad} is not a number to divide by"
            )));
        }
        let normalisation = Self { range, mean, std };
        if normalisation.is_of_another_scale() {
            Err(DataError::Setting(normalisation.rescaled()))
        } else {
            Ok(normalisation)
        }
    }

    /// Leaves pixels on this scale as they are.
    #[must_use]
    pub fn none(range: PixelRange) -> Self {
        Self {
            range,
            mean: vec![0.0],
            std: vec![1.0],
        }
    }

    /// Whether no pixels on this scale can have such means or deviations, and pixels on the other can.
    fn is_of_another_scale(&self) -> bool {
        // No deviation of pixels in 0..1 is above 0.5, but a 2 may be there to halve them.
        let above = |values: &[f32], limit: f32| values.iter().any(|v| *v > limit);
        match self.range {
            PixelRange::Unit => above(&self.mean, 1.0) || above(&self.std, 2.0),
            PixelRange::Byte => self.std.iter().any(|std| *std < 1.0),
        }
    }

    /// What is wrong with values of another scale, and what to name instead.
    fn rescaled(&self) -> String {
        let list = |values: &[f32], factor: f64| {
            let texts = values.iter().map(|v| short(f64::from(*v) * factor));
            texts.collect::<Vec<_>>().join(",")
        };
        let (mean, std) = (list(&self.mean, 1.0), list(&self.std, 1.0));
        match self.range {
            PixelRange::Unit => format!(
                "mean {mean} and std {std} are not those of pixels from 0 to 1: name --mean {} --std {} (divided by \
                 255), or --pixel-range 255 beside them; a network that normalises pixels of 0 to 255 itself takes \
                 --pixel-range 255 alone",
                list(&self.mean, 1.0 / 255.0),
                list(&self.std, 1.0 / 255.0),
            ),
            PixelRange::Byte => format!(
                "mean {mean} and std {std} are not those of pixels from 0 to 255: name --mean {} --std {}, or leave \
                 --pixel-range 255 out",
                list(&self.mean, 255.0),
                list(&self.std, 255.0),
            ),
        }
    }

    /// Mean and standard deviation of every channel, of pixels in 0..1 whatever the scale is.
    pub(super) fn of_unit_pixels(&self, channels: usize) -> Result<Vec<(f32, f32)>, DataError> {
        let brightest = self.range.brightest();
        let scaled = |(mean, std)| (mean / brightest, std / brightest);
        Ok(self
            .per_channel(channels)?
            .into_iter()
            .map(scaled)
            .collect())
    }

    fn per_channel(&self, channels: usize) -> Result<Vec<(f32, f32)>, DataError> {
        let spread = |values: &[f32], name| match values {
            [one] => Ok(vec![*one; channels]),
            _ if values.len() == channels => Ok(values.to_vec()),
            _ => Err(DataError::Setting(format!(
                "{name} has {} values, but the images have {channels} channels: give one for each, or one for all",
                values.len()
            ))),
        };
        let (mean, std) = (spread(&self.mean, "mean")?, spread(&self.std, "std")?);
        Ok(mean.into_iter().zip(std).collect())
    }

    /// The normalisation of images of so many channels, as tables.
    pub(super) fn tables(&self, channels: usize) -> Result<Tables, DataError> {
        let brightest = self.range.brightest();
        let per_channel = self.per_channel(channels)?;
        let table = |&(mean, std): &(f32, f32)| {
            // Whole numbers stay whole where pixels reach to 255.
            std::array::from_fn(|byte| (byte as f32 / (255.0 / brightest) - mean) / std)
        };
        Ok(Tables {
            bytes: per_channel.iter().map(table).collect(),
            per_channel,
            brightest,
        })
    }
}

/// The normalisation of all channels, worked out for every byte once instead of once a pixel.
#[derive(Debug)]
pub(super) struct Tables {
    bytes: Vec<[f32; 256]>,
    per_channel: Vec<(f32, f32)>,
    brightest: f32,
}

impl Tables {
    pub fn byte(&self, channel: usize, byte: u8) -> f32 {
        self.bytes[channel][usize::from(byte)]
    }

    /// The value for standard normal noise, which stands for normalised pixels as it is. Where the network takes bytes,
    /// the noise is spread over their range.
    pub fn noise(&self, value: f32) -> f32 {
        if self.brightest > 1.0 {
            (128.0 + 64.0 * value).round().clamp(0.0, 255.0)
        } else {
            value
        }
    }

    /// The value for a pixel in 0..1.
    pub fn unit(&self, channel: usize, pixel: f32) -> f32 {
        let (mean, std) = self.per_channel[channel];
        (pixel * self.brightest - mean) / std
    }
}

/// Six digits behind the point at most, and no zeros at the end.
fn short(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_normalises_every_channel_and_a_wrong_count_is_an_error() {
        let one = Normalisation::new(vec![0.5], vec![0.25, 0.5]).unwrap();
        assert_eq!(one.of_unit_pixels(2).unwrap(), [(0.5, 0.25), (0.5, 0.5)]);
        let message = one.of_unit_pixels(3).unwrap_err().to_string();
        assert!(
            message.contains("std has 2 values") && message.contains("3 channels"),
            "{message}"
        );
    }

    #[test]
    fn a_standard_deviation_of_zero_is_refused() {
        assert!(Normalisation::new(vec![0.5], vec![0.0]).is_err());
        assert!(Normalisation::new(vec![f32::NAN], vec![1.0]).is_err());
        assert!(Normalisation::new(vec![], vec![1.0]).is_err());
    }

    #[test]
    fn pixels_up_to_255_are_exact_and_pixels_up_to_1_are_those_of_a_division() {
        let whole = Normalisation::none(PixelRange::Byte).tables(1).unwrap();
        let unit = Normalisation::default().tables(1).unwrap();
        for byte in 0..=255 {
            assert_eq!(whole.byte(0, byte), f32::from(byte));
            assert_eq!(unit.byte(0, byte), f32::from(byte) / 255.0);
        }
    }

    #[test]
    fn values_of_the_other_scale_are_refused_with_those_to_name_instead() {
        let caffe = Normalisation::new(vec![123.675, 116.28, 103.53], vec![1.0]);
        let message = caffe.unwrap_err().to_string();
        assert!(
            message.contains("--mean 0.485,0.456,0.406 --std 0.003922 "),
            "{message}"
        );
        let deviation = Normalisation::new(vec![0.5], vec![63.75]);
        let message = deviation.unwrap_err().to_string();
        assert!(message.contains("--std 0.25 "), "{message}");
        let twice = Normalisation::on(PixelRange::Byte, vec![0.5], vec![0.25]);
        let message = twice.unwrap_err().to_string();
        assert!(message.contains("--mean 127.5 --std 63.75"), "{message}");
    }

    #[test]
    fn a_deviation_of_one_byte_step_still_gives_whole_pixels() {
        assert!(Normalisation::new(vec![0.0], vec![0.003_921_57]).is_ok());
    }
}
