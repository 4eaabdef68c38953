//! The files that a map is written to.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::report::MapReport;
use crate::cli::Statistics;
use crate::report::json;
use crate::report::picture;
use crate::report::progress::Progress;
use crate::run::export::{Staged, check_output, write_all};

/// What a file holds. Its ending says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Html,
    Png,
    Svg,
    Json,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        match ending.to_lowercase().as_str() {
            "html" => Ok(Format::Html),
            "png" => Ok(Format::Png),
            "svg" => Ok(Format::Svg),
            "json" => Ok(Format::Json),
            _ => bail!(
                "{}: a map is written as .html, .png, .svg or .json; let --output end in one of them",
                path.display()
            ),
        }
    }
}

/// The files to write. Each is known to be writable.
pub(super) struct Files {
    files: Vec<(PathBuf, Format)>,
    force: bool,
}

/// The endings of the files that are written if no file is named.
const USUAL: [&str; 3] = ["html", "png", "json"];

impl Files {
    /// The file that was named, or three files beside the model. If the model's folder cannot be written, they go to the
    /// current one.
    ///
    /// # Errors
    /// If a file exists already, cannot be written, or has another ending.
    pub fn of(model: &Path, options: &Statistics) -> Result<Self> {
        let paths = match &options.output {
            Some(output) => vec![output.clone()],
            None => {
                let stem = model.file_stem().unwrap_or_default().to_string_lossy();
                let name = |ending: &str| format!("{stem}.map.{ending}");
                let beside = |ending: &str| model.with_file_name(name(ending));
                // Whether a folder can be written is the same for all.
                match check_output(&beside(USUAL[0]), true) {
                    Ok(()) => USUAL.map(beside).to_vec(),
                    Err(_) => USUAL.map(|ending| name(ending).into()).to_vec(),
                }
            }
        };
        let mut files = Vec::new();
        for path in paths {
            let format = Format::of(&path)?;
            check_output(&path, options.force)?;
            files.push((path, format));
        }
        Ok(Files {
            files,
            force: options.force,
        })
    }

    pub fn names(&self) -> Vec<String> {
        let paths = self.files.iter();
        paths.map(|(path, _)| path.display().to_string()).collect()
    }

    /// Writes all of them, or none.
    ///
    /// # Errors
    /// If one cannot be made or written.
    pub fn write(&self, report: &MapReport, progress: Progress) -> Result<()> {
        let stage = || {
            let mut made = Vec::new();
            for (path, format) in &self.files {
                let bytes = match format {
                    Format::Html => report.page().html().into_bytes(),
                    Format::Svg => report.chart().svg().into_bytes(),
                    Format::Json => json(&report.document())?.into_bytes(),
                    Format::Png => {
                        let picture = picture::draw(&report.chart().svg())
                            .with_context(|| path.display().to_string())?;
                        if picture.wordless {
                            progress.note(format_args!(
                                "note: {} has no words in it, because this machine has no fonts; a browser shows them in the \
                                 .html or the .svg",
                                path.display()
                            ));
                        }
                        picture.png
                    }
                };
                made.push(Staged::bytes(path, &bytes)?);
            }
            Ok(made)
        };
        write_all(stage, self.force)
    }
}
