//! `ckaprune eval`: what a network is worth, and whether it keeps the limits.

use anyhow::Result;
use serde::Serialize;

use super::images::{Measuring, batch_size};
use super::measure::{Measure, Measured, Profile, Subject, Versus};
use super::measure_page::{self, Measurements};
use super::report_files::Document;
use super::{Outcome, file_name, open_archive, open_device, open_model, robustness, show};
use crate::cli::{Eval, Robustness};
use crate::eval::{Latency, Rate};
use crate::gates::{Gate, Verdict};
use crate::invocation::Invocation;
use crate::memory::Memory;
use crate::page::Page;
use crate::report::{self, SCHEMA, accuracy, counted, interval, number, thousands};

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
}

pub(super) fn run(options: &Eval, invocation: &Invocation) -> Result<Outcome> {
    let progress = options.talk.progress();
    let path = &options.model.model;
    let limits = options.limits.with_policy()?;
    let archive = open_model(path)?;
    let report_files = options.report.files(options.force, None)?;
    let device = open_device(&options.machine)?;
    let images = Measuring::open(&options.model, &archive, &options.data, progress)?;
    let plan = robustness::plan(&options.robustness, &images, options.data.seed)?;
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
    if let Some(predictions) = found.predictions.last() {
        robustness::keep(&options.robustness, (path, &images.part), predictions)?;
    }
    let Some(profile) = found.profiles.pop() else {
        anyhow::bail!("nothing was measured")
    };
    let report = EvalReport {
        schema: SCHEMA,
        command: "eval",
        part: images.name,
        device: format!("{device:?}").to_lowercase(),
        threads: crate::torch::threads(),
        batch_size: batch_size(&options.data)?.get(),
        images_per_second: profile.latency.last().map(|l| l.images_per_second),
        profile,
        baseline: found.profiles.pop(),
        versus: found.versus.pop(),
        gates,
    };
    if let Some(files) = report_files {
        let document = Document {
            result: &report,
            blocks: &[],
            invocation,
        };
        files.write(&report.page(invocation), &document, progress)?;
    }
    show(options.talk, &report, || report.text())?;
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
        // Adding 0 makes -0 a 0.
        Gate::MaxDrop => versus
            .and_then(|v| v.accuracy_difference)
            .map(|difference| -100. * difference + 0.),
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
                "Measured on the {} images; {}, {}.",
                self.part,
                self.device,
                counted(self.threads, "thread")
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
            text += &gates_table(&self.gates);
        }
        text
    }
}

/// One network, a line a figure.
fn profile_text(profile: &Profile, part: &str, machine: &str) -> String {
    let mut lines = Vec::new();
    if let Some(quality) = &profile.quality {
        let of = |rate: &Rate| {
            format!(
                "{}  ({} of {} {part} images; 95 %: {})",
                accuracy(rate.accuracy),
                thousands(rate.correct as i64),
                thousands(rate.images as i64),
                interval(rate.interval)
            )
        };
        lines.push(("accuracy", of(&quality.rate)));
        if let Some(top5) = &quality.top5 {
            lines.push(("top 5", accuracy(top5.accuracy)));
        }
        lines.push(("loss", format!("{:.4}", quality.loss)));
        lines.push((
            "calibration",
            format!(
                "off by {:.2} points on average (ECE)",
                100. * quality.calibration_error
            ),
        ));
        if quality.classes.len() > 1 {
            lines.push(("worst class", worst_classes(quality)));
        }
    }
    for latency in &profile.latency {
        let word = if latency.batch_size == 1 {
            "latency"
        } else {
            "throughput"
        };
        lines.push((word, latency_text(latency, machine)));
    }
    if let Some(peak) = profile.peak_memory {
        lines.push(("peak memory", format!("{} for a batch", Memory(peak))));
    }
    if let Some(energy) = &profile.energy {
        lines.push((
            "energy",
            format!(
                "{:.3} J an image ({:.1} W, everything else on the device included)",
                energy.joules_per_image, energy.watts
            ),
        ));
    }
    let at_least = if profile.macs_exact { "" } else { "at least " };
    lines.push(("parameters", thousands(profile.params)));
    lines.push(("MACs", format!("{at_least}{}", thousands(profile.macs))));
    lines.push(("file", Memory(profile.file_size).to_string()));
    let lines: String = lines
        .iter()
        .map(|(word, text)| format!("  {word:<11} {text}\n"))
        .collect();
    format!("{}\n{lines}", profile.model)
}

/// The classes that are recognised least.
fn worst_classes(quality: &crate::eval::Quality) -> String {
    const SHOWN: usize = 3;
    let mut classes: Vec<_> = quality.classes.iter().collect();
    classes.sort_by(|a, b| a.rate.accuracy.total_cmp(&b.rate.accuracy));
    let shown = classes.iter().take(SHOWN);
    let texts: Vec<String> = shown
        .map(|c| format!("{} {}", c.class, accuracy(c.rate.accuracy)))
        .collect();
    texts.join(", ")
}

fn latency_text(latency: &Latency, machine: &str) -> String {
    let ms = |seconds: f64| format!("{:.2}", 1e3 * seconds);
    let [low, high] = latency.spread.quartiles;
    let spread = format!(
        "quartiles {} and {}, {} passes; {machine}",
        ms(low),
        ms(high),
        latency.spread.passes
    );
    match latency.batch_size {
        1 => format!("{} ms an image  ({spread})", ms(latency.spread.median)),
        n => format!(
            "{:.0} images/s  (batches of {n}: {} ms, {spread})",
            latency.images_per_second,
            ms(latency.spread.median)
        ),
    }
}

/// A network against another, a line a figure.
fn versus_text(versus: &Versus) -> String {
    let mut lines = Vec::new();
    if let (Some(difference), Some([low, high])) = (
        versus.accuracy_difference,
        versus.accuracy_difference_interval,
    ) {
        lines.push((
            "accuracy",
            format!(
                "{:+.2} points  (95 %: {:+.2} to {:+.2})",
                100. * difference,
                100. * low,
                100. * high
            ),
        ));
    }
    if let Some(agreement) = versus.agreement {
        lines.push((
            "agreement",
            format!("{} of the images are called the same", accuracy(agreement)),
        ));
    }
    if let Some(cka) = versus.cka {
        lines.push(("CKA", format!("{cka:.4} of the representations")));
    }
    for ratio in &versus.latency_ratio {
        let [low, high] = ratio.spread.interval;
        lines.push((
            "time",
            format!(
                "×{:.3} with batches of {}  (95 %: {low:.3} to {high:.3})",
                ratio.spread.median, ratio.batch_size
            ),
        ));
    }
    lines.push(("MACs", format!("×{:.3}", versus.macs_ratio)));
    lines.push(("parameters", format!("×{:.3}", versus.params_ratio)));
    lines
        .iter()
        .map(|(word, text)| format!("  {word:<11} {text}\n"))
        .collect()
}

fn gates_table(gates: &[Verdict]) -> String {
    let mut table = report::table(&["gate", "limit", "measured", "by", ""]);
    for verdict in gates {
        let show = |value: f64| number(verdict.gate.show(value));
        table.add_row(vec![
            verdict.gate.name().into(),
            show(verdict.limit),
            show(verdict.measured),
            show(verdict.margin.abs()),
            if verdict.met { "met" } else { "MISSED" }.into(),
        ]);
    }
    report::render(&table)
}
