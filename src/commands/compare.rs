//! `ckaprune compare`: networks side by side on the same images.

use anyhow::Result;
use serde::Serialize;

use super::images::Measuring;
use super::measure::{Measure, Measured, Profile, Subject, Versus};
use super::measure_page::{self, Measurements};
use super::report_files::Document;
use super::{Outcome, file_name, open_archive, open_device, robustness, show};
use crate::cli::{Compare, Model};
use crate::eval::{Latency, Spread};
use crate::invocation::Invocation;
use crate::memory::Memory;
use crate::page::Page;
use crate::report::{self, SCHEMA, accuracy, counted, number, thousands};

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
    let (Some(first), Some(archive)) = (options.models.first(), archives.first()) else {
        anyhow::bail!("name at least two archives to compare")
    };
    let first = &Model {
        model: first.clone(),
        output_key: options.output_key.clone(),
        config: None,
    };
    let device = open_device(&options.machine)?;
    let images = Measuring::open(first, archive, &options.data, progress)?;
    let request = images.request(first);
    let opened = options.models.iter().zip(archives);
    let subjects: Vec<Subject> = opened
        .map(|(path, archive)| Subject::of(path, archive, &request))
        .collect::<Result<_>>()?;
    let plan = robustness::plan(&options.robustness, &images, options.data.seed)?;
    let images = images.fit(&subjects, &options.data, (plan.as_ref(), device, progress))?;
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
    let Measured {
        profiles, versus, ..
    } = measure.run(&subjects)?;
    let versus = std::iter::once(None).chain(versus.into_iter().map(Some));
    let entries = profiles.into_iter().zip(versus);
    let report = CompareReport {
        schema: SCHEMA,
        command: "compare",
        part: images.name,
        images: images.part.len(),
        device: format!("{device:?}").to_lowercase(),
        threads: crate::torch::threads(),
        batch_size: images.loader.batch_size().get(),
        models: entries
            .map(|(profile, versus)| Entry { profile, versus })
            .collect(),
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
    reported?;
    Ok(Outcome::Done)
}

impl CompareReport {
    fn page(&self, invocation: &Invocation) -> Page {
        let measurements = Measurements {
            names: (0..self.models.len()).map(letter).collect(),
            profiles: self.models.iter().map(|e| &e.profile).collect(),
            versus: self
                .models
                .iter()
                .filter_map(|e| e.versus.as_ref())
                .collect(),
        };
        let names: Vec<&str> = self
            .models
            .iter()
            .map(|e| file_name(&e.profile.model))
            .collect();
        let last = self.models.last();
        let mut sections = measurements.sections();
        sections.extend(measure_page::invocation(invocation));
        Page {
            title: names.join(" and "),
            subtitle: format!(
                "Compared on {} {} images; {}, {}. The figures below are those of {}.",
                thousands(self.images as i64),
                self.part,
                self.device,
                counted(self.threads, "thread"),
                names.last().unwrap_or(&"the last"),
            ),
            headlines: last.map_or_else(Vec::new, |e| {
                measure_page::headlines(&e.profile, e.versus.as_ref())
            }),
            sections,
        }
    }

    /// Attacks and corruptions in words, the same for every network.
    fn conditions(&self) -> Vec<String> {
        let first = self
            .models
            .iter()
            .find_map(|e| e.profile.robustness.as_ref());
        let rows = first.iter().flat_map(|r| &r.rows);
        rows.map(|row| row.condition.text()).collect()
    }

