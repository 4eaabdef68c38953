//! The linear map in front of a gap and all behind it are fitted anew, in closed form, to what the unpruned network has in
//! the same places.
//!
//! For a place whose map is given `z`, with the normalisation behind it folded into its weights `W`, and whose value is
//! to become `t` in place of `y`: `min over D of ‖z·D − (t − y)‖² + λ·‖D‖²`, then `W + D`. In front of the gap `t` is what
//! the unpruned network has behind the removed block, elsewhere what it has in the same place. One place comes after
//! another, each with the input that those before it give it, so that later ones take up what earlier ones leave. λ is
//! chosen for each on images held back, where no change at all is among the choices. Nothing else is taken from these
//! images, since they also judge the answers.
//! What is nearer in its own place may take the answers further away: where all maps together bring these little, only what
//! brings them closer stays, block by block.
//! A regression errs towards the mean, so that class scores come out too small; the last map is scaled to make up for it.

mod track;

use anyhow::{Context, Result};
use tch::{Kind, TchError, Tensor};

use super::{Attempt, Repairer, Step};
use crate::blocks::analysis::Analysis;
use crate::program::ValueId;
use crate::run::interrupt;
use crate::run::refit::{Grid, Maps, Named, Norm, Passage, Place, Products, solution};
use crate::run::stops::{Look, Stops};
use crate::run::torch::state_dict::StateDict;
use crate::run::torch::{Model, copy, explain};
use crate::train::agreement::Agreement;
use track::{Batches, Learned, Track, Way};

/// Sides of the matrix of a regression beyond which it takes too much memory and time.
const WIDEST: i64 = 8192;

/// Samples of a regression for each input of the map: neighbouring pixels say nearly the same, so that more of them only
/// take time.
const SAMPLES_AN_INPUT: i64 = 128;

/// Part of the divergence of the answers that may be left for it to be enough to fit all places together.
const ENOUGH: f64 = 0.5;

/// A place, and the value of the unpruned network that its own is to be like.
struct Goal {
    place: Place,
    target: Look,
    /// Inputs of its map.
    columns: i64,
    /// It is a block's last.
    is_at_end: bool,
}

impl Attempt<'_> {
    /// Fits the places around the gaps that `removed`, named as in the original, left.
    pub(super) fn refit(&mut self, removed: &[String]) -> Result<()> {
        let goals = self.repairer.goals(&self.model, removed);
        if goals.is_empty() || self.repairer.learned_from.len() < 2 {
            return Ok(());
        }
        self.change(Step::Refit, |repairer, model| repairer.refit(model, &goals))?;
        Ok(())
    }
}

