//! Learning from another network's class scores.

use std::cell::OnceCell;
use std::collections::HashMap;

use anyhow::{Result, bail};
use tch::{TchError, Tensor};

use super::features::{self, Maps};
use super::loss;
use super::precision::Precision;
use crate::data::{Images, Loader, ahead};
use crate::run::interrupt::Stopped;
use crate::run::torch::{self, FIRST_LOOK, Model, Module, Predictor, explain};

/// What a network learns from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Teaching {
    /// The images' labels, where they have any.
    pub labels: bool,
    /// Another network's class scores.
    pub scores: Option<Distillation>,
    /// Another network's maps.
    pub features: bool,
}

impl Teaching {
    /// Whether another network teaches.
    #[must_use]
    pub fn has_teacher(&self) -> bool {
        self.scores.is_some() || self.features
    }
}

/// How much of a teacher there is in the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// By which scores are divided: above 1 the classes beside the best one count more.
    pub temperature: f64,
    /// The labels have the rest.
    pub weight: f64,
}

/// A network to learn from: its class scores are targets (Hinton et al., arXiv 1503.02531), or its maps, or both.
pub struct Teacher<'a> {
    network: Taught<'a>,
    distillation: Option<Distillation>,
    /// Scores of images that are always the same.
    memory: Option<Memory>,
}

/// How a teacher is looked at.
enum Taught<'a> {
    Scores {
        module: &'a Module,
        /// Made when it is first asked.
        predictor: OnceCell<Predictor<'a>>,
    },
    /// Its maps, and its scores with them.
    Maps { model: Box<Model>, maps: Maps },
}

/// What a teacher says of images, as far as it is learned.
pub(super) struct Answer {
    pub scores: Option<Tensor>,
    /// All there are, or none.
    pub maps: Vec<Tensor>,
}

/// Bytes that remembered scores may take. Those of the 50,000 images of CIFAR-10 take 4 MB, those of ImageNet would take
/// 5 GB.
const BUDGET: usize = 256 << 20;

impl<'a> Teacher<'a> {
    /// Of class scores. Where the loader gives the same images in every epoch, each is shown to the teacher once, as long
    /// as there is memory for its scores.
    #[must_use]
    pub fn of_scores(module: &'a Module, distillation: Distillation, loader: &Loader) -> Self {
        Teacher {
            network: Taught::Scores {
                module,
                predictor: OnceCell::new(),
            },
            distillation: Some(distillation),
            memory: (!loader.is_augmented()).then(|| Memory::of(BUDGET)),
        }
    }

    /// Of maps, and of class scores as well if they are to be learned.
    ///
    /// # Errors
    /// If the network cannot be loaded, or has no maps that can be looked at.
    pub fn of_maps(model: &Model, distillation: Option<Distillation>) -> Result<Self> {
        let maps = Maps::of(model)?;
        let mut model = model.clone();
        model.load_with_methods(vec![maps.method(model.analysis())])?;
        Ok(Teacher {
            network: Taught::Maps {
                model: Box::new(model),
                maps,
            },
            distillation,
            memory: None,
        })
    }

    /// A network as the one that this teaching needs; `None` where it needs none.
    ///
    /// # Errors
    /// Those of [`of_maps`](Self::of_maps).
    pub fn new(model: &'a Model, teaching: Teaching, loader: &Loader) -> Result<Option<Self>> {
        Ok(match teaching {
            Teaching {
                features: true,
                scores,
                ..
            } => Some(Teacher::of_maps(model, scores)?),
            Teaching {
                scores: Some(scores),
                ..
            } => Some(Teacher::of_scores(model.module()?, scores, loader)),
            _ => None,
        })
    }

    /// The maps that are to be imitated, if any are.
    #[must_use]
    pub fn maps(&self) -> Option<&Maps> {
        match &self.network {
            Taught::Scores { .. } => None,
            Taught::Maps { maps, .. } => Some(maps),
        }
    }

    /// Shows the teacher all images that it can remember, in an order that is always the same: what a network computes
    /// for an image may depend on the batch in its last bits, and training that goes on half way is to see the same.
    ///
    /// # Errors
    /// If the teacher cannot run, or [`Stopped`].
    pub(super) fn learn_by_heart(
        &mut self,
        images: &Images,
        precision: Precision,
        stop: &dyn Fn() -> bool,
    ) -> Result<()> {
        let Taught::Scores { module, predictor } = &self.network else {
            return Ok(());
        };
        let Some(memory) = self.memory.as_mut().filter(|m| !m.is_filled) else {
            return Ok(());
        };
        ahead(images.batches(0)?, |batches| {
            for batch in batches {
                if stop() {
                    bail!(Stopped);
                }
                let batch = batch?;
                let images = module.images(&batch.images)?;
                let run = |images: &Tensor| answers(module, predictor, images, precision);
                let _ = tch::no_grad(|| memory.scores(&batch.indices, &images, run))?;
                if memory.is_full {
                    break;
                }
            }
            memory.is_filled = true;
            Ok(())
        })
    }

