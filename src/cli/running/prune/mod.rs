//! `ckaprune prune`: the whole job, and what it reports.

mod dry_run;
mod folder;
mod page;
mod report;

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context, Result, bail};
use tch::Device;

use super::classes::{Knows, LEARNS};
use super::fitting::Fitting;
use super::images::{Ready, Use, for_pruning, warn_synthetic};
use super::report_files::Document;
use super::{
    Outcome, blame, free_output, in_evaluation_mode, interface, note_caveats, note_scale,
    open_device, open_model, require_candidates, save, show,
};
use crate::archive::Archive;
use crate::blocks::analysis::{Analysis, Request};
use crate::cli::{Prune, Repair, Selection};
use crate::data::Part;
use crate::program::interface::Interface;
use crate::prune::Reference;
use crate::prune::run_dir::{self, RunDir};
use crate::prune::{
    Figures, Images, MaxDrop, Phase, Pick, Rules, Run, State, Stop, Targets, Tuning,
};
use crate::report::Invocation;
use crate::report::progress::Progress;
use crate::report::{BlockReport, SCHEMA};
use crate::run::interrupt::{self, Interrupt, Stopped};
use crate::run::memory::Work;
use crate::run::torch::{self, Module};
use crate::score::{Race, Scoring};
use crate::train::finetune::Training;
use crate::train::repair::Step;
use folder::{check_apart, check_free, check_progress, how_to_go_on, open_run_dir, to_go_on};
use report::PruneReport;

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

pub(super) fn run(options: &Prune, invocation: &Invocation) -> Result<Outcome> {
    match to_the_end(options, invocation) {
        Err(error) if error.is::<Stopped>() => {
            options.talk.progress().warn(how_to_go_on(options));
            Ok(Outcome::Interrupted)
        }
        // Where nothing better was said of a file that could not be written.
        ended => ended.map_err(|error| match &options.run_dir {
            Some(folder) if run_dir::holds_run(folder) => to_go_on(options, error, "--resume"),
            _ => error,
        }),
    }
}