impl Repairer<'_> {
    /// The places around gaps, in the order in which they run.
    fn goals(&self, model: &Model, removed: &[String]) -> Vec<Goal> {
        let (whole, pruned) = (self.original.analysis(), model.analysis());
        let theirs = Maps {
            network: &whole.network,
            program: &whole.program,
        };
        let mine = Maps {
            network: &pruned.network,
            program: &pruned.program,
        };
        let ends = whole.blocks.iter().flat_map(|b| [b.input, b.output]);
        let mut all: Vec<Place> = ends.filter_map(|end| theirs.behind(end)).collect();
        all.sort_by_key(|place| place.end);
        all.dedup();
        let own = |place: &Place| {
            let (module, name) = &place.weight;
            mine.of_weight(&whole.network.modules.get(*module).path, name)
        };
        let kept: Vec<(usize, Place)> = (0..)
            .zip(&all)
            .filter_map(|(i, place)| Some((i, own(place)?)))
            .collect();
        let gaps = removed.iter().filter_map(|path| whole.block(path));
        let gaps: Vec<usize> = gaps
            .filter_map(|block| {
                let end = theirs.behind(block.output)?;
                all.iter().position(|place| *place == end)
            })
            .collect();
        let is_in_front = |i: usize| {
            let next = kept.get(i + 1).map(|(place, _)| *place);
            let is_next = |gap: &usize| kept[i].0 < *gap && next.is_none_or(|next| next > *gap);
            gaps.iter().any(is_next)
        };
        let is_behind = |i: usize| gaps.iter().any(|gap| kept[i].0 > *gap);
        let shape = |value: ValueId| whole.program.shape(value);
        // Maps inside the blocks, and those behind the last: they are given what the gap changed.
        let first = (0..kept.len())
            .find(|i| is_behind(*i))
            .unwrap_or(kept.len());
        let from = first
            .checked_sub(1)
            .map_or(0, |before| kept[before].1.end + 1);
        let inner = mine.between(from..pruned.program.statements.len());
        // Beside a block's end there are its shortcut's maps, which are given what is no longer there then.
        let is_at_end = |place: &Place| {
            let mut ends = kept.iter();
            ends.any(|(_, end)| (end.map..=end.end).contains(&place.map))
        };
        let inner = inner.into_iter().filter(|place| !is_at_end(place));
        let inner = inner.filter_map(|place| elsewhere(place, mine, theirs));
        let near = (0..kept.len()).filter(|i| is_in_front(*i) || is_behind(*i));
        let mut goals: Vec<Goal> = near
            .map(|i| {
                let (place, own) = &kept[i];
                let next = kept.get(i + 1).map_or(all.len(), |(next, _)| *next);
                // What was removed behind it is to be made up for as well.
                let itself = &all[*place];
                let mut behind = all[*place..next].iter().rev();
                let is_alike =
                    |p: &&Place| shape(p.value).is_some() && shape(p.value) == shape(itself.value);
                let target = behind.find(is_alike).unwrap_or(itself);
                Goal {
                    columns: mine.columns(own),
                    place: own.clone(),
                    target: target.value_alone(),
                    is_at_end: true,
                }
            })
            .chain(inner)
            .collect();
        goals.retain(|goal| goal.columns <= WIDEST);
        goals.sort_by_key(|goal| goal.place.map);
        goals
    }

    fn refit(&self, model: &mut Model, goals: &[Goal]) -> Result<()> {
        let last = goals.last().map(|goal| &goal.place);
        let last = last.filter(|place| gives_scores(model, place));
        let looks: Vec<Look> = goals.iter().map(|goal| goal.place.look()).collect();
        let targets: Vec<Look> = goals.iter().map(|goal| goal.target.clone()).collect();
        let state = StateDict::of(&model.analysis().network);
        let mut original = self.original.clone();
        let targets = Stops::from_look_to_look(original.analysis(), &targets);
        let ways = [
            Way::of(model, Stops::of(model.analysis(), &looks))?,
            Way::of(&mut original, targets)?,
        ];
        let (pruned, tensors) = model.in_memory()?;
        let weights = Weights { state, tensors };
        let images = Batches::of([&self.learned_from, self.answers.images()], &ways, pruned)?;
        let tracks = Tracks {
            mine: Track::begin(pruned, &ways[0], &images)?,
            theirs: Track::begin(original.module()?, &ways[1], &images)?,
            learned: images.learned,
        };
        drop(images);
        let agreement = || match last {
            Some(_) => self.answers.agreement_scaled(pruned),
            None => Ok((self.answers.agreement(pruned)?, 1.)),
        };
        let before = agreement()?;
        let unchanged = weights.copies(goals)?;
        tracks.clone().fit(0, goals, &weights)?;
        let mut closest = agreement()?;
        let is_enough = closest.0.closeness >= ENOUGH * before.0.closeness;
        if !is_enough {
            let (together, fitted) = (closest, weights.copies(goals)?);
            weights.put_back(&unchanged)?;
            closest = tracks.keep_by_blocks(goals, &weights, &fitted, before, agreement)?;
            if together.0.is_closer_than(closest.0) {
                weights.put_back(&fitted)?;
                closest = together;
            }
        }
        last.map_or(Ok(()), |place| weights.scale(place, closest.1))
    }
}

