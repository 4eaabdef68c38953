//! What `eval` and `compare` measure beyond plain accuracy: from options to a plan, and to the file of predictions.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::images::Measuring;
use super::measure::{Measured, Subject};
use super::unusable::{Wanted, examine};
use crate::cli;
use crate::data::{self, Part};
use crate::report::progress::Progress;
use crate::report::{SCHEMA, json};
use crate::run::export::{check_file, write_whole};
use crate::train::robustness::{Foreign, Plan, Predictions, same_classes};

/// The predictions as a document.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    model: String,
    data: String,
    #[serde(flatten)]
    predictions: &'a Predictions,
}

/// Everything that can be wrong with the options, before the network runs; `None` if nothing is asked for. `images` are
/// those that accuracy is measured on; files that are left out of the others are counted there as well.
pub(super) fn plan(
    options: &cli::Robustness,
    images: &mut Measuring,
    data: &cli::Data,
    progress: Progress,
) -> Result<Option<Plan>> {
    let seed = data.seed;
    if !options.is_asked() {
        return Ok(None);
    }
    if images.part.labels().is_none() {
        bail!(
            "--attacks, --corruptions, --ood and --predictions need labelled images; name a data set with labels"
        );
    }
    if let Some(file) = &options.predictions {
        check_free(file)?;
    }
    let ood = match &options.ood {
        None => None,
        Some(path) => {
            let shape = images.loader.output_shape(&images.part)?;
            let mut foreign = open_foreign(path, &images.classes.names, options, (seed, progress))?;
            let loader = images.loader.with_shape(shape);
            loader
                .output_shape(&foreign.part)
                .with_context(|| path.display().to_string())?;
            let wanted = vec![Wanted::draw(&mut foreign.part)];
            let skipped = examine(data, &loader, wanted, progress)?;
            images.skipped += skipped.files;
            images.warnings.extend(skipped.warning);
            Some(foreign)
        }
    };
    Ok(Some(Plan {
        attacks: options.attacks(),
        corruptions: options.corruptions(),
        severities: options.severities(),
        ood,
        seed,
    }))
}

/// Refuses a file that exists or that cannot be written, before the network runs.
fn check_free(file: &Path) -> Result<()> {
    if file.is_file() {
        let shown = file.display();
        bail!("{shown}: exists already; name another file with --predictions, or remove it first");
    }
    check_file(file, false, "--predictions")
}

fn open_foreign(
    path: &Path,
    known: &[String],
    options: &cli::Robustness,
    (seed, progress): (u64, Progress),
) -> Result<Foreign> {
    let shown = path.display();
    if !path.exists() {
        bail!("{shown}: no such file or folder; --ood names a data set of images of another kind");
    }
    let set = data::open_foreign(path)?;
    set.notes.iter().for_each(|note| progress.warn(note));
    let (part, name) = match (set.test, set.train) {
        (Some(test), _) => (test, "test"),
        (None, Some(train)) => (train, "train"),
        (None, None) => bail!("{shown}: the data set has neither a test nor a training part"),
    };
    Ok(Foreign {
        part: part.draw(options.robust_samples.0, seed),
        name,
        labels_match: same_classes(known, &set.classes),
    })
}

/// What several networks predicted for the same images.
#[derive(Serialize)]
struct Documents<'a> {
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

/// Writes the classes that each of several networks predicted, where they are asked for.
pub(super) fn keep_all(
    options: &cli::Robustness,
    part: &Part,
    subjects: &[Subject],
    found: &Measured,
) -> Result<()> {
    let Some(file) = &options.predictions else {
        return Ok(());
    };
    let models = subjects.iter().zip(&found.predictions);
    let of_model = |(subject, predictions): (&Subject, _)| OfModel {
        model: subject.path.display().to_string(),
        predictions,
    };
    let document = Documents {
        schema: SCHEMA,
        data: part.path().display().to_string(),
        models: models.map(of_model).collect(),
    };
    write_whole(file, json(&document)?.as_bytes(), false)
}

/// Writes the predicted classes where they are asked for.
pub(super) fn keep(
    options: &cli::Robustness,
    (model, part): (&Path, &Part),
    predictions: &Predictions,
) -> Result<()> {
    let Some(file) = &options.predictions else {
        return Ok(());
    };
    let document = Document {
        schema: SCHEMA,
        model: model.display().to_string(),
        data: part.path().display().to_string(),
        predictions,
    };
    write_whole(file, json(&document)?.as_bytes(), false)
}
