//! How much the class probabilities change without the block: the mean Kullback-Leibler divergence from those of the whole
//! network, in nats, negative, so that more is closer.

use anyhow::{Context, Result, bail};
use tch::{Kind, TchError, Tensor};

use super::contest::Contest;
use super::{Criterion, ScoringContext, Value, Values};
use crate::run::segments::Detour;
use crate::run::torch::{Workers, explain};
use crate::score::batch_run::BatchRun;
use crate::score::engine::Engine;
use crate::score::{Ended, Tally, first_look};

/// Candidates run from their block on, as for CKA, up to the class scores.
pub struct Agreement;

impl Criterion for Agreement {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let job = context.job;
        job.model.interface()?.check_scores()?;
        let engine = Engine::open(job.model, &first_look(job.images)?)?;
        let detours: Vec<&Detour> = context.detours(engine.pieces())?;
        let race = context.scoring.race;
        let mut contest = Contest::of(job, race, job.images.len());
        let images = job.images.suiting(job.model.batch_together());
        let what = "comparing class probabilities";
        let bar = context.scoring.progress.bar(what, images.len());
        let workers = Workers::of(job.model.device())?;
        let mut seen = 0;
        for batch in images.batches(0)? {
            if (context.stop)() {
                return Ok(Ended::Stopped(Vec::new()));
            }
            let batch = batch?;
            let count = batch.indices.len();
            let live: Vec<usize> = (0..detours.len()).filter(|i| contest.has(*i)).collect();
            let of_live: Vec<&Detour> = live.iter().map(|i| detours[*i]).collect();
            let walk = BatchRun {
                engine: &engine,
                detours: &of_live,
                batch_size: images.loader.batch_size().get(),
                keep: false,
            };
            let found = workers.run(|| -> Result<Vec<Tensor>> {
                let (representations, _) = walk.representations(&batch, Vec::new())?;
                let each = representations.iter();
                each.map(|r| log_probabilities(&engine, r, count)).collect()
            })?;
            let (whole, without) = found.split_first().context("a batch without answers")?;
            for (place, without) in live.iter().zip(without) {
                contest.add(*place, closeness(without, whole).map_err(explain)?);
            }
            seen += count;
            contest.drop_those_behind(seen);
            bar.advance(count);
        }
        let value = |(detour, (closeness, images)): (&&Detour, (f64, usize))| {
            let path = detour.path.clone();
            match closeness.is_finite() {
                true => Ok((path, Value::Agreement(closeness), images)),
                false => bail!(
                    "block {path}: without it the class probabilities are no numbers on these images"
                ),
            }
        };
        let values = detours.iter().zip(contest.means()).map(value);
        Ok(Ended::Done(values.collect::<Result<_>>()?))
    }
}

/// Of the first `images`, from a representation: images × classes, in f64.
fn log_probabilities(engine: &Engine, representation: &Tensor, images: usize) -> Result<Tensor> {
    let scores = engine.scores(representation)?.context(
        "the class scores do not follow from the representation alone: use another --criterion",
    )?;
    let of_images = || -> Result<Tensor, TchError> {
        let scores = scores.f_narrow(0, 0, images as i64)?;
        scores
            .f_to_kind(Kind::Double)?
            .f_log_softmax(-1, Kind::Double)
    };
    of_images().map_err(explain)
}

/// The negative divergence of each image.
fn closeness(found: &Tensor, expected: &Tensor) -> Result<Vec<f64>, TchError> {
    let divergence = found.f_kl_div(expected, tch::Reduction::None, true)?;
    let of_image = divergence
        .f_flatten(1, -1)?
        .f_sum_dim_intlist(1, false, Kind::Double)?;
    Vec::try_from(of_image.f_neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closeness_is_the_divergence_from_the_whole_network_below_zero() {
        let log = |p: [f64; 2]| Tensor::from_slice(&p).log().reshape([1, 2]);
        let (found, whole) = ([0.5, 0.5], [0.9, 0.1]);
        let expected = -(0.9 * (0.9f64 / 0.5).ln() + 0.1 * (0.1f64 / 0.5).ln());
        let closeness = closeness(&log(found), &log(whole)).unwrap();
        assert!((closeness[0] - expected).abs() < 1e-12);
    }
}