    /// What it says of a batch. `numbers` says which images these are, if they are as the data set has them.
    ///
    /// # Errors
    /// If the teacher cannot run.
    pub(super) fn answer(
        &mut self,
        numbers: Option<&[usize]>,
        images: &Tensor,
        precision: Precision,
    ) -> Result<Answer> {
        tch::no_grad(|| match &self.network {
            Taught::Scores { module, predictor } => {
                let run = |images: &Tensor| answers(module, predictor, images, precision);
                let scores = match (&mut self.memory, numbers) {
                    (Some(memory), Some(numbers)) => memory.scores(numbers, images, run)?,
                    _ => run(images)?,
                };
                Ok(Answer {
                    scores: Some(scores),
                    maps: Vec::new(),
                })
            }
            Taught::Maps { model, .. } => {
                let module = model.module()?;
                let seen = precision.run(|| features::look(module, images))?;
                Ok(Answer {
                    scores: self.distillation.map(|_| seen.scores),
                    maps: seen.maps,
                })
            }
        })
    }

    /// How far scores are from the teacher's ([`loss::divergence`]), and the part of that in the loss.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(super) fn divergence(
        &self,
        targets: &Tensor,
        scores: &Tensor,
    ) -> Result<Option<(Tensor, f64)>> {
        let Some(Distillation {
            temperature,
            weight,
        }) = self.distillation
        else {
            return Ok(None);
        };
        let divergence = loss::divergence(targets, scores, temperature)?;
        Ok(Some((divergence, weight)))
    }
}

/// What a teacher says of images. In full precision it answers in its quick form.
fn answers<'a>(
    module: &'a Module,
    predictor: &OnceCell<Predictor<'a>>,
    images: &Tensor,
    precision: Precision,
) -> Result<Tensor> {
    if precision != Precision::Full {
        return precision.forward(module, images);
    }
    if let Some(predictor) = predictor.get() {
        return predictor.scores(images);
    }
    let few = images.size().first().copied().unwrap_or_default();
    let few = few.min(FIRST_LOOK.get() as i64);
    let made = module.predictor(&images.f_narrow(0, 0, few).map_err(explain)?)?;
    predictor.get_or_init(|| made).scores(images)
}

/// Scores by the numbers of the images, on the device that computed them.
struct Memory {
    /// Which row has the scores of an image.
    places: HashMap<usize, i64>,
    /// More rows than are in use.
    rows: Option<Tensor>,
    used: i64,
    /// Bytes at most, of rows and places together.
    budget: usize,
    /// There is no room for more.
    is_full: bool,
    /// What it can remember of the images was shown to it.
    is_filled: bool,
}

/// Bytes that a place takes at most, with the room that a hash table keeps free.
const PLACE: usize = 40;

impl Memory {
    fn of(budget: usize) -> Self {
        Memory {
            places: HashMap::new(),
            rows: None,
            used: 0,
            budget,
            is_full: false,
            is_filled: false,
        }
    }

    /// The scores of `images`, those of unknown ones from `run`.
    fn scores(
        &mut self,
        numbers: &[usize],
        images: &Tensor,
        run: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let device = images.device();
        let places: Vec<Option<i64>> = numbers
            .iter()
            .map(|n| self.places.get(n).copied())
            .collect();
        let unknown: Vec<usize> = (0..numbers.len())
            .filter(|i| places[*i].is_none())
            .collect();
        // Unknown ones get some row for now.
        let rows: Vec<i64> = places.iter().map(|place| place.unwrap_or(0)).collect();
        let recalled = match &self.rows {
            Some(known) if unknown.len() < numbers.len() => {
                let recalled = known.f_index_select(0, &torch::numbers(&rows, device)?);
                Some(recalled.map_err(explain)?)
            }
            _ => None,
        };
        if unknown.is_empty()
            && let Some(recalled) = recalled
        {
            return Ok(recalled);
        }
        let at: Vec<i64> = unknown.iter().map(|i| *i as i64).collect();
        let at = torch::numbers(&at, device)?;
        let fresh = match &recalled {
            None => run(images)?,
            Some(_) => run(&images.f_index_select(0, &at).map_err(explain)?)?,
        };
        if fresh.size().first() != Some(&(unknown.len() as i64)) {
            bail!(
                "the teacher gives scores of shape {:?} for {} images; name a teacher that gives a row for each",
                fresh.size(),
                unknown.len()
            );
        }
        let images = unknown.iter().map(|i| numbers[*i]);
        self.keep(images, &fresh).map_err(explain)?;
        match recalled {
            None => Ok(fresh),
            Some(mut all) => all.f_index_copy_(0, &at, &fresh).map_err(explain),
        }
    }

