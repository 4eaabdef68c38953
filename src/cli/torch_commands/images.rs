//! From the data options to images: parts, transform, loaders, and the input shape they give.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;

use super::classes::Classes;
use super::memory_fit::{check_count, check_data};
use super::unusable::{Wanted, examine};
use super::{analyse, blame, note_front};
use crate::archive::Archive;
use crate::blocks::Search;
use crate::blocks::analysis::{Analysis, Request};
use crate::blocks::representation::{NoRepresentation, Representation};
use crate::blocks::samples;
use crate::cli::{self, Data, Training};
use crate::data::{
    self, Augment, ClassNames, DataSet, Images, Labelling, Loader, Normalisation, Part, PixelRange,
    Samples, Transform, synthetic,
};
use crate::program::interface::Interface;
use crate::prune::Splits;
use crate::report::progress::Progress;
use crate::run::settings::Settings;
use crate::run::torch::run_shapes::learned;
use crate::run::torch::{Execution, Model};
use crate::score::criteria;
use crate::train::finetune::Teaching;
use crate::train::repair::held_back;

/// Images where none were named: calibration is all they can serve for.
const SYNTHETIC_SAMPLES: usize = 1024;
/// Part of the training images that is set aside for measuring where there is no test part.
const HELD_OUT: f64 = 0.1;

/// A data set, opened and prepared as the options say.
pub(super) struct OpenedData {
    path: PathBuf,
    pub set: DataSet,
    pub classes: Classes,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    transform: Transform,
    batch_size: Option<NonZeroUsize>,
    seed: u64,
}

impl OpenedData {
    /// Opens the data set that `--data` names, for the network in this archive; `None` if it names none.
    pub fn open(options: &Data, archive: &Archive, progress: Progress) -> Result<Option<Self>> {
        let Some(path) = &options.data else {
            return Ok(None);
        };
        check_data(path)?;
        let set = data::open_labelled(path, &options.labelling()?)?;
        let transform = options.transform(archive, &set, progress)?;
        let mut warnings = set.notes.clone();
        warnings.extend(set.only_class.iter().map(|class| {
            format!(
                "{}: there is one class folder alone ({class}), so the images are taken as unlabelled",
                path.display()
            )
        }));
        warnings.iter().for_each(|warning| progress.warn(warning));
        let opened = OpenedData {
            classes: Classes::of(&set, options),
            path: path.clone(),
            warnings,
            set,
            transform,
            batch_size: batch_size(options)?,
            seed: options.seed,
        };
        // Options that do not fit the images are told of now, with the data set's name.
        for part in opened.set.parts() {
            opened
                .plain()
                .batches(part, 0)
                .with_context(|| path.display().to_string())?;
        }
        Ok(Some(opened))
    }

    pub fn require(
        options: &Data,
        archive: &Archive,
        progress: Progress,
        for_what: &str,
    ) -> Result<Self> {
        Self::open(options, archive, progress)?
            .with_context(|| format!("{for_what} needs images: name a data set with --data"))
    }

    /// In order, nothing changed at random.
    pub fn plain(&self) -> Loader {
        Loader::new(self.batch_size, self.transform.clone())
    }

    /// Shuffled and augmented.
    pub fn training(&self, augment: Augment) -> Loader {
        self.plain()
            .shuffled(self.seed)
            .augmented(augment, self.seed)
    }

    /// Training part and test part. Without a test part, or labels in it, a tenth of the labelled training images is set
    /// aside.
    pub fn split(&self, progress: Progress) -> Result<(Part, Option<Part>)> {
        let shown = self.path.display();
        let Some(mut train) = self.set.train.clone() else {
            bail!(
                "{shown}: there is no training part, and the test part is for measuring only; name a data set with both"
            );
        };
        if let (Some(class), 2..) = (train.only_label(), train.len()) {
            progress.warn(format_args!(
                "{shown}: all training images are of class {class}, which leaves nothing to learn: they are taken as \
                 unlabelled"
            ));
            train.forget_labels();
        }
        match &self.set.test {
            Some(test) if test.labels().is_some() || train.labels().is_none() => {
                Ok((train, Some(test.clone())))
            }
            test if train.labels().is_some() => {
                let missing = match test {
                    Some(_) => "no labels in its test part",
                    None => "no test part",
                };
                let (train, held_out) = train
                    .split_stratified(1. - HELD_OUT, self.seed)
                    .map_err(|_| too_few(&train, &self.path))?;
                progress.note(format_args!(
                    "note: {shown} has {missing}: {} of the images are set aside to measure on",
                    held_out.len()
                ));
                Ok((train, Some(held_out)))
            }
            _ => Ok((train, None)),
        }
    }

