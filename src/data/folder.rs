//! Folders of encoded images: one folder for each class, or unlabelled images side by side.
//!
//! Classes are numbered in the order of their names, as torchvision's `ImageFolder` does, and to a class belongs all
//! that lies below its folder. Opening only lists files; each is decoded when a batch needs it.

use std::path::{Path, PathBuf};

use super::annotations;
use super::classes::ClassNames;
use super::decode::probe;
use super::error::{Problem, Result, listed};
use super::part::{Part, Pixels, Store};
use super::walk::{Folder, Listing, Walk};
use super::{Contents, name_of};

/// What the images of a folder are for, by its name in small letters.
const TRAIN: &[&str] = &["train", "training"];
const VALIDATION: &[&str] = &["val", "valid", "validation", "dev"];
const TEST: &[&str] = &["test", "testing"];
const PARTS: [&[&str]; 3] = [TRAIN, VALIDATION, TEST];

/// Which of the parts a folder of this name is; `training_set` is one as well.
fn part_called(name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    let bare = name.strip_suffix("set").unwrap_or(&name);
    let bare = bare.trim_end_matches(['_', '-', ' ']);
    PARTS.iter().position(|names| names.contains(&bare))
}

/// Whether there are images below a folder.
pub(super) fn is_image_folder(folder: &Path) -> Result<bool> {
    Walk::new().holds_images(folder)
}

/// A data set with a folder for each part, or of one part.
pub(super) fn open(folder: &Path, given: Option<&ClassNames>) -> Result<Contents> {
    match arrangement(folder)? {
        (Arranged::Whole(whole), notes) => whole.alone(given, notes),
        (Arranged::Parts(splits), notes) => parts(folder, splits, given, notes),
    }
}

/// The same without classes, whatever folders the images of a part lie in.
pub(super) fn open_unlabelled(folder: &Path) -> Result<Contents> {
    let unlabelled = |split: Split| {
        let (folder, images) = split.side_by_side();
        part(&folder, images, None)
    };
    let (arranged, notes) = arrangement(folder)?;
    let [train, validation, test] = match arranged {
        Arranged::Whole(whole) => [Some(unlabelled(whole)?), None, None],
        Arranged::Parts(splits) => {
            let [train, validation, test] = by_part(folder, splits)?;
            let part = |split: Option<Split>| split.map(unlabelled).transpose();
            [part(train)?, part(validation)?, part(test)?]
        }
    };
    Ok(Contents {
        train,
        validation,
        test,
        classes: None,
        notes,
    })
}

/// How the images of a data set are arranged in folders.
enum Arranged {
    Whole(Split),
    Parts(Vec<Split>),
}

/// The arrangement of this folder, and notes on what is not used.
fn arrangement(folder: &Path) -> Result<(Arranged, Vec<String>)> {
    let mut walk = Walk::new();
    let top = walk.level(folder)?;
    let (named, others): (Vec<_>, Vec<_>) = top
        .folders
        .into_iter()
        .partition(|inner| part_called(&name_of(inner)).is_some());
    let mut splits = Vec::new();
    for folder in named {
        let listing = walk.list(&folder)?;
        splits.push(Split { folder, listing });
    }
    let mut notes = Vec::new();
    splits.retain(|split| {
        let is_empty = split.listing.is_empty();
        if is_empty {
            notes.push(format!("{}: holds no images", split.folder.display()));
        }
        !is_empty
    });
    let mut sisters = Vec::new();
    for other in &others {
        if walk.holds_images(other)? {
            sisters.push(name_of(other));
        }
    }
    // A class may be called "train": then there are other folders beside it that are no parts, and no classes in it.
    let is_class = |split: &Split| split.listing.classes().next().is_none();
    if splits.is_empty() || (!sisters.is_empty() && splits.iter().all(is_class)) {
        let named = splits.into_iter().map(|split| split.folder);
        let mut folders = Vec::new();
        for inner in others.into_iter().chain(named) {
            folders.push(walk.folder(inner)?);
        }
        folders.sort_by(|a, b| a.path.cmp(&b.path));
        let whole = Split {
            folder: folder.to_owned(),
            listing: Listing {
                images: top.images,
                folders,
            },
        };
        return Ok((Arranged::Whole(whole), notes));
    }
    let left_out = sisters.len() + top.images.len();
    if left_out > 0 {
        let loose = top.images.iter().map(|image| name_of(image));
        notes.push(format!(
            "{}: {} belongs to no part (train, val, test and the like) and is left out",
            folder.display(),
            listed(sisters.into_iter().chain(loose))
        ));
    }
    Ok((Arranged::Parts(splits), notes))
}

