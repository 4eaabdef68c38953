//! What is left of the representation once the block is gone and the linear map in front of the gap is fitted anew, in
//! closed form, to give what stood behind the block: one minus the mean squared error over the variance.
//!
//! A part of the images is for the fits, all of which are made on the way of each batch through the network once; the
//! others tell the error. A block with no such map in front of it is judged by what is left without a fit.

use std::num::NonZeroUsize;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;
use tch::Tensor;

use super::contest::Contest;
use super::{Criterion, ScoringContext, Value, Values};
use crate::blocks::analysis::Analysis;
use crate::blocks::{self, Block, Cut};
use crate::data::{Batch, Images};
use crate::program::ast::Function;
use crate::program::{Emitter, Span};
use crate::run::refit::{Grid, Maps, Place, Products, best_penalty};
use crate::run::segments::Detour;
use crate::run::stops::Stops;
use crate::run::torch::{Module, Workers};
use crate::score::engine::Engine;
use crate::score::{Ended, Tally, first_look};

/// One pass for the fits, and one for the errors.
pub struct Recoverability;

/// Images for the fits at most: a map of a few hundred inputs is given several rows by each.
const MOST_FITTED: usize = 512;
/// Of each five images for the fits, those that choose the penalty.
const HELD: usize = 5;
/// Sides of a regression's matrix beyond which a map is not fitted: one such matrix is kept for each candidate.
const WIDEST: i64 = 2049;

/// Pixels of a map for the fits, of each image.
const PIXELS: i64 = 64;

/// How the network runs without a block.
struct Candidate {
    /// The piece behind the block.
    detour: Detour,
    /// `None`: there is nothing to fit.
    gap: Option<Gap>,
}

/// What is around a gap.
struct Gap {
    /// The place in front of it, by number.
    front: usize,
    /// The one behind the block.
    behind: usize,
    /// From the value in front to what the block is given, where that is another.
    lead: Option<String>,
}

/// The network, its places, and its candidates.
struct Course {
    candidates: Vec<Candidate>,
    /// In the order in which they run.
    places: Vec<Place>,
    stops: Stops,
    functions: Vec<Function>,
}

impl Criterion for Recoverability {
    fn measure(&mut self, context: &ScoringContext, _begun: Vec<Tally>) -> Result<Ended<Values>> {
        let job = context.job;
        let blocks = context.blocks()?;
        let engine = Engine::open(job.model, &first_look(job.images)?)?;
        let detours = context.detours(engine.pieces())?;
        let course = Course::of(job.model.analysis(), &blocks, &detours);
        let mut model = job.model.clone();
        let functions = course.stops.functions().into_iter();
        model.load_with_methods(functions.chain(course.functions.clone()).collect())?;
        let module = model.module()?;
        let images = job.images.suiting(job.model.batch_together());
        let fitted = (images.len() / 2).min(MOST_FITTED);
        let part = |range: Range<usize>| images.subset(&range.collect::<Vec<_>>());
        let (to_fit, to_judge) = (part(0..fitted), part(fitted..images.len()));
        // Several batches on each side, so that both have images.
        let few = NonZeroUsize::new(fitted / (2 * HELD)).unwrap_or(NonZeroUsize::MIN);
        let to_fit = to_fit.in_batches_of(few.min(images.loader.batch_size()));
        let runner = Runner {
            context,
            module,
            engine: &engine,
            course: &course,
            workers: Workers::of(job.model.device())?,
        };
        tch::no_grad(|| {
            let Some(changes) = runner.fits(&to_fit)? else {
                return Ok(Ended::Stopped(Vec::new()));
            };
            let Some((contest, variance)) = runner.judged(&to_judge, &changes)? else {
                return Ok(Ended::Stopped(Vec::new()));
            };
            // Whoever saw all images to be judged on was compared on all there are.
            let of_all = |seen| {
                if seen == to_judge.len() {
                    images.len()
                } else {
                    seen
                }
            };
            let left = |error: f64| 1. + error / variance;
            let means = contest.means().map(|(error, seen)| (left(error), seen));
            let value = |(block, (left, seen)): (&&Block, (f64, usize))| match left.is_finite() {
                true => Ok((
                    block.path.clone(),
                    Value::Recoverability(left),
                    of_all(seen),
                )),
                false => bail!(
                    "block {}: without it the representation is no number on these images",
                    block.path
                ),
            };
            let values = blocks.iter().zip(means).map(value);
            Ok(Ended::Done(values.collect::<Result<_>>()?))
        })
    }
}