    /// Training images, and those that are validated on if there are to be any: the data's own validation part, or else a
    /// part of the training images, as large as was asked for or as is usual.
    pub fn set_aside(
        &self,
        train: Part,
        training: &Training,
        usual: Option<f64>,
        progress: Progress,
    ) -> Result<(Part, Option<Part>)> {
        let asked = training.val_split;
        let labelled = |part: &&Part| part.labels().is_some();
        if train.labels().is_none() {
            return Ok((train, None));
        }
        if let Some(validation) = self.set.validation.as_ref().filter(labelled) {
            let instead = match asked {
                Some(_) => ", so --val-split sets nothing aside",
                None => "",
            };
            progress.note(format_args!(
                "note: the data has a validation part: its {} images are validated on{instead}",
                validation.len()
            ));
            return Ok((train, Some(validation.clone())));
        }
        let Some(part) = asked.or(usual).filter(|part| *part > 0.) else {
            if training.patience.is_some() {
                bail!(
                    "--patience goes by images that are validated on: set some aside with --val-split, or name a data set with \
                     a validation part beside its test part"
                );
            }
            return Ok((train, None));
        };
        let (train, validation) = match train.split_stratified(1. - part, self.seed) {
            // Of so few images all are needed.
            Err(_) if asked.is_none() => return Ok((train, None)),
            split => split?,
        };
        if asked.is_none() {
            progress.note(format_args!(
                "note: {} training images are set aside to decide by (--val-split)",
                validation.len()
            ));
        }
        Ok((train, Some(validation)))
    }

    /// The network analysed for these images of the data set.
    pub fn analyse(
        &self,
        model: &cli::Model,
        archive: &Archive,
        images: &Images,
        search: Search,
    ) -> Result<Analysis> {
        let request = Request {
            input_shape: Some(images.shape()?.map(|n| n as i64).to_vec()),
            output: model.output_key.clone(),
            search,
            ..Request::default()
        };
        Analysis::of(archive, &request)
            .with_context(|| format!("{} on {}", model.model.display(), self.path.display()))
    }
}

fn too_few(train: &Part, path: &Path) -> anyhow::Error {
    anyhow!(
        "{}: there is no test part, and {} training images are too few to set some of each class aside; name a data \
         set with both parts",
        path.display(),
        train.len()
    )
}

/// Images in a batch for training and measuring, if somebody named it.
fn batch_size(options: &Data) -> Result<Option<NonZeroUsize>> {
    let named = options.batch_size.map(|size| size as usize);
    let size = |size| NonZeroUsize::new(size).context("--batch-size is 0");
    named.map(size).transpose()
}

/// What scoring and pruning begin with.
pub(super) struct Prepared {
    /// Analysed for the shape of the images.
    pub model: Model,
    pub splits: Splits,
    /// The images are noise, because none were named.
    pub synthetic: bool,
    pub classes: Classes,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// Files that were left out.
    pub skipped: usize,
    /// Places of each image that are compared; `None` where images are.
    pub places: Option<usize>,
}

/// Part of the training images that is set aside to decide by where nobody says otherwise.
pub(super) const VALIDATED: f64 = 0.1;

/// What a run does with images beyond scoring.
#[derive(Clone, Copy)]
pub(super) struct BeyondScoring<'a> {
    pub training: &'a Training,
    pub teaching: Teaching,
    /// Decides by accuracy, be it between the weights of a training. Some of the training images are always set aside for
    /// that: the test images are only ever measured on.
    pub decides: bool,
}

/// How a network and its images are to be prepared.
pub(super) struct Preparation<'a> {
    pub model: &'a cli::Model,
    pub data: &'a Data,
    pub search: Search,
    pub representation: samples::Samples,
    /// `None`: the images serve for calibration alone.
    pub beyond: Option<BeyondScoring<'a>>,
    pub execution: Execution,
    pub progress: Progress,
}

