//! Where a report goes: a page for people, and beside it a document with all that the page shows.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
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

/// The files that a report goes to.
#[derive(Debug)]
pub(super) struct ReportFiles {
    /// The page, and the document beside it.
    page: Option<[PathBuf; 2]>,
    summary: Option<PathBuf>,
    force: bool,
}

/// Names the file that GitHub shows beside a job; what is there already stays.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

impl ReportFile {
    /// The files to write, if a report is asked for or there is a run directory for it. They are checked before hours of
    /// work.
    ///
    /// # Errors
    /// If one exists already (unless `force`, or it is the run's own), or cannot be written.
    pub(super) fn files(&self, force: bool, run_dir: Option<&Path>) -> Result<Option<ReportFiles>> {
        let own = run_dir.map(|folder| folder.join(run_dir::REPORT_FILES[0]));
        let page = self.report.clone().or_else(|| own.clone());
        // A run that is resumed replaces the report of its earlier end. Its folder is made and checked elsewhere.
        let is_own = page.is_some() && page == own;
        let page = page.map(|page| {
            let document = page.with_extension("json");
            [page, document]
        });
        if let Some([page, document]) = page.as_ref().filter(|_| !is_own) {
            if run_dir.is_some_and(|folder| run_dir::keeps(folder, document)) {
                bail!(
                    "{}: the run keeps a file {} of its own; name another page with --report",
                    page.display(),
                    document.display()
                );
            }
            for file in [page, document] {
                check_file(file, force, "--report")?;
            }
        }
        if let Some(summary) = &self.summary {
            check_file(summary, force, "--summary")?;
        }
        let files = ReportFiles {
            page,
            summary: self.summary.clone(),
            force: force || is_own,
        };
        let is_any = files.page.is_some() || files.summary.is_some() || step_summary().is_some();
        Ok(is_any.then_some(files))
    }
}

/// The file that the environment asks to add a summary to.
fn step_summary() -> Option<PathBuf> {
    let named = std::env::var_os(STEP_SUMMARY);
    named.filter(|name| !name.is_empty()).map(PathBuf::from)
}

impl ReportFiles {
    /// Refuses a file of another kind that has the name of one of these.
    ///
    /// # Errors
    /// One message that names it.
    pub(super) fn keep_apart(&self, other: &Path, option: &str) -> Result<()> {
        let of_page = self.page.iter().flatten().map(|file| (file, "--report"));
        let of_summary = self.summary.iter().map(|file| (file, "--summary"));
        let same = of_page.chain(of_summary).find(|(file, _)| *file == other);
        match same {
            Some((_, writer)) => bail!(
                "{}: {writer} writes a file of this name; name another with {option}",
                other.display()
            ),
            None => Ok(()),
        }
    }

    /// Writes all files, or none.
    ///
    /// # Errors
    /// If one cannot be written. A summary that GitHub asked for is not worth a failure: then there is a warning.
    pub(super) fn write<R: Serialize>(
        &self,
        page: &Page,
        document: &Document<R>,
        progress: Progress,
    ) -> Result<()> {
        let stage = || {
            let mut files = Vec::new();
            if let Some([html, json_file]) = &self.page {
                files.push(Staged::bytes(json_file, json(document)?.as_bytes())?);
                files.push(Staged::bytes(html, page.html().as_bytes())?);
            }
            if let Some(summary) = &self.summary {
                files.push(Staged::bytes(summary, page.markdown().as_bytes())?);
            }
            Ok(files)
        };
        write_all(stage, self.force)?;
        if let Some(summary) = &self.summary {
            progress.note(format_args!("summary: {}", summary.display()));
        }
        if let Some([html, _]) = &self.page {
            progress.note(format_args!("report: {}", html.display()));
        }
        if let Some(file) = step_summary()
            && let Err(error) = add_to(&file, &page.markdown())
        {
            let shown = file.display();
            progress.warn(format_args!(
                "{shown}: the summary cannot be added to this file: {error}"
            ));
        }
        Ok(())
    }
}

fn add_to(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(text.as_bytes())
}
