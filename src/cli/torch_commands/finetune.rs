//! `ckaprune finetune`: training alone.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde_json::json;

use super::classes::{Knows, LEARNS};
use super::images::{OpenedData, VALIDATED};
use super::memory_fit::MemoryFit;
use super::unusable::{Wanted, examine};
use super::{
    Outcome, blame, execution, free_output, in_evaluation_mode, interface, note_caveats,
    note_front, note_scale, open_archive, open_model, save, show,
};
use crate::archive::Archive;
use crate::blocks::Search;
use crate::blocks::analysis::Analysis;
use crate::cli::Finetune;
use crate::cli::options::Teach;
use crate::data::{Images, Part};
use crate::program::interface::Scale;
use crate::prune::run_dir::{resumption, stopped};
use crate::report::{SCHEMA, in_percent, is_zero};
use crate::run::export::{advise, check_file};
use crate::run::interrupt::{self, Interrupt, Stopped};
use crate::run::settings::{Settings, fingerprint};
use crate::run::torch::Model;
use crate::train::agreement::Answers;
use crate::train::eval::{Metrics, evaluate};
use crate::train::finetune::{
    Checkpoint, Judge, Lessons, Session, Teacher, Teaching, Tuning, finetune,
};

#[derive(Serialize)]
struct FinetuneReport {
    schema: u32,
    command: &'static str,
    model: String,
    output: String,
    epochs: usize,
    #[serde(flatten)]
    tuning: Tuning,
    /// What the network gives in place of scores before softmax; absent where it gives those.
    #[serde(skip_serializing_if = "Scale::is_usual")]
    scores: Scale,
    /// In the epochs alone, without validation; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_images_per_second: Option<f64>,
    before: Option<Metrics>,
    after: Option<Metrics>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Image files that could not be used and were left out.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: usize,
}

pub(super) fn run(options: &Finetune) -> Result<Outcome> {
    let progress = options.messages.progress();
    let path = &options.model.model;
    let archive = in_evaluation_mode(path, open_model(&options.model)?, progress)?;
    let output = free_output(&options.output, path, &archive, "finetuned")?;
    check_checkpoint(options, &output)?;
    if let (Some(teach), None) = (options.training.teach, &options.teacher)
        && (teach.features || teach.scores)
    {
        bail!("--teach {teach} needs a network to learn from; name it with --teacher");
    }
    let Prepared {
        model,
        train,
        held,
        test,
        warnings,
        skipped,
    } = prepared(options, archive)?;
    let scores = model.interface()?.scale;
    let measure = |model: &Model| -> Result<Option<Metrics>> {
        let Some(test) = &test else { return Ok(None) };
        evaluate(model.module()?, test, progress, "measuring").map(Some)
    };
    let before = measure(&model).map_err(blame(path))?;
    let taught_by = match &options.teacher {
        Some(file) => Some(TaughtBy::open(file, &model)?),
        None => None,
    };
    let teaching = teaching(options);
    let mut teacher = match &taught_by {
        Some(by) => Teacher::new(&by.model, teaching, &train.loader)?,
        None => None,
    };
    let answers = match (&taught_by, &held) {
        (Some(by), Some(images)) if !images.is_labelled() => {
            Some(Answers::of(by.model.module()?, images.clone())?)
        }
        _ => None,
    };
    let checkpoint = checkpoint(options, &model, taught_by.as_ref())?;
    // Without a place for it there is nothing to keep.
    let heeded = checkpoint.as_ref().map(|_| Interrupt::heed());
    let lessons = Lessons {
        train: &train,
        judge: match &answers {
            Some(answers) => Some(Judge::Answers(answers)),
            None => held.as_ref().map(Judge::Labelled),
        },
        teacher: teacher.as_mut(),
    };
    let session = Session {
        checkpoint: checkpoint.as_ref(),
        stop: &interrupt::is_asked,
        ..Session::at(0, progress)
    };
    let training = options.training.parameters(options.data.seed);
    let trained = match finetune(model, lessons, &training, session) {
        Err(error) if error.is::<Stopped>() => {
            progress.warn(how_to_go_on(options));
            return Ok(Outcome::Interrupted);
        }
        ended => ended
            .map_err(blame(path))
            .map_err(|error| to_go_on(options, error))?,
    };
    save(trained.model.archive(), &output, &options.output)
        .map_err(|error| to_go_on(options, error))?;
    if let Some(checkpoint) = &checkpoint {
        checkpoint.remove()?;
    }
    drop(heeded);
    let written = open_archive(&output, "--output")?.like(trained.model.archive())?;
    let written = trained.model.with_archive(written);
    let after = measure(&written)?;
    let report = FinetuneReport {
        schema: SCHEMA,
        command: "finetune",
        model: path.display().to_string(),
        output: output.display().to_string(),
        epochs: options.training.epochs,
        tuning: trained.tuning,
        scores,
        train_images_per_second: trained.images_per_second,
        before,
        after,
        warnings,
        skipped,
    };
    show(options.messages, &report, || report.text())?;
    Ok(Outcome::Done)
}

