//! How much of a data set is read into memory.

use std::fs;
use std::path::Path;

use super::{arrays, npy_files, npz};

/// Bytes that a data set takes in memory at least: those of its arrays, but for those that stay in their files. Compressed
/// ones come to more.
#[must_use]
pub fn size_in_memory(path: &Path) -> u64 {
    if path.is_file() {
        return of_file(path);
    }
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let arrays = files.filter(|file| file.is_file() && is_array(file));
    let sizes = arrays.map(|file| of_file(&file));
    sizes.fold(0, u64::saturating_add)
}

fn of_file(path: &Path) -> u64 {
    let stays = match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => npy_files::size_in_file(path),
        Some("npz") => npz::size_in_file(path),
        _ => 0,
    };
    let size = fs::metadata(path).map_or(0, |m| m.len());
    size.saturating_sub(stays)
}

/// Whether a file of this name is a part of a data set.
fn is_array(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".npy");
    name.ends_with(".bin") || name.ends_with("ubyte") || stem.is_some_and(arrays::is_of_a_part)
}
