//! Folders of encoded images: one folder for each class, or unlabelled images side by side.
//!
//! Classes are numbered in the order of their names, as is custom. An image lies directly in its class's
//! folder. Opening only lists files; each is decoded when a batch needs it.

use std::path::{Path, PathBuf};

use image::{ColorType, ImageDecoder, ImageReader, Limits};

use super::error::{Problem, Result};
use super::part::{Part, Pixels, Store, check_size};
use super::{Found, entries, name_of};

const EXTENSIONS: [&str; 12] = [
    "png", "jpg", "jpeg", "bmp", "webp", "gif", "ppm", "pgm", "pbm", "pnm", "tif", "tiff",
];
const TRAIN: &[&str] = &["train", "training"];
const VALIDATION: &[&str] = &["val", "valid", "validation"];
const TEST: &[&str] = &["test", "testing"];

/// What one folder holds.
#[derive(Default)]
struct Listing {
    /// Images directly in it.
    images: Vec<PathBuf>,
    /// Folders in it that hold images directly, with these.
    classes: Vec<(String, Vec<PathBuf>)>,
}

impl Listing {
    fn of(folder: &Path) -> Result<Self> {
        let mut listing = Self::default();
        for entry in entries(folder)? {
            if is_image(&entry) {
                listing.images.push(entry);
            } else if entry.is_dir() {
                let images: Vec<_> = entries(&entry)?
                    .into_iter()
                    .filter(|e| is_image(e))
                    .collect();
                if !images.is_empty() {
                    listing.classes.push((name_of(&entry), images));
                }
            }
        }
        Ok(listing)
    }

    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.classes.is_empty()
    }

    fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The labelled images, or where there are no classes the unlabelled ones.
    fn into_part(self, folder: &Path, classes: &[String]) -> Result<Part> {
        if self.classes.is_empty() {
            return part(folder, self.images, None);
        }
        let (mut files, mut labels) = (Vec::new(), Vec::new());
        for (name, images) in self.classes {
            let Some(label) = classes.iter().position(|class| *class == name) else {
                return Err(Problem::UnknownClass(name).at(folder));
            };
            labels.resize(labels.len() + images.len(), label as i64);
            files.extend(images);
        }
        part(folder, files, Some(labels))
    }
}

pub(super) fn is_image_folder(folder: &Path) -> Result<bool> {
    if !Listing::of(folder)?.is_empty() {
        return Ok(true);
    }
    for folder in [TRAIN, VALIDATION, TEST]
        .into_iter()
        .filter_map(|names| sub_folder(folder, names))
    {
        if !Listing::of(&folder)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn open(folder: &Path) -> Result<Found> {
    let (train, validation, test) = (
        Split::of(folder, TRAIN)?,
        Split::of(folder, VALIDATION)?,
        Split::of(folder, TEST)?,
    );
    let splits = [&train, &validation, &test];
    let whole = Listing::of(folder)?;
    // A class may be called "train": then its folder has sisters that are no splits, and no classes in it.
    let sisters = whole
        .classes
        .iter()
        .any(|(name, _)| !splits.iter().any(|s| s.is_called(name)));
    if splits.iter().all(|split| split.listing.is_empty())
        || (sisters && splits.iter().all(|split| split.listing.classes.is_empty()))
    {
        let classes = whole.class_names();
        return Ok(Found {
            train: Some(whole.into_part(folder, &classes)?),
            validation: None,
            test: None,
            classes: Some(classes),
        });
    }
    let first = splits
        .iter()
        .find(|split| !split.listing.classes.is_empty());
    let classes = first.map_or_else(Vec::new, |split| split.listing.class_names());
    Ok(Found {
        train: train.into_part(&classes)?,
        validation: validation.into_part(&classes)?,
        test: test.into_part(&classes)?,
        classes: Some(classes),
    })
}

/// A sub-folder named for what its images are for.
#[derive(Default)]
struct Split {
    folder: PathBuf,
    listing: Listing,
}

impl Split {
    fn of(folder: &Path, names: &[&str]) -> Result<Self> {
        match sub_folder(folder, names) {
            Some(folder) => Ok(Self {
                listing: Listing::of(&folder)?,
                folder,
            }),
            None => Ok(Self::default()),
        }
    }

    fn is_called(&self, name: &str) -> bool {
        self.folder.file_name().is_some_and(|own| own == name)
    }

    fn into_part(self, classes: &[String]) -> Result<Option<Part>> {
        if self.listing.is_empty() {
            return Ok(None);
        }
        self.listing.into_part(&self.folder, classes).map(Some)
    }
}

fn sub_folder(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_dir())
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

fn part(folder: &Path, files: Vec<PathBuf>, labels: Option<Vec<i64>>) -> Result<Part> {
    let Some(first) = files.first() else {
        return Err(Problem::Empty.at(folder));
    };
    let shape = probe(first)?;
    let count = files.len();
    let store = Store {
        path: folder.to_owned(),
        shape,
        pixels: Pixels::Files(files),
    };
    Part::new(store, count, labels)
}

/// Channels (1 for grey, 3 for anything else), height and width, from the image's header.
fn probe(path: &Path) -> Result<[usize; 3]> {
    let decoder = reader(path)?
        .into_decoder()
        .map_err(|e| Problem::Undecodable(e).at(path))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width).saturating_mul(height.into());
    if pixels > MAX_DECODED / BYTES_A_PIXEL {
        let found = format!("{height}x{width}");
        return Err(Problem::TooManyPixels(found).at(path));
    }
    let channels = if is_grey(decoder.color_type()) { 1 } else { 3 };
    Ok([channels, height as usize, width as usize])
}

/// An image as channels × height × width bytes: 1 channel if it is stored in grey, else 3. Transparency is
/// dropped, deeper colours are brought to 8 bits.
pub(super) fn decode(path: &Path) -> Result<([usize; 3], Vec<u8>)> {
    let image = reader(path)?
        .decode()
        .map_err(|e| Problem::Undecodable(e).at(path))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    check_size([3, height, width]).map_err(|problem| problem.at(path))?;
    if is_grey(image.color()) {
        return Ok(([1, height, width], image.into_luma8().into_raw()));
    }
    let interleaved = image.into_rgb8().into_raw();
    let plane = |channel| interleaved.iter().skip(channel).step_by(3).copied();
    Ok(([3, height, width], (0..3).flat_map(plane).collect()))
}

/// Bytes that decoding one image may take: of 64 million pixels with transparency. A file of a few bytes may announce as
/// many as it likes, and several are decoded at a time.
const MAX_DECODED: u64 = 256 << 20;
const BYTES_A_PIXEL: u64 = 4;

/// The format is taken from the content: many data sets hold a PNG that is called JPEG.
fn reader(path: &Path) -> Result<ImageReader<std::io::BufReader<std::fs::File>>> {
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| Problem::from(e).at(path))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    Ok(reader)
}

fn is_grey(color: ColorType) -> bool {
    !color.has_color()
}