impl Course {
    fn of(analysis: &Analysis, blocks: &[&Block], detours: &[&Detour]) -> Self {
        let (network, program) = (&analysis.network, &analysis.program);
        let emitter = Emitter::new(network, program);
        let maps = Maps { network, program };
        let cuts = blocks::cuts(program);
        let ends = |block: &Block, detour: &Detour| -> Option<[Place; 2]> {
            let [front, behind] = [maps.behind(block.input)?, maps.behind(block.output)?];
            let is_cut = cuts.contains(&Cut {
                position: front.end + 1,
                value: front.value,
            });
            let shape = |place: &Place| program.shape(place.value);
            let is_alike = shape(&front).is_some() && shape(&front) == shape(&behind);
            let fits = is_cut && is_alike && maps.columns(&front) <= WIDEST;
            (fits && detour.variant.is_none()).then_some([front, behind])
        };
        let pairs = blocks.iter().zip(detours);
        let gaps: Vec<Option<[Place; 2]>> = pairs.map(|(b, d)| ends(b, d)).collect();
        let mut places: Vec<Place> = gaps.iter().flatten().flatten().cloned().collect();
        places.sort_by_key(|place| place.map);
        places.dedup();
        let number = |place: &Place| places.iter().position(|p| p == place);
        let mut functions = Vec::new();
        let mut candidates = Vec::new();
        for (i, ((block, detour), ends)) in blocks.iter().zip(detours).zip(&gaps).enumerate() {
            let gap = ends.as_ref().and_then(|[front, behind]| {
                let lead = (front.value != block.input).then(|| {
                    let code = emitter.code(&Span {
                        input: front.value,
                        output: block.input,
                        statements: front.end + 1..block.statements.start,
                        without: Vec::new(),
                    });
                    let name = format!("ckaprune_gap_{i}");
                    functions.push(emitter.method(&name, &code, None));
                    name
                });
                Some(Gap {
                    front: number(front)?,
                    behind: number(behind)?,
                    lead,
                })
            });
            candidates.push(Candidate {
                detour: (*detour).clone(),
                gap,
            });
        }
        let looks: Vec<_> = places.iter().map(Place::look).collect();
        Course {
            candidates,
            stops: Stops::of(analysis, &looks),
            places,
            functions,
        }
    }

    /// Adds what a batch says of one fit: its place, and there what the map is given, the value, and what it is to become.
    fn add(
        &self,
        (front, tensors, sums): (usize, [Tensor; 3], &mut Option<Products>),
    ) -> Result<()> {
        let [input, value, target] = tensors;
        let place = &self.places[front];
        let missing = place.missing(&value, &target)?;
        let found = place.products(&input, &missing, Grid::of_at_most(PIXELS, &missing))?;
        found.add_to(sums)
    }
}

/// What a place's map is given, and the place's value.
type Seen = [Tensor; 2];

/// Sums for the fit of each candidate, of images to learn from and of those that choose the penalty.
type Sums = [Option<Products>; 2];

/// What the network without a candidate is run from.
enum Begin {
    /// The tensor in front of the block.
    Boundary(Tensor),
    Gap {
        seen: Seen,
        change: Option<Tensor>,
    },
}

