//! One call of `eval` or `compare`: what both do alike, from their options to what they tell.

use anyhow::Result;
use serde::Serialize;

use super::from_options::robustness;
use super::images::Measuring;
use super::measure::{Measure, Measured, Subject};
use super::report_files::{Document, ReportFiles};
use super::{execution, note_front, show};
use crate::archive::Archive;
use crate::cli::{
    Compare, Data, Eval, Machine, Messages, Model, OwnMeasure, ReportFile, Robustness, Speed,
};
use crate::report::page::Page;
use crate::report::progress::Progress;
use crate::report::yardstick::Yardstick;
use crate::report::{Invocation, SCHEMA, counted, is_zero};
use crate::run::torch::Execution;
use crate::train::measure::Measure as OwnCommand;
use crate::train::robustness::Protocol;

/// The options that both commands have.
#[derive(Clone, Copy)]
pub(super) struct SharedOptions<'a> {
    data: &'a Data,
    speed: Speed,
    measure: &'a OwnMeasure,
    robustness: &'a Robustness,
    report: &'a ReportFile,
    force: bool,
    machine: &'a Machine,
    messages: Messages,
}

impl<'a> From<&'a Eval> for SharedOptions<'a> {
    fn from(options: &'a Eval) -> Self {
        SharedOptions {
            data: &options.data,
            speed: options.speed,
            measure: &options.measure,
            robustness: &options.robustness,
            report: &options.report,
            force: options.force,
            machine: &options.machine,
            messages: options.messages,
        }
    }
}

impl<'a> From<&'a Compare> for SharedOptions<'a> {
    fn from(options: &'a Compare) -> Self {
        SharedOptions {
            data: &options.data,
            speed: options.speed,
            measure: &options.measure,
            robustness: &options.robustness,
            report: &options.report,
            force: options.force,
            machine: &options.machine,
            messages: options.messages,
        }
    }
}

/// Images to measure networks on, and what is measured.
pub(super) struct Session<'a> {
    options: SharedOptions<'a>,
    progress: Progress,
    files: Option<ReportFiles>,
    pub execution: Execution,
    pub images: Measuring,
    /// What is measured beyond plain accuracy, if anything.
    protocol: Option<Protocol>,
    /// The user's own measure, if there is one.
    own: Option<OwnCommand>,
}

impl<'a> Session<'a> {
    /// Makes sure that the report can be written, and opens the images for the network in this archive.
    ///
    /// # Errors
    /// If a file to write exists already, or the images cannot be used.
    pub fn open(options: SharedOptions<'a>, model: &Model, archive: &Archive) -> Result<Self> {
        let progress = options.messages.progress();
        let files = options.report.files(options.force, None)?;
        if let (Some(files), Some(predictions)) = (&files, &options.robustness.predictions) {
            files.keep_apart(predictions, "--predictions")?;
        }
        let execution = execution(options.machine)?;
        Ok(Session {
            images: Measuring::open(model, archive, options.data, progress)?,
            options,
            progress,
            files,
            execution,
            protocol: None,
            own: options.measure.measure()?,
        })
    }

    /// Plans what is measured beyond plain accuracy.
    ///
    /// # Errors
    /// If the options of robustness ask for what cannot be done.
    pub fn plan(&mut self) -> Result<()> {
        let SharedOptions {
            robustness, data, ..
        } = self.options;
        self.protocol = robustness::protocol(robustness, &mut self.images, data, self.progress)?;
        Ok(())
    }

