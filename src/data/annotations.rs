//! The classes of images in a file beside them, as Tiny-ImageNet has `val/val_annotations.txt`: a line an image, its
//! name and its class first, parted by tabs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::{Problem, Result};
use super::name_of;

/// Room for ten million lines.
const LONGEST: u64 = 1 << 30;

/// A class number for each image of a folder, if such a file lies in it.
///
/// # Errors
///
/// If the file leaves an image out, or names a class that is none of `classes`.
pub(super) fn labels(
    folder: &Path,
    images: &[PathBuf],
    classes: &[String],
) -> Result<Option<Vec<i64>>> {
    let file = folder.join(format!("{}_annotations.txt", name_of(folder)));
    let located = |problem: Problem| problem.at(&file);
    let length = match fs::metadata(&file) {
        Ok(meta) if meta.is_file() => meta.len(),
        _ => return Ok(None),
    };
    if length > LONGEST {
        return Err(located(Problem::TooLarge(format!("{length} bytes"))));
    }
    let text = fs::read_to_string(&file).map_err(|e| located(Problem::Io(e)))?;
    let line = |line| {
        let mut columns = str::split(line, '\t').map(str::trim);
        Some((columns.next()?, columns.next()?))
    };
    let named: HashMap<&str, &str> = text.lines().filter_map(line).collect();
    let numbers: HashMap<&str, i64> = (0..)
        .zip(classes)
        .map(|(n, name)| (name.as_str(), n))
        .collect();
    let label = |image: &PathBuf| {
        let image = name_of(image);
        let Some(class) = named.get(image.as_str()) else {
            return Err(located(Problem::Malformed(format!(
                "has no line for {image}"
            ))));
        };
        let unknown = || located(Problem::UnknownClass((*class).to_owned()));
        numbers.get(class).copied().ok_or_else(unknown)
    };
    images.iter().map(label).collect::<Result<_>>().map(Some)
}
