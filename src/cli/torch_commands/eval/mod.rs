//! `ckaprune eval`: what a network is worth, and whether it keeps the limits.

mod text;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::images::Measuring;
use super::measure::{Measured, Profile, Subject, Versus};
use super::measure_page::{self, Measurements};
use super::session::{Foot, Head, Report, Session};
use super::{Outcome, file_name, open_archive, open_model, predictions};
use crate::archive::Archive;
use crate::cli::{Eval, Robustness};
use crate::prune::gates::{Gate, Limits, Verdict};
use crate::report::page::{Page, how_to_repeat};
use crate::report::progress::Progress;
use crate::report::yardstick::Yardstick;
use crate::report::{Invocation, text_of};
use crate::train::eval::points_lost;
use text::{profile_text, versus_text};

#[derive(Serialize)]
struct EvalReport {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    profile: Profile,
    /// Images per second in batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    images_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Profile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versus: Option<Versus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gates: Vec<Verdict>,
    #[serde(flatten)]
    foot: Foot,
}

pub(super) fn run(options: &Eval, invocation: &Invocation) -> Result<Outcome> {
    let path = &options.model.model;
    let limits = options.gates.limits()?;
    let archive = open_model(&options.model)?;
    let mut session = Session::open(options.into(), &options.model, &archive)?;
    session.plan()?;
    let is_sized = options.data.data.is_some()
        || options.data.input_size.is_some()
        || archive.example_shape().is_some();
    limits.require(|gate| match gate {
        Gate::MaxMacs if !is_sized => Some(
            "MACs are those of a size of images, which nothing names; name it with --input-size, or a data set with --data",
        ),
        gate => obstacle(gate, options, &session.images),
    })?;
    let subjects = subjects(options, archive, &session)?;
    let (mut session, doubt) = session.fit(&subjects)?;
    check_labels(&limits, &session, doubt.as_ref())?;
    let found = session.measure(&subjects)?;
    let yardstick = session.yardstick();
    let gates = limits.check(|gate| measured(gate, &found, &yardstick))?;
    session.warn(&found);
    let file = options.robustness.predictions.as_deref();
    let file = file.zip(found.predictions.last());
    let predicted = file.map_or(Ok(()), |(file, said)| {
        predictions::write(file, path, &session.images.part, said)
    });
    let report = EvalReport::of(found, gates, &session)?;
    session.tell(&report, invocation, predicted)?;
    if options.messages.json {
        tell_missed(&report.gates, options.messages.progress());
    }
    Ok(if report.gates.iter().all(|gate| gate.met) {
        Outcome::Done
    } else {
        Outcome::Missed
    })
}

/// Says what was missed where the table that shows it is not printed: the log of a job has more than an exit code then.
fn tell_missed(gates: &[Verdict], progress: Progress) {
    for gate in gates.iter().filter(|gate| !gate.met) {
        progress.note(format_args!(
            "{} was missed: {} where the limit is {}",
            gate.gate.name(),
            gate.measured,
            gate.limit
        ));
    }
}

/// The network, and before it the one that it is held against, if there is one.
fn subjects(options: &Eval, archive: Archive, session: &Session) -> Result<Vec<Subject>> {
    let execution = session.execution;
    let request = session.images.request(&options.model);
    let model = Subject::of(&options.model.model, archive, &request, execution)?;
    let mut subjects = Vec::new();
    if let Some(baseline) = &options.baseline {
        let other = open_archive(baseline, "--baseline")?.like(model.model.archive());
        let other = other.with_context(|| baseline.display().to_string())?;
        subjects.push(Subject::of(baseline, other, &request, execution)?);
    }
    subjects.push(model);
    Ok(subjects)
}

