//! How much what a network answers changes without the block, negative, so that more is closer. Of class scores it is the
//! mean Kullback-Leibler divergence of the class probabilities from those of the whole network, in nats; of other answers the
//! mean squared difference over the variance.

use anyhow::{Context, Result, bail};
use tch::{Kind, TchError, Tensor};

use super::contest::Contest;
use super::{Criterion, ScoringContext, Value, Values};
use crate::data::Images;
use crate::run::distance::{distance_of_each, drawn, numbers, variance};
use crate::run::segments::Detour;
use crate::run::torch::{Workers, explain};
use crate::score::batch_run::BatchRun;
use crate::score::engine::Engine;
use crate::score::{Ended, Job, Tally, first_look};

/// Candidates run from their block on, as for CKA, up to the answer.
pub struct Agreement;

impl Criterion for Agreement {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let job = context.job;
        let images = job.images.suiting(job.model.batch_together());
        let comparison = Comparison::of(job, &images)?;
        let engine = &comparison.engine;
        let detours: Vec<&Detour> = context.detours(engine.pieces())?;
        let race = context.scoring.race;
        let mut contest = Contest::of(job, race, job.images.len());
        let bar = (context.scoring.progress).bar("comparing answers", images.len());
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
                engine,
                detours: &of_live,
                batch_size: images.loader.batch_size().get(),
                keep: false,
            };
            let are_scores = matches!(comparison.by, By::Probabilities);
            let found = workers.run(|| -> Result<Vec<Tensor>> {
                let (ends, _) = walk.representations(&batch, Vec::new())?;
                let of_images = |end: &Tensor| match are_scores {
                    true => log_probabilities(engine, end, count),
                    false => end.f_narrow(0, 0, count as i64).map_err(explain),
                };
                ends.iter().map(of_images).collect()
            })?;
            let (whole, without) = found.split_first().context("a batch without answers")?;
            for (place, without) in live.iter().zip(without) {
                let closeness = comparison.closeness(without, whole).map_err(explain)?;
                contest.add(*place, closeness);
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
                    "block {path}: without it the network's answers are no numbers on these images"
                ),
            }
        };
        let values = detours.iter().zip(contest.means()).map(value);
        Ok(Ended::Done(values.collect::<Result<_>>()?))
    }
}

/// How answers are compared, and the network that gives them.
struct Comparison {
    engine: Engine,
    by: By,
}

enum By {
    /// Class probabilities, which follow from the representation.
    Probabilities,
    /// The numbers at these places of an answer, each by its variance (1 × numbers) over the images.
    Numbers { places: Tensor, variance: Tensor },
}

impl Comparison {
    fn of(job: &Job, images: &Images) -> Result<Self> {
        let sample = first_look(job.images)?;
        if job.model.interface()?.check_scores().is_ok() {
            return Ok(Comparison {
                engine: Engine::open(job.model, &sample)?,
                by: By::Probabilities,
            });
        }
        let engine = Engine::answering(job.model, &sample)?;
        // What was loaded is let go of at the end.
        let model = job.model.clone();
        let places = drawn(model.module()?, images)?;
        let mut answers = Vec::new();
        for batch in images.batches(0)? {
            let batch = batch?;
            let input = engine.input(&batch, batch.indices.len())?;
            let answer = engine.run(0, input)?;
            answers.push(numbers(&answer, &places).map_err(explain)?);
        }
        let variance = || variance(&Tensor::f_cat(&answers, 0)?.f_to_kind(Kind::Double)?, 1);
        let variance = variance().map_err(explain)?;
        Ok(Comparison {
            engine,
            by: By::Numbers { places, variance },
        })
    }

    /// Of each image: log-probabilities, or answers as they are.
    fn closeness(&self, found: &Tensor, expected: &Tensor) -> Result<Vec<f64>, TchError> {
        match &self.by {
            By::Probabilities => closeness(found, expected),
            By::Numbers { places, variance } => {
                let [found, expected] = [numbers(found, places)?, numbers(expected, places)?];
                Vec::try_from(distance_of_each(&found, &expected, variance)?.f_neg()?)
            }
        }
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