impl Preparation<'_> {
    /// The network, and images for calibration, and for training and measuring if they have a use beyond it.
    pub fn of(&self, archive: Archive) -> Result<Prepared> {
        let mut prepared = match OpenedData::open(self.data, &archive, self.progress)? {
            Some(opened) => self.with_data(archive, opened)?,
            None => self.with_noise(archive)?,
        };
        let analysis = prepared.model.analysis_mut();
        note_front(&self.model.model, analysis, self.progress);
        analysis.request.samples = self.representation;
        // What else there may be to say of it is said where it is needed.
        let compared = Representation::of(analysis);
        if let Err(error @ NoRepresentation::NoPlaces) = compared {
            return Err(blame(&self.model.model)(error.into()));
        }
        prepared.places = compared.ok().map(|c| c.places).filter(|places| *places > 1);
        if let Some(places) = prepared.places {
            self.progress.note(format_args!(
                "note: {}: {places} places of each image are compared (--representation)",
                self.model.model.display()
            ));
        }
        Ok(prepared)
    }

    fn with_noise(&self, archive: Archive) -> Result<Prepared> {
        let analysis = analyse(self.model, &archive, self.data.input()?, self.search)?;
        let analysis = learned(&archive, analysis);
        Ok(Prepared {
            splits: Splits {
                calibration: synthetic_images(self.data, &analysis)?,
                train: None,
                validation: None,
                test: None,
            },
            model: Model::new(archive, analysis, self.execution),
            synthetic: true,
            classes: Classes::default(),
            warnings: Vec::new(),
            skipped: 0,
            places: None,
        })
    }

    fn with_data(&self, archive: Archive, opened: OpenedData) -> Result<Prepared> {
        let (train, test) = opened.split(self.progress)?;
        let plain = opened.plain();
        let images = Images::new(train, plain.clone());
        let analysis = opened.analyse(self.model, &archive, &images, self.search)?;
        let analysis = learned(&archive, analysis);
        let (images, test) = self.labelled_for(&analysis, images, test)?;
        let (mut train, validation) = match self.beyond {
            Some(beyond) => {
                let usual = beyond.decides.then_some(VALIDATED);
                opened.set_aside(images.part, beyond.training, usual, self.progress)?
            }
            None => (images.part, None),
        };
        if self.beyond.is_some_and(|beyond| !beyond.teaching.labels) {
            train.forget_labels();
        }
        let is_taught = self.beyond.is_some_and(|b| b.teaching.has_teacher());
        let learns = train.labels().is_some() || is_taught;
        let training = match self.beyond {
            Some(beyond) => opened.training(beyond.training.augment.0),
            None => plain.clone(),
        };
        let seen_plainly = |part| Images::new(part, plain.clone());
        let calibration = seen_plainly(train.draw(self.data.samples, self.data.seed));
        let keeps_best = self.beyond.is_some_and(|b| b.training.keeps_best());
        if learns && keeps_best && validation.is_none() {
            // These decide between weights, so nothing is learned from them.
            let [_, held] = held_back(&calibration);
            let others = train.apart_from(&held.part);
            train = if others.is_empty() { train } else { others };
        }
        let mut splits = Splits {
            calibration,
            train: learns.then(|| Images::new(train, training)),
            validation: validation.map(seen_plainly),
            test: test.filter(|t| t.labels().is_some()).map(seen_plainly),
        };
        let mut wanted = vec![Wanted::draw(&mut splits.calibration.part)];
        if self.beyond.is_some() {
            let whole = [&mut splits.train, &mut splits.validation, &mut splits.test];
            let whole = whole.into_iter().flatten();
            wanted.extend(whole.map(|images| Wanted::whole(&mut images.part)));
        }
        let skipped = examine(self.data, &plain, wanted, self.progress)?;
        let mut warnings = opened.warnings;
        warnings.extend(skipped.warning);
        Ok(Prepared {
            model: Model::new(archive, analysis, self.execution),
            splits,
            synthetic: false,
            classes: opened.classes,
            warnings,
            skipped: skipped.files,
            places: None,
        })
    }

    /// The training images and the test part without labels, if those mean nothing to the network.
    fn labelled_for(
        &self,
        analysis: &Analysis,
        mut images: Images,
        mut test: Option<Part>,
    ) -> Result<(Images, Option<Part>)> {
        let Some(Err(error)) = analysis
            .interface
            .as_ref()
            .ok()
            .map(Interface::check_scores)
        else {
            return Ok((images, test));
        };
        let asks = self.beyond.and_then(|beyond| beyond.training.teach);
        if asks.is_some_and(|teach| teach.labels || teach.scores) {
            return Err(blame(&self.model.model)(error.into()));
        }
        if self.beyond.is_some() && images.is_labelled() {
            self.progress.note(format_args!(
                "note: {}: {error}; labels are left alone",
                self.model.model.display()
            ));
        }
        images.part.forget_labels();
        if let Some(test) = &mut test {
            test.forget_labels();
        }
        Ok((images, test))
    }
}

fn synthetic_images(options: &Data, analysis: &Analysis) -> Result<Images> {
    let [channels, height, width] = analysis.image_shape() else {
        bail!("an input that is no image")
    };
    let shape = [channels, height, width].map(|n| usize::try_from(*n).unwrap_or(0));
    let count = match options.samples {
        Samples::N(n) => n,
        Samples::All => NonZeroUsize::new(SYNTHETIC_SAMPLES).context("no samples")?,
    };
    check_count(count.get())?;
    let range = match analysis.image_input().bytes {
        true => PixelRange::Byte,
        false => PixelRange::Unit,
    };
    let transform = Transform {
        normalisation: Normalisation::none(range),
        ..Transform::default()
    };
    Ok(Images {
        part: synthetic(shape, count, options.seed)?,
        loader: Loader::new(batch_size(options)?, transform),
    })
}