/// Both networks on their ways through the same images.
#[derive(Clone)]
struct Tracks<'a> {
    mine: Track<'a>,
    theirs: Track<'a>,
    learned: Learned,
}

/// How close the answers are once scaled, and that scale.
type Scaled = (Agreement, f64);

impl Tracks<'_> {
    /// Fits these places, the first of which has this number.
    fn fit(&mut self, first: usize, goals: &[Goal], weights: &Weights) -> Result<()> {
        for (number, goal) in (first..).zip(goals) {
            interrupt::check()?;
            tch::no_grad(|| self.fit_one(number, goal, weights))?;
        }
        Ok(())
    }

    /// Fits all places, block by block, and leaves each block's as they were where the answers are no closer with them.
    /// As long as every block is kept, its fit is that of all `together`.
    fn keep_by_blocks(
        mut self,
        goals: &[Goal],
        weights: &Weights,
        together: &[Copies],
        before: Scaled,
        agreement: impl Fn() -> Result<Scaled>,
    ) -> Result<Scaled> {
        let mut closest = before;
        let mut first = 0;
        let mut are_all_kept = true;
        for block in goals.split_inclusive(|goal| goal.is_at_end) {
            let unchanged = weights.copies(block)?;
            let places = first..first + block.len();
            if !are_all_kept {
                tch::no_grad(|| self.mine.advance_to(first))?;
            }
            let start = self.mine.clone();
            match are_all_kept {
                true => weights.put_back(&together[places.clone()])?,
                false => self.fit(first, block, weights)?,
            }
            first = places.end;
            let found = agreement()?;
            if found.0.is_closer_than(closest.0) {
                closest = found;
            } else {
                weights.put_back(&unchanged)?;
                self.mine = start;
                are_all_kept = false;
            }
        }
        Ok(closest)
    }

    fn fit_one(&mut self, number: usize, goal: &Goal, weights: &Weights) -> Result<()> {
        self.mine.advance_to(number)?;
        self.theirs.advance_to(number)?;
        let mut products = [None, None];
        for batch in 0..self.mine.batches() {
            let [input, value] = self.mine.look(batch)?;
            let [target] = self.theirs.look(batch)?;
            let missing = goal.place.missing(&value, &target)?;
            let pixels = SAMPLES_AN_INPUT * goal.columns / self.learned.images.max(1);
            let grid = Grid::of_at_most(pixels, &missing).turned(batch);
            let found = goal.place.products(&input, &missing, grid)?;
            let is_held = batch >= self.learned.batches;
            found.add_to(&mut products[usize::from(is_held)])?;
        }
        if let [Some(learned), Some(held)] = products
            && let Some(d) = solution(&learned, &held)?
        {
            let map = FoldedMap::of(&goal.place, weights)?;
            map.change(&goal.place, &d, &learned, weights)?;
        }
        Ok(())
    }
}

/// Whether the network answers with the class scores that this place's map gives.
fn gives_scores(model: &Model, place: &Place) -> bool {
    let Analysis {
        network,
        program,
        interface,
        ..
    } = model.analysis();
    let answer = interface.as_ref().ok().map(|interface| &interface.answer);
    let values = answer.and_then(|answer| answer.values());
    let maps = Maps { network, program };
    let is_map_alone = place.norm.is_none() && place.passages.is_empty();
    let is_it = |scores: &[ValueId]| match scores {
        [scores] => maps.behind(*scores).is_some_and(|last| last == *place),
        _ => false,
    };
    is_map_alone && values.is_some_and(|values| is_it(&values))
}

