//! Data sets made on the spot, with labels that a small network can learn.

use std::fs::File;
use std::io::Write;

use ndarray::{Array1, Array4};
use ndarray_npy::{WritableElement, WriteNpyExt};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::place::Place;

pub const CLASSES: i64 = 5;

/// 8 × 8 pixels in colour, with labels in turn: the class is told by which channels are bright.
pub fn colours(images: usize, salt: u32) -> (Array4<u8>, Array1<i64>) {
    let mut state = salt.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut noise = move || {
        // Numerical Recipes' linear congruential generator: its high bits are random enough.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 25) as u8
    };
    let labels = Array1::from_shape_fn(images, |i| i as i64 % CLASSES);
    let pixels = Array4::from_shape_fn((images, 8, 8, 3), |(image, _, _, channel)| {
        let class = labels[image] as usize;
        let bright = class == channel || class == 3;
        noise() + if bright { 128 } else { 0 }
    });
    (pixels, labels)
}

/// An array as an `.npy` file.
pub fn npy<T: WritableElement, D: ndarray::Dimension>(array: &ndarray::Array<T, D>) -> Vec<u8> {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).unwrap();
    bytes
}

impl Place {
    /// An `.npz` file of these arrays.
    pub fn npz(&self, name: &str, arrays: &[(&str, Vec<u8>)]) {
        let mut zip = ZipWriter::new(File::create(self.path(name)).unwrap());
        for (array, bytes) in arrays {
            zip.start_file(format!("{array}.npy"), SimpleFileOptions::default())
                .unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    /// `data.npz`: 60 images to learn from, 30 to measure on.
    pub fn with_data(models: &[&str]) -> Self {
        let place = Place::with(models);
        let (x_train, y_train) = colours(60, 1);
        let (x_test, y_test) = colours(30, 2);
        let arrays = [
            ("x_train", npy(&x_train)),
            ("y_train", npy(&y_train)),
            ("x_test", npy(&x_test)),
            ("y_test", npy(&y_test)),
        ];
        place.npz("data.npz", &arrays);
        place
    }

    /// A folder with images in unlabelled.npz, the same colours without their classes.
    pub fn with_unlabelled(models: &[&str]) -> Self {
        let place = Place::with(models);
        let (images, _) = colours(60, 1);
        place.npz("unlabelled.npz", &[("images", npy(&images))]);
        place
    }
}
