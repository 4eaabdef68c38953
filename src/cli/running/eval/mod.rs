//! `ckaprune eval`: what a network is worth, and whether it keeps the limits.

mod text;

use anyhow::Result;
use serde::Serialize;

use super::images::Measuring;
use super::measure::{Measure, Measured, Profile, Subject, Versus};
use super::measure_page::{self, Measurements};
use super::report_files::Document;
use super::{Outcome, file_name, open_archive, open_device, open_model, predictions, show};
use crate::cli::running::resolve::robustness;
use crate::cli::{Eval, Robustness};
use crate::prune::gates::{Gate, Verdict};
use crate::report::Invocation;
use crate::report::page::Page;
use crate::report::{SCHEMA, counted, is_zero, text_of};
use crate::train::eval::points_lost;
use text::{profile_text, versus_text};

#[derive(Serialize)]
struct EvalReport {
    schema: u32,
    command: &'static str,
    /// The part of the data set that was measured: `test` or `train`; `noise` without data.
    part: &'static str,
    device: String,
    threads: usize,
    batch_size: usize,
    #[serde(flatten)]
    profile: Profile,
    /// Of batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    images_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Profile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versus: Option<Versus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gates: Vec<Verdict>,
    /// Why the figures may not be what they seem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Image files that could not be used and were left out.
    #[serde(skip_serializing_if = "is_zero")]
    skipped: usize,
}

pub(super) fn run(options: &Eval, invocation: &Invocation) -> Result<Outcome> {
    let progress = options.talk.progress();
    let path = &options.model.model;
    let limits = options.gates.limits()?;
    let archive = open_model(path)?;
    let report_files = options.report.files(options.force, None)?;
    if let (Some(files), Some(predictions)) = (&report_files, &options.robustness.predictions) {
        files.keep_apart(predictions, "--predictions")?;
    }
    let device = open_device(&options.machine)?;
    let mut images = Measuring::open(&options.model, &archive, &options.data, progress)?;
    let plan = robustness::plan(&options.robustness, &mut images, &options.data, progress)?;
    limits.require(|gate| obstacle(gate, options, &images))?;
    let request = images.request(&options.model);
    let model = Subject::of(path, archive, &request)?;
    let baseline = options.baseline.as_ref();
    // The network that others are held against stands first.
    let mut subjects = Vec::new();
    if let Some(baseline) = baseline {
        let archive = open_archive(baseline, "--baseline")?;
        subjects.push(Subject::of(baseline, archive, &request)?);
    }
    subjects.push(model);
    let mut images = images.fit(&subjects, &options.data, (plan.as_ref(), device, progress))?;
    let doubt = images.doubts(&subjects, device, progress)?;
    if let Some((gate, _)) = limits.asked().find(|(gate, _)| gate.rests_on_labels()) {
        let what = format!("The gate {} cannot be checked by such numbers", gate.name());
        images.classes.check(doubt.as_ref(), &what)?;
    }
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
    let mut found = measure.run(&subjects)?;
    let gates = limits.check(|gate| measured(gate, &found))?;
    let remarks = found.remarks();
    for remark in &remarks {
        progress.warn(remark);
    }
    let file = options.robustness.predictions.as_deref();
    let predicted = file
        .zip(found.predictions.last())
        .map_or(Ok(()), |(file, said)| {
            predictions::write(file, path, &images.part, said)
        });
    let Some(profile) = found.profiles.pop() else {
        anyhow::bail!("nothing was measured")
    };
    let report = EvalReport {
        schema: SCHEMA,
        command: "eval",
        part: images.name,
        device: format!("{device:?}").to_lowercase(),
        threads: crate::run::torch::threads(),
        batch_size: images.loader.batch_size().get(),
        images_per_second: profile.latency.last().map(|l| l.images_per_second),
        profile,
        baseline: found.profiles.pop(),
        versus: found.versus.pop(),
        gates,
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
    Ok(match report.gates.iter().all(|gate| gate.met) {
        true => Outcome::Done,
        false => Outcome::Missed,
    })
}

/// Why what a gate is about will not be measured; known before anything runs.
fn obstacle(gate: Gate, options: &Eval, images: &Measuring) -> Option<&'static str> {
    let no_labels = match (images.part.labels(), &options.data.data) {
        (Some(_), _) => None,
        (None, Some(_)) => Some("the images have no labels; name a data set with labels"),
        (None, None) => Some("there are no images; name a data set with --data"),
    };
    let no_baseline = match options.baseline {
        Some(_) => None,
        None => Some("there is nothing to compare with; name a network with --baseline"),
    };
    match gate {
        Gate::MinAccuracy => no_labels,
        Gate::MaxDrop => no_baseline.or(no_labels),
        Gate::MaxMacs | Gate::MaxParams => None,
        Gate::MaxLatencyRatio => no_baseline.or(match options.speed.passes {
            Some(0) => Some("no passes are timed; leave --passes 0 out"),
            _ => None,
        }),
        Gate::MinRobustAccuracy => {
            let Robustness {
                attacks,
                corruptions,
                ..
            } = &options.robustness;
            match attacks.is_some() || corruptions.is_some() {
                true => no_labels,
                false => Some(
                    "nothing is attacked or corrupted; ask for it with --attacks or --corruptions",
                ),
            }
        }
    }
}

