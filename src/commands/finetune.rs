//! `ckaprune finetune`: training alone.

use anyhow::Result;
use serde::Serialize;

use super::fitting::Fitting;
use super::images::{Opened, analyse_for, set_aside};
use super::{Outcome, blame, free_output, interface, open_device, open_model, save, show};
use crate::blocks::Search;
use crate::cli::Finetune;
use crate::eval::{Metrics, evaluate};
use crate::finetune::{Lessons, Teacher, finetune};
use crate::report::SCHEMA;
use crate::torch::Module;

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
    /// In the epochs alone, without validation; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_images_per_second: Option<f64>,
    before: Option<Metrics>,
    after: Option<Metrics>,
}

pub(super) fn run(options: &Finetune) -> Result<Outcome> {
    let progress = options.talk.progress();
    let path = &options.model.model;
    let archive = open_model(path)?;
    let output = free_output(&options.output, path, "finetuned")?;
    let device = open_device(&options.machine)?;
    let opened = Opened::require(&options.data, progress, "finetune")?;
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
    let (train, validation) = set_aside(train, options.training.val_split, options.data.seed)?;
    let mut teacher = match &options.teacher {
        None => None,
        Some(teacher) => {
            let archive = open_model(teacher)?;
            let module = Module::load(&archive, device, interface).map_err(blame(teacher))?;
            Some(Teacher::new(
                module,
                options.training.distillation(),
                &loader,
            ))
        }
    };
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
        0,
        device,
        progress,
    )
    .map_err(blame(path))?;
    save(&trained.archive, &output, &options.output)?;
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
        train_images_per_second: trained.images_per_second,
        before,
        after,
    };
    show(options.talk, &report, || report.text())?;
    Ok(Outcome::Done)
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
