//! `ckaprune score`: one ranking.

use anyhow::Result;
use serde::Serialize;

use super::images::{for_pruning, warn_synthetic};
use super::{Outcome, blame, interface, open_device, open_model, require_candidates, show};
use crate::cli::Score;
use crate::data::Augment;
use crate::progress::Progress;
use crate::prune::Rules;
use crate::report::{self, BlockReport, SCHEMA, number, percent, thousands};
use crate::score::{Against, score};

#[derive(Serialize)]
struct ScoreReport {
    schema: u32,
    command: &'static str,
    model: String,
    input_shape: Vec<i64>,
    /// Calibration images.
    samples: usize,
    synthetic: bool,
    macs: i64,
    /// All blocks in the order in which they run; `cka` and `rank` where scored.
    blocks: Vec<BlockReport>,
}

pub(super) fn run(options: &Score) -> Result<Outcome> {
    let progress = Progress {
        quiet: options.talk.quiet,
    };
    let path = &options.model.model;
    let archive = open_model(path)?;
    let device = open_device(&options.machine)?;
    let no_augmentation = Augment {
        crop_padding: 0,
        flip: false,
    };
    let (images, analysis, synthetic) = for_pruning(
        &options.model,
        &archive,
        &options.data,
        options.search.into(),
        no_augmentation,
        progress,
    )?;
    interface(path, &analysis)?
        .check_prunable()
        .map_err(|e| blame(path)(e.into()))?;
    let rules: Rules = (&options.selection).into();
    let candidates = require_candidates(path, &analysis, &rules)?;
    if synthetic {
        warn_synthetic(&analysis, &images, progress);
    }
    let wanted = |path: &str| candidates.iter().any(|b| b.path == path);
    let calibration = (&images.calibration, &images.plain);
    let scores = score(
        &archive,
        &analysis,
        wanted,
        calibration,
        device,
        Against::Current,
        progress,
    )
    .map_err(blame(path))?;
    let blocks = BlockReport::all(&analysis).into_iter().map(|block| {
        let found = scores.get(&block.path);
        BlockReport {
            cka: found.map(|s| s.cka),
            rank: found.map(|s| s.rank),
            ..block
        }
    });
    let report = ScoreReport {
        schema: SCHEMA,
        command: "score",
        model: path.display().to_string(),
        input_shape: analysis.input_shape.clone(),
        samples: images.calibration.len(),
        synthetic,
        macs: analysis.macs().count,
        blocks: blocks.collect(),
    };
    show(options.talk, &report, || report.table())?;
    Ok(Outcome::Done)
}

impl ScoreReport {
    fn table(&self) -> String {
        let mut ranked: Vec<(usize, f64, &BlockReport)> = self
            .blocks
            .iter()
            .filter_map(|b| Some((b.rank?, b.cka?, b)))
            .collect();
        ranked.sort_by_key(|(rank, ..)| *rank);
        let mut table = report::table(&["rank", "block", "CKA without it", "MACs", "share"]);
        for (rank, cka, block) in ranked {
            table.add_row(vec![
                number(rank.to_string()),
                (&block.path).into(),
                number(format!("{cka:.6}")),
                number(thousands(block.macs)),
                number(percent(block.macs, self.macs)),
            ]);
        }
        let what = if self.synthetic {
            "images of random noise"
        } else {
            "calibration images"
        };
        let head = format!(
            "{}: linear CKA on {} {what}\n\n",
            self.model,
            thousands(self.samples as i64)
        );
        head + &report::render(&table)
    }
}