/// The whole command; [`Stopped`] if the user stopped it.
fn to_the_end(options: &Prune, invocation: &Invocation) -> Result<Outcome> {
    options.scoring.check()?;
    let progress = options.talk.progress();
    let path = &options.model.model;
    let archive = in_evaluation_mode(path, open_model(path)?, progress)?;
    let output = free_output(&options.output, path, "pruned")?;
    if let Some(folder) = &options.run_dir {
        check_free(options, folder)?;
        for file in [Some(&output), options.output.export_weights.as_ref()] {
            check_apart(folder, file)?;
        }
    }
    let report_files = (options.report).files(options.output.force, options.run_dir.as_deref())?;
    let device = open_device(&options.machine)?;
    let Ready {
        images,
        analysis,
        synthetic,
        classes,
        mut warnings,
        skipped,
    } = for_pruning(
        &options.model,
        &archive,
        &options.data,
        options.search.into(),
        Some(Use {
            training: &options.training,
            distills: options.distill,
            decides: options.max_drop.is_some() || options.pick == Pick::Best,
        }),
        progress,
    )?;
    let interface = interface(path, &analysis)?;
    let run = prepared(options, interface, &images, synthetic, device, progress);
    let fit = if trains_at_all(options, &run, &images) {
        interface.check_trainable()
    } else {
        interface.check_prunable()
    };
    fit.map_err(|e| blame(path)(e.into()))?;
    require_candidates(path, &analysis, &run.rules)?;
    announce(options, &run, &images, &analysis, synthetic)?;
    check_fit(options, &run, &images, &analysis).map_err(blame(path))?;
    if images.has_labels() {
        let doubt = classes.doubt(Knows {
            path,
            archive: &archive,
            analysis: &analysis,
            images: (&images.calibration, &images.plain),
            device,
        })?;
        if let Some(why) = rests_on_labels(options) {
            classes.check(doubt.as_ref(), why)?;
        }
        warnings.extend(doubt.inspect(|doubt| progress.warn(doubt)));
    }
    if options.dry_run {
        return dry_run::run(options, &run, (&archive, &analysis), &images, &output);
    }
    // Up to here there is nothing to keep.
    let heeded = Interrupt::heed();
    let mut run_dir = open_run_dir(options, &run, &archive, &analysis, &output)?;
    let (original, pretraining) =
        match pretrained(options, &run, &archive, &images, &mut run_dir).map_err(blame(path))? {
            Some((pretraining, original)) => (original, Some(pretraining)),
            None => (archive, None),
        };
    let begin = match &run_dir {
        Some(run_dir) => run_dir.state(&original)?,
        None => State::new(&original),
    };
    check_progress(options, &begin)?;
    let whole = Figures {
        validation_accuracy: run.validate(&original, &images).map_err(blame(path))?,
        ..Figures::new(
            &analysis,
            run.measure(&original, &images)
                .map_err(blame(path))?
                .as_ref(),
        )
    };
    let keep = |state: &State| run_dir.as_mut().map_or(Ok(()), |r| r.save(state));
    let request = &analysis.request;
    let (state, stopped_by) = run
        .carry_on((&original, &whole), begin, request, &images, keep)
        .map_err(blame(path))?;
    let picked = options.pick.of(&state.iterations, &whole, &run.targets)?;
    let pruned = match &run_dir {
        _ if picked == state.iterations.len() => state.archive,
        _ if picked == 0 => original.clone(),
        Some(run_dir) => run_dir.archive(picked)?,
        None => bail!("iteration {picked} was not kept"),
    };
    let epochs = match run.can_train(&images) {
        true => run.training.epochs * picked + options.final_epochs,
        false => 0,
    };
    let (pruned, final_tuning) =
        finished(options, &run, (&original, pruned), picked, &images).map_err(blame(path))?;
    let baseline = match options.baseline {
        true => baseline(&run, &original, &analysis, &images, epochs).map_err(blame(path))?,
        false => None,
    };
    interrupt::check()?;
    // A result that is there half checked and without its report would be worth less than the time that is left.
    heeded.ends_soon();
    save(&pruned, &output, &options.output)
        .map_err(|error| to_go_on(options, error, "--resume"))?;
    let mut after = check_export(&output, &pruned, &run, request, &images)?;
    let mut before = Figures {
        latency: state.original_latency,
        ..whole
    };
    let [pace_before, pace_after] = run.pace([&original, &pruned], &images)?;
    before.images_per_second = Some(pace_before);
    after.images_per_second = Some(pace_after);
    if let Some(exported) = picked.checked_sub(1).map(|i| &state.iterations[i].after) {
        let tuned = final_tuning.as_ref().and_then(Tuning::validation_accuracy);
        after.validation_accuracy = tuned.or(exported.validation_accuracy);
        after.latency = exported.latency;
    }
    let exported = &state.iterations[..picked];
    let report = PruneReport {
        schema: SCHEMA,
        command: "prune",
        model: path.display().to_string(),
        output: output.display().to_string(),
        input_shape: analysis.input_shape.clone(),
        samples: images.calibration.len(),
        scores: run.interface.scale,
        criterion: run.criterion,
        synthetic,
        seed: options.data.seed,
        removed: exported.iter().flat_map(|i| i.removed.clone()).collect(),
        before,
        after,
        baseline,
        pretraining,
        stopped_by,
        picked,
        iterations: state.iterations,
        rolled_back: state.rolled_back,
        final_tuning,
        epochs,
        warnings,
        skipped,
    };
    let reported = report_files.map_or(Ok(()), |files| {
        let document = Document {
            result: &report,
            blocks: &BlockReport::all(&analysis),
            invocation,
        };
        let written = files.write(&page::page(&document), &document, progress);
        // The network is exported already, and would stand in its own way.
        written.map_err(|error| to_go_on(options, error, "--resume --force"))
    });
    // Whatever becomes of the report, the result of the run is told.
    show(options.talk, &report, || report.text())?;
    reported?;
    // A run that may remove nothing has not done what it was asked.
    let nothing = stopped_by == Stop::MaxDrop && report.iterations.is_empty();
    Ok(match stopped_by {
        Stop::NoCandidates => Outcome::Missed,
        _ if nothing => Outcome::Missed,
        _ => Outcome::Done,
    })
}