impl Begin {
    fn of(
        candidate: &Candidate,
        change: &Option<Tensor>,
        seen: &[Seen],
        boundaries: &[Tensor],
    ) -> Self {
        match &candidate.gap {
            None => Begin::Boundary(boundaries[candidate.detour.from].shallow_clone()),
            Some(gap) => Begin::Gap {
                seen: seen[gap.front].each_ref().map(Tensor::shallow_clone),
                change: change.as_ref().map(Tensor::shallow_clone),
            },
        }
    }

    /// The representation without the candidate.
    fn run(
        self,
        candidate: &Candidate,
        course: &Course,
        module: &Module,
        engine: &Engine,
    ) -> Result<Tensor> {
        let (gap, [input, value], change) = match (self, &candidate.gap) {
            (Begin::Boundary(tensor), _) => return engine.detour(&candidate.detour, &tensor),
            (Begin::Gap { .. }, None) => bail!("a gap without places"),
            (Begin::Gap { seen, change }, Some(gap)) => (gap, seen, change),
        };
        let value = match change {
            Some(d) => course.places[gap.front].changed_by(&d, &input, &value)?,
            None => value,
        };
        let given = match &gap.lead {
            Some(lead) => module.method(lead, &value, Vec::new())?,
            None => value,
        };
        engine.run(candidate.detour.resume, engine.laid(given)?)
    }
}

struct Runner<'a> {
    context: &'a ScoringContext<'a>,
    /// With the methods of the course.
    module: &'a Module,
    engine: &'a Engine,
    course: &'a Course,
    workers: Workers,
}

impl Runner<'_> {
    /// For each candidate what is added to the map in front of its gap, where that helps; `None` if the user stopped it.
    fn fits(&self, images: &Images) -> Result<Option<Vec<Option<Tensor>>>> {
        let course = self.course;
        let candidates = &course.candidates;
        let mut sums: Vec<Sums> = candidates.iter().map(|_| [None, None]).collect();
        let bar = self
            .context
            .scoring
            .progress
            .bar("fitting maps", images.len());
        for (number, batch) in images.batches(0)?.enumerate() {
            if (self.context.stop)() {
                return Ok(None);
            }
            let batch = batch?;
            let seen = self.seen(&self.module.images(&batch.images)?)?;
            let side = usize::from(number % HELD == HELD - 1);
            let fits = candidates.iter().zip(&mut sums);
            let fits: Vec<_> = fits
                .filter_map(|(candidate, sums)| {
                    let Gap { front, behind, .. } = *candidate.gap.as_ref()?;
                    let tensors = [&seen[front][0], &seen[front][1], &seen[behind][1]];
                    Some((front, tensors.map(Tensor::shallow_clone), &mut sums[side]))
                })
                .collect();
            self.workers.run(|| {
                let each = fits.into_par_iter();
                each.map(|fit| tch::no_grad(|| course.add(fit)))
                    .collect::<Result<()>>()
            })?;
            bar.advance(batch.indices.len());
        }
        let solved = |sums: Sums| -> Result<Option<Tensor>> {
            let [Some(mut learned), Some(held)] = sums else {
                return Ok(None);
            };
            let Some(penalty) = best_penalty(&learned, &held)? else {
                return Ok(None);
            };
            // Other images tell the error, so that these may all be learned from.
            learned.add(&held)?;
            learned.solve(penalty)
        };
        sums.into_iter()
            .map(solved)
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The squared error of the representation without each candidate, below zero, and the variance of the representation;
    /// `None` if the user stopped it.
    fn judged(
        &self,
        images: &Images,
        changes: &[Option<Tensor>],
    ) -> Result<Option<(Contest, f64)>> {
        let (scoring, course) = (self.context.scoring, self.course);
        let mut contest = Contest::of(self.context.job, scoring.race, images.len());
        let mut spread = Spread::default();
        let bar = scoring.progress.bar("judging what is left", images.len());
        let mut done = 0;
        for batch in images.batches(0)? {
            if (self.context.stop)() {
                return Ok(None);
            }
            let batch = batch?;
            let count = batch.indices.len();
            let seen = self.seen(&self.module.images(&batch.images)?)?;
            let boundaries = self.boundaries(&batch)?;
            let whole = boundaries.last().context("a network without pieces")?;
            let whole = rows(self.engine, whole, count)?;
            spread.add(&whole);
            let live = course.candidates.iter().zip(changes).enumerate();
            let live: Vec<(usize, Begin)> = live
                .filter(|(place, _)| contest.has(*place))
                .map(|(place, (candidate, change))| {
                    (place, Begin::of(candidate, change, &seen, &boundaries))
                })
                .collect();
            let (module, engine) = (self.module, self.engine);
            let left = |(place, begin): (usize, Begin)| -> Result<(usize, Vec<f64>)> {
                let candidate = &course.candidates[place];
                let without = begin.run(candidate, course, module, engine)?;
                Ok((
                    place,
                    below_zero(&rows(engine, &without, count)?, &whole, engine.places()),
                ))
            };
            let found = self.workers.run(|| {
                let each = live.into_par_iter();
                each.map(|one| tch::no_grad(|| left(one)))
                    .collect::<Result<Vec<_>>>()
            })?;
            for (place, values) in found {
                contest.add(place, values);
            }
            done += count;
            contest.drop_those_behind(done);
            bar.advance(count);
        }
        Ok(Some((contest, spread.variance())))
    }

    /// The tensors at all boundaries, the representation the last.
    fn boundaries(&self, batch: &Batch) -> Result<Vec<Tensor>> {
        let mut boundaries = vec![self.engine.input(batch, batch.indices.len())?];
        for segment in 0..self.engine.pieces().segments.len() {
            boundaries.push(self.engine.segment(segment, &boundaries[segment])?);
        }
        Ok(boundaries)
    }

    /// What there is at all places.
    fn seen(&self, images: &Tensor) -> Result<Vec<Seen>> {
        let mut state = images.shallow_clone();
        let mut seen = Vec::new();
        for stop in self.course.stops.stops() {
            if let Some(lead) = &stop.lead {
                state = self.module.method(lead, &state, Vec::new())?;
            }
            let values = self.module.list(&stop.look, &state)?.try_into();
            seen.push(
                values
                    .ok()
                    .context("a look that gives other values than were asked for")?,
            );
        }
        Ok(seen)
    }
}

