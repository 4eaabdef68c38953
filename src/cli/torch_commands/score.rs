//! `ckaprune score`: one ranking.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use super::images::{Preparation, Prepared, warn_synthetic};
use super::map;
use super::memory_fit::{MemoryFit, free};
use super::statistics::{self, Scored, StatisticsFile};
use super::{Outcome, blame, execution, interface, open_model, require_candidates, show};
use crate::blocks::value::Per;
use crate::cli::{self, Score};
use crate::prune::Rules;
use crate::report::progress::Progress;
use crate::report::{self, BlockReport, SCHEMA, in_percent, number, percent, thousands};
use crate::run::export::check_output;
use crate::run::interrupt::{self, Interrupt};
use crate::run::memory::Work;
use crate::run::settings::{Settings, fingerprint};
use crate::run::torch;
use crate::run::torch::Model;
use crate::run::torch::{Execution, FIRST_LOOK};
use crate::score::criteria::{self, Distribution};
use crate::score::{self, Against, Ended, Job, Race, Savings, Scoring};

#[derive(Serialize)]
struct ScoreReport {
    schema: u32,
    command: &'static str,
    #[serde(flatten)]
    scored: Scored,
    criterion: criteria::Name,
    /// What the values are weighed against.
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<Per>,
    /// Of the candidates' values.
    #[serde(skip_serializing_if = "Option::is_none")]
    distribution: Option<Distribution>,
    /// Candidates could drop out before they had seen all images.
    race: bool,
    /// Of scoring, from loading the network into libtorch to the similarities.
    seconds: f64,
}

impl cli::Scoring {
    /// Whether candidates race; `usual` if the options leave it open.
    pub(super) fn races(self, usual: bool) -> bool {
        let races = self.race || (usual && !self.exact);
        races && self.criterion.can_race()
    }

    /// Seed of what the criterion leaves to chance.
    pub(super) fn seed(self, usual: u64) -> u64 {
        self.criterion_seed.unwrap_or(usual)
    }

    /// Refuses options that do not go with the criterion.
    pub(super) fn check(self) -> Result<()> {
        let name = self.criterion.name();
        if self.race && !self.criterion.can_race() {
            bail!(
                "--race cannot tell who is surely behind by {name}, only by cka, recoverability or agreement; leave it \
                 out, or --criterion"
            );
        }
        if let Some(per) = self.per
            && !self.criterion.tells_cost()
        {
            bail!(
                "--per {} divides what a removal costs, and {name} tells no cost; leave it out, or name another \
                 --criterion",
                per.name()
            );
        }
        Ok(())
    }

    /// Bytes to take beyond the network itself.
    pub(super) fn memory(self, device: tch::Device) -> u64 {
        self.memory.map_or_else(|| free(device) / 2, |m| m.0)
    }

    /// Refuses batches that cannot fit the memory.
    pub(super) fn check_fit(
        self,
        fit: MemoryFit,
        data: &cli::Data,
        samples: usize,
        progress: Progress,
    ) -> Result<()> {
        if !self.criterion.looks_at_images() {
            return Ok(());
        }
        fit.check_budget(self.memory, progress);
        // Each worker has a batch; a batch that nobody names is made to fit, but for a first context.
        let workers = match fit.device {
            tch::Device::Cpu => torch::threads(),
            _ => 1,
        };
        match data.batch_size {
            None => fit.check(FIRST_LOOK.get().min(samples), progress),
            Some(batch) => {
                let batch = (batch as usize).min(samples.div_ceil(workers));
                fit.side_by_side(workers).check(batch, progress)
            }
        }
    }

    /// How to score, as the options say; without a race.
    pub(super) fn settings(
        self,
        data: &cli::Data,
        device: tch::Device,
        progress: Progress,
    ) -> Scoring {
        let batch = data.batch_size.and_then(|n| (n as usize).try_into().ok());
        Scoring {
            race: None,
            space: None,
            memory: self.memory(device),
            batch,
            progress,
        }
    }
}