    /// Fits the batches to the networks. Gives the first doubt whether the labels mean the classes of the networks.
    ///
    /// # Errors
    /// If a network cannot run on the images.
    pub fn fit(mut self, subjects: &[Subject]) -> Result<(Self, Option<String>)> {
        if let Some(first) = subjects.first() {
            note_front(&first.path, first.model.analysis(), self.progress);
        }
        for subject in subjects {
            let Err(error) = subject.check_scores() else {
                continue;
            };
            if self.protocol.is_some() {
                return Err(error);
            }
            self.images.forget_labels(&error, self.progress);
        }
        let (data, protocol, progress) = (self.options.data, self.protocol.as_ref(), self.progress);
        let mut images = self.images.fit(subjects, data, protocol, progress)?;
        let doubt = images.doubts(subjects, progress)?;
        Ok((Session { images, ..self }, doubt))
    }

    /// Measures the networks.
    ///
    /// # Errors
    /// If one cannot run on the images.
    pub fn measure(&self, subjects: &[Subject]) -> Result<Measured> {
        let samples = self.options.robustness.robust_samples;
        let measure = Measure {
            images: &self.images,
            device: self.execution.device,
            robustness: self.protocol.as_ref().map(|protocol| (protocol, samples)),
            own: self.own.as_ref(),
            passes: self.options.speed.passes,
            samples: self.options.data.samples,
            seed: self.options.data.seed,
            progress: self.progress,
        };
        measure.run(subjects)
    }

    /// What the user's own measure measures, where there is one; else accuracy.
    pub fn yardstick(&self) -> Yardstick {
        let own = self.own.as_ref();
        own.map_or(Yardstick::Accuracy, OwnCommand::yardstick)
    }

    /// Warns of what has to be known beside the figures.
    pub fn warn(&mut self, found: &Measured) {
        let remarks = found.remarks();
        for remark in &remarks {
            self.progress.warn(remark);
        }
        self.images.warnings.extend(remarks);
    }

    /// The beginning of the command's document.
    pub fn head(&self, command: &'static str) -> Head {
        Head {
            schema: SCHEMA,
            command,
            part: self.images.name,
            measure: self.yardstick(),
            images: None,
            device: format!("{:?}", self.execution.device).to_lowercase(),
            threads: crate::run::torch::threads(),
            batch_size: self.images.timed.get(),
        }
    }

    /// The end of the command's document.
    pub fn foot(&self) -> Foot {
        Foot {
            warnings: self.images.warnings.clone(),
            skipped: self.images.skipped,
        }
    }

    /// Writes the files of the report, if they are asked for, and tells what was measured: even if these files or the
    /// `other` ones could not be written.
    ///
    /// # Errors
    /// If the result cannot be told, or a file cannot be written.
    pub fn tell<R: Report>(
        &self,
        report: &R,
        invocation: &Invocation,
        other: Result<()>,
    ) -> Result<()> {
        let written = self.files.as_ref().map_or(Ok(()), |files| {
            let document = Document {
                result: report,
                blocks: &[],
                invocation,
            };
            files.write(&report.page(invocation), &document, self.progress)
        });
        show(self.options.messages, report, || report.text())?;
        other.and(written)
    }
}

/// What a command tells, for programs, on a page and in a terminal.
pub(super) trait Report: Serialize {
    fn page(&self, invocation: &Invocation) -> Page;

    fn text(&self) -> String;
}

/// The images and the machine that networks were measured with.
#[derive(Serialize)]
pub(super) struct Head {
    schema: u32,
    command: &'static str,
    /// The part of the data set that was measured: `test` or `train`; `noise` without data.
    pub part: &'static str,
    /// What `measured` is of each network; absent where nothing is.
    #[serde(skip_serializing_if = "Yardstick::is_accuracy")]
    pub measure: Yardstick,
    /// How many images there are, if the figures of a network do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<usize>,
    device: String,
    threads: usize,
    batch_size: usize,
}

impl Head {
    /// `cpu, 8 threads`
    pub fn machine(&self) -> String {
        format!("{}, {}", self.device, counted(self.threads, "thread"))
    }
}

/// What has to be known beside the figures.
#[derive(Serialize)]
pub(super) struct Foot {
    /// Why the figures may not be what they seem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Image files that could not be used and were left out.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: usize,
}
