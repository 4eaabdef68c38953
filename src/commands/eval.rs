//! `ckaprune eval`: accuracy, loss, speed.

use anyhow::{Context, Result};
use serde::Serialize;

use super::images::{Opened, analyse_for, batch_size};
use super::robustness;
use super::{Outcome, blame, interface, open_device, open_model, show};
use crate::blocks::Search;
use crate::cli::Eval;
use crate::eval::{Metrics, evaluate};
use crate::report::{SCHEMA, thousands};
use crate::robustness::Robustness;
use crate::torch::Module;

#[derive(Serialize)]
struct EvalReport {
    schema: u32,
    command: &'static str,
    model: String,
    params: i64,
    macs: i64,
    /// False if some code could not be followed, so that `macs` is a lower bound.
    macs_exact: bool,
    /// The part of the data set that was measured: `test` or `train`.
    part: &'static str,
    device: String,
    threads: i32,
    batch_size: usize,
    #[serde(flatten)]
    metrics: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    robustness: Option<Robustness>,
}

pub(super) fn run(options: &Eval) -> Result<Outcome> {
    let progress = options.talk.progress();
    let path = &options.model.model;
    let archive = open_model(path)?;
    let device = open_device(&options.machine)?;
    let opened = Opened::require(&options.data, progress, "eval")?;
    let (part, name) = match (&opened.set.test, &opened.set.train) {
        (Some(test), _) => (test, "test"),
        (None, Some(train)) => (train, "train"),
        (None, None) => anyhow::bail!("the data set has neither a test nor a training part"),
    };
    if name == "train" {
        progress.note("note: the data set has no test part: measuring on all its images");
    }
    let loader = opened.plain();
    let plan = robustness::plan(&options.robustness, &opened, part, options.data.seed)?;
    let analysis = analyse_for(
        &options.model,
        &archive,
        (part.path(), part),
        &loader,
        Search::default(),
    )?;
    let module = Module::load(&archive, device, interface(path, &analysis)?)
        .with_context(|| path.display().to_string())?;
    let metrics = evaluate(&module, part, &loader, progress, "measuring").map_err(blame(path))?;
    let robustness = plan
        .map(|plan| {
            let images = (part, &loader);
            robustness::measure(
                &options.robustness,
                &plan,
                (path, &module),
                images,
                progress,
            )
        })
        .transpose()
        .map_err(blame(path))?;
    let macs = analysis.macs();
    let report = EvalReport {
        schema: SCHEMA,
        command: "eval",
        model: path.display().to_string(),
        params: analysis.params(),
        macs: macs.count,
        macs_exact: macs.exact,
        part: name,
        device: format!("{device:?}").to_lowercase(),
        threads: tch::get_num_threads(),
        batch_size: batch_size(&options.data)?.get(),
        metrics,
        robustness,
    };
    show(options.talk, &report, || report.text())?;
    Ok(Outcome::Done)
}

impl EvalReport {
    fn text(&self) -> String {
        let Metrics {
            accuracy,
            loss,
            images,
            correct,
            images_per_second,
        } = self.metrics;
        let images = images as i64;
        let at_least = if self.macs_exact { "" } else { "at least " };
        let mut text = format!(
            "{}\n  accuracy    {:.2} % ({} of {} {} images)\n  loss        {loss:.4}\n  speed       {images_per_second:.0} images/s \
             ({}, {} threads, batches of {})\n  parameters  {}\n  MACs        {at_least}{}\n",
            self.model,
            100. * accuracy,
            thousands(correct),
            thousands(images),
            self.part,
            self.device,
            self.threads,
            self.batch_size,
            thousands(self.params),
            thousands(self.macs),
        );
        if let Some(robustness) = &self.robustness {
            text += "\n";
            text += &robustness.text();
        }
        text
    }
}
