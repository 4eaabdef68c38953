//! Whether the numbers of a data set's classes are those of the network that it is held against.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::blame;
use crate::cli::Data;
use crate::data::{DataSet, Images, Numbered};
use crate::report::thousands;
use crate::run::torch::{FIRST_LOOK, Model};

/// Why training needs the right numbers.
pub(super) const LEARNS: &str = "Training would teach the network these numbers";

/// The classes of a data set.
#[derive(Clone, Debug, Default)]
pub(super) struct Classes {
    data: PathBuf,
    pub names: Vec<String>,
    numbered: Numbered,
    /// The user goes by the numbers as they are.
    allowed: bool,
}

/// A network, and images of which it takes a batch where nothing else tells how many classes it knows.
#[derive(Clone, Copy)]
pub(super) struct Knows<'a> {
    pub path: &'a Path,
    pub model: &'a Model,
    pub images: &'a Images,
}

impl Knows<'_> {
    /// How many classes the network tells apart.
    fn classes(self) -> Result<usize> {
        if let Some(classes) = self.model.analysis().classes() {
            return Ok(classes);
        }
        let module = self.model.module()?;
        let first = self.images.in_batches_of(FIRST_LOOK).first_batch()?;
        let batch = first.context("no images")?;
        let images = module.images(&batch.images)?;
        let scores = tch::no_grad(|| module.forward(&images))?;
        Ok(scores.size().get(1).map_or(0, |n| *n as usize))
    }
}

impl Classes {
    pub fn of(set: &DataSet, options: &Data) -> Self {
        Classes {
            data: options.data.clone().unwrap_or_default(),
            names: set.classes.clone(),
            numbered: set.numbered.clone(),
            allowed: options.allow_class_mismatch,
        }
    }

    /// Why a class of the data need not be the one that has its number in the network: a sentence.
    pub fn doubt(&self, network: Knows) -> Result<Option<String>> {
        if self.numbered == Numbered::ByLabel || self.names.is_empty() {
            return Ok(None);
        }
        let known = network.classes().map_err(blame(network.path))?;
        Ok(self.doubt_of(network.path, known))
    }

    fn doubt_of(&self, model: &Path, known: usize) -> Option<String> {
        let (data, model) = (self.data.display(), model.display());
        let count = self.names.len();
        let differ = count != known;
        let [own, known] = [count, known].map(|n| thousands(n as i64));
        let names = ends(&self.names);
        match &self.numbered {
            Numbered::ByFolder if differ => Some(format!(
                "{data} HAS {own} CLASS FOLDERS, {model} KNOWS {known} CLASSES. They are numbered in the order of their \
                 names ({names}), as ImageFolder does, which a network of {known} classes need not share; name its classes \
                 in their order with --classes FILE"
            )),
            Numbered::ByFolder if sorted_as_text(&self.names) => Some(format!(
                "{data}: THE CLASS FOLDERS ARE NAMED BY NUMBERS AND SORTED AS TEXT ({names}), as ImageFolder does: folder \
                 {} is class 0; if the network numbers them otherwise, name its classes in their order with --classes FILE",
                self.names[0]
            )),
            Numbered::ByFile(file) if differ => Some(format!(
                "{} NAMES {own} CLASSES, {model} KNOWS {known}. The file that --classes names has to have all classes of \
                 the network, in their order",
                file.display()
            )),
            Numbered::ByFormat if differ => Some(format!(
                "{data} HAS {own} CLASSES, {model} KNOWS {known}. What they have in common is chance; name the data set \
                 that the network was trained for"
            )),
            _ => None,
        }
    }

    /// Refuses what rests on the numbers in spite of a doubt.
    pub fn check(&self, doubt: Option<&String>, what_rests: &str) -> Result<()> {
        match doubt {
            Some(doubt) if !self.allowed => Err(anyhow!(
                "{doubt}. {what_rests}; --allow-class-mismatch goes on all the same"
            )),
            _ => Ok(()),
        }
    }
}

/// Whether names are numbers in another order than that of their values.
fn sorted_as_text(names: &[String]) -> bool {
    let numbers: Option<Vec<u64>> = names.iter().map(|name| name.parse().ok()).collect();
    numbers.is_some_and(|numbers| !numbers.is_sorted())
}

/// The first few and the last of many names.
fn ends(names: &[String]) -> String {
    match names {
        [first, second, third, _, .., last] => format!("{first}, {second}, {third}, …, {last}"),
        few => few.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(names: &[&str], numbered: Numbered, known: usize) -> Option<String> {
        let classes = Classes {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            numbered,
            ..Classes::default()
        };
        classes.doubt_of(Path::new("net.pt"), known)
    }

    #[test]
    fn only_numbers_that_cannot_be_told_are_doubted() {
        let file = || Numbered::ByFile("classes.txt".into());
        for (names, numbered, known, is_doubted) in [
            (&["a", "b"][..], Numbered::ByFolder, 2, false),
            (&["a", "b"], Numbered::ByFolder, 3, true),
            (&["a", "b"], Numbered::ByFolder, 1, true),
            (&["10", "9"], Numbered::ByFolder, 2, true),
            (&["10", "11", "9"], Numbered::ByFolder, 9, true),
            (&["09", "10"], Numbered::ByFolder, 2, false),
            (&["0", "1", "10", "2"], file(), 4, false),
            (&["a", "b"], file(), 3, true),
            (&["0", "1"], Numbered::ByLabel, 9, false),
            (&["0", "1"], Numbered::ByFormat, 9, true),
        ] {
            let found = doubt(names, numbered, known);
            assert_eq!(found.is_some(), is_doubted, "{names:?} {known} {found:?}");
        }
    }
}