impl Data {
    /// What the labels mean.
    fn labelling(&self) -> Result<Labelling> {
        let read = |file: &PathBuf| ClassNames::read(file);
        Ok(Labelling {
            classes: self.classes.as_ref().map(read).transpose()?,
            first: self.first_class,
        })
    }

    /// All that decides what the labels are, as far as it was named.
    pub(super) fn label_settings(&self) -> Result<Settings> {
        let labelling = self.labelling()?;
        let names = labelling.classes.map(|names| json!(names.fingerprint()));
        let first = (labelling.first > 0).then(|| json!(labelling.first));
        let settings = [("classes", names), ("first-class", first)];
        let named = settings.into_iter().filter_map(|(k, v)| Some((k, v?)));
        Ok(named.collect())
    }
}

/// Images to measure networks on.
pub(super) struct Measuring {
    pub part: Part,
    /// What they are of the data set: `test`, `train` or, where no data was named, `noise`.
    pub name: &'static str,
    pub loader: Loader,
    /// Images in a batch that is timed.
    pub timed: NonZeroUsize,
    pub classes: Classes,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// Files that were left out.
    pub skipped: usize,
    /// Channels, height and width as the network is given them.
    pub shape: Vec<i64>,
}

impl Measuring {
    /// The test part of the data, or all of it where it has none; noise of the size the network takes where no data is
    /// named.
    pub fn open(
        model: &cli::Model,
        archive: &Archive,
        data: &Data,
        progress: Progress,
    ) -> Result<Self> {
        let Some(opened) = OpenedData::open(data, archive, progress)? else {
            let analysis = analyse(model, archive, data.input()?, Search::default())?;
            let images = synthetic_images(data, &analysis)?;
            let shape = crate::blocks::show_shape(analysis.image_shape());
            progress.warn(format_args!(
                "NO DATA. Speed is measured on random noise, {shape}, and accuracy not at all. Name a data set with --data."
            ));
            return Ok(Measuring {
                part: images.part,
                name: "noise",
                timed: images.loader.batch_size(),
                loader: images.loader,
                classes: Classes::default(),
                warnings: Vec::new(),
                skipped: 0,
                shape: analysis.image_shape().to_vec(),
            });
        };
        let (part, name) = match (&opened.set.test, &opened.set.train) {
            (Some(test), _) => (test, "test"),
            (None, Some(train)) => (train, "train"),
            (None, None) => bail!("the data set has neither a test nor a training part"),
        };
        if name == "train" {
            progress.note("note: the data set has no test part: measuring on all its images");
        }
        if part.labels().is_none() {
            progress.warn("the images have no labels: no accuracy is measured");
        }
        let loader = opened.plain();
        let mut part = part.clone();
        let skipped = examine(data, &loader, vec![Wanted::whole(&mut part)], progress)?;
        let mut warnings = opened.warnings;
        warnings.extend(skipped.warning);
        Ok(Measuring {
            shape: loader.output_shape(&part)?.map(|n| n as i64).to_vec(),
            part,
            name,
            timed: loader.batch_size(),
            loader,
            classes: opened.classes,
            warnings,
            skipped: skipped.files,
        })
    }

    /// The images with what makes batches of them.
    pub fn images(&self) -> Images {
        Images::new(self.part.clone(), self.loader.clone())
    }

    /// How a model that is to be measured on them is to be analysed.
    pub fn request(&self, model: &cli::Model) -> Request {
        Request {
            input_shape: Some(self.shape.clone()),
            output: model.output_key.clone(),
            ..Request::default()
        }
    }
}

/// What a run without data has to say.
pub(super) fn warn_synthetic(
    analysis: &Analysis,
    images: &Images,
    criterion: criteria::Name,
    progress: Progress,
) {
    if !criterion.looks_at_images() {
        progress.warn(
            "NO DATA. Nothing is fine-tuned, and no accuracy is measured. Name a data set with --data.",
        );
        return;
    }
    progress.warn(format_args!(
        "NO DATA. Scoring on {}: the ranking says little about real images,\n\
         \x20        nothing is fine-tuned, and no accuracy is measured. Name a data set with --data.",
        noise(analysis, images)
    ));
}

/// The images that stand in for data, and their shape: `1024 images of random noise, 3×32×32`.
pub(super) fn noise(analysis: &Analysis, images: &Images) -> String {
    let shape = crate::blocks::show_shape(analysis.image_shape());
    let guessed = if analysis.shape_guessed {
        " (a guessed size; --input-size names it)"
    } else {
        ""
    };
    let count = images.len();
    format!("{count} images of random noise, {shape}{guessed}")
}
