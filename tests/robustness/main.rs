//! Robustness measurements do what their formulas say, and give the same for a seed however images are batched.

#![cfg(feature = "torch")]

mod attacks;
#[path = "../common/mod.rs"]
mod common;
mod corruptions;
mod measuring;

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;

use ckaprune::data::{self, Images, Loader, Normalisation, Part, Transform};
use ckaprune::program::interface::Interface;
use ckaprune::report::progress::Progress;
use ckaprune::run::torch::Module;
use ckaprune::train::robustness::{Predictions, Protocol, Robustness, measure};
use common::{fixture, open};
use ndarray::{Array1, Array4};
use ndarray_npy::WriteNpyExt;
use tch::Device;
use zip::write::SimpleFileOptions;

const QUIET: Progress = Progress { quiet: true };
const MEAN: [f32; 3] = [0.4, 0.5, 0.6];
const STD: [f32; 3] = [0.25, 0.5, 0.2];

/// Images and labels in an npz file of this folder; the whole range of bytes occurs.
fn part(folder: &Path, name: &str, shape: [usize; 4], labels: Option<i64>) -> Part {
    let images = Array4::from_shape_fn(shape, |(n, y, x, c)| {
        let wave = ((y * (n % 5 + 1) + x * (c + 2)) as f64 / 3.).sin();
        (127.5 + 120. * wave + ((n * 31 + y * 7 + x * 13 + c * 5) % 17) as f64 - 8.).round() as u8
    });
    let path = folder.join(name);
    let mut zip = zip::ZipWriter::new(File::create(&path).unwrap());
    let mut array = |name: &str, bytes: Vec<u8>| {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    };
    let mut bytes = Vec::new();
    images.write_npy(&mut bytes).unwrap();
    array("images.npy", bytes);
    if let Some(classes) = labels {
        let labels = Array1::from_shape_fn(shape[0], |n| n as i64 % classes);
        let mut bytes = Vec::new();
        labels.write_npy(&mut bytes).unwrap();
        array("labels.npy", bytes);
    }
    zip.finish().unwrap();
    data::open(&path).unwrap().train.unwrap()
}

/// 20 images for the fixtures, of their five classes.
fn images(folder: &Path) -> Part {
    part(folder, "images.npz", [20, 8, 8, 3], Some(5))
}

fn loader(batch: usize) -> Loader {
    let transform = Transform {
        normalisation: Normalisation::new(MEAN.to_vec(), STD.to_vec()).unwrap(),
        ..Transform::default()
    };
    Loader::new(NonZeroUsize::new(batch).unwrap(), transform)
}

fn module(name: &str) -> Module {
    let archive = open(&fixture(name));
    let network = archive.network().unwrap();
    let program = common::program(&network, &common::FIXTURE_INPUT);
    let interface = Interface::of(&network, &program, None).unwrap();
    Module::load(&archive, Device::Cpu, &interface).unwrap()
}

fn measured(
    module: &Module,
    part: &Part,
    batch: usize,
    protocol: &Protocol,
) -> (Robustness, Predictions) {
    let images = Images::new(part.clone(), loader(batch));
    measure(module, &images, protocol, QUIET).unwrap_or_else(|e| panic!("{e:#}"))
}