/// What a training begins with.
struct Prepared {
    model: Model,
    train: Images,
    /// What decides between weights: labelled, or images for a teacher to answer.
    held: Option<Images>,
    /// Only where they have labels.
    test: Option<Images>,
    warnings: Vec<String>,
    /// Files that were left out.
    skipped: usize,
}

/// Network and images; everything that can be wrong with them is known before the network runs.
fn prepared(options: &Finetune, archive: Archive) -> Result<Prepared> {
    let progress = options.messages.progress();
    let path = &options.model.model;
    let execution = execution(&options.machine)?;
    let opened = OpenedData::require(&options.data, &archive, progress, "finetune")?;
    let (train, test) = opened.split(progress)?;
    let plain = opened.plain();
    let images = Images::new(train, plain.clone());
    let analysis = opened.analyse(&options.model, &archive, &images, Search::default())?;
    let interface = interface(path, &analysis)?;
    interface
        .check_trainable()
        .map_err(|e| blame(path)(e.into()))?;
    let scores = interface.check_scores();
    let gives_scores = scores.is_ok();
    let teaching = teaching(options);
    if teaching.labels || teaching.scores.is_some() {
        scores.map_err(|error| {
            blame(path)(anyhow!(
                "{error}; with --teacher, --teach features learns without class scores"
            ))
        })?;
    }
    note_scale(path, interface.scale, progress);
    note_front(path, &analysis, progress);
    note_caveats(&analysis, progress);
    let model = Model::new(archive, analysis, execution);
    let mut warnings = opened.warnings.clone();
    let (train, held) = set_aside(options, &opened, images.part)?;
    let seen_plainly = |part| Images::new(part, plain.clone());
    let mut train = seen_plainly(train);
    let mut held = held.map(seen_plainly);
    let mut test = test
        .filter(|t| gives_scores && t.labels().is_some())
        .map(seen_plainly);
    let wanted = [Some(&mut train), held.as_mut(), test.as_mut()];
    let wanted = wanted.into_iter().flatten();
    let wanted = wanted
        .map(|images| Wanted::whole(&mut images.part))
        .collect();
    let skipped = examine(&options.data, &plain, wanted, progress)?;
    warnings.extend(skipped.warning);
    if train.is_labelled() {
        let doubt = opened.classes.doubt(Knows {
            path,
            model: &model,
            images: &train,
        })?;
        opened.classes.check(doubt.as_ref(), LEARNS)?;
        warnings.extend(doubt.inspect(|doubt| progress.warn(doubt)));
    }
    let batch = plain.batch_size().get().min(train.len());
    MemoryFit::new(model.analysis(), options.training.work(), execution.device)
        .check(batch, progress)
        .map_err(blame(path))?;
    train.loader = opened.training(options.training.augment.0);
    Ok(Prepared {
        model,
        train,
        held,
        test,
        warnings,
        skipped: skipped.files,
    })
}

fn teaching(options: &Finetune) -> Teaching {
    options.training.teaching(Teach {
        labels: true,
        scores: options.teacher.is_some(),
        features: false,
    })
}

/// The images to learn from, and those that decide: with labels where labels are learned, else without.
fn set_aside(
    options: &Finetune,
    opened: &OpenedData,
    mut train: Part,
) -> Result<(Part, Option<Part>)> {
    let training = &options.training;
    if !teaching(options).labels {
        train.forget_labels();
    }
    if train.labels().is_some() {
        return opened.set_aside(
            train,
            training,
            Some(VALIDATED),
            options.messages.progress(),
        );
    }
    let part = training.val_split.unwrap_or(VALIDATED);
    // Of few images all are learned from.
    match train.split_stratified(1. - part, options.data.seed) {
        Ok((train, held)) if part > 0. && options.teacher.is_some() => Ok((train, Some(held))),
        _ => Ok((train, None)),
    }
}

/// The network to learn from.
struct TaughtBy {
    fingerprint: String,
    model: Model,
}