/// What a gate is about, of what was measured.
fn measured(gate: Gate, found: &Measured) -> Result<f64, String> {
    let own = found.profiles.last();
    let versus = found.versus.last();
    let number = match gate {
        Gate::MinAccuracy => own
            .and_then(|p| p.quality.as_ref())
            .filter(|quality| quality.rate.images > 0)
            .map(|quality| quality.rate.accuracy),
        Gate::MaxDrop => {
            let rate = |profile: &Profile| Some(profile.quality.as_ref()?.rate);
            let both = found
                .profiles
                .first()
                .and_then(rate)
                .zip(own.and_then(rate));
            let measured = versus.and_then(|v| v.accuracy_difference);
            both.filter(|_| measured.is_some())
                .map(|(first, second)| points_lost(&first, &second))
        }
        Gate::MaxMacs if own.is_some_and(|p| !p.macs_exact) => {
            return Err(
                "some code of the network could not be followed, so its MACs are not known".into(),
            );
        }
        Gate::MaxMacs => own.map(|p| p.macs as f64),
        Gate::MaxParams => own.map(|p| p.params as f64),
        Gate::MaxLatencyRatio => versus
            .and_then(|v| v.latency_ratio.first())
            .map(|ratio| ratio.spread.median),
        Gate::MinRobustAccuracy => own.and_then(|p| p.robustness.as_ref()?.lowest()),
    };
    number.ok_or_else(|| "it was not measured".into())
}

impl EvalReport {
    fn page(&self, invocation: &Invocation) -> Page {
        let measurements = Measurements {
            names: match self.baseline {
                Some(_) => vec!["baseline".into(), "network".into()],
                None => vec!["network".into()],
            },
            profiles: self.baseline.iter().chain([&self.profile]).collect(),
            versus: self.versus.iter().collect(),
        };
        let mut sections: Vec<_> = measure_page::gates(&self.gates).into_iter().collect();
        sections.extend(measurements.sections());
        sections.extend(measure_page::invocation(invocation));
        Page {
            title: format!("Evaluation of {}", file_name(&self.profile.model)),
            subtitle: format!(
                "Measured on the {} images; {}, {}.{}",
                self.part,
                self.device,
                counted(self.threads, "thread"),
                measure_page::warned(&self.warnings)
            ),
            headlines: measure_page::headlines(&self.profile, self.versus.as_ref()),
            sections,
        }
    }

    fn text(&self) -> String {
        let machine = format!("{}, {}", self.device, counted(self.threads, "thread"));
        let mut text = profile_text(&self.profile, self.part, &machine);
        if let Some(robustness) = &self.profile.robustness {
            text += "\n";
            text += &robustness.text();
        }
        if let (Some(baseline), Some(versus)) = (&self.baseline, &self.versus) {
            text += &format!("\nagainst {}\n", baseline.model);
            text += &versus_text(versus);
        }
        if !self.gates.is_empty() {
            text += "\n";
            text += &text_of(&measure_page::gates_table(&self.gates));
        }
        text
    }
}
