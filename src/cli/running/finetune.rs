//! `ckaprune finetune`: training alone.

use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use super::classes::{Knows, LEARNS};
use super::fitting::Fitting;
use super::images::{Opened, analyse_for};
use super::unusable::{Wanted, examine};
use super::{
    Outcome, blame, free_output, in_evaluation_mode, interface, note_caveats, note_scale,
    open_device, open_model, save, show,
};
use crate::blocks::Search;
use crate::blocks::analysis::Analysis;
use crate::cli::Finetune;
use crate::program::interface::Scale;
use crate::prune::run_dir::{resumption, stopped};
use crate::report::{SCHEMA, is_zero};
use crate::run::export::{advise, check_file};
use crate::run::interrupt::{self, Interrupt, Stopped};
use crate::run::settings::{Settings, fingerprint};
use crate::run::torch::Module;
use crate::train::eval::{Metrics, evaluate};
use crate::train::finetune::{Checkpoint, Lessons, Session, Teacher, finetune};

#[derive(Serialize)]
struct FinetuneReport {
    schema: u32,
    command: &'static str,
    model: String,
    output: String,
    epochs: usize,
    /// Mean loss of each epoch.
    train_losses: Vec<f64>,
    /// Accuracy on the validation images after each epoch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    validation: Vec<f64>,
    /// The epoch, counted from 1, whose weights were written.
    kept_epoch: usize,
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
    let progress = options.talk.progress();
    let path = &options.model.model;
    let archive = in_evaluation_mode(path, open_model(path)?, progress)?;
    let output = free_output(&options.output, path, "finetuned")?;
    check_checkpoint(options, &output)?;
    let device = open_device(&options.machine)?;
    let opened = Opened::require(&options.data, &archive, progress, "finetune")?;
    let data = options.data.data.as_deref().unwrap_or(path);
    let (train, test) = opened.split(data, progress)?;
    let test = test.filter(|t| t.labels().is_some());
    let plain = opened.plain();
    // Whether the network takes these images is known before it runs.
    let model = &options.model;
    let analysis = analyse_for(model, &archive, (data, &train), &plain, Search::default())?;
    let interface = interface(path, &analysis)?;
    interface
        .check_trainable()
        .map_err(|e| blame(path)(e.into()))?;
    note_scale(path, interface.scale, progress);
    note_caveats(&analysis, progress);
    let mut warnings = opened.warnings.clone();
    let (mut train, mut validation) =
        opened.set_aside(train, (&options.training, None), progress)?;
    let mut test = test;
    let wanted = [Some(&mut train), validation.as_mut(), test.as_mut()];
    let wanted = wanted.into_iter().flatten().map(Wanted::whole).collect();
    let skipped = examine(&options.data, &plain, wanted, progress)?;
    warnings.extend(skipped.warning);
    if train.labels().is_some() {
        let doubt = opened.classes.doubt(Knows {
            path,
            archive: &archive,
            analysis: &analysis,
            images: (&train, &plain),
            device,
        })?;
        opened.classes.check(doubt.as_ref(), LEARNS)?;
        warnings.extend(doubt.inspect(|doubt| progress.warn(doubt)));
    }
    let batch = plain.batch_size().get().min(train.len());
    Fitting::new(&analysis, options.training.work(), device)
        .check(batch, progress)
        .map_err(blame(path))?;
    let measure = |archive| -> Result<Option<Metrics>> {
        let Some(test) = &test else { return Ok(None) };
        evaluate(
            &Module::load(archive, device, interface)?,
            test,
            &plain,
            progress,
            "measuring",
        )
        .map(Some)
    };
    let before = measure(&archive).map_err(blame(path))?;
    let loader = opened.training(options.training.augment.0);
    let mut taught_by = None;
    let mut teacher = match &options.teacher {
        None => None,
        Some(teacher) => {
            let archive = open_model(teacher)?;
            taught_by = Some(fingerprint(&archive)?);
            // Its scores may be on another scale than its student's.
            let own = Analysis::of(&archive, &analysis.request).ok();
            let own = own.and_then(|a| a.interface.ok());
            let interface = own.as_ref().unwrap_or(interface);
            let module = Module::load(&archive, device, interface).map_err(blame(teacher))?;
            Some(Teacher::new(
                module,
                options.training.distillation(),
                &loader,
            ))
        }
    };
    let checkpoint = match &options.checkpoint {
        None => None,
        Some(file) => {
            let networks = [Some(fingerprint(&archive)?), taught_by];
            let settings = settings(options, networks, &analysis.input_shape)?;
            Some(Checkpoint::new(file.clone(), settings))
        }
    };
    if let Some(checkpoint) = &checkpoint {
        match options.resume {
            true => checkpoint.require()?,
            // Only `--force` comes here with a file of an earlier training.
            false => checkpoint.remove()?,
        }
    }
    // Without a place for it there is nothing to keep.
    let heeded = checkpoint.as_ref().map(|_| Interrupt::heed());
    let trained = finetune(
        &archive,
        interface,
        Lessons {
            train: &train,
            loader: &loader,
            validation: validation.as_ref().map(|v| (v, &plain)),
            teacher: teacher.as_mut(),
        },
        &options.training.parameters(options.data.seed),
        Session {
            checkpoint: checkpoint.as_ref(),
            stop: &interrupt::is_asked,
            ..Session::at(0)
        },
        device,
        progress,
    );
    let trained = match trained {
        Err(error) if error.is::<Stopped>() => {
            progress.warn(how_to_go_on(options));
            return Ok(Outcome::Interrupted);
        }
        ended => ended
            .map_err(blame(path))
            .map_err(|error| to_go_on(options, error))?,
    };
    save(&trained.archive, &output, &options.output).map_err(|error| to_go_on(options, error))?;
    if let Some(checkpoint) = &checkpoint {
        checkpoint.remove()?;
    }
    drop(heeded);
    let after = measure(&open_model(&output)?)?;
    let report = FinetuneReport {
        schema: SCHEMA,
        command: "finetune",
        model: path.display().to_string(),
        output: output.display().to_string(),
        epochs: options.training.epochs,
        train_losses: trained.losses,
        validation: trained.validation,
        kept_epoch: trained.kept,
        scores: interface.scale,
        train_images_per_second: trained.images_per_second,
        before,
        after,
        warnings,
        skipped: skipped.files,
    };
    show(options.talk, &report, || report.text())?;
    Ok(Outcome::Done)
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
    let data = &options.data;
    let settings = [
        ("model", json!(model)),
        ("teacher", json!(teacher)),
        ("input-size", json!(input_shape)),
        (
            "output-key",
            json!(options.model.output_key.as_ref().map(ToString::to_string)),
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
        for (i, loss) in self.train_losses.iter().enumerate() {
            text += &format!("  epoch {:<4}  training loss {loss:.4}", i + 1);
            if let Some(accuracy) = self.validation.get(i) {
                let kept = if i + 1 == self.kept_epoch {
                    ", kept"
                } else {
                    ""
                };
                text += &format!("  validation accuracy {:.2} %{kept}", 100. * accuracy);
            }
            text += "\n";
        }
        if let Some(speed) = self.train_images_per_second {
            text += &format!("  training    {speed:.0} images/s\n");
        }
        if let (Some(before), Some(after)) = (&self.before, &self.after) {
            text += &format!(
                "  accuracy    {:.2} % → {:.2} %\n",
                100. * before.accuracy,
                100. * after.accuracy
            );
            text += &format!("  loss        {:.4} → {:.4}\n", before.loss, after.loss);
        }
        text
    }
}
