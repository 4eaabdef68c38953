//! From the options of robustness to a protocol of what is measured.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cli::torch_commands::images::Measuring;
use crate::cli::torch_commands::unusable::{Wanted, examine};
use crate::cli::{AttackName, Data, Robustness};
use crate::data;
use crate::report::progress::Progress;
use crate::run::export::check_file;
use crate::train::robustness::{Attack, Foreign, Protocol, Severity, same_classes};

/// What is measured beyond plain accuracy; `None` if nothing is asked for. All that can be wrong with the options is told
/// before the network runs. `images` are those that accuracy is measured on: files of the foreign ones that cannot be used
/// are counted with theirs.
///
/// # Errors
/// If the images have no labels, the file of predictions cannot be written, or the foreign images cannot be used.
pub(in crate::cli::torch_commands) fn protocol(
    options: &Robustness,
    images: &mut Measuring,
    data: &Data,
    progress: Progress,
) -> Result<Option<Protocol>> {
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
    let foreign = |path| foreign_images(path, options, images, data, progress);
    let ood = options.ood.as_deref().map(foreign).transpose()?;
    let corruptions = options.corruptions.as_ref();
    let severities = options.severities.as_ref();
    Ok(Some(Protocol {
        attacks: options.attacks(),
        corruptions: corruptions.map_or_else(Vec::new, |named| named.0.clone()),
        severities: severities.map_or_else(|| Severity::ALL.to_vec(), |named| named.0.clone()),
        ood,
        seed: data.seed,
    }))
}

impl Robustness {
    /// Whether anything is to be measured.
    fn is_asked(&self) -> bool {
        self.attacks.is_some()
            || self.corruptions.is_some()
            || self.ood.is_some()
            || self.predictions.is_some()
    }

    /// The attacks asked for, with their settings.
    fn attacks(&self) -> Vec<Attack> {
        let epsilon = self.epsilon.0;
        let steps = self.pgd_steps;
        let attack = |name: &AttackName| match name {
            AttackName::Fgsm => Attack::Fgsm { epsilon },
            AttackName::Pgd => Attack::Pgd {
                epsilon,
                steps,
                step_size: self
                    .pgd_step_size
                    .map_or_else(|| Attack::usual_step_size(epsilon, steps), |size| size.0),
            },
        };
        let names = self.attacks.as_ref().map_or(&[][..], |names| &names.0);
        names.iter().map(attack).collect()
    }
}

/// Refuses a file that exists or that cannot be written, before the network runs.
fn check_free(file: &Path) -> Result<()> {
    if file.is_file() {
        let shown = file.display();
        bail!("{shown}: exists already; name another file with --predictions, or remove it first");
    }
    check_file(file, false, "--predictions")
}

/// Opens the images of `--ood`, which must fit the network as the others do. Files that cannot be used are counted with
/// those of the others.
fn foreign_images(
    path: &Path,
    options: &Robustness,
    images: &mut Measuring,
    data: &Data,
    progress: Progress,
) -> Result<Foreign> {
    let shape = images.loader.output_shape(&images.part)?;
    let mut foreign = open_foreign(path, &images.classes.names, progress)?;
    foreign.part = foreign.part.draw(options.robust_samples, data.seed);
    let loader = images.loader.with_shape(shape);
    loader
        .output_shape(&foreign.part)
        .with_context(|| path.display().to_string())?;
    let wanted = vec![Wanted::draw(&mut foreign.part)];
    let skipped = examine(data, &loader, wanted, progress)?;
    images.skipped += skipped.files;
    images.warnings.extend(skipped.warning);
    Ok(foreign)
}

/// Opens a data set whose images are of another kind. `known` are the classes of the network.
fn open_foreign(path: &Path, known: &[String], progress: Progress) -> Result<Foreign> {
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
        part,
        name,
        labels_match: same_classes(known, &set.classes),
    })
}
