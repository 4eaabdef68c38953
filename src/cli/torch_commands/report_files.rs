//! Where a report goes: a page for people, and beside it a document with all that the page shows.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Serialize;

use crate::cli::ReportFile;
use crate::prune::run_dir;
use crate::report::Invocation;
use crate::report::page::Page;
use crate::report::progress::Progress;
use crate::report::{BlockReport, json};
use crate::run::export::{Staged, check_file, write_all};

/// What `report.json` holds: the document of `--json`, and whatever else the page shows.
#[derive(Serialize)]
pub(super) struct Document<'a, R> {
    /// The document of `--json`, which begins with `schema`, the version, and `command`.
    #[serde(flatten)]
    pub result: &'a R,
    /// All blocks of the network as it was given, in the order in which they run.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub blocks: &'a [BlockReport],
    #[serde(flatten)]
    pub invocation: &'a Invocation,
}

/// The two files of a report.
#[derive(Debug)]
pub(super) struct ReportFiles {
    page: PathBuf,
    document: PathBuf,
    force: bool,
}

impl ReportFile {
    /// The files to write, if a report is asked for or there is a run directory for it. They are checked before hours of
    /// work.
    ///
    /// # Errors
    /// If one exists already (unless `force`, or it is the run's own), or cannot be written.
    pub(super) fn files(&self, force: bool, run_dir: Option<&Path>) -> Result<Option<ReportFiles>> {
        let own = run_dir.map(|folder| folder.join(run_dir::REPORT_FILES[0]));
        let Some(page) = self.report.clone().or_else(|| own.clone()) else {
            return Ok(None);
        };
        let document = page.with_extension("json");
        if own.as_ref() == Some(&page) {
            // A run that is resumed replaces the report of its earlier end. Its folder is made and checked elsewhere.
            return Ok(Some(ReportFiles {
                page,
                document,
                force: true,
            }));
        }
        if run_dir.is_some_and(|folder| run_dir::keeps(folder, &document)) {
            bail!(
                "{}: the run keeps a file {} of its own; name another page with --report",
                page.display(),
                document.display()
            );
        }
        for file in [&page, &document] {
            check_file(file, force, "--report")?;
        }
        Ok(Some(ReportFiles {
            page,
            document,
            force,
        }))
    }
}

impl ReportFiles {
    /// Refuses a file of another kind that has the name of one of these two.
    ///
    /// # Errors
    /// One message that names it.
    pub(super) fn keep_apart(&self, other: &Path, option: &str) -> Result<()> {
        if [&self.page, &self.document].contains(&&other.to_owned()) {
            bail!(
                "{}: --report writes a file of this name; name another with {option}",
                other.display()
            );
        }
        Ok(())
    }

    /// Writes both files, or none.
    ///
    /// # Errors
    /// If one cannot be written.
    pub(super) fn write<R: Serialize>(
        &self,
        page: &Page,
        document: &Document<R>,
        progress: Progress,
    ) -> Result<()> {
        let stage = || {
            Ok(vec![
                Staged::bytes(&self.document, json(document)?.as_bytes())?,
                Staged::bytes(&self.page, page.html().as_bytes())?,
            ])
        };
        write_all(stage, self.force)?;
        progress.note(format_args!("report: {}", self.page.display()));
        Ok(())
    }
}
