//! `ckaprune prune`: the whole job, and what it reports.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::json;

use super::images::{for_pruning, warn_synthetic};
use super::{
    Outcome, blame, fingerprint, free_output, interface, open_device, open_model,
    require_candidates, scoring_settings, show,
};
use crate::analysis::{Analysis, Request};
use crate::archive::Archive;
use crate::cli::{Prune, Repair, Selection};
use crate::eval::throughput;
use crate::export::save_archive;
use crate::finetune::{Training, finetune};
use crate::progress::Progress;
use crate::prune::{
    Figures, Images, Iteration, Rules, Run, RunEnded, State, Stop, Targets, lessons,
};
use crate::report::{self, SCHEMA, number, percent, thousands};
use crate::run_dir::RunDir;
use crate::settings::Settings;
use crate::torch::{self, Module};

#[derive(Serialize)]
struct PruneReport {
    schema: u32,
    command: &'static str,
    model: String,
    output: String,
    input_shape: Vec<i64>,
    /// Calibration images.
    samples: usize,
    /// The calibration images were random noise.
    synthetic: bool,
    seed: u64,
    /// Paths, in the order of removal.
    removed: Vec<String>,
    before: Figures,
    /// Of the exported file, read back.
    after: Figures,
    /// The unpruned network after the same number of fine-tuning epochs.
    baseline: Option<Figures>,
    stopped_by: Stop,
    iterations: Vec<Iteration>,
}

impl From<&Selection> for Rules {
    fn from(selection: &Selection) -> Self {
        Rules {
            keep: selection.keep.clone(),
            only: selection.only.clone(),
            min_blocks_per_stage: selection.min_blocks_per_stage,
        }
    }
}

/// Only the best candidate counts; the race finds it with a fraction of the work.
const RACES: bool = true;

pub(super) fn run(options: &Prune) -> Result<Outcome> {
    let progress = Progress {
        quiet: options.talk.quiet,
    };
    let path = &options.model.model;
    let archive = open_model(path)?;
    let output = free_output(&options.output, path, "pruned")?;
    let device = open_device(&options.machine)?;
    let (images, analysis, synthetic) = for_pruning(
        &options.model,
        &archive,
        &options.data,
        options.search.into(),
        Some(&options.training),
        progress,
    )?;
    let interface = interface(path, &analysis)?;
    let trains = images.train.is_some() && options.training.epochs > 0;
    let fit = if trains {
        interface.check_trainable()
    } else {
        interface.check_prunable()
    };
    fit.map_err(|e| blame(path)(e.into()))?;
    let rules: Rules = (&options.selection).into();
    require_candidates(path, &analysis, &rules)?;
    if synthetic {
        warn_synthetic(&analysis, &images, progress);
    } else if images.train.is_none() {
        progress
            .warn("the images have no labels: nothing is fine-tuned, and no accuracy is measured");
    }
    let race = options.scoring.races(RACES);
    let run = Run {
        targets: Targets {
            iterations: options.iterations.map(|n| n as usize),
            macs: options.target_macs,
            params: options.target_params,
        },
        rules,
        reference: options.reference,
        training: options.training.parameters(options.data.seed),
        distillation: options.distill.then_some(options.training.distillation()),
        // Noise says nothing about what a network sees.
        repairs: options.repair == Repair::Bn && !synthetic,
        interface: interface.clone(),
        scoring: options
            .scoring
            .settings(race, &options.data, device, progress),
    };
    let begin = State::new(&archive);
    let (run_dir, begin) = match &options.run_dir {
        None => (None, begin),
        Some(folder) => {
            let (run_dir, state) = RunDir::open(
                folder,
                options.resume,
                settings(options, &archive, &analysis)?,
                &archive,
            )?;
            let done = state.iterations.len();
            if run.targets.iterations.is_some_and(|n| done > n) {
                bail!(
                    "{}: the run has removed {done} blocks already; resume it with --iterations {done} or more",
                    folder.display()
                );
            }
            (Some(run_dir), state)
        }
    };
    let before = Figures::new(
        &analysis,
        run.measure(&archive, &images)
            .map_err(blame(path))?
            .as_ref(),
    );
    let keep = |state: &State| run_dir.as_ref().map_or(Ok(()), |r| r.save(state));
    let request = &analysis.request;
    let ended = run
        .carry_on(&archive, begin, request, &images, keep)
        .map_err(blame(path))?;
    let (state, stopped_by) = match ended {
        RunEnded::Finished(state, stop) => (state, stop),
        RunEnded::Interrupted(state) => {
            progress.warn(interruption(&state, options));
            return Ok(Outcome::Interrupted);
        }
    };
    let State {
        archive: pruned,
        iterations,
        ..
    } = state;
    let baseline = match options.baseline {
        true => {
            baseline(&run, &archive, &analysis, &images, iterations.len()).map_err(blame(path))?
        }
        false => None,
    };
    save_archive(&pruned, &output, options.output.force)?;
    let mut after = check_export(&output, &pruned, &run, request, &images)?;
    let mut before = before;
    compare_speed(&archive, &pruned, &run, &images, &mut before, &mut after)?;
    let report = PruneReport {
        schema: SCHEMA,
        command: "prune",
        model: path.display().to_string(),
        output: output.display().to_string(),
        input_shape: analysis.input_shape.clone(),
        samples: images.calibration.len(),
        synthetic,
        seed: options.data.seed,
        removed: iterations.iter().map(|i| i.removed.clone()).collect(),
        before,
        after,
        baseline,
        stopped_by,
        iterations,
    };
    show(options.talk, &report, || report.text(&run))?;
    Ok(match stopped_by {
        Stop::NoCandidates => Outcome::Missed,
        _ => Outcome::Done,
    })
}