    /// As many of the rows as there is memory for.
    fn keep(
        &mut self,
        images: impl Iterator<Item = usize>,
        fresh: &Tensor,
    ) -> Result<(), TchError> {
        let count = fresh.size().first().copied().unwrap_or(0).max(1);
        let row = fresh.numel() / count as usize * fresh.f_kind()?.elt_size_in_bytes();
        let most = (self.budget / (row + PLACE)) as i64;
        let kept = count.min(most - self.used);
        self.is_full = kept < count;
        if kept <= 0 {
            return Ok(());
        }
        let needed = self.used + kept;
        let has = self.rows.as_ref().map_or(0, |rows| rows.size()[0]);
        if has < needed {
            // Twice as many each time, so that rows are moved a few times only.
            let mut shape = fresh.size();
            shape[0] = needed.max(2 * has).min(most);
            let larger = fresh.f_new_empty(&shape, (fresh.f_kind()?, fresh.device()))?;
            if let Some(rows) = &self.rows {
                larger
                    .f_narrow(0, 0, self.used)?
                    .f_copy_(&rows.f_narrow(0, 0, self.used)?)?;
            }
            self.rows = Some(larger);
        }
        if let Some(rows) = &self.rows {
            rows.f_narrow(0, self.used, kept)?
                .f_copy_(&fresh.f_narrow(0, 0, kept)?)?;
        }
        self.places
            .extend(images.take(kept as usize).zip(self.used..));
        self.used = needed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tch::{Device, Kind};

    use super::*;

    /// Scores of images whose only pixel is their number, and the numbers that had to be computed.
    fn ask(memory: &mut Memory, numbers: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let pixels: Vec<f32> = numbers.iter().map(|n| *n as f32).collect();
        let images = Tensor::from_slice(&pixels).reshape([-1, 1, 1, 1]);
        let computed = RefCell::new(Vec::new());
        let run = |images: &Tensor| {
            let pixels = images.flatten(0, -1);
            computed
                .borrow_mut()
                .extend(Vec::<f64>::try_from(pixels.to_kind(Kind::Double))?);
            Ok(Tensor::stack(&[&pixels * 10., &pixels + 0.5], 1))
        };
        let scores = memory.scores(numbers, &images, run).unwrap();
        assert_eq!(scores.device(), Device::Cpu);
        let scores = Vec::try_from(scores.flatten(0, -1).to_kind(Kind::Double)).unwrap();
        (scores, computed.into_inner())
    }

    fn expected(numbers: &[usize]) -> Vec<f64> {
        let rows = numbers.iter().map(|n| [*n as f64 * 10., *n as f64 + 0.5]);
        rows.flatten().collect()
    }

    /// Asks, and returns what had to be computed.
    fn computed(memory: &mut Memory, numbers: &[usize]) -> Vec<f64> {
        let (scores, computed) = ask(memory, numbers);
        assert_eq!(scores, expected(numbers));
        computed
    }

    #[test]
    fn an_image_is_shown_once() {
        let mut memory = Memory::of(BUDGET);
        assert_eq!(computed(&mut memory, &[4, 1, 3]), [4., 1., 3.]);
        assert_eq!(computed(&mut memory, &[3, 4]), [0.; 0]);
        assert_eq!(computed(&mut memory, &[9, 1, 7, 3]), [9., 7.]);
        assert_eq!(computed(&mut memory, &[7, 9, 1, 3, 4]), [0.; 0]);
    }

    #[test]
    fn beyond_the_budget_images_are_shown_every_time_and_nothing_more_is_kept() {
        // Two f32 scores an image.
        let budget = 5 * (8 + PLACE) + 1;
        let mut memory = Memory::of(budget);
        assert_eq!(computed(&mut memory, &[0, 1, 2, 3]), [0., 1., 2., 3.]);
        assert_eq!(computed(&mut memory, &[4, 5, 6]), [4., 5., 6.]);
        for _ in 0..2 {
            assert_eq!(computed(&mut memory, &[6, 0, 5, 4, 3]), [6., 5.]);
        }
        assert_eq!(memory.places.len(), 5);
        assert_eq!(memory.rows.unwrap().size(), [5, 2]);
    }

    #[test]
    fn without_a_budget_every_image_is_shown_every_time() {
        let mut memory = Memory::of(0);
        for _ in 0..2 {
            assert_eq!(computed(&mut memory, &[1, 2]), [1., 2.]);
        }
    }
}