impl TaughtBy {
    fn open(file: &Path, student: &Model) -> Result<Self> {
        let archive = open_archive(file, "--teacher")?.like(student.archive());
        let archive = archive.with_context(|| file.display().to_string())?;
        let fingerprint = fingerprint(&archive)?;
        let request = &student.analysis().request;
        let mut analysis = Analysis::of(&archive, request).map_err(|e| blame(file)(e.into()))?;
        if analysis.interface.is_err() {
            analysis.interface = Ok(student.interface()?.clone());
        }
        Ok(TaughtBy {
            fingerprint,
            model: Model::new(archive, analysis, student.execution()),
        })
    }
}

/// Where the training is kept half way, if it is to be.
fn checkpoint(
    options: &Finetune,
    model: &Model,
    taught_by: Option<&TaughtBy>,
) -> Result<Option<Checkpoint>> {
    let Some(file) = &options.checkpoint else {
        return Ok(None);
    };
    let teacher = taught_by.map(|by| by.fingerprint.clone());
    let networks = [Some(fingerprint(model.archive())?), teacher];
    let settings = settings(options, networks, model.analysis().image_shape())?;
    let checkpoint = Checkpoint::new(file.clone(), settings);
    if options.resume {
        checkpoint.require()?;
    } else {
        // Only `--force` comes here with a file of an earlier training.
        checkpoint.remove()?;
    }
    Ok(Some(checkpoint))
}

/// Refuses a checkpoint that is there already, unless it is gone on from, or that cannot be written.
fn check_checkpoint(options: &Finetune, output: &Path) -> Result<()> {
    let Some(file) = &options.checkpoint else {
        return Ok(());
    };
    let shown = file.display();
    if file == output || options.output.export_weights.as_ref() == Some(file) {
        bail!("{shown}: --checkpoint names the file of a result as well");
    }
    if file.is_file() && !options.resume && !options.output.force {
        bail!(
            "{shown}: exists already; go on from it with --resume, name another file with --checkpoint, or replace it \
             with --force"
        );
    }
    check_file(file, true, "--checkpoint")
}

/// Says after an error of writing how to go on, if anything is kept.
fn to_go_on(options: &Finetune, error: anyhow::Error) -> anyhow::Error {
    match &options.checkpoint {
        Some(file) if file.is_file() => advise(error, || resumption(file, "--resume")),
        _ => error,
    }
}

/// What a stopped training leaves, and how it goes on.
fn how_to_go_on(options: &Finetune) -> String {
    match &options.checkpoint {
        Some(file) if !file.is_file() => "stopped before there was anything to keep".into(),
        Some(file) => stopped(file, options.resume),
        None => "stopped; nothing is kept, because no --checkpoint was named".into(),
    }
}

/// All that decides what the weights become.
fn settings(
    options: &Finetune,
    [model, teacher]: [Option<String>; 2],
    input_shape: &[i64],
) -> Result<Settings> {
    let (data, network) = (&options.data, &options.model);
    let settings = [
        ("model", json!(model)),
        ("teacher", json!(teacher)),
        ("input-size", json!(input_shape)),
        ("inside", json!(network.inside)),
        ("argument", json!(network.focus().arguments)),
        (
            "output-key",
            json!(network.output_key.as_ref().map(ToString::to_string)),
        ),
        ("batch-size", json!(data.batch_size)),
        ("seed", json!(data.seed)),
    ];
    let settings: Settings = settings.into_iter().collect();
    Ok(settings
        .and(data.image_settings())
        .and(data.label_settings()?)
        .and(options.training.settings()))
}

impl FinetuneReport {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.output);
        let tuning = &self.tuning;
        let kept = |epoch: usize| match epoch == tuning.kept_epoch {
            true => ", kept",
            false => "",
        };
        if let Some(accuracy) = tuning.validation_before {
            let accuracy = in_percent(accuracy);
            text += &format!(
                "  {:<34}  validation accuracy {accuracy}{}\n",
                "before",
                kept(0)
            );
        }
        for (i, loss) in tuning.train_losses.iter().enumerate() {
            text += &format!("  epoch {:<4}  training loss {loss:.4}", i + 1);
            if let Some(accuracy) = tuning.validation.get(i) {
                let accuracy = in_percent(*accuracy);
                text += &format!("  validation accuracy {accuracy}{}", kept(i + 1));
            }
            text += "\n";
        }
        if let Some(speed) = self.train_images_per_second {
            text += &format!("  training    {speed:.0} images/s\n");
        }
        if let (Some(before), Some(after)) = (&self.before, &self.after) {
            text += &format!(
                "  accuracy    {} → {}\n",
                in_percent(before.accuracy),
                in_percent(after.accuracy)
            );
            text += &format!("  loss        {:.4} → {:.4}\n", before.loss, after.loss);
        }
        text
    }
}
