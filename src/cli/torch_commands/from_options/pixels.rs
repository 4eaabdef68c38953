//! From the options of data to what is done to every image.

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::archive::Archive;
use crate::blocks::front::network_for_images;
use crate::cli::Data;
use crate::cli::options::{ChannelValues, Size};
use crate::data::{
    DataSet, Format, InputSize, Normalisation, Part, PixelRange, ResizeTo, Resizing, Transform,
};
use crate::program::Learned;
use crate::program::interface::{Followed, Input, divides_by_255, image_channels};
use crate::report::progress::Progress;
use crate::run::settings::Settings;

impl Data {
    /// The options that decide which pixels a network sees, without those of the input's shape.
    pub(in crate::cli::torch_commands) fn image_settings(&self) -> Settings {
        fn text<T: ToString>(option: Option<&T>) -> serde_json::Value {
            json!(option.map(ToString::to_string))
        }
        let settings = [
            ("data", json!(self.data)),
            ("pixel-range", json!(self.pixel_range)),
            ("mean", text(self.mean.as_ref())),
            ("std", text(self.std.as_ref())),
            ("resize", text(self.resize.as_ref())),
            ("crop", text(self.crop.as_ref())),
            ("crop-pct", json!(self.crop_pct)),
            ("interpolation", json!(self.interpolation)),
            ("skip-bad", json!(self.skip_bad)),
        ];
        settings.into_iter().collect()
    }

    /// The size of the network's input, if an option names it.
    ///
    /// # Errors
    /// If two options name different sizes, or an option needs a size that none names.
    pub(in crate::cli::torch_commands) fn input(&self) -> Result<Option<Size>> {
        let resized = match self.resize {
            Some(ResizeTo::Exactly(height, width)) => Some((height, width)),
            _ => None,
        };
        let crop = self.crop.map(|crop| (crop.height, crop.width));
        let named = self.input_size.map(|size| (size.height, size.width));
        if let (Some(crop), Some(named)) = (crop, named)
            && crop != named
        {
            bail!(
                "--crop and --input-size name two sizes; the crop is the input, so leave --input-size out"
            );
        }
        let Some((height, width)) = crop.or(named).or(resized) else {
            for (option, named) in [
                ("--resize", self.resize.is_some()),
                ("--crop-pct", self.crop_pct.is_some()),
                ("--interpolation", self.interpolation.is_some()),
            ] {
                if named {
                    bail!(
                        "{option} leaves the size of the input open; name it with --crop, such as --crop 224"
                    );
                }
            }
            return Ok(None);
        };
        Ok(Some(Size {
            channels: self.input_size.and_then(|size| size.channels),
            height,
            width,
        }))
    }

    /// What is done to every image of the set before the network in this archive is given it.
    pub(in crate::cli::torch_commands) fn transform(
        &self,
        archive: &Archive,
        set: &DataSet,
        progress: Progress,
    ) -> Result<Transform> {
        let input = self.input()?;
        let NetworkInput {
            channels,
            input: taken,
            divides_by_255,
        } = NetworkInput::of(input, archive, set)?;
        let named = self.mean.is_some() || self.std.is_some();
        if divides_by_255 && !taken.bytes && !named && self.pixel_range == PixelRange::Unit {
            progress.warn(
                "the network divides its images by 255 itself: if it takes pixels of 0 to 255, name --pixel-range 255",
            );
        }
        Ok(Transform {
            normalisation: if taken.bytes {
                self.no_normalisation(taken)?
            } else {
                self.normalisation(progress)?
            },
            channels: Some(channels),
            size: input.map(|size| InputSize {
                channels,
                height: size.height,
                width: size.width,
            }),
            resizing: input.map(|size| self.resizing(size)).transpose()?.flatten(),
        })
    }

    /// How images are brought to this size. `None` if the options name nothing but the size.
    fn resizing(&self, input: Size) -> Result<Option<Resizing>> {
        let to = match (self.resize, self.crop_pct) {
            (Some(to), _) => to,
            (None, Some(part)) if input.height == input.width => {
                ResizeTo::Shorter((input.height as f64 / part) as usize)
            }
            (None, Some(_)) => bail!(
                "--crop-pct is for square inputs; name the shorter side of the resized images with --resize"
            ),
            (None, None) if self.crop.is_some() => ResizeTo::Itself,
            (None, None) if self.interpolation.is_some() => ResizeTo::Covering,
            (None, None) => return Ok(None),
        };
        Ok(Some(Resizing {
            to,
            interpolation: self.interpolation.unwrap_or_default(),
        }))
    }

    /// Leaves bytes as they are.
    fn no_normalisation(&self, taken: Input) -> Result<Normalisation> {
        if self.mean.is_some() || self.std.is_some() {
            bail!(
                "the network takes {taken}, and normalises them itself: leave --mean and --std out"
            );
        }
        Ok(Normalisation::none(PixelRange::Byte))
    }

    /// What `--mean`, `--std` and `--pixel-range` make of pixels.
    fn normalisation(&self, progress: Progress) -> Result<Normalisation> {
        let range = self.pixel_range;
        if self.mean.is_none() && self.std.is_none() {
            progress.note(format_args!(
                "note: no --mean and --std: the network sees pixels from 0 to {} as they are",
                range.brightest()
            ));
        }
        let or = |named: &Option<ChannelValues>, usual| {
            named.clone().map_or_else(|| vec![usual], |values| values.0)
        };
        let (mean, std) = (or(&self.mean, 0.), or(&self.std, 1.));
        Ok(Normalisation::on(range, mean, std)?)
    }
}

/// What the network takes, as far as its code shows it.
struct NetworkInput {
    /// The channels that were named, or those that the images have. Image files may differ in them, so they are brought to
    /// those that the network takes.
    channels: usize,
    input: Input,
    /// The code divides pixels by 255, although it does not say that they are bytes.
    divides_by_255: bool,
}

impl NetworkInput {
    fn of(size: Option<Size>, archive: &Archive, set: &DataSet) -> Result<Self> {
        let [own, height, width] = set.parts().next().map_or([3, 0, 0], Part::image_shape);
        let sides = size.map_or([height, width], |size| [size.height, size.width]);
        let sides = sides.map(|side| side as i64);
        let network =
            network_for_images(archive, Some(sides)).context("the network cannot be read")?;
        let of_files = || match image_channels(&network, Some(sides)) {
            Some(1) => 1,
            Some(3) => 3,
            _ => own,
        };
        let channels = match size.and_then(|size| size.channels) {
            Some(channels) => channels,
            None if set.format == Format::ImageFolder => of_files(),
            None => own,
        };
        let shape = [channels as i64, sides[0], sides[1]];
        let (input, divides_by_255) = match Followed::of(&network, &shape, &Learned::default()) {
            Ok(Followed {
                program, layout, ..
            }) => (
                Input::of(&network, &program, layout),
                divides_by_255(&program),
            ),
            // The analysis of the network tells why it takes no such images.
            Err(_) => (Input::default(), false),
        };
        Ok(NetworkInput {
            channels,
            input,
            divides_by_255,
        })
    }
}
