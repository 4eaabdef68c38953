//! One encoded image file: its header, and its pixels.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::error::{Problem, Result};
use super::jpeg;
use super::part::check_size;
use super::sizes;

/// Channels (1 for grey, 3 for anything else), height and width, from the image's header.
pub(super) fn probe(path: &Path) -> Result<[usize; 3]> {
    let decoder = reader(path)?
        .into_decoder()
        .map_err(|e| Problem::Undecodable(e).at(path))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width).saturating_mul(height.into());
    if pixels > MAX_DECODED / BYTES_A_PIXEL {
        let found = sizes::shown(&[height, width]);
        return Err(Problem::TooManyPixels(found).at(path));
    }
    let channels = if is_grey(decoder.color_type()) { 1 } else { 3 };
    Ok([channels, height as usize, width as usize])
}

/// An image as channels × height × width bytes: 1 channel if it is stored in grey, else 3. Transparency is
/// dropped, deeper colours are brought to 8 bits.
pub(super) fn decode(path: &Path) -> Result<([usize; 3], Vec<u8>)> {
    let image = decoded(reader(path)?).map_err(|problem| problem.at(path))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    check_size([3, height, width]).map_err(|problem| problem.at(path))?;
    if is_grey(image.color()) {
        return Ok(([1, height, width], image.into_luma8().into_raw()));
    }
    let interleaved = image.into_rgb8().into_raw();
    let plane = |channel| interleaved.iter().skip(channel).step_by(3).copied();
    Ok(([3, height, width], (0..3).flat_map(plane).collect()))
}

/// Bytes that decoding one image may take: of 64 million pixels with transparency. A file of a few bytes may announce
/// as many as it likes, and several are decoded at a time.
const MAX_DECODED: u64 = 256 << 20;
const BYTES_A_PIXEL: u64 = 4;

type Reader = ImageReader<BufReader<File>>;

/// The format is taken from the content: many data sets hold a PNG that is called JPEG.
fn reader(path: &Path) -> Result<Reader> {
    let mut reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|e| Problem::from(e).at(path))?;
    reader.limits(limits());
    Ok(reader)
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODED);
    limits
}

fn decoded(reader: Reader) -> Result<DynamicImage, Problem> {
    if reader.format() != Some(ImageFormat::Jpeg) {
        return reader.decode().map_err(Problem::Undecodable);
    }
    // The decoder reads the whole file as well, and paints what is missing of it grey.
    let mut bytes = Vec::new();
    let taken = reader
        .into_inner()
        .take(MAX_DECODED)
        .read_to_end(&mut bytes);
    taken.map_err(Problem::from)?;
    if !jpeg::is_whole(&bytes) {
        return Err(Problem::CutOff);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg);
    reader.limits(limits());
    reader.decode().map_err(Problem::Undecodable)
}

fn is_grey(color: ColorType) -> bool {
    !color.has_color()
}
