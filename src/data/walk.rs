//! The images below a folder, and which folder in it each belongs to.
//!
//! As torchvision's `ImageFolder` has it: every folder directly inside is a class, all images below it are its own,
//! however deep they lie, and links are followed.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use super::error::{Problem, Result};
use super::name_of;

const EXTENSIONS: [&str; 12] = [
    "png", "jpg", "jpeg", "bmp", "webp", "gif", "ppm", "pgm", "pbm", "pnm", "tif", "tiff",
];
/// How many entries a data set may have. The largest that people train on has 14 million images.
const MOST_ENTRIES: usize = 20_000_000;
/// How deep folders may nest.
const DEEPEST: usize = 64;

/// What lies in a folder, in the order of names.
#[derive(Default)]
pub(super) struct Listing {
    /// Images directly in it.
    pub images: Vec<PathBuf>,
    pub folders: Vec<Folder>,
}

/// A folder with all images below it.
pub(super) struct Folder {
    pub path: PathBuf,
    pub name: String,
    /// Those of one folder follow each other; the folders are in the order of their paths.
    pub images: Vec<PathBuf>,
}

/// The folders and the images that lie directly in a folder.
#[derive(Default)]
pub(super) struct Level {
    pub folders: Vec<PathBuf>,
    pub images: Vec<PathBuf>,
}

/// A walk through the folders of one data set, with an upper limit of entries.
pub(super) struct Walk {
    left: usize,
}

impl Walk {
    pub fn new() -> Self {
        Walk { left: MOST_ENTRIES }
    }

    /// Everything below a folder.
    pub fn list(&mut self, folder: &Path) -> Result<Listing> {
        let level = self.level(folder)?;
        let folders = level.folders.into_iter().map(|path| self.folder(path));
        Ok(Listing {
            folders: folders.collect::<Result<_>>()?,
            images: level.images,
        })
    }

    /// One folder with all images below it.
    pub fn folder(&mut self, path: PathBuf) -> Result<Folder> {
        let mut levels = Vec::new();
        self.visit(&path, |folder, level| {
            levels.push((folder.to_owned(), level.images));
            true
        })?;
        // `sorted(os.walk(..))` sorts by the text of paths, not by their parts.
        levels.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
        Ok(Folder {
            name: name_of(&path),
            images: levels.into_iter().flat_map(|(_, images)| images).collect(),
            path,
        })
    }

    /// Whether there is an image below a folder; the walk stops at the first one.
    pub fn holds_images(&mut self, folder: &Path) -> Result<bool> {
        let mut found = false;
        self.visit(folder, |_, level| {
            found = !level.images.is_empty();
            !found
        })?;
        Ok(found)
    }

    /// Visits a folder and all below it, for as long as `on` returns true.
    fn visit(&mut self, folder: &Path, mut on: impl FnMut(&Path, Level) -> bool) -> Result<()> {
        let mut visited = HashSet::new();
        let mut waiting = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = waiting.pop() {
            let real = fs::canonicalize(&folder).map_err(|e| Problem::from(e).at(&folder))?;
            if !visited.insert(real) {
                return Err(Problem::MetTwice.at(folder));
            }
            if depth > DEEPEST {
                return Err(Problem::TooDeep(DEEPEST).at(folder));
            }
            let mut level = self.level(&folder)?;
            let inner = std::mem::take(&mut level.folders).into_iter().rev();
            waiting.extend(inner.map(|inner| (inner, depth + 1)));
            if !on(&folder, level) {
                break;
            }
        }
        Ok(())
    }

    /// What lies directly in a folder; hidden entries and files that are no images are passed over.
    pub fn level(&mut self, folder: &Path) -> Result<Level> {
        let failed = |e| Problem::from(e).at(folder);
        let mut level = Level::default();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| Problem::TooManyEntries(MOST_ENTRIES).at(folder))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            match Kind::of(&entry) {
                Kind::Folder => level.folders.push(entry.path()),
                Kind::File if is_image(&entry.path()) => level.images.push(entry.path()),
                Kind::File | Kind::Other => {}
            }
        }
        level.folders.sort();
        level.images.sort();
        Ok(level)
    }
}

enum Kind {
    Folder,
    /// A file, or a link that leads nowhere: reading it gives an error that people should see.
    File,
    /// A device or a pipe, which might never end.
    Other,
}

impl Kind {
    fn of(entry: &DirEntry) -> Self {
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).map(|m| m.file_type()),
            kind => kind,
        };
        match kind {
            Ok(kind) if kind.is_dir() => Kind::Folder,
            Ok(kind) if !kind.is_file() => Kind::Other,
            Ok(_) | Err(_) => Kind::File,
        }
    }
}

impl Folder {
    /// Its own folders that hold images, by name, and whether some lie directly in it.
    pub fn inside(&self) -> (Vec<String>, bool) {
        let (mut names, mut direct) = (Vec::new(), false);
        for image in &self.images {
            let below = image.strip_prefix(&self.path).unwrap_or(image);
            let mut parts = below.components();
            match (parts.next(), parts.next()) {
                (Some(folder), Some(_)) => {
                    let name = folder.as_os_str().to_string_lossy().into_owned();
                    if names.last() != Some(&name) {
                        names.push(name);
                    }
                }
                _ => direct = true,
            }
        }
        names.sort();
        names.dedup();
        (names, direct)
    }
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    EXTENSIONS
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}