/// A place that is no block's end is to be like the same one of the unpruned network; `None` where that has another shape.
fn elsewhere(place: Place, mine: Maps, theirs: Maps) -> Option<Goal> {
    let (module, name) = &place.weight;
    let path = &mine.network.modules.get(*module).path;
    let same = theirs.of_weight(path, name)?;
    let shape = theirs.program.shape(same.value)?;
    (mine.program.shape(place.value) == Some(shape)).then(|| Goal {
        target: same.value_alone(),
        columns: mine.columns(&place),
        place,
        is_at_end: false,
    })
}

/// The tensors of one place as they were.
type Copies<'a> = Vec<(&'a Named, Tensor)>;

/// The tensors of a network in memory.
struct Weights<'a> {
    state: StateDict,
    tensors: &'a [Tensor],
}

impl Weights<'_> {
    fn get(&self, (module, name): &Named) -> Result<&Tensor> {
        let place = self.state.place(*module, name);
        Ok(&self.tensors[place.context("a tensor that is gone")?])
    }

    /// Of all that fitting these places may change, place by place.
    fn copies<'g>(&self, goals: &'g [Goal]) -> Result<Vec<Copies<'g>>> {
        let copied = |named: &'g Named| Ok((named, copy(self.get(named)?)?));
        let of_place = |goal: &'g Goal| goal.place.tensors().map(copied).collect();
        goals.iter().map(of_place).collect()
    }

    /// Multiplies what a map without a normalisation gives.
    fn scale(&self, place: &Place, by: f64) -> Result<()> {
        let mut tensors = place.tensors();
        tch::no_grad(|| {
            tensors.try_for_each(|named| {
                let scaled = self.get(named)?.f_mul_scalar(by).map_err(explain)?;
                self.put(named, &scaled)
            })
        })
    }

    fn put_back(&self, copies: &[Copies]) -> Result<()> {
        let mut copies = copies.iter().flatten();
        tch::no_grad(|| copies.try_for_each(|(named, copy)| self.put(named, copy)))
    }

    /// Puts values in the place of a tensor's, whatever their shape.
    fn put(&self, named: &Named, values: &Tensor) -> Result<()> {
        let mut to = self.get(named)?.shallow_clone();
        let values = values.f_reshape(to.size()).map_err(explain)?;
        to.f_copy_(&values).map_err(explain)
    }
}

/// A map with the normalisation behind it: `weight · z + bias`, in f64.
struct FoldedMap {
    weight: Tensor,
    bias: Option<Tensor>,
    /// For each output, what the normalisation multiplies by.
    factor: Option<Tensor>,
}

impl FoldedMap {
    fn of(place: &Place, weights: &Weights) -> Result<Self> {
        let wide = |named: &Named| weights.get(named)?.f_to_kind(Kind::Double).map_err(explain);
        let weight = wide(&place.weight)?;
        let weight = weight.f_flatten(1, -1).map_err(explain)?;
        let bias = place.bias.as_ref().map(wide).transpose()?;
        let Some(norm) = &place.norm else {
            return Ok(FoldedMap {
                weight,
                bias,
                factor: None,
            });
        };
        let [scale, shift, mean, variance] =
            [&norm.scale, &norm.shift, &norm.mean, &norm.variance].map(wide);
        let (scale, shift, mean, variance) = (scale?, shift?, mean?, variance?);
        let fold = || -> Result<Self, TchError> {
            let factor = scale.f_div(&variance.f_add_scalar(norm.epsilon)?.f_sqrt()?)?;
            let before = match bias {
                Some(bias) => bias.f_sub(&mean)?,
                None => mean.f_neg()?,
            };
            Ok(FoldedMap {
                weight: weight.f_mul(&factor.f_unsqueeze(1)?)?,
                bias: Some(before.f_mul(&factor)?.f_add(&shift)?),
                factor: Some(factor),
            })
        };
        fold().map_err(explain)
    }

