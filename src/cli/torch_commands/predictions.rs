//! The file of predictions: the class that each network named for every image, as it is and under each condition.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::measure::{Measured, Subject};
use crate::data::Part;
use crate::report::{SCHEMA, json};
use crate::run::export::write_whole;
use crate::train::robustness::Predictions;

/// What one network predicted.
#[derive(Serialize)]
struct OfOne<'a> {
    schema: u32,
    model: String,
    data: String,
    #[serde(flatten)]
    predictions: &'a Predictions,
}

/// What several networks predicted for the same images.
#[derive(Serialize)]
struct OfSeveral<'a> {
    schema: u32,
    data: String,
    models: Vec<OfModel<'a>>,
}

#[derive(Serialize)]
struct OfModel<'a> {
    model: String,
    #[serde(flatten)]
    predictions: &'a Predictions,
}

/// Writes the classes that one network predicted.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write(
    file: &Path,
    model: &Path,
    part: &Part,
    predictions: &Predictions,
) -> Result<()> {
    let document = OfOne {
        schema: SCHEMA,
        model: model.display().to_string(),
        data: part.path().display().to_string(),
        predictions,
    };
    write_whole(file, json(&document)?.as_bytes(), false)
}

/// Writes the classes that each of several networks predicted.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn write_all(
    file: &Path,
    part: &Part,
    subjects: &[Subject],
    found: &Measured,
) -> Result<()> {
    let models = subjects.iter().zip(&found.predictions);
    let models = models.map(|(subject, predictions)| OfModel {
        model: subject.path.display().to_string(),
        predictions,
    });
    let document = OfSeveral {
        schema: SCHEMA,
        data: part.path().display().to_string(),
        models: models.collect(),
    };
    write_whole(file, json(&document)?.as_bytes(), false)
}
