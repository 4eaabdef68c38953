//! The normalisation that follows a removed block makes up for it: scale and shift of each channel, in closed form.
//!
//! Behind the block come sums `x + n(..)` of a skip connection and a batch normalisation. In the unpruned network the same
//! sum gives `s`; the scale `a` and shift `b` of each channel that make `Σ (x + a n + b − s)²` over images and places
//! least are those of a linear regression of `s − x` on `n`. They are folded into the normalisation's own: nothing is
//! added to the network.

use anyhow::{Context, Result};
use tch::{Kind, TchError, Tensor};

use super::{Attempt, Repairer, Step};
use crate::program::{ModuleId, Network, Operand, Program, Statement, ValueId};
use crate::run::torch::Model;
use crate::run::torch::state_dict::StateDict;
use crate::run::torch::{Module, explain};

/// Sums that are fitted behind each removed block. The first takes up most; what is left passes through the next ones.
const REACH: usize = 3;

/// A sum `other + norm`, in which `norm` is a batch normalisation with a scale and a shift of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sum {
    /// The statement that adds.
    statement: usize,
    other: ValueId,
    norm: ValueId,
    sum: ValueId,
    scale: (ModuleId, String),
    shift: (ModuleId, String),
}

/// The same sum as the original computes it, and as the network does that is repaired.
pub(super) type Pair = (Sum, Sum);

impl Attempt<'_> {
    /// Fits the sums of `pairs`, which the network in memory gives by [`methods`].
    pub(super) fn fit_channels(&mut self, pairs: &[Pair]) -> Result<()> {
        if pairs.is_empty() || self.repairer.learned_from.len() < 2 {
            return Ok(());
        }
        self.change(Step::Channels, |repairer, model| repairer.fit(model, pairs))
            .map(drop)
    }
}

impl Repairer<'_> {
    fn fit(&self, model: &mut Model, pairs: &[Pair]) -> Result<()> {
        let mut original = self.original.clone();
        original.load_with(&methods(pairs.iter().map(|(original, _)| original)))?;
        let state = StateDict::of(&model.analysis().network);
        let (pruned, tensors) = model.in_memory()?;
        let parameter = |(module, name): &(ModuleId, String)| -> Result<&Tensor> {
            let place = state.place(*module, name);
            Ok(&tensors[place.context("a parameter that is gone")?])
        };
        tch::no_grad(|| -> Result<()> {
            for (i, (_, sum)) in pairs.iter().enumerate() {
                let line = self.regression(i, original.module()?, pruned)?;
                fold(&line, parameter(&sum.scale)?, parameter(&sum.shift)?).map_err(explain)?;
            }
            Ok(())
        })
    }

    /// The sums next behind the removed blocks, in the order in which they run.
    pub(super) fn sums_behind(&self, model: &Model, removed: &[String]) -> Vec<Pair> {
        let (analysis, whole) = (model.analysis(), self.original.analysis());
        let theirs = sums(&whole.network, &whole.program);
        let mine = sums(&analysis.network, &analysis.program);
        let named = |network: &Network, sum: &Sum| {
            let (module, name) = &sum.scale;
            (network.modules.get(*module).path.clone(), name.clone())
        };
        let left: Vec<Pair> = mine
            .into_iter()
            .filter_map(|mine| {
                let name = named(&analysis.network, &mine);
                let mut same = theirs.iter().filter(|s| named(&whole.network, s) == name);
                Some((same.next()?.clone(), mine))
            })
            .collect();
        let ends: Vec<usize> = removed
            .iter()
            .filter_map(|path| whole.block(path))
            .map(|block| block.statements.end)
            .collect();
        let is_near = |place: usize| {
            ends.iter().any(|end| {
                let before = left[..place].iter().filter(|(s, _)| s.statement >= *end);
                left[place].0.statement >= *end && before.count() < REACH
            })
        };
        (0..left.len())
            .filter(|place| is_near(*place))
            .map(|place| left[place].clone())
            .collect()
    }

    /// The best line for the sum number `i`.
    fn regression(&self, i: usize, original: &Module, pruned: &Module) -> Result<Line> {
        let mut sums = Sums::default();
        let images = self.learned_from.suiting(pruned.batch_together());
        for batch in images.batches(0)? {
            let images = pruned.images(&batch?.images)?;
            let name = sum_method(i);
            let (theirs, mine) = (original.list(&name, &images)?, pruned.list(&name, &images)?);
            let ([_, _, sum], [other, norm, _]) = (&theirs[..], &mine[..]) else {
                anyhow::bail!("a sum without its parts");
            };
            sums.add(norm, &sum.f_sub(other).map_err(explain)?)
                .map_err(explain)?;
        }
        sums.line().context("no images to fit channels on")
    }
}

/// For each sum a method that gives both its parts and itself.
pub(super) fn methods<'a>(sums: impl Iterator<Item = &'a Sum>) -> Vec<(String, Vec<ValueId>)> {
    let values = sums.map(|s| vec![s.other, s.norm, s.sum]);
    (0..).map(sum_method).zip(values).collect()
}

fn sum_method(i: usize) -> String {
    format!("ckaprune_sum_{i}")
}

/// For each channel `a` and `b` of `a n + b`.
struct Line {
    slope: Tensor,
    shift: Tensor,
}

