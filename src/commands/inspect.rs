//! `ckaprune inspect`: never executes the network.

use anyhow::Result;

use super::{Outcome, analyse, open_model, show};
use crate::cli::Inspect;
use crate::report::InspectReport;

pub(super) fn run(options: &Inspect) -> Result<Outcome> {
    let path = &options.model.model;
    let archive = open_model(path)?;
    let analysis = analyse(
        &options.model,
        &archive,
        options.input_size,
        options.search.into(),
    )?;
    let report = InspectReport::new(path.display().to_string(), &analysis);
    show(options.talk, &report, || report.table())?;
    Ok(Outcome::Done)
}
