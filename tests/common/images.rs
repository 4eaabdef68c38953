//! Images that are told apart at a glance.

use std::fs;
use std::path::Path;

use ckaprune::data::{self, Part};
use ndarray_npy::WriteNpyExt;

const CLASSES: usize = 5;

/// Images of CLASSES kinds that a network tells apart at a glance: each class has its own brightness pattern.
pub fn easy_images() -> (tempfile::TempDir, Part) {
    let folder = tempfile::tempdir().unwrap();
    let (count, side) = (60, 8);
    let mut images = ndarray::Array4::<u8>::zeros((count, side, side, 3));
    for ((i, y, x, c), pixel) in images.indexed_iter_mut() {
        let class = i % CLASSES;
        *pixel =
            ((class * 50) as u8).wrapping_add(((x * (class + 1) + y * 3 + c * 7 + i) % 16) as u8);
    }
    let labels = ndarray::Array1::from_shape_fn(count, |i| (i % CLASSES) as i64);
    let path = folder.path().join("easy.npz");
    write_npz(&path, &images, &labels);
    let part = data::open(&path).unwrap().train.unwrap();
    (folder, part)
}

fn write_npz(path: &Path, images: &ndarray::Array4<u8>, labels: &ndarray::Array1<i64>) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for name in ["images.npy", "labels.npy"] {
        zip.start_file(name, options).unwrap();
        let mut bytes = Vec::new();
        match name {
            "images.npy" => images.write_npy(&mut bytes).unwrap(),
            _ => labels.write_npy(&mut bytes).unwrap(),
        }
        std::io::Write::write_all(&mut zip, &bytes).unwrap();
    }
    zip.finish().unwrap();
}
