//! Resizing and cropping, held against Pillow 13.0 and torchvision 0.26.

use std::num::NonZeroUsize;

use ckaprune::data::{
    InputSize, Interpolation, Loader, Normalisation, PixelRange, ResizeTo, Resizing, Transform,
    open,
};
use image::{GrayImage, Luma};
use ndarray::Array3;
use tempfile::tempdir;

use super::files::npz;

fn pixel(x: u32, y: u32) -> u8 {
    let mixed = (x * 7919 + y * 104_729).wrapping_mul(2_654_435_761);
    (mixed >> 24) as u8
}

/// An image after `torchvision.transforms.Compose([Resize(..), CenterCrop(5)])`.
struct Case {
    size: [u32; 2],
    to: ResizeTo,
    interpolation: Interpolation,
    expected: [u8; 25],
}

const BILINEAR: Interpolation = Interpolation::Bilinear;
const BICUBIC: Interpolation = Interpolation::Bicubic;

#[rustfmt::skip]
const CASES: [Case; 6] = [
    // Portrait, reduced.
    Case { size: [13, 9], to: ResizeTo::Shorter(6), interpolation: BILINEAR, expected: [
        95, 168, 153, 77, 155, 127, 179, 76, 109, 187, 162, 187, 84, 145, 164, 192, 108, 95, 176, 166, 152, 66, 127, 189, 90] },
    // Landscape, reduced.
    Case { size: [9, 14], to: ResizeTo::Shorter(6), interpolation: BICUBIC, expected: [
        203, 75, 92, 200, 127, 149, 57, 133, 189, 73, 145, 63, 170, 136, 62, 76, 104, 203, 55, 100, 56, 146, 186, 76, 143] },
    // Enlarged.
    Case { size: [3, 4], to: ResizeTo::Shorter(6), interpolation: BICUBIC, expected: [
        36, 66, 93, 122, 151, 41, 71, 98, 127, 156, 52, 82, 109, 138, 167, 64, 94, 121, 150, 179, 75, 105, 132, 161, 190] },
    // So tall that rows are mixed before columns.
    Case { size: [23, 9], to: ResizeTo::Shorter(6), interpolation: BICUBIC, expected: [
        195, 125, 79, 176, 167, 177, 68, 112, 201, 120, 159, 51, 154, 187, 57, 101, 92, 197, 87, 77, 44, 132, 204, 100, 112] },
    // Not as high as the crop: black below.
    Case { size: [4, 11], to: ResizeTo::Itself, interpolation: BILINEAR, expected: [
        162, 216, 14, 68, 122, 182, 237, 35, 89, 143, 203, 1, 55, 109, 164, 224, 22, 76, 130, 184, 0, 0, 0, 0, 0] },
    // Out of proportion.
    Case { size: [7, 8], to: ResizeTo::Exactly(5, 5), interpolation: BILINEAR, expected: [
        29, 111, 185, 72, 107, 54, 136, 145, 71, 132, 84, 166, 123, 80, 162, 114, 175, 101, 110, 192, 140, 175, 62, 136, 218] },
];

impl Case {
    fn loader(&self, range: PixelRange) -> Loader {
        let transform = Transform {
            normalisation: Normalisation::none(range),
            size: Some(InputSize {
                channels: 1,
                height: 5,
                width: 5,
            }),
            resizing: Some(Resizing {
                to: self.to,
                interpolation: self.interpolation,
            }),
            ..Transform::default()
        };
        Loader::new(NonZeroUsize::MIN, transform)
    }
}

#[test]
fn bytes_become_those_of_pillow_and_torchvision() {
    for case in &CASES {
        let dir = tempdir().unwrap();
        let [height, width] = case.size;
        GrayImage::from_fn(width, height, |x, y| Luma([pixel(x, y)]))
            .save(dir.path().join("image.png"))
            .unwrap();
        let part = open(dir.path()).unwrap().train.unwrap();
        let loader = case.loader(PixelRange::Byte);
        let batch = loader.batches(&part, 0).unwrap().next().unwrap().unwrap();
        let expected: Vec<f32> = case.expected.iter().map(|&byte| f32::from(byte)).collect();
        assert_eq!(
            batch.images.as_slice().unwrap(),
            expected,
            "{:?}",
            case.size
        );
    }
}

/// Without the rounding of bytes between the passes, nor the limits of a byte.
#[test]
fn floats_are_resized_alike() {
    for case in CASES.iter().filter(|case| case.interpolation == BILINEAR) {
        let dir = tempdir().unwrap();
        let [height, width] = case.size.map(|side| side as usize);
        let image = Array3::from_shape_fn((1, height, width), |(_, y, x)| {
            f32::from(pixel(x as u32, y as u32)) / 255.0
        });
        let path = dir.path().join("data.npz");
        npz(&path, false, &[("images", &image)]);
        let part = open(&path).unwrap().train.unwrap();
        let loader = case.loader(PixelRange::Unit);
        let batch = loader.batches(&part, 0).unwrap().next().unwrap().unwrap();
        for (found, expected) in batch.images.iter().zip(case.expected) {
            let expected = f32::from(expected) / 255.0;
            assert!((found - expected).abs() < 1.1 / 255.0, "{found} {expected}");
        }
    }
}

/// What is cut off costs nothing.
#[test]
fn an_image_like_a_thread_is_cut_without_being_blown_up() {
    let dir = tempdir().unwrap();
    GrayImage::from_pixel(60_000, 1, Luma([9]))
        .save(dir.path().join("image.png"))
        .unwrap();
    let part = open(dir.path()).unwrap().train.unwrap();
    let case = Case {
        to: ResizeTo::Shorter(60_000),
        ..CASES[0]
    };
    let loader = case.loader(PixelRange::Byte);
    let batch = loader.batches(&part, 0).unwrap().next().unwrap().unwrap();
    assert!(batch.images.iter().all(|pixel| *pixel == 9.0));
}
