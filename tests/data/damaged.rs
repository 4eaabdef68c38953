//! Image files that are not all there, or not as they were written.

use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::Path;

use ckaprune::data::{Loader, Transform, open};
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::tempdir;

use super::files::{colour, write};

/// Pixels that no format makes small.
fn picture() -> RgbImage {
    RgbImage::from_fn(12, 9, |x, y| {
        let mixed = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
        Rgb([(mixed >> 8) as u8, (mixed >> 16) as u8, (mixed >> 24) as u8])
    })
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// What is wrong with a file of these bytes among images; `None` if it is read.
fn complaint(folder: &Path, bytes: &[u8]) -> Option<String> {
    write(folder, "b.png", bytes);
    let part = open(folder).unwrap().train.unwrap();
    let loader = Loader::new(NonZeroUsize::new(2).unwrap(), Transform::default());
    let batch = loader.batches(&part, 0).unwrap().next().unwrap();
    let message = batch.err()?.to_string();
    assert!(message.contains("b.png"), "{message}");
    Some(message)
}

/// A folder with a whole image of that size in it.
fn folder() -> tempfile::TempDir {
    let dir = tempdir().unwrap();
    colour(dir.path(), "a.png", 12, 9, [1, 2, 3]);
    dir
}

/// Bytes at the end of a file that Pillow does without, because no pixel is in them.
fn behind_pixels(format: ImageFormat) -> usize {
    match format {
        // Adler-32 and CRC-32 of the pixels, and the last chunk.
        ImageFormat::Png => 20,
        // The rest of the code for the end, the byte that ends the image's blocks, and the one that ends the file.
        ImageFormat::Gif => 3,
        _ => 0,
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_names_it() {
    let dir = folder();
    for format in [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Gif,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Tiff,
        ImageFormat::Pnm,
    ] {
        let whole = encoded(format);
        assert_eq!(complaint(dir.path(), &whole), None, "{format:?}");
        for length in 0..whole.len() - behind_pixels(format) {
            let complaint = complaint(dir.path(), &whole[..length]);
            assert!(
                complaint.is_some(),
                "{format:?}: {length} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn what_follows_a_whole_jpeg_is_of_no_interest() {
    let dir = folder();
    let mut bytes = encoded(ImageFormat::Jpeg);
    bytes.extend(b"and the phone's own remarks \xff\xe1");
    assert_eq!(complaint(dir.path(), &bytes), None);
}

#[test]
fn a_preview_inside_a_jpeg_does_not_stand_for_its_end() {
    let dir = folder();
    let image = encoded(ImageFormat::Jpeg);
    let preview = encoded(ImageFormat::Jpeg);
    let length = u16::try_from(preview.len() + 2).unwrap().to_be_bytes();
    let mut bytes = [&image[..2], &[0xff, 0xe2], &length, &preview].concat();
    bytes.extend(&image[2..]);
    assert_eq!(complaint(dir.path(), &bytes), None);
    let cut = bytes.len() - image.len() / 2;
    assert!(complaint(dir.path(), &bytes[..cut]).is_some());
}

#[test]
fn a_png_with_a_changed_byte_is_an_error() {
    let dir = folder();
    let mut bytes = encoded(ImageFormat::Png);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert!(complaint(dir.path(), &bytes).is_some());
}