/// The training, validation and test part.
fn by_part(folder: &Path, splits: Vec<Split>) -> Result<[Option<Split>; 3]> {
    let mut found: [Option<Split>; 3] = Default::default();
    for split in splits {
        let name = name_of(&split.folder);
        let place = &mut found[part_called(&name).unwrap_or_default()];
        if let Some(other) = place {
            let first = name_of(&other.folder);
            let second = name;
            return Err(Problem::Ambiguous { first, second }.at(folder));
        }
        *place = Some(split);
    }
    Ok(found)
}

/// A data set of these parts.
fn parts(
    folder: &Path,
    splits: Vec<Split>,
    given: Option<&ClassNames>,
    mut notes: Vec<String>,
) -> Result<Contents> {
    let found = by_part(folder, splits)?;
    // A folder alone is most often one of unlabelled images inside another.
    let classes = |least| {
        let mut found = found.iter().flatten();
        found.find(|split| split.listing.classes().count() >= least)
    };
    let first = classes(2).or_else(|| classes(1));
    let classes = first.map_or(Ok(Vec::new()), |split| split.class_names(given))?;
    let first = first.map(|split| split.folder.clone());
    let mut read = |split: Option<Split>| {
        let Some(split) = split else {
            return Ok(None);
        };
        if Some(&split.folder) != first.as_ref()
            && classes.len() > 1
            && let Some(name) = split.only_folder_beyond(&classes)
        {
            let (folder, images) = split.side_by_side();
            let labels = annotations::labels(&folder, &images, &classes)?;
            if labels.is_none() {
                notes.push(format!(
                    "{}: there are no class folders (its images lie in {name}), so its images are taken as unlabelled",
                    folder.display(),
                ));
            }
            return part(&folder, images, labels).map(Some);
        }
        split.into_part(&classes, given, &mut notes).map(Some)
    };
    let [train, validation, test] = found;
    Ok(Contents {
        train: read(train)?,
        validation: read(validation)?,
        test: read(test)?,
        classes: Some(classes.clone()),
        notes,
    })
}

impl Listing {
    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.classes().next().is_none()
    }

    /// The folders that hold images.
    fn classes(&self) -> impl Iterator<Item = &Folder> {
        self.folders
            .iter()
            .filter(|folder| !folder.images.is_empty())
    }
}

/// The images of a part as they lie in their folder.
struct Split {
    folder: PathBuf,
    listing: Listing,
}

impl Split {
    /// Opens it as the only part of the data set.
    fn alone(self, given: Option<&ClassNames>, mut notes: Vec<String>) -> Result<Contents> {
        for class in self.listing.classes() {
            let (inner, direct) = class.inside();
            if !direct && inner.iter().all(|name| part_called(name).is_some()) {
                let class = name_of(&class.path);
                let parts = inner.join(", ");
                return Err(Problem::PartsInside { class, parts }.at(&self.folder));
            }
        }
        let classes = self.class_names(given)?;
        Ok(Contents {
            train: Some(self.into_part(&classes, given, &mut notes)?),
            validation: None,
            test: None,
            classes: Some(classes),
            notes,
        })
    }

