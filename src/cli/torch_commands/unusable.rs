//! Image files that cannot be used: found before the work begins, and listed together or left out.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cli::Data;
use crate::data::{DataError, Loader, Part, Survey};
use crate::report::counted;
use crate::report::progress::Progress;

/// Images that are about to be used.
pub(super) struct Wanted<'a> {
    pub part: &'a mut Part,
    /// Each of its classes has to keep an image. The classes of a draw need not.
    pub whole: bool,
}

impl<'a> Wanted<'a> {
    pub fn whole(part: &'a mut Part) -> Self {
        Wanted { part, whole: true }
    }

    pub fn draw(part: &'a mut Part) -> Self {
        Wanted { part, whole: false }
    }
}

/// What became of the files that cannot be used.
#[derive(Clone, Debug, Default)]
pub(super) struct Skipped {
    pub files: usize,
    /// A sentence that names them.
    pub warning: Option<String>,
}

/// Decodes every file of these parts once. Those that cannot be used are left out with `--skip-bad`.
///
/// # Errors
/// Without `--skip-bad` if there are such files: the error lists them. With it if a class loses all its images.
pub(super) fn examine(
    data: &Data,
    loader: &Loader,
    mut parts: Vec<Wanted>,
    progress: Progress,
) -> Result<Skipped> {
    let (bad, all) = {
        let looked_at: Vec<&Part> = parts.iter().map(|wanted| &*wanted.part).collect();
        let survey = Survey::of(loader, &looked_at)?;
        let bar = progress.bar("checking files", survey.len());
        (survey.unusable(|| bar.advance(1))?, survey.len())
    };
    if bad.is_empty() {
        return Ok(Skipped::default());
    }
    if !data.skip_bad {
        bail!(refusal(&bad, all));
    }
    let files: HashSet<PathBuf> = bad
        .iter()
        .filter_map(|error| error.path().map(Path::to_owned))
        .collect();
    for wanted in &mut parts {
        let left = wanted.part.without(&files);
        check_classes(wanted, &left)?;
        *wanted.part = left;
    }
    let warning = format!(
        "{} of {} cannot be used and are left out (--skip-bad):{}",
        bad.len(),
        counted(all, "image file"),
        listed(&bad)
    );
    progress.warn(&warning);
    Ok(Skipped {
        files: bad.len(),
        warning: Some(warning),
    })
}

/// So many files are listed at most: nobody reads more.
const NAMED: usize = 10;

fn listed(bad: &[DataError]) -> String {
    let mut text = String::new();
    for error in bad.iter().take(NAMED) {
        text += &format!("\n  {error}");
    }
    if let more @ 1.. = bad.len().saturating_sub(NAMED) {
        text += &format!("\n  and {more} more");
    }
    text
}

fn refusal(bad: &[DataError], all: usize) -> String {
    match bad {
        [one] => format!("{one}; mend or remove it, or leave it out with --skip-bad"),
        _ => format!(
            "{} of {} cannot be used; mend or remove them, or leave them out with --skip-bad:{}",
            bad.len(),
            counted(all, "image file"),
            listed(bad)
        ),
    }
}

/// Refuses a part that loses all images of a class, or all there are.
fn check_classes(wanted: &Wanted, left: &Part) -> Result<()> {
    let shown = wanted.part.path().display();
    if left.is_empty() {
        bail!(
            "{shown}: none of the {} can be used",
            counted(wanted.part.len(), "image file")
        );
    }
    let classes = |part: &Part| -> BTreeSet<i64> {
        let labels = part.labels().unwrap_or_default();
        labels.iter().copied().collect()
    };
    let (before, after) = (classes(wanted.part), classes(left));
    match before.difference(&after).next() {
        Some(lost) if wanted.whole => {
            bail!(
                "{shown}: no image of class {lost} can be used, and the others would be measured and trained without it"
            )
        }
        _ => Ok(()),
    }
}