impl<'a> Preparation<'a> {
    /// Images for calibration, and for nothing beyond it.
    pub fn for_scoring(options: &'a Score, model: &'a cli::Model, execution: Execution) -> Self {
        Preparation {
            model,
            data: &options.data,
            search: options.search.into(),
            representation: options.scoring.representation,
            beyond: None,
            execution,
            progress: options.messages.progress(),
        }
    }
}

/// A ranking is asked for, so all blocks are compared on all images unless the user says otherwise.
const RACES: bool = false;

pub(super) fn run(options: &Score) -> Result<Outcome> {
    let Some(model) = &options.model else {
        let whole = statistics::merge(&options.statistics.merge)?;
        let scores = score::ranking(&whole.tallies, None)?;
        return report(options, whole.scored, &scores, whole.seconds);
    };
    if options.map.map {
        return map::run(options, model);
    }
    check(options)?;
    let progress = options.messages.progress();
    let path = &model.model;
    let archive = open_model(model)?;
    if let Some(output) = &options.statistics.output {
        check_output(output, options.statistics.force)?;
    }
    let execution = execution(&options.machine)?;
    let prepared = Preparation::for_scoring(options, model, execution).of(archive)?;
    let analysis = prepared.model.analysis();
    interface(path, analysis)?
        .check_prunable()
        .map_err(|e| blame(path)(e.into()))?;
    let rules: Rules = (&options.selection).into();
    let wanted: Vec<String> = require_candidates(path, analysis, &rules)?
        .into_iter()
        .map(|b| b.path.clone())
        .collect();
    // Whoever sees the work begin may stop it and keep what is done.
    let heeded = Interrupt::heed();
    let images = &prepared.splits.calibration;
    if prepared.synthetic {
        warn_synthetic(analysis, images, options.scoring.criterion, progress);
    }
    let fit = MemoryFit::new(analysis, Work::Forward, execution.device);
    options
        .scoring
        .check_fit(fit, &options.data, images.len(), progress)
        .map_err(blame(path))?;
    let savings = |per| Savings::of(per, &prepared.model, images);
    let savings = options.scoring.per.map(savings).transpose();
    let savings = savings.map_err(blame(path))?;
    let job = Job {
        model: &prepared.model,
        wanted: &wanted,
        images,
        range: shard(options, images.len())?,
        against: Against::Current,
        savings: savings.as_ref(),
    };
    let scored = scored(path, &prepared);
    if options.scoring.criterion == criteria::Name::Cka {
        by_cka(options, model, &job, scored, heeded)
    } else {
        by_criterion(options, &job, scored).map_err(blame(path))
    }
}

/// Refuses options that do not go with each other.
fn check(options: &Score) -> Result<()> {
    options.scoring.check()?;
    let statistics = &options.statistics;
    let keeps =
        statistics.shard.is_some() || statistics.output.is_some() || statistics.resume.is_some();
    if options.scoring.criterion != criteria::Name::Cka && keeps {
        bail!(
            "--shard, --output and --resume keep statistics of CKA; leave them out, or --criterion"
        );
    }
    Ok(())
}

fn scored(path: &Path, prepared: &Prepared) -> Scored {
    let analysis = prepared.model.analysis();
    Scored {
        model: path.display().to_string(),
        input_shape: analysis.input_shape.clone(),
        samples: prepared.splits.calibration.len(),
        places: prepared.places,
        synthetic: prepared.synthetic,
        skipped: prepared.skipped,
        macs: analysis.macs().count,
        blocks: BlockReport::all(analysis),
    }
}

