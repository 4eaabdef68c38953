//! Writers of small data sets.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{GrayImage, Luma, Rgb, RgbImage};
use ndarray_npy::WriteNpyExt;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// CIFAR-10 records, every pixel of image `i` being `i`.
pub fn cifar10(labels: &[u8]) -> Vec<u8> {
    let record = |(image, &label): (usize, &u8)| [vec![label], vec![image as u8; 3072]].concat();
    labels.iter().enumerate().flat_map(record).collect()
}

/// An IDX file of unsigned bytes.
pub fn idx(sides: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sides.len() as u8];
    file.extend(sides.iter().flat_map(|side| side.to_be_bytes()));
    file.extend(elements);
    file
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Three 2 x 2 images for training and one for testing, as `name` spells `train` and `images-idx3` for them.
pub fn mnist(folder: &Path) {
    write(
        folder,
        "train-images-idx3-ubyte",
        &idx(&[3, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    );
    write(folder, "train-labels-idx1-ubyte", &idx(&[3], &[0, 2, 1]));
    write(
        folder,
        "t10k-images-idx3-ubyte",
        &idx(&[1, 2, 2], &[250, 251, 252, 253]),
    );
    write(folder, "t10k-labels-idx1-ubyte", &idx(&[1], &[2]));
}

pub fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// An `.npz` as NumPy writes it, compressed or not.
pub fn npz(path: &Path, compressed: bool, arrays: &[(&str, &dyn Npy)]) {
    let method = if compressed {
        zip::CompressionMethod::Deflated
    } else {
        zip::CompressionMethod::Stored
    };
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    for (name, array) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(&array.bytes()).unwrap();
    }
    archive.finish().unwrap();
}

pub trait Npy {
    fn bytes(&self) -> Vec<u8>;
}

impl<T: WriteNpyExt> Npy for T {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_npy(&mut bytes).unwrap();
        bytes
    }
}

pub fn colour(folder: &Path, name: &str, width: u32, height: u32, pixel: [u8; 3]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(width, height, Rgb(pixel))
        .save(path)
        .unwrap();
}

pub fn grey(folder: &Path, name: &str, width: u32, height: u32, pixel: u8) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_pixel(width, height, Luma([pixel]))
        .save(path)
        .unwrap();
}
