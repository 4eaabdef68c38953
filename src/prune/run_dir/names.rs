//! Names of the files in a run's folder.

use std::fs;
use std::path::{self, Path};

use crate::prune::Phase;
use crate::run::export::ending;

pub(super) const RUN_FILE: &str = "run.json";
pub(super) const PLAN_FILE: &str = "plan.json";
/// The page of a run, and the document beside it.
pub const REPORT_FILES: [&str; 2] = ["report.html", "report.json"];
/// How the names begin of the network of the iteration that [`begun`](super::RunFile::begun) speaks of, and of those of
/// the iterations that are done. They end as names of networks do.
pub(super) const BEGUN: &str = "begun.";
pub(super) const ITERATION: &str = "iteration-";

/// Whether a run in this folder writes that file itself.
#[must_use]
pub fn keeps(folder: &Path, file: &Path) -> bool {
    let (Ok(folder), Ok(file)) = (path::absolute(folder), path::absolute(file)) else {
        return false;
    };
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let is_network = [false, true]
        .map(ending)
        .iter()
        .filter_map(|ending| name.strip_suffix(ending))
        .any(|stem| stem == BEGUN || stem.starts_with(ITERATION) && stem.ends_with('.'));
    file.parent() == Some(&folder)
        && (is_network
            || [RUN_FILE, PLAN_FILE].contains(&name)
            || Phase::ALL.iter().any(|phase| phase.file() == name))
}

/// Names of the files in this folder that a run in it would take for its own, sorted.
#[must_use]
pub fn kept_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut kept: Vec<String> = names
        .filter(|name| keeps(folder, &folder.join(name)))
        .collect();
    kept.sort();
    kept
}