    /// A column a network, a row a figure; rows that nothing was measured for are left out.
    fn text(&self) -> String {
        let names = self.models.iter().enumerate().map(|(at, _)| letter(at));
        let header: Vec<String> = std::iter::once(String::new()).chain(names).collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let mut table = report::table(&header);
        let mut row = |word: &str, cell: &dyn Fn(&Entry) -> Option<String>| {
            let cells: Vec<Option<String>> = self.models.iter().map(cell).collect();
            if cells.iter().any(Option::is_some) {
                let texts = cells.into_iter().map(|c| number(c.unwrap_or("-".into())));
                table.add_row(std::iter::once(word.into()).chain(texts));
            }
        };
        let quality = |e: &Entry| e.profile.quality.clone();
        let versus = |e: &Entry| e.versus.clone();
        let points = |x: f64| format!("{:+.2}", 100. * x);
        row("accuracy", &|e| Some(accuracy(quality(e)?.rate.accuracy)));
        row("  points more than A", &|e| {
            Some(points(versus(e)?.accuracy_difference?))
        });
        row("  95 %", &|e| {
            let [low, high] = versus(e)?.accuracy_difference_interval?;
            Some(format!("{} to {}", points(low), points(high)))
        });
        row("top 5", &|e| Some(accuracy(quality(e)?.top5?.accuracy)));
        row("loss", &|e| Some(format!("{:.4}", quality(e)?.loss)));
        row("calibration error", &|e| {
            Some(accuracy(quality(e)?.calibration_error))
        });
        row("same class as A", &|e| {
            Some(accuracy(versus(e)?.agreement?))
        });
        row("CKA with A", &|e| Some(format!("{:.4}", versus(e)?.cka?)));
        for (at, condition) in self.conditions().into_iter().enumerate() {
            row(&condition, &|e| {
                let rows = &e.profile.robustness.as_ref()?.rows;
                Some(accuracy(rows.get(at)?.tally.accuracy))
            });
        }
        row("parameters", &|e| Some(thousands(e.profile.params)));
        row("MACs", &|e| Some(thousands(e.profile.macs)));
        row("  of A's", &|e| {
            Some(format!("×{:.3}", versus(e)?.macs_ratio))
        });
        row("blocks", &|e| Some(e.profile.blocks.to_string()));
        row("file", &|e| Some(Memory(e.profile.file_size).to_string()));
        row("peak memory", &|e| {
            Some(Memory(e.profile.peak_memory?).to_string())
        });
        row("J an image", &|e| {
            Some(format!("{:.3}", e.profile.energy?.joules_per_image))
        });
        let sizes = self.models.iter().map(|e| e.profile.latency.len()).max();
        for at in 0..sizes.unwrap_or(0) {
            let latency = |e: &Entry| e.profile.latency.get(at).copied();
            let ratio = |e: &Entry| versus(e)?.latency_ratio.get(at).map(|r| r.spread);
            let size = self
                .models
                .iter()
                .find_map(latency)
                .map_or(0, |l| l.batch_size);
            row(&format!("ms, batch of {size}"), &|e| {
                latency(e).as_ref().map(milliseconds)
            });
            row("  of A's", &|e| Some(format!("×{:.3}", ratio(e)?.median)));
            row("  95 %", &|e| ratio(e).as_ref().map(between));
        }
        let what = match self.part {
            "noise" => "noise".to_owned(),
            part => format!("{} {part} images", thousands(self.images as i64)),
        };
        let machine = format!("{}, {}", self.device, counted(self.threads, "thread"));
        let legend = self.models.iter().enumerate();
        let legend: String = legend
            .map(|(at, e)| format!("{}  {}\n", letter(at), e.profile.model))
            .collect();
        format!("{legend}on {what}; {machine}\n\n{}", report::render(&table))
    }
}

/// A, B, C, …; numbers where letters end.
fn letter(at: usize) -> String {
    match u8::try_from(at) {
        Ok(at) if at < 26 => char::from(b'A' + at).to_string(),
        _ => (at + 1).to_string(),
    }
}

fn milliseconds(latency: &Latency) -> String {
    format!("{:.2}", 1e3 * latency.spread.median)
}

fn between(spread: &Spread) -> String {
    let [low, high] = spread.interval;
    format!("{low:.3} to {high:.3}")
}