/// Rows of features: samples × features.
fn rows(engine: &Engine, representation: &Tensor, images: usize) -> Result<Array2<f64>> {
    let rows = engine
        .rows(&[representation.shallow_clone()], images)?
        .pop();
    Ok(rows
        .context("a batch without a representation")?
        .mapv(f64::from))
}

/// For each image the mean squared error of its samples, below zero.
fn below_zero(found: &Array2<f64>, expected: &Array2<f64>, places: usize) -> Vec<f64> {
    let rows = found.outer_iter().zip(expected.outer_iter());
    let of_samples: Vec<f64> = rows
        .map(|(f, e)| -(&f - &e).mapv(|x| x * x).sum())
        .collect();
    let images = of_samples.chunks(places);
    images
        .map(|image| image.iter().sum::<f64>() / places as f64)
        .collect()
}

/// Sums over samples that tell how much the representation varies from one to another.
#[derive(Default)]
struct Spread {
    samples: usize,
    sum: Option<Array1<f64>>,
    square: f64,
}

impl Spread {
    fn add(&mut self, rows: &Array2<f64>) {
        self.samples += rows.nrows();
        self.square += rows.iter().map(|x| x * x).sum::<f64>();
        let of_rows = rows.sum_axis(Axis(0));
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + of_rows,
            None => of_rows,
        });
    }

    /// The mean squared distance from the mean; no number of no samples.
    fn variance(&self) -> f64 {
        let count = self.samples as f64;
        let of_mean = |sum: &Array1<f64>| sum.dot(sum) / (count * count);
        self.square / count - self.sum.as_ref().map_or(0., of_mean)
    }
}