    /// Puts this map, changed by `d` as the sum has it, in the place of the network's own.
    fn change(self, place: &Place, d: &Tensor, seen: &Products, weights: &Weights) -> Result<()> {
        let inputs = self.weight.size()[1];
        let d = unscaled(d, place, weights)?;
        let put = |named: &Named, value: &Tensor| weights.put(named, value);
        let weight = d
            .f_narrow(1, 0, inputs)
            .and_then(|more| self.weight.f_add(&more))
            .map_err(explain)?;
        let bias = self.bias.map(|bias| bias.f_add(&d.f_select(1, inputs)?));
        let bias = bias.transpose().map_err(explain)?;
        let (Some(norm), Some(factor), Some(bias)) = (&place.norm, self.factor, &bias) else {
            if let (Some(named), Some(bias)) = (&place.bias, &bias) {
                put(named, bias)?;
            }
            return put(&place.weight, &weight);
        };
        let [mean, covariance] = seen.moments(inputs)?;
        let normalised = Normalised::of(norm, &weight, bias, &factor, &mean, &covariance);
        let normalised = normalised.map_err(explain)?;
        put(&place.weight, &normalised.weight)?;
        if let Some(named) = &place.bias {
            put(named, &bias.f_zeros_like().map_err(explain)?)?;
        }
        put(&norm.mean, &normalised.mean)?;
        put(&norm.variance, &normalised.variance)?;
        put(&norm.scale, &normalised.scale)?;
        put(&norm.shift, &normalised.shift)
    }
}

/// What a map, outputs × inputs, has to change by for the sum to change by `d`, inputs × outputs.
fn unscaled(d: &Tensor, place: &Place, weights: &Weights) -> Result<Tensor> {
    /// Next to nothing of a channel that is scaled by less reaches the sum.
    const LEAST: f64 = 1e-6;
    let mut d = d.f_transpose(0, 1).map_err(explain)?;
    for passage in &place.passages {
        let scale = match passage {
            Passage::Permuted(_) => continue,
            Passage::Scaled(by) => Tensor::from(*by),
            Passage::ScaledBy(named) => weights.get(named)?.shallow_clone(),
        };
        let unscale = || -> Result<Tensor, TchError> {
            let scale = scale.f_to_kind(Kind::Double)?.f_reshape([-1, 1])?;
            let reaches = scale.f_abs()?.f_gt(LEAST)?;
            let quotient = d.f_div(&scale)?;
            quotient.f_where_self(&reaches, &quotient.f_zeros_like()?)
        };
        d = unscale().map_err(explain)?;
    }
    Ok(d)
}

/// A map and its normalisation, whose statistics are those of what it was given.
struct Normalised {
    weight: Tensor,
    mean: Tensor,
    variance: Tensor,
    scale: Tensor,
    shift: Tensor,
}

impl Normalised {
    /// That gives `weight · z + bias`, for inputs of this mean and covariance. The weights stay of the size they had, so
    /// that training goes on as it would have.
    fn of(
        norm: &Norm,
        weight: &Tensor,
        bias: &Tensor,
        factor: &Tensor,
        mean: &Tensor,
        covariance: &Tensor,
    ) -> Result<Self, TchError> {
        // A channel that was switched off has no size to keep.
        let is_on = factor.f_abs()?.f_gt(1e-6)?;
        let factor = factor.f_where_self(&is_on, &factor.f_ones_like()?)?;
        let weight = weight.f_div(&factor.f_unsqueeze(1)?)?;
        let mean = weight.f_matmul(mean)?;
        let spread = weight.f_matmul(covariance)?.f_mul(&weight)?;
        let variance = spread
            .f_sum_dim_intlist(1, false, Kind::Double)?
            .f_clamp_min(0.)?;
        let deviation = variance.f_add_scalar(norm.epsilon)?.f_sqrt()?;
        Ok(Normalised {
            scale: deviation.f_mul(&factor)?,
            shift: bias.f_add(&mean.f_mul(&factor)?)?,
            weight,
            mean,
            variance,
        })
    }
}
