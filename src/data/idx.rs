//! IDX files, as the MNIST family comes: `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, the test part under
//! `t10k` or `test`, with `-` or `.` before `idx`, plain or gzipped, with or without a prefix (`emnist-letters-`).
//!
//! A file is two zero bytes, the element type, the number of sides, the sides as big-endian `u32`, the elements.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::bounded::{announced, read_header, read_rest};
use super::error::{Problem, Result};
use super::part::{Part, Pixels, Store};
use super::{Contents, file_names};

const UNSIGNED_BYTE: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Images,
    Labels,
}

/// The parts of a file name.
#[derive(Debug, PartialEq, Eq)]
struct Name<'a> {
    /// What comes before images or labels: `train-`, `emnist-letters-test-`.
    stem: &'a str,
    kind: Kind,
    gzipped: bool,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (name, gzipped) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let name = name.strip_suffix("-ubyte")?;
        let (name, kind) = ["idx3", "idx4"]
            .iter()
            .find_map(|sides| Some((name.strip_suffix(sides)?, Kind::Images)))
            .or_else(|| Some((name.strip_suffix("idx1")?, Kind::Labels)))?;
        let name = name.strip_suffix(['-', '.'])?;
        let stem = name.strip_suffix(match kind {
            Kind::Images => "images",
            Kind::Labels => "labels",
        })?;
        Some(Self {
            stem,
            kind,
            gzipped,
        })
    }

    fn is_of(&self, part: &[&str]) -> bool {
        let stem = self.stem.trim_end_matches('-');
        part.iter().any(|part| {
            stem.strip_suffix(part)
                .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('-'))
        })
    }
}

pub(super) fn is_idx(names: &[String]) -> bool {
    let names = names.iter().filter_map(|name| Name::parse(name));
    names.into_iter().any(|name| name.kind == Kind::Images)
}

pub(super) fn open(folder: &Path) -> Result<Contents> {
    let names = file_names(folder)?;
    Ok(Contents {
        train: open_part(folder, &names, &["train"])?,
        validation: None,
        test: open_part(folder, &names, &["t10k", "test"])?,
        classes: None,
        notes: Vec::new(),
    })
}

fn open_part(folder: &Path, names: &[String], part: &[&str]) -> Result<Option<Part>> {
    let is_images = |name: &Name| name.kind == Kind::Images && name.is_of(part);
    let Some(images) = only(folder, names, is_images)? else {
        return Ok(None);
    };
    let stem = Name::parse(images).map_or("", |name| name.stem);
    let is_labels = |name: &Name| name.kind == Kind::Labels && name.stem == stem;
    let path = folder.join(images);
    let Some(labels) = only(folder, names, is_labels)? else {
        let wanted = format!("{stem}labels-idx1-ubyte[.gz]");
        return Err(Problem::LabelsMissing { wanted }.at(path));
    };
    let (count, shape, pixels) = read_images(&path)?;
    let labels_path = folder.join(labels);
    let labels = read_labels(&labels_path)?;
    if labels.len() != count {
        let (images, labels) = (count, labels.len());
        return Err(Problem::CountMismatch { images, labels }.at(labels_path));
    }
    let store = Store {
        path,
        shape,
        pixels: Pixels::Bytes(pixels),
    };
    Part::new(store, count, Some(labels)).map(Some)
}

/// The one file wanted. A plain file goes before its gzipped form.
fn only<'a>(
    folder: &Path,
    names: &'a [String],
    wanted: impl Fn(&Name) -> bool,
) -> Result<Option<&'a str>> {
    let parsed = names
        .iter()
        .filter_map(|text| Some((text, Name::parse(text)?)));
    let mut found: Vec<_> = parsed.filter(|(_, name)| wanted(name)).collect();
    found.sort_by_key(|(_, name)| name.gzipped);
    let Some((first, name)) = found.first() else {
        return Ok(None);
    };
    if let Some((second, _)) = found.iter().find(|(_, other)| other.stem != name.stem) {
        let problem = Problem::Ambiguous {
            first: first.to_string(),
            second: second.to_string(),
        };
        return Err(problem.at(folder));
    }
    Ok(Some(first))
}

/// Number of images, channels × height × width, pixels.
fn read_images(path: &Path) -> Result<(usize, [usize; 3], Vec<u8>)> {
    let (sides, pixels) = read(path).map_err(|problem| problem.at(path))?;
    let (count, shape) = match sides[..] {
        [n, h, w] => (n, [1, h, w]),
        [n, c @ 1..=4, h, w] => (n, [c, h, w]),
        _ => {
            let problem = Problem::Shape {
                what: "the array of images".to_owned(),
                found: sides,
                expected: "images x height x width, or images x channels x height x width",
            };
            return Err(problem.at(path));
        }
    };
    if pixels.is_empty() {
        return Err(Problem::Empty.at(path));
    }
    Ok((count, shape, pixels))
}

fn read_labels(path: &Path) -> Result<Vec<i64>> {
    let (sides, labels) = read(path).map_err(|problem| problem.at(path))?;
    if sides.len() != 1 {
        let problem = Problem::Shape {
            what: "the array of labels".to_owned(),
            found: sides,
            expected: "one label an image",
        };
        return Err(problem.at(path));
    }
    Ok(labels.into_iter().map(i64::from).collect())
}

/// The sides and the elements of a file of unsigned bytes.
fn read(path: &Path) -> Result<(Vec<usize>, Vec<u8>), Problem> {
    let file = BufReader::new(File::open(path)?);
    if path.extension().is_some_and(|e| e == "gz") {
        read_elements(MultiGzDecoder::new(file))
    } else {
        read_elements(file)
    }
}

fn read_elements(mut reader: impl Read) -> Result<(Vec<usize>, Vec<u8>), Problem> {
    let mut magic = [0; 4];
    read_header(&mut reader, &mut magic)?;
    let [0, 0, UNSIGNED_BYTE, sides @ 1..=4] = magic else {
        return Err(Problem::Malformed(format!(
            "not an IDX file of unsigned bytes: starts with {magic:02x?}, not 00 00 08 and 1 to 4"
        )));
    };
    let mut shape = Vec::with_capacity(sides.into());
    for _ in 0..sides {
        let mut side = [0; 4];
        read_header(&mut reader, &mut side)?;
        shape.push(u32::from_be_bytes(side) as usize);
    }
    let elements = read_rest(reader, announced(&shape, 1)?)?;
    Ok((shape, elements))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_family_is_understood() {
        for (text, stem, gzipped) in [
            ("train-images-idx3-ubyte", "train-", false),
            ("train-images.idx3-ubyte", "train-", false),
            ("t10k-images-idx3-ubyte.gz", "t10k-", true),
            (
                "emnist-letters-test-images-idx3-ubyte.gz",
                "emnist-letters-test-",
                true,
            ),
        ] {
            let kind = Kind::Images;
            let expected = Name {
                stem,
                kind,
                gzipped,
            };
            assert_eq!(Name::parse(text), Some(expected), "{text}");
        }
        assert_eq!(Name::parse("train-images-idx2-int"), None);
    }

    #[test]
    fn a_part_is_known_by_its_whole_word() {
        let name = Name::parse("emnist-test-images-idx3-ubyte").unwrap();
        assert!(name.is_of(&["t10k", "test"]));
        assert!(
            !Name::parse("latest-images-idx3-ubyte")
                .unwrap()
                .is_of(&["test"])
        );
    }
}