/// All that decides which blocks go and what the weights become.
fn settings(options: &Prune, archive: &Archive, analysis: &Analysis) -> Result<Settings> {
    let Prune {
        model,
        data,
        search,
        selection,
        training,
        ..
    } = options;
    let more = [
        ("model", json!(fingerprint(archive)?)),
        ("batch-size", json!(data.batch_size)),
        ("race", json!(options.scoring.races(RACES))),
        ("reference", json!(options.reference)),
        ("distill", json!(options.distill)),
        ("repair", json!(options.repair)),
    ];
    let scoring = scoring_settings(model, data, *search, selection, analysis);
    Ok(scoring
        .and(more.into_iter().collect())
        .and(training.settings()))
}

fn interruption(state: &State, options: &Prune) -> String {
    let done = state.iterations.len();
    let removals = options.iterations.map_or(format!("{done} removals"), |n| {
        format!("{done} of {n} removals")
    });
    match &options.run_dir {
        Some(folder) => format!(
            "stopped after {removals}; add `--resume` to the same command to go on from {}",
            folder.display()
        ),
        None => {
            format!("stopped after {removals}; nothing is kept, because no --run-dir was named")
        }
    }
}

/// The unpruned network, fine-tuned for as many epochs as the pruned one was.
fn baseline(
    run: &Run,
    archive: &Archive,
    analysis: &Analysis,
    images: &Images,
    removals: usize,
) -> Result<Option<Figures>> {
    let Some(train) = &images.train else {
        run.scoring
            .progress
            .warn("--baseline needs labelled images; there is none");
        return Ok(None);
    };
    run.scoring
        .progress
        .note("fine-tuning the unpruned network for comparison");
    let training = Training {
        epochs: run.training.epochs * removals,
        ..run.training.clone()
    };
    let mut teacher = run.teacher(archive, images)?;
    let tuned = finetune(
        archive,
        &run.interface,
        lessons(train, images, teacher.as_mut()),
        &training,
        0,
        run.scoring.device,
        run.scoring.progress,
    )?;
    Ok(Some(Figures::new(
        analysis,
        run.measure(&tuned.archive, images)?.as_ref(),
    )))
}

/// Reads the exported file back, compares its outputs with the network's in memory, and measures it.
fn check_export(
    output: &Path,
    pruned: &Archive,
    run: &Run,
    request: &Request,
    images: &Images,
) -> Result<Figures> {
    let exported = open_model(output)?;
    let named = || output.display().to_string();
    let module = Module::load(&exported, run.scoring.device, &run.interface).with_context(named)?;
    let memory = Module::load(pruned, run.scoring.device, &run.interface)?;
    if let Some(input) = first_batch(&memory, images)? {
        let outputs =
            |m: &Module| tch::no_grad(|| m.forward(&input)).and_then(|t| torch::to_bytes(&t));
        if outputs(&module).with_context(named)? != outputs(&memory)? {
            bail!(
                "{}: the exported file computes something else than the network in memory; do not use it",
                output.display()
            );
        }
    }
    let metrics = run.measure(&exported, images)?;
    Ok(Figures::new(
        &Analysis::of(&exported, request).with_context(named)?,
        metrics.as_ref(),
    ))
}

/// Some images for the two networks to be compared on.
fn first_batch(module: &Module, images: &Images) -> Result<Option<tch::Tensor>> {
    let first = images.plain.batches(&images.calibration, 0)?.next();
    first.map(|batch| module.images(&batch?.images)).transpose()
}