    /// The names of all classes in the order of their numbers; none where the images lie side by side.
    fn class_names(&self, given: Option<&ClassNames>) -> Result<Vec<String>> {
        let classes: Vec<_> = self.listing.classes().collect();
        if let [only] = classes[..]
            && self.listing.images.is_empty()
            && let (inner, false) = only.inside()
            && inner.len() > 1
        {
            let inner = only.path.display().to_string();
            return Err(Problem::OneLevelDown { inner }.at(&self.folder));
        }
        let folders = &self.listing.folders;
        let empty = folders.iter().filter(|folder| folder.images.is_empty());
        match (classes.len(), given) {
            (_, Some(given)) => Ok(given.names().to_vec()),
            (0, None) => Ok(Vec::new()),
            (n, None) if n < folders.len() => {
                let empty = listed(empty.map(|folder| folder.name.clone()));
                Err(Problem::EmptyClass(empty).at(&self.folder))
            }
            _ => Ok(folders.iter().map(|folder| folder.name.clone()).collect()),
        }
    }

    /// The name of its only folder, if no class has this name.
    fn only_folder_beyond(&self, classes: &[String]) -> Option<String> {
        let mut folders = self.listing.classes();
        match (folders.next(), folders.next()) {
            (Some(only), None) if !classes.contains(&only.name) => Some(only.name.clone()),
            _ => None,
        }
    }

    /// All its images, whatever folders they lie in.
    fn side_by_side(self) -> (PathBuf, Vec<PathBuf>) {
        let deeper = self.listing.folders.into_iter().flat_map(|f| f.images);
        let images = self.listing.images.into_iter().chain(deeper);
        (self.folder, images.collect())
    }

    /// The labelled images, or where there are no class folders the unlabelled ones.
    fn into_part(
        self,
        classes: &[String],
        given: Option<&ClassNames>,
        notes: &mut Vec<String>,
    ) -> Result<Part> {
        let Split { folder, listing } = self;
        let Listing { images, folders } = listing;
        let folders: Vec<_> = folders
            .into_iter()
            .filter(|f| !f.images.is_empty())
            .collect();
        let number = |folder: &Folder| classes.iter().position(|class| *class == folder.name);
        let unknown = folders.iter().filter(|folder| number(folder).is_none());
        let unknown: Vec<_> = unknown.map(|folder| folder.name.clone()).collect();
        match (folders.as_slice(), unknown.as_slice()) {
            ([], _) => return part(&folder, images, None),
            (_, []) => {}
            _ => {
                let classes = listed(unknown);
                let problem = match given.map(|given| given.file().to_owned()) {
                    Some(file) => Problem::UnnamedClass { classes, file },
                    None => Problem::UnknownClass(classes),
                };
                return Err(problem.at(&folder));
            }
        }
        if let Some(first) = images.first() {
            notes.push(format!(
                "{}: {} of its images, such as {}, lie in no class folder and are left out",
                folder.display(),
                images.len(),
                name_of(first)
            ));
        }
        let (mut files, mut labels) = (Vec::new(), Vec::new());
        for class in folders {
            let label = number(&class).unwrap_or_default() as i64;
            labels.resize(labels.len() + class.images.len(), label);
            files.extend(class.images);
        }
        part(&folder, files, Some(labels))
    }
}

fn part(folder: &Path, files: Vec<PathBuf>, labels: Option<Vec<i64>>) -> Result<Part> {
    let Some(first) = files.first() else {
        return Err(Problem::Empty.at(folder));
    };
    // The first file that can be read counts: one that is damaged must not decide for all.
    let shape = match files.iter().find_map(|file| probe(file).ok()) {
        Some(shape) => shape,
        None => probe(first)?,
    };
    let count = files.len();
    let store = Store {
        path: folder.to_owned(),
        shape,
        pixels: Pixels::Files(files),
    };
    Part::new(store, count, labels)
}