/// Scores by CKA, whose statistics can be kept and gone on from.
fn by_cka(
    options: &Score,
    model: &cli::Model,
    job: &Job,
    scored: Scored,
    heeded: Interrupt,
) -> Result<Outcome> {
    let progress = options.messages.progress();
    let path = &model.model;
    let settings = settings(options, model, job.model, scored.samples)?;
    let mut begun = Vec::new();
    let mut seconds = 0.;
    if let Some(file) = &options.statistics.resume {
        let earlier = StatisticsFile::read(file)?;
        earlier.check_settings(file, &settings, &job.range)?;
        (begun, seconds) = (earlier.tallies, earlier.seconds);
    }
    let start = Instant::now();
    let scoring = options
        .scoring
        .settings(&options.data, job.model.device(), progress);
    let scoring = Scoring {
        race: options.scoring.races(RACES).then(Race::default),
        ..scoring
    };
    let ended = scoring
        .run(job, begun, None, &interrupt::is_asked)
        .map_err(blame(path))?;
    drop(heeded);
    seconds += start.elapsed().as_secs_f64();
    let file = |tallies| {
        let (scored, range) = (scored.clone(), job.range.clone());
        StatisticsFile::new(settings.clone(), scored, range, seconds, tallies)
    };
    match ended {
        Ended::Stopped(tallies) => {
            let (output, force) = place_of_the_rest(options, path);
            file(tallies).write(&output, force)?;
            progress.warn(format_args!(
                "stopped; what was done is in {0}: add `--resume {0}` to the same command to go on",
                output.display()
            ));
            Ok(Outcome::Interrupted)
        }
        Ended::Done(tallies) => {
            if let Some(output) = &options.statistics.output {
                let force = options.statistics.force || is_resumed(options, output);
                file(tallies.clone()).write(output, force)?;
            }
            if options.statistics.shard.is_some() {
                progress.note("statistics written; `ckaprune score --merge` makes a ranking of those of all shards");
                return Ok(Outcome::Done);
            }
            let scores = score::ranking(&tallies, job.savings).map_err(blame(path))?;
            report(options, scored, &scores, seconds)
        }
    }
}

/// Scores by another criterion than CKA: in one go, as no statistics are kept.
fn by_criterion(options: &Score, job: &Job, scored: Scored) -> Result<Outcome> {
    let progress = options.messages.progress();
    let begun = Instant::now();
    let scoring = Scoring {
        race: options.scoring.races(RACES).then(Race::default),
        ..options
            .scoring
            .settings(&options.data, job.model.device(), progress)
    };
    let context = criteria::ScoringContext {
        job,
        scoring: &scoring,
        seed: options.scoring.seed(options.data.seed),
        iteration: 0,
        stop: &interrupt::is_asked,
    };
    let mut criterion = options.scoring.criterion.criterion(None);
    match criterion.measure(&context, Vec::new())? {
        Ended::Done(found) => {
            let scores = criteria::ranking(found, job.savings);
            report(options, scored, &scores, begun.elapsed().as_secs_f64())
        }
        Ended::Stopped(_) => {
            progress.warn("stopped; statistics to go on from are kept with --criterion cka alone");
            Ok(Outcome::Interrupted)
        }
    }
}

/// Where the statistics of an interrupted job go, and whether they may replace a file there.
fn place_of_the_rest(options: &Score, model: &Path) -> (PathBuf, bool) {
    let statistics = &options.statistics;
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}.score.json");
    let beside = || {
        let beside = model.with_file_name(&name);
        // A model may lie where nothing can be written.
        match check_output(&beside, true) {
            Ok(()) => beside,
            Err(_) => PathBuf::from(&name),
        }
    };
    let named = statistics.output.clone().or(statistics.resume.clone());
    match named {
        Some(file) => {
            let force = statistics.force || is_resumed(options, &file);
            (file, force)
        }
        // If it is there, an earlier interruption made it.
        None => (beside(), true),
    }
}

fn is_resumed(options: &Score, output: &Path) -> bool {
    options.statistics.resume.as_deref() == Some(output)
}

