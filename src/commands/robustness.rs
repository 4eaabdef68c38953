//! What `eval` measures beyond plain accuracy: from options to a plan, and to the file of predictions.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::images::Opened;
use crate::cli;
use crate::data::{self, Loader, Part};
use crate::export::write_whole;
use crate::progress::Progress;
use crate::report::{SCHEMA, json};
use crate::robustness::{self, Foreign, Plan, Predictions, Robustness, same_classes};
use crate::torch::Module;

/// The predictions as a document.
#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    model: String,
    data: String,
    #[serde(flatten)]
    predictions: &'a Predictions,
}

/// Everything that can be wrong with the options, before the network runs; `None` if nothing is asked for. `part` are
/// the images that accuracy is measured on.
pub(super) fn plan(
    options: &cli::Robustness,
    opened: &Opened,
    part: &Part,
    seed: u64,
) -> Result<Option<Plan>> {
    if !options.is_asked() {
        return Ok(None);
    }
    if let Some(file) = &options.predictions {
        check_free(file)?;
    }
    let ood = match &options.ood {
        None => None,
        Some(path) => {
            let shape = opened.plain().output_shape(part)?;
            let foreign = open_foreign(path, &opened.set.classes, options, seed)?;
            let loader = opened.plain().with_shape(shape);
            loader
                .output_shape(&foreign.part)
                .with_context(|| path.display().to_string())?;
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

/// Refuses a file that exists or has no folder, before the network runs.
fn check_free(file: &Path) -> Result<()> {
    let shown = file.display();
    if file.exists() {
        bail!("{shown}: exists already; name another file with --predictions, or remove it first");
    }
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => bail!(
            "{shown}: there is no folder {}; make it first or name another with --predictions",
            folder.display()
        ),
        _ => Ok(()),
    }
}

fn open_foreign(
    path: &Path,
    known: &[String],
    options: &cli::Robustness,
    seed: u64,
) -> Result<Foreign> {
    let shown = path.display();
    if !path.exists() {
        bail!("{shown}: no such file or folder; --ood names a data set of images of another kind");
    }
    let set = data::open(path)?;
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

/// Measures what the plan says on images drawn from `part`, and writes the predictions if they are asked for.
pub(super) fn measure(
    options: &cli::Robustness,
    plan: &Plan,
    model: (&Path, &Module),
    (part, loader): (&Part, &Loader),
    progress: Progress,
) -> Result<Robustness> {
    let drawn = part.draw(options.robust_samples.0, plan.seed);
    let (robustness, predictions) = robustness::measure(model.1, &drawn, loader, plan, progress)?;
    if let Some(file) = &options.predictions {
        let document = Document {
            schema: SCHEMA,
            model: model.0.display().to_string(),
            data: part.path().display().to_string(),
            predictions: &predictions,
        };
        write_whole(file, json(&document)?.as_bytes(), false)?;
    }
    Ok(robustness)
}