/// The run that the options ask for.
fn prepared(
    options: &Prune,
    interface: &Interface,
    images: &Images,
    synthetic: bool,
    device: Device,
    progress: Progress,
) -> Run {
    let repair = match options.repair {
        // Noise says nothing about what a network sees.
        _ if synthetic => Vec::new(),
        Repair::None => Vec::new(),
        Repair::Bn => vec![Step::Bn],
        Repair::Channels => vec![Step::Channels, Step::Bn],
    };
    Run {
        targets: Targets {
            iterations: options.iterations.map(|n| n as usize),
            macs: options.target_macs,
            params: options.target_params,
            latency: options.target_latency.map(|ms| ms / 1e3),
        },
        max_drop: options.max_drop.map(|points| MaxDrop {
            drop: points / 100.,
            retries: options.retries,
        }),
        blocks_per_iteration: options.blocks_per_iteration.get(),
        rules: (&options.selection).into(),
        criterion: options.scoring.criterion,
        criterion_seed: options.scoring.seed(options.data.seed),
        reference: options.reference,
        training: options.training.parameters(options.data.seed),
        distillation: (options.distill && images.train.is_some())
            .then_some(options.training.distillation()),
        repair,
        interface: interface.clone(),
        scoring: Scoring {
            race: (options.scoring.races(RACES)).then_some(Race {
                winners: pickable(options),
                ..Race::default()
            }),
            ..options
                .scoring
                .settings(false, &options.data, device, progress)
        },
        folder: options.run_dir.clone(),
    }
}

/// What labels decide in this run.
fn rests_on_labels(options: &Prune) -> Option<&'static str> {
    let Prune {
        training,
        pretrain,
        final_epochs,
        ..
    } = options;
    let learns = training.epochs > 0 || *pretrain > 0 || *final_epochs > 0;
    match (options.max_drop, options.pick) {
        _ if learns => Some(LEARNS),
        (Some(_), _) => Some("--max-drop would decide by such numbers"),
        (_, Pick::Best) => Some("--pick best would decide by such numbers"),
        _ => None,
    }
}

/// Blocks that may be picked by the scores of one iteration: those that go together, and as many with every retry.
fn pickable(options: &Prune) -> NonZeroUsize {
    let attempts = NonZeroUsize::MIN.saturating_add(options.retries);
    options.blocks_per_iteration.saturating_mul(attempts)
}

/// Whether any network is trained: first, after a removal, or last.
fn trains_at_all(options: &Prune, run: &Run, images: &Images) -> bool {
    options.pretrain > 0
        || (run.can_train(images) && run.training.epochs + options.final_epochs > 0)
}

/// Refuses a run that cannot fit the memory.
fn check_fit(options: &Prune, run: &Run, images: &Images, analysis: &Analysis) -> Result<()> {
    let Scoring {
        device, progress, ..
    } = run.scoring;
    let data = &options.data;
    let samples = images.calibration.len();
    (options.scoring).check_fit(analysis, data, samples, device, progress)?;
    let batch = images.plain.batch_size().get();
    let train = images.train.as_ref().map_or(0, Part::len);
    let test = images.test.as_ref().map_or(0, Part::len);
    let (work, images) = match trains_at_all(options, run, images) {
        true => (options.training.work(), train),
        false => (Work::Forward, test),
    };
    Fitting::new(analysis, work, device).check(batch.min(images), progress)
}

