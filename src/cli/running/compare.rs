//! `ckaprune compare`: networks side by side on the same images.

use anyhow::Result;
use serde::Serialize;

use super::images::Measuring;
use super::measure::{Measure, Measured, Profile, Subject, Versus};
use super::measure_page::{self, Measurements};
use super::report_files::Document;
use super::{Outcome, file_name, open_archive, open_device, predictions, show};
use crate::cli::running::resolve::robustness;
use crate::cli::{Compare, Model};
use crate::report::Invocation;
use crate::report::page::Page;
use crate::report::{self, SCHEMA, counted, is_zero, thousands};

#[derive(Serialize)]
struct CompareReport {
    schema: u32,
    command: &'static str,
    /// The part of the data set that was measured: `test` or `train`; `noise` without data.
    part: &'static str,
    images: usize,
    device: String,
    threads: usize,
    batch_size: usize,
    models: Vec<Entry>,
    /// Why the figures may not be what they seem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Image files that could not be used and were left out.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: usize,
}

#[derive(Serialize)]
struct Entry {
    #[serde(flatten)]
    profile: Profile,
    /// Against the first one, of which it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    versus: Option<Versus>,
}

pub(super) fn run(options: &Compare, invocation: &Invocation) -> Result<Outcome> {
    let progress = options.talk.progress();
    let mut archives = Vec::new();
    for path in &options.models {
        archives.push(open_archive(path, "each FILE")?);
    }
    let report_files = options.report.files(options.force, None)?;
    if let (Some(files), Some(predictions)) = (&report_files, &options.robustness.predictions) {
        files.keep_apart(predictions, "--predictions")?;
    }
    let (Some(first), Some(archive)) = (options.models.first(), archives.first()) else {
        anyhow::bail!("name at least two archives to compare")
    };
    let first = &Model {
        model: first.clone(),
        output_key: options.output_key.clone(),
        config: None,
    };
    let device = open_device(&options.machine)?;
    let mut images = Measuring::open(first, archive, &options.data, progress)?;
    let request = images.request(first);
    let opened = options.models.iter().zip(archives);
    let subjects: Vec<Subject> = opened
        .map(|(path, archive)| Subject::of(path, archive, &request))
        .collect::<Result<_>>()?;
    let plan = robustness::plan(&options.robustness, &mut images, &options.data, progress)?;
    let mut images = images.fit(&subjects, &options.data, (plan.as_ref(), device, progress))?;
    images.doubts(&subjects, device, progress)?;
    let measure = Measure {
        images: &images,
        device,
        robustness: plan
            .as_ref()
            .map(|p| (p, options.robustness.robust_samples.0)),
        passes: options.speed.passes,
        samples: options.data.samples.0,
        seed: options.data.seed,
        progress,
    };
    let found = measure.run(&subjects)?;
    let remarks = found.remarks();
    for remark in &remarks {
        progress.warn(remark);
    }
    let file = options.robustness.predictions.as_deref();
    let predicted = file.map_or(Ok(()), |file| {
        predictions::write_all(file, &images.part, &subjects, &found)
    });
    let Measured {
        profiles, versus, ..
    } = found;
    let versus = std::iter::once(None).chain(versus.into_iter().map(Some));
    let entries = profiles.into_iter().zip(versus);
    let report = CompareReport {
        schema: SCHEMA,
        command: "compare",
        part: images.name,
        images: images.part.len(),
        device: format!("{device:?}").to_lowercase(),
        threads: crate::run::torch::threads(),
        batch_size: images.loader.batch_size().get(),
        models: entries
            .map(|(profile, versus)| Entry { profile, versus })
            .collect(),
        warnings: images.warnings.into_iter().chain(remarks).collect(),
        skipped: images.skipped,
    };
    let reported = report_files.map_or(Ok(()), |files| {
        let document = Document {
            result: &report,
            blocks: &[],
            invocation,
        };
        files.write(&report.page(invocation), &document, progress)
    });
    // Whatever becomes of the files, what was measured is told.
    show(options.talk, &report, || report.text())?;
    predicted.and(reported)?;
    Ok(Outcome::Done)
}

impl CompareReport {
    fn measurements(&self) -> Measurements<'_> {
        let models = self.models.iter();
        Measurements {
            names: (0..self.models.len()).map(letter).collect(),
            profiles: models.clone().map(|e| &e.profile).collect(),
            versus: models.filter_map(|e| e.versus.as_ref()).collect(),
        }
    }

    fn page(&self, invocation: &Invocation) -> Page {
        let names: Vec<&str> = self
            .models
            .iter()
            .map(|e| file_name(&e.profile.model))
            .collect();
        let last = self.models.last();
        let mut sections = self.measurements().sections();
        sections.extend(measure_page::invocation(invocation));
        Page {
            title: names.join(" and "),
            subtitle: format!(
                "Compared on {} {} images; {}, {}. The figures below are those of {}.{}",
                thousands(self.images as i64),
                self.part,
                self.device,
                counted(self.threads, "thread"),
                names.last().unwrap_or(&"the last"),
                measure_page::warned(&self.warnings),
            ),
            headlines: last.map_or_else(Vec::new, |e| {
                measure_page::headlines(&e.profile, e.versus.as_ref())
            }),
            sections,
        }
    }

    fn text(&self) -> String {
        let what = match self.part {
            "noise" => "noise".to_owned(),
            part => format!("{} {part} images", thousands(self.images as i64)),
        };
        let machine = format!("{}, {}", self.device, counted(self.threads, "thread"));
        let legend = self.models.iter().enumerate();
        let legend: String = legend
            .map(|(at, e)| format!("{}  {}\n", letter(at), e.profile.model))
            .collect();
        format!(
            "{legend}on {what}; {machine}\n\n{}",
            report::text_of(&self.measurements().figures())
        )
    }
}

/// A, B, C, …; numbers where letters end.
fn letter(at: usize) -> String {
    match u8::try_from(at) {
        Ok(at) if at < 26 => char::from(b'A' + at).to_string(),
        _ => (at + 1).to_string(),
    }
}
