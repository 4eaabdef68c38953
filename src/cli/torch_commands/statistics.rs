//! The file of statistics that a scoring leaves: those of one shard, or those it had when the user stopped it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use crate::report::{BlockReport, SCHEMA, is_zero, json};
use crate::run::export::write_whole;
use crate::run::settings::Settings;
use crate::score::{Tally, check_tallies};

/// What was scored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Scored {
    pub model: String,
    pub input_shape: Vec<i64>,
    /// Calibration images.
    pub samples: usize,
    /// Places of each of them that were compared; absent where images were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub places: Option<usize>,
    pub synthetic: bool,
    /// Image files that could not be used and were left out.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub skipped: usize,
    pub macs: i64,
    /// All blocks in the order in which they run; `cka`, `rank` and `samples` where scored.
    pub blocks: Vec<BlockReport>,
}

/// What the file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StatisticsFile {
    schema: u32,
    kind: String,
    /// The settings that all parts of the job have in common.
    pub settings: Settings,
    /// The network and the blocks, without scores.
    pub scored: Scored,
    /// The calibration images that this part is about.
    pub shard: Range<usize>,
    /// How long it took.
    pub seconds: f64,
    pub tallies: Vec<Tally>,
}

const KIND: &str = "statistics of a ckaprune score";

impl StatisticsFile {
    pub fn new(
        settings: Settings,
        scored: Scored,
        shard: Range<usize>,
        seconds: f64,
        tallies: Vec<Tally>,
    ) -> Self {
        StatisticsFile {
            schema: SCHEMA,
            kind: KIND.into(),
            settings,
            scored,
            shard,
            seconds,
            tallies,
        }
    }

    pub fn write(&self, path: &Path, force: bool) -> Result<()> {
        write_whole(path, json(self)?.as_bytes(), force)
    }

    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            anyhow!("{shown}: cannot be read ({error}); name a file that `ckaprune score` wrote")
        })?;
        let file: StatisticsFile = serde_json::from_str(&text).map_err(|error| {
            anyhow!("{shown}: these are not the statistics of a score ({error}); name a file that `ckaprune score --output` wrote")
        })?;
        if file.schema != SCHEMA || file.kind != KIND {
            bail!("{shown}: written by another version of ckaprune");
        }
        check_tallies(&file.tallies).with_context(|| {
            format!("{shown}: the statistics contradict themselves; make them again")
        })?;
        Ok(file)
    }

    /// Refuses to go on with options that differ from those the file was begun with.
    pub fn check_settings(&self, path: &Path, now: &Settings, shard: &Range<usize>) -> Result<()> {
        let shown = path.display();
        if let Some((key, then, now)) = self.settings.difference(now) {
            bail!(
                "{shown}: scored with `{key}` {then}, not {now}; resume it with the options it was begun with"
            );
        }
        if self.shard != *shard {
            bail!(
                "{shown}: of the images {}, not {}; resume it with the --shard it was begun with",
                in_words(&self.shard),
                in_words(shard)
            );
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        let mut tallies = self.tallies.iter();
        !self.tallies.is_empty() && tallies.all(|t| t.seen == self.shard)
    }
}

/// Makes the statistics of the whole job from those of its shards. The files may be named in any order.
pub(super) fn merge(paths: &[PathBuf]) -> Result<StatisticsFile> {
    let mut parts = Vec::new();
    for path in paths {
        let part = StatisticsFile::read(path)?;
        if !part.is_complete() {
            bail!(
                "{}: this part was stopped before its end; finish it with `ckaprune score --resume {}` and the options it \
                 was begun with",
                path.display(),
                path.display()
            );
        }
        parts.push((path, part));
    }
    parts.sort_by_key(|(_, part)| part.shard.start);
    let mut parts = parts.into_iter();
    let (first, mut whole) = parts.next().context("--merge names no file")?;
    let expected = 0..whole.scored.samples;
    refuse_gap(0..whole.shard.start, &expected)?;
    for (path, part) in parts {
        let shown = path.display();
        if let Some((key, here, there)) = part.settings.difference(&whole.settings) {
            bail!(
                "{shown}: scored with `{key}` {here}, but {} with {there}; merge parts of one job",
                first.display()
            );
        }
        if part.shard.start < whole.shard.end {
            bail!(
                "{shown}: the images {} are in another part as well; name each part once",
                in_words(&part.shard)
            );
        }
        refuse_gap(whole.shard.end..part.shard.start, &expected)?;
        whole.shard.end = part.shard.end;
        whole.seconds += part.seconds;
        let ([mine], Ok([other])) = (&mut whole.tallies[..], <[Tally; 1]>::try_from(part.tallies))
        else {
            bail!(
                "{shown}: scored in several passes for lack of memory; score each shard with more --memory"
            );
        };
        mine.merge(other).map_err(|error| {
            anyhow!(
                "{shown}: cannot be merged with {}: {error}",
                first.display()
            )
        })?;
    }
    refuse_gap(whole.shard.end..expected.end, &expected)?;
    Ok(whole)
}

/// Refuses parts between which images are missing.
fn refuse_gap(gap: Range<usize>, all: &Range<usize>) -> Result<()> {
    if gap.is_empty() {
        return Ok(());
    }
    bail!(
        "the images {} of {} are in no part; name the files of all shards",
        in_words(&gap),
        all.end
    )
}

/// The range in words, counted from 1.
fn in_words(range: &Range<usize>) -> String {
    format!("{} to {}", range.start + 1, range.end)
}