/// Refuses limits that rest on labels which may not be those of the networks.
fn check_labels(limits: &Limits, session: &Session, doubt: Option<&String>) -> Result<()> {
    let yardstick = session.yardstick();
    let rests = |(gate, _): &(Gate, f64)| gate.rests_on_labels(&yardstick);
    let Some((gate, _)) = limits.asked().find(rests) else {
        return Ok(());
    };
    let what = format!("The gate {} cannot be checked by such numbers", gate.name());
    session.images.classes.check(doubt, &what)
}

/// Why the figure that a gate limits will not be measured. This is known before anything runs.
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
    let is_measured = options.measure.measure_with.is_some();
    match gate {
        Gate::MinAccuracy => no_labels,
        Gate::MaxDrop if is_measured => no_baseline,
        Gate::MaxDrop => no_baseline.or(no_labels),
        Gate::MinMetric | Gate::MaxMetric => (!is_measured).then_some(
            "nothing but accuracy is measured; name a measure of your own with --measure-with",
        ),
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
            if attacks.is_some() || corruptions.is_some() {
                no_labels
            } else {
                Some("nothing is attacked or corrupted; ask for it with --attacks or --corruptions")
            }
        }
    }
}

/// The measured figure that a gate limits.
fn measured(gate: Gate, found: &Measured, yardstick: &Yardstick) -> Result<f64, String> {
    let own = found.profiles.last();
    let versus = found.versus.last();
    let number = match gate {
        Gate::MinAccuracy => own
            .and_then(|p| p.quality.as_ref())
            .filter(|quality| quality.rate.images > 0)
            .map(|quality| quality.rate.accuracy),
        Gate::MinMetric | Gate::MaxMetric => own.and_then(|p| p.measured),
        Gate::MaxDrop if !yardstick.is_accuracy() => {
            let first = found.profiles.first().and_then(|p| p.measured);
            let both = first.zip(own.and_then(|p| p.measured));
            both.map(|(first, own)| yardstick.goal().gain(own, first))
        }
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
    fn of(mut found: Measured, gates: Vec<Verdict>, session: &Session) -> Result<Self> {
        // The network that others are held against stands first.
        let Some(profile) = found.profiles.pop() else {
            bail!("nothing was measured")
        };
        Ok(EvalReport {
            head: session.head("eval"),
            images_per_second: profile.latency.last().map(|l| l.images_per_second),
            profile,
            baseline: found.profiles.pop(),
            versus: found.versus.pop(),
            gates,
            foot: session.foot(),
        })
    }
}

impl Report for EvalReport {
    fn page(&self, invocation: &Invocation) -> Page {
        let measurements = Measurements {
            names: match self.baseline {
                Some(_) => vec!["baseline".into(), "network".into()],
                None => vec!["network".into()],
            },
            profiles: self.baseline.iter().chain([&self.profile]).collect(),
            versus: self.versus.iter().collect(),
            measure: &self.head.measure,
        };
        let mut sections: Vec<_> = measure_page::gates(&self.gates, &self.head.measure)
            .into_iter()
            .collect();
        sections.extend(measurements.sections());
        sections.extend(how_to_repeat(invocation));
        Page {
            title: format!("Evaluation of {}", file_name(&self.profile.model)),
            subtitle: format!(
                "Measured on the {} images; {}.{}",
                self.head.part,
                self.head.machine(),
                measure_page::warned(&self.foot.warnings)
            ),
            headlines: measure_page::headlines(
                &self.profile,
                self.versus.as_ref(),
                &self.head.measure,
            ),
            sections,
        }
    }

    fn text(&self) -> String {
        let mut text = profile_text(&self.profile, &self.head);
        if let Some(robustness) = &self.profile.robustness {
            text += "\n";
            text += &robustness.text();
        }
        if let (Some(baseline), Some(versus)) = (&self.baseline, &self.versus) {
            text += &format!("\nagainst {}\n", baseline.model);
            text += &versus_text(versus, &self.head.measure);
        }
        if !self.gates.is_empty() {
            text += "\n";
            text += &text_of(&measure_page::gates_table(&self.gates, &self.head.measure));
        }
        text
    }
}