fn shard(options: &Score, samples: usize) -> Result<Range<usize>> {
    let Some(shard) = options.statistics.shard else {
        return Ok(0..samples);
    };
    let range = shard.range(samples);
    if range.is_empty() {
        bail!(
            "--shard {}/{}: of {samples} calibration images none is in this part; make fewer parts",
            shard.number,
            shard.of
        );
    }
    Ok(range)
}

/// All that decides the scores.
fn settings(
    options: &Score,
    model: &cli::Model,
    network: &Model,
    samples: usize,
) -> Result<Settings> {
    let scoring = super::scoring_settings(
        model,
        &options.data,
        options.search,
        &options.selection,
        network.analysis(),
    )?;
    let more = [
        ("model", json!(fingerprint(network.archive())?)),
        ("race", json!(options.scoring.races(RACES))),
        ("images", json!(samples)),
    ];
    Ok(scoring.and(more.into_iter().collect()))
}

fn report(
    options: &Score,
    scored: Scored,
    scores: &[criteria::Score],
    seconds: f64,
) -> Result<Outcome> {
    let blocks = scored.blocks.into_iter().map(|block| {
        let found = scores.iter().find(|s| s.path == block.path);
        BlockReport {
            value: found.map(|s| s.value),
            rank: found.map(|s| s.rank),
            samples: found.map(|s| s.samples),
            saves: found.and_then(|s| s.saves),
            ..block
        }
    });
    let scored = Scored {
        blocks: blocks.collect(),
        ..scored
    };
    let criterion = options.scoring.criterion;
    let race = criterion.can_race() && scores.iter().any(|s| s.samples < scored.samples);
    let report = ScoreReport {
        schema: SCHEMA,
        command: "score",
        scored,
        criterion,
        per: options.scoring.per,
        distribution: Distribution::of(scores),
        race,
        seconds,
    };
    show(options.messages, &report, || report.table(scores))?;
    Ok(Outcome::Done)
}

impl ScoreReport {
    fn table(&self, scores: &[criteria::Score]) -> String {
        let Scored {
            samples, blocks, ..
        } = &self.scored;
        let word = match self.criterion {
            criteria::Name::Cka => "CKA without it",
            _ => scores.first().map_or("value", |s| s.value.word()),
        };
        let mut header = vec!["rank", "block", word, "MACs", "share"];
        let saved = self.per.map(|per| format!("{} saved", per.word()));
        header.extend(saved.as_deref());
        header.extend(self.race.then_some("images"));
        let mut table = report::table(&header);
        for score in scores {
            let block = blocks.iter().find(|b| b.path == score.path);
            let macs = block.map_or(0, |b| b.macs);
            let mut row = vec![
                number(score.rank.to_string()),
                (&score.path).into(),
                number(format!("{:.6}", score.number())),
                number(thousands(macs)),
                number(percent(macs, self.scored.macs)),
            ];
            row.extend(score.saves.map(|saves| number(in_percent(saves))));
            row.extend(self.race.then(|| number(thousands(score.samples as i64))));
            table.add_row(row);
        }
        let what = if self.scored.synthetic {
            "images of random noise"
        } else {
            "calibration images"
        };
        let by = match self.criterion {
            criteria::Name::Cka => "linear CKA",
            _ => word,
        };
        let on = match self.criterion.looks_at_images() {
            true => format!(" on {} {what}", thousands(*samples as i64)),
            false => String::new(),
        };
        let weighed = self.per.map_or(String::new(), |per| {
            format!(
                "; first goes what costs least for the {} that it saves",
                per.word()
            )
        });
        let head = format!("{}: {by}{on}{weighed}\n\n", self.scored.model);
        let spread = self.distribution.map_or(String::new(), |d| {
            format!(
                "\nfrom {:.4} to {:.4}, median {:.4}, quartiles {:.4} and {:.4}\n",
                d.min, d.max, d.median, d.q1, d.q3
            )
        });
        let foot = if self.race {
            "\nBlocks with fewer images fell behind in the race; `--exact` compares all on all.\n"
        } else {
            ""
        };
        head + &report::render(&table) + &spread + foot
    }
}
