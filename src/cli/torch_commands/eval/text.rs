//! What `eval` says to people.

use crate::cli::torch_commands::measure::{Profile, Versus};
use crate::cli::torch_commands::session::Head;
use crate::report::yardstick::Yardstick;
use crate::report::{
    self, bar, in_percent, interval, milliseconds, number, off_by, points, thousands,
};
use crate::run::memory::Memory;
use crate::train::eval::{Latency, Quality, Rate};

/// The figures of one network, a line for each.
pub(super) fn profile_text(profile: &Profile, head: &Head) -> String {
    let (part, machine) = (head.part, head.machine());
    let mut lines = Vec::new();
    if let Some(measured) = profile.measured {
        lines.push((head.measure.name(), head.measure.show(measured)));
    }
    if let Some(quality) = &profile.quality {
        let of = |rate: &Rate| {
            format!(
                "{}  ({} of {} {part} images; 95 %: {})",
                in_percent(rate.accuracy),
                thousands(rate.correct as i64),
                thousands(rate.images as i64),
                interval(rate.interval)
            )
        };
        lines.push(("accuracy", of(&quality.rate)));
        if let Some(top5) = &quality.top5 {
            lines.push(("top 5", in_percent(top5.accuracy)));
        }
        lines.push(("loss", format!("{:.4}", quality.loss)));
        lines.push((
            "calibration",
            format!("{} (ECE)", off_by(quality.calibration_error)),
        ));
        if quality.classes.len() > MOST_CLASSES {
            lines.push(("worst class", worst_classes(quality)));
        }
    }
    for latency in &profile.latency {
        let word = if latency.batch_size == 1 {
            "latency"
        } else {
            "throughput"
        };
        lines.push((word, latency_text(latency, &machine)));
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
    let classes = match &profile.quality {
        Some(quality) if (2..=MOST_CLASSES).contains(&quality.classes.len()) => {
            format!("\n{}", classes_table(quality))
        }
        _ => String::new(),
    };
    format!("{}\n{lines}{classes}", profile.model)
}

/// Up to so many classes have a line each. Of more classes only the least recognised are named.
const MOST_CLASSES: usize = 20;

/// A table with a line for each class.
fn classes_table(quality: &Quality) -> String {
    const BAR: usize = 20;
    let mut table = report::table(&["class", "images", "accuracy", "95 %", ""]);
    for class in &quality.classes {
        table.add_row(vec![
            (&class.class).into(),
            number(thousands(class.rate.images as i64)),
            number(in_percent(class.rate.accuracy)),
            number(interval(class.rate.interval)),
            bar(class.rate.accuracy, 1., BAR).into(),
        ]);
    }
    report::render(&table)
}

/// The classes that are recognised least.
fn worst_classes(quality: &Quality) -> String {
    const SHOWN: usize = 3;
    let mut classes: Vec<_> = quality.classes.iter().collect();
    classes.sort_by(|a, b| a.rate.accuracy.total_cmp(&b.rate.accuracy));
    let shown = classes.iter().take(SHOWN);
    let texts: Vec<String> = shown
        .map(|c| format!("{} {}", c.class, in_percent(c.rate.accuracy)))
        .collect();
    texts.join(", ")
}

fn latency_text(latency: &Latency, machine: &str) -> String {
    let [low, high] = latency.spread.quartiles;
    let spread = format!(
        "quartiles {} and {}, {} passes; {machine}",
        milliseconds(low),
        milliseconds(high),
        latency.spread.passes
    );
    match latency.batch_size {
        1 => format!(
            "{} ms an image  ({spread})",
            milliseconds(latency.spread.median)
        ),
        n => format!(
            "{:.0} images/s  (batches of {n}: {} ms, {spread})",
            latency.images_per_second,
            milliseconds(latency.spread.median)
        ),
    }
}

/// The figures of a network against another one, a line for each.
pub(super) fn versus_text(versus: &Versus, measure: &Yardstick) -> String {
    let mut lines = Vec::new();
    if let Some(difference) = versus.measured_difference {
        lines.push((measure.name(), measure.change(0., difference)));
    }
    if let (Some(difference), Some([low, high])) = (
        versus.accuracy_difference,
        versus.accuracy_difference_interval,
    ) {
        lines.push((
            "accuracy",
            format!(
                "{} points  (95 %: {} to {})",
                points(difference),
                points(low),
                points(high)
            ),
        ));
    }
    if let Some(agreement) = versus.agreement {
        lines.push((
            "agreement",
            format!(
                "{} of the images are called the same",
                in_percent(agreement)
            ),
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
    lines.push(("MACs", versus.macs_text()));
    lines.push(("parameters", format!("×{:.3}", versus.params_ratio)));
    lines
        .iter()
        .map(|(word, text)| format!("  {word:<11} {text}\n"))
        .collect()
}