/// Sums over images and places, for each channel, in f64.
#[derive(Default)]
struct Sums {
    count: f64,
    /// Of n, t, n² and n t, where `t` is what `n` is to become.
    products: Option<[Tensor; 4]>,
}

impl Sums {
    fn add(&mut self, n: &Tensor, t: &Tensor) -> Result<(), TchError> {
        let shape = n.size();
        let channels = shape.get(1).copied().unwrap_or(1).max(1);
        self.count += (n.numel() as i64 / channels) as f64;
        let places: Vec<i64> = (0..shape.len() as i64).filter(|d| *d != 1).collect();
        let over_places = |t: Tensor| t.f_sum_dim_intlist(&places[..], false, Kind::Double);
        let more = [
            over_places(n.shallow_clone())?,
            over_places(t.shallow_clone())?,
            over_places(n.f_mul(n)?)?,
            over_places(n.f_mul(t)?)?,
        ];
        self.products = Some(match self.products.take() {
            None => more,
            Some([a, b, c, d]) => {
                let [e, f, g, h] = more;
                [a.f_add(&e)?, b.f_add(&f)?, c.f_add(&g)?, d.f_add(&h)?]
            }
        });
        Ok(())
    }

    fn line(self) -> Result<Line> {
        let [n, t, nn, nt] = self.products.context("no products")?;
        let count = self.count.max(1.);
        let line = || -> Result<Line, TchError> {
            let mean = |t: &Tensor| t.f_div_scalar(count);
            let (n, t) = (mean(&n)?, mean(&t)?);
            let square = n.f_mul(&n)?;
            let variance = mean(&nn)?.f_sub(&square)?;
            let covariance = mean(&nt)?.f_sub(&n.f_mul(&t)?)?;
            // A channel that does not vary beyond the rounding of f32 keeps its scale.
            let floor = square.f_mul_scalar(f64::from(f32::EPSILON))?;
            let varies = variance.f_gt_tensor(&floor)?;
            let slope = covariance.f_div(&variance)?;
            let slope = slope.f_where_self(&varies, &slope.f_ones_like()?)?;
            let shift = t.f_sub(&slope.f_mul(&n)?)?;
            Ok(Line { slope, shift })
        };
        line().map_err(explain)
    }
}

/// Makes scale and shift of a normalisation those of `a n + b`.
fn fold(line: &Line, scale: &Tensor, shift: &Tensor) -> Result<(), TchError> {
    let wide = |t: &Tensor| t.f_to_kind(Kind::Double);
    let scaled = wide(scale)?.f_mul(&line.slope)?;
    let shifted = wide(shift)?.f_mul(&line.slope)?.f_add(&line.shift)?;
    scale.shallow_clone().f_copy_(&scaled)?;
    shift.shallow_clone().f_copy_(&shifted)?;
    Ok(())
}

/// The sums of a program whose normalisation is used nowhere else, in the order in which they run.
fn sums(network: &Network, program: &Program) -> Vec<Sum> {
    let added = program.statements.iter().enumerate();
    added
        .filter_map(|(i, statement)| sum(network, program, i, statement))
        .collect()
}

fn sum(network: &Network, program: &Program, i: usize, statement: &Statement) -> Option<Sum> {
    let is_plain = match statement.arg(2, "alpha") {
        None => true,
        Some(Operand::Literal(alpha)) => alpha == "1",
        Some(_) => false,
    };
    if !matches!(statement.operator(), Some("add" | "add_")) || !is_plain || statement.impure {
        return None;
    }
    let [sum] = statement.outputs[..] else {
        return None;
    };
    let [Operand::Value(a), Operand::Value(b)] =
        [statement.arg(0, "self")?, statement.arg(1, "other")?]
    else {
        return None;
    };
    // Both shapes are the sum's: nothing is broadcast.
    if program.shape(*a)? != program.shape(*b)? {
        return None;
    }
    let with = |norm: ValueId, other: ValueId| {
        let (scale, shift) = scale_and_shift(network, program, norm)?;
        Some(Sum {
            statement: i,
            other,
            norm,
            sum,
            scale,
            shift,
        })
    };
    with(*a, *b).or_else(|| with(*b, *a))
}

/// The parameters of the batch normalisation that gives a value, if nothing else reads that value or uses them.
fn scale_and_shift(
    network: &Network,
    program: &Program,
    norm: ValueId,
) -> Option<((ModuleId, String), (ModuleId, String))> {
    let made = program.statements.iter().find(|s| s.outputs == [norm])?;
    if made.operator() != Some("batch_norm") {
        return None;
    }
    let readers = program
        .statements
        .iter()
        .filter(|s| s.reads().any(|v| v == norm));
    let parameter = |place, name| {
        let operand = made.arg(place, name)?;
        network.tensor(operand).filter(|info| info.parameter)?;
        let uses = program.statements.iter().flat_map(|s| &s.args);
        let once = uses.filter(|a| a.value == *operand).count() == 1;
        match operand {
            Operand::Attribute { module, name } if once => Some((*module, name.clone())),
            _ => None,
        }
    };
    let found = (parameter(1, "weight")?, parameter(2, "bias")?);
    (readers.count() == 1).then_some(found)
}