/// Measures both networks side by side, so that a machine that slows down slows both.
fn compare_speed(
    original: &Archive,
    pruned: &Archive,
    run: &Run,
    images: &Images,
    before: &mut Figures,
    after: &mut Figures,
) -> Result<()> {
    let modules = [
        Module::load(original, run.scoring.device, &run.interface)?,
        Module::load(pruned, run.scoring.device, &run.interface)?,
    ];
    if let Some(input) = first_batch(&modules[0], images)? {
        let [original, pruned] = throughput(&modules, &input)?;
        before.images_per_second = Some(original);
        after.images_per_second = Some(pruned);
    }
    Ok(())
}

impl PruneReport {
    fn text(&self, run: &Run) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", report::render(&self.iteration_table()));
        let _ = writeln!(out, "{}", report::render(&self.comparison()));
        if let Some(baseline) = &self.baseline
            && let (Some(pruned), Some(full)) = (self.after.accuracy, baseline.accuracy)
        {
            let epochs = run.training.epochs * self.iterations.len();
            let _ = writeln!(
                out,
                "{:+.2} points against the unpruned network fine-tuned for the same {epochs} epochs",
                100. * (pruned - full)
            );
        }
        if let Some(target) = self.stopped_by.target() {
            let _ = writeln!(out, "stopped at {target}");
        }
        let _ = writeln!(
            out,
            "written to {}, read back and measured again",
            self.output
        );
        out
    }

    fn iteration_table(&self) -> comfy_table::Table {
        let measured = self.before.accuracy.is_some();
        let mut header = vec!["", "removed", "CKA", "MACs left"];
        header.extend(
            measured
                .then_some(["accuracy", "repaired", "fine-tuned"])
                .into_iter()
                .flatten(),
        );
        let mut table = report::table(&header);
        for iteration in &self.iterations {
            let mut row = vec![
                number(iteration.iteration.to_string()),
                (&iteration.removed).into(),
                number(format!("{:.6}", iteration.cka)),
                number(percent(iteration.after.macs, self.before.macs)),
            ];
            if measured {
                row.extend(iteration.accuracies().map(|a| number(accuracy(a))));
            }
            table.add_row(row);
        }
        table
    }

    fn comparison(&self) -> comfy_table::Table {
        let (before, after) = (&self.before, &self.after);
        let mut header = vec!["", "before", "after", "change"];
        header.extend(self.baseline.is_some().then_some("unpruned, tuned as long"));
        let mut table = report::table(&header);
        let mut row =
            |name: &str, before: String, after: String, change: String, baseline: String| {
                let mut cells = vec![name.into(), number(before), number(after), number(change)];
                cells.extend(self.baseline.is_some().then(|| number(baseline)));
                table.add_row(cells);
            };
        let fewer = |a: i64, b: i64| format!("{:+.2} %", 100. * (b - a) as f64 / a.max(1) as f64);
        let full = self.baseline.unwrap_or(*before);
        row(
            "blocks",
            before.blocks.to_string(),
            after.blocks.to_string(),
            format!("{:+}", after.blocks as i64 - before.blocks as i64),
            full.blocks.to_string(),
        );
        row(
            "parameters",
            thousands(before.params),
            thousands(after.params),
            fewer(before.params, after.params),
            thousands(full.params),
        );
        row(
            "MACs",
            thousands(before.macs),
            thousands(after.macs),
            fewer(before.macs, after.macs),
            thousands(full.macs),
        );
        if let (Some(a), Some(b)) = (before.accuracy, after.accuracy) {
            row(
                "accuracy",
                accuracy(Some(a)),
                accuracy(Some(b)),
                format!("{:+.2} points", 100. * (b - a)),
                accuracy(full.accuracy),
            );
        }
        if let (Some(a), Some(b)) = (before.loss, after.loss) {
            row(
                "loss",
                format!("{a:.4}"),
                format!("{b:.4}"),
                format!("{:+.4}", b - a),
                full.loss.map_or("-".into(), |x| format!("{x:.4}")),
            );
        }
        if let (Some(a), Some(b)) = (before.images_per_second, after.images_per_second) {
            row(
                "images/s",
                format!("{a:.0}"),
                format!("{b:.0}"),
                format!("×{:.2}", b / a),
                format!("{a:.0}"),
            );
        }
        table
    }
}

fn accuracy(fraction: Option<f64>) -> String {
    fraction.map_or("-".into(), |x| format!("{:.2} %", 100. * x))
}