/// What the user has to know before the run begins; refuses what these images cannot serve for.
fn announce(
    options: &Prune,
    run: &Run,
    images: &Images,
    analysis: &Analysis,
    synthetic: bool,
) -> Result<()> {
    let progress = run.scoring.progress;
    note_scale(&options.model.model, run.interface.scale, progress);
    if trains_at_all(options, run, images) {
        note_caveats(analysis, progress);
    }
    if options.reference == Reference::Original && !run.criterion.compares() {
        bail!(
            "--reference original needs a criterion that compares representations: cka, cka-debiased or consensus"
        );
    }
    if synthetic {
        warn_synthetic(analysis, images, run.criterion, progress);
    } else if !images.has_labels() {
        let tuned = match run.trains(images) {
            true => "fine-tuning learns from the unpruned network alone",
            false => "nothing is fine-tuned (--distill lets the unpruned network teach)",
        };
        progress.warn(format_args!(
            "the images have no labels: {tuned}, and no accuracy is measured"
        ));
    }
    for (option, asked) in [
        ("--max-drop", options.max_drop.is_some()),
        ("--pick best", options.pick == Pick::Best),
        ("--pretrain", options.pretrain > 0),
    ] {
        if asked && !images.has_labels() {
            bail!("{option} needs labelled images; name a data set with labels");
        }
    }
    Ok(())
}

/// The network trained before the first removal, if that was asked for: kept from an earlier start, or trained now.
fn pretrained(
    options: &Prune,
    run: &Run,
    archive: &Archive,
    images: &Images,
    run_dir: &mut Option<RunDir>,
) -> Result<Option<(Tuning, Archive)>> {
    if options.pretrain == 0 {
        return Ok(None);
    }
    if let Some(run_dir) = run_dir
        && let Some(known) = run_dir.pretrained()?
    {
        return Ok(Some(known));
    }
    let training = Training {
        epochs: options.pretrain,
        learning_rate: options.pretrain_lr.unwrap_or(run.training.learning_rate),
        ..run.training.clone()
    };
    let trained = run.tuned(Phase::Pretraining, archive, images, None, &training, 0)?;
    let pretraining = Tuning::of(&trained);
    if let Some(run_dir) = run_dir {
        run_dir.keep_pretrained(&pretraining, &trained.archive)?;
    }
    Ok(Some((pretraining, trained.archive)))
}

/// The network to export fine-tuned once more, if that was asked for.
fn finished(
    options: &Prune,
    run: &Run,
    (original, pruned): (&Archive, Archive),
    picked: usize,
    images: &Images,
) -> Result<(Archive, Option<Tuning>)> {
    if options.final_epochs == 0 || !run.can_train(images) {
        return Ok((pruned, None));
    }
    let training = Training {
        epochs: options.final_epochs,
        ..run.training.clone()
    };
    let mut teacher = run.teacher(original, images)?;
    let first_epoch = picked * run.training.epochs;
    let trained = run.tuned(
        Phase::Final,
        &pruned,
        images,
        teacher.as_mut(),
        &training,
        first_epoch,
    )?;
    let tuning = Tuning::of(&trained);
    Ok((trained.archive, Some(tuning)))
}

/// The unpruned network, fine-tuned for as many epochs as the pruned one was.
fn baseline(
    run: &Run,
    archive: &Archive,
    analysis: &Analysis,
    images: &Images,
    epochs: usize,
) -> Result<Option<Figures>> {
    if !images.has_labels() {
        run.scoring
            .progress
            .warn("--baseline needs labelled images; there is none");
        return Ok(None);
    }
    run.scoring
        .progress
        .note("fine-tuning the unpruned network for comparison");
    let training = Training {
        epochs,
        ..run.training.clone()
    };
    let mut teacher = run.teacher(archive, images)?;
    let tuned = run.tuned(
        Phase::Baseline,
        archive,
        images,
        teacher.as_mut(),
        &training,
        0,
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
    let input = run.first_batch(&memory, &images.calibration, images)?;
    let outputs = |m: &Module| tch::no_grad(|| m.forward(&input)).and_then(|t| torch::to_bytes(&t));
    if outputs(&module).with_context(named)? != outputs(&memory)? {
        bail!(
            "{}: the exported file computes something else than the network in memory; do not use it",
            output.display()
        );
    }
    let metrics = run.measure(&exported, images)?;
    Ok(Figures::new(
        &Analysis::of(&exported, request).with_context(named)?,
        metrics.as_ref(),
    ))
}
