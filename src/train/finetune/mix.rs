//! Images mixed in pairs, and what that makes of their labels: mixup (Zhang et al., arXiv 1710.09412) and cutmix
//! (Yun et al., arXiv 1905.04899).

use std::ops::Range;

use anyhow::{Context, Result, anyhow, bail};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};
use tch::{TchError, Tensor};

use super::loss::blend;
use crate::data::random_stream;
use crate::run::torch::{self, explain};

/// Which mixtures are drawn. Each has the α of Beta(α, α), the distribution of the part that an image keeps of itself;
/// where there are two, every batch has one or the other, as likely.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mixing {
    /// The whole image is a weighted sum of two.
    pub mixup: Option<f64>,
    /// A box in the image is that of another.
    pub cutmix: Option<f64>,
}

impl Mixing {
    /// Whether there are mixtures: then every batch is one.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.mixup.is_some() || self.cutmix.is_some()
    }

    /// The mixture of one batch of `count` images of `height` × `width` pixels. It depends on the arguments alone, so
    /// that a resumed run draws what an uninterrupted one draws.
    ///
    /// # Errors
    /// If an α is not above 0.
    pub fn draw(
        &self,
        [seed, epoch, batch]: [u64; 3],
        count: usize,
        [height, width]: [usize; 2],
    ) -> Result<Option<Mix>> {
        let mut random = random_stream(*b"mixing  ", seed, epoch, batch);
        let (alpha, cuts) = match (self.mixup, self.cutmix) {
            (None, None) => return Ok(None),
            (Some(alpha), None) => (alpha, false),
            (None, Some(alpha)) => (alpha, true),
            (Some(mixup), Some(cutmix)) => {
                let cuts = random.random();
                (if cuts { cutmix } else { mixup }, cuts)
            }
        };
        let beta = Beta::new(alpha, alpha)
            .map_err(|why| anyhow!("images cannot be mixed with Beta({alpha}, {alpha}): {why}"))?;
        let kept = beta.sample(&mut random);
        let mut partners: Vec<usize> = (0..count).collect();
        partners.shuffle(&mut random);
        if !cuts {
            return Ok(Some(Mix {
                partners,
                kept,
                patch: None,
            }));
        }
        if height == 0 || width == 0 {
            bail!("images without pixels cannot be mixed");
        }
        let centre = [height, width].map(|side| random.random_range(0..side));
        let patch = Patch {
            rows: stretch(height, centre[0], kept),
            columns: stretch(width, centre[1], kept),
        };
        Ok(Some(Mix {
            kept: 1. - patch.area() as f64 / (height * width) as f64,
            partners,
            patch: Some(patch),
        }))
    }
}

/// Where one side of the box lies, cut off at the image's edge. Sides of √(1 − λ) have together 1 − λ of the area.
fn stretch(side: usize, centre: usize, kept: f64) -> Range<usize> {
    let length = (side as f64 * (1. - kept).max(0.).sqrt()).round() as usize;
    let begin = centre as i64 - (length / 2) as i64;
    let end = (begin + length as i64).clamp(0, side as i64);
    begin.max(0) as usize..end as usize
}

/// A box, in pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Patch {
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Patch {
    fn area(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// What the box shows of images (n × c × h × w). Shares their memory.
    fn view(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let narrow = |of: &Tensor, dimension, range: &Range<usize>| {
            of.f_narrow(dimension, range.start as i64, range.len() as i64)
        };
        narrow(&narrow(images, 2, &self.rows)?, 3, &self.columns)
    }
}

/// How the images of one batch are mixed.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// With which image each is mixed, by its place in the batch: a permutation.
    partners: Vec<usize>,
    /// λ: the part of the loss that an image's own label has; its partner's has the rest.
    kept: f64,
    /// The box that comes from the partner; without one the whole image is mixed.
    patch: Option<Patch>,
}

impl Mix {
    /// The mixed images (n × c × h × w), in new memory.
    ///
    /// # Errors
    /// If they are not as many, or not of the size, that this was drawn for.
    pub fn images(&self, images: &Tensor) -> Result<Tensor> {
        let partners: Vec<i64> = self.partners.iter().map(|p| *p as i64).collect();
        let partners = torch::numbers(&partners, images.device())?;
        match &self.patch {
            None => {
                let others = images.f_index_select(0, &partners).map_err(explain)?;
                blend(images, &others, self.kept)
            }
            Some(patch) => {
                let mixed = torch::copy(images)?;
                let paste = || {
                    let others = patch.view(images)?.f_index_select(0, &partners)?;
                    patch.view(&mixed)?.f_copy_(&others)
                };
                paste().map_err(explain)?;
                Ok(mixed)
            }
        }
    }

    /// The mean loss over own and partners' labels, each with its part. `cross_entropy` is the mean over a batch
    /// with the labels it is given.
    ///
    /// # Errors
    /// If there are fewer labels than images, or the cross-entropy has none.
    pub fn loss(
        &self,
        labels: &[i64],
        cross_entropy: impl Fn(&[i64]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let others: Option<Vec<i64>> = self
            .partners
            .iter()
            .map(|p| labels.get(*p).copied())
            .collect();
        let others = others.context("a batch with fewer labels than images")?;
        blend(&cross_entropy(labels)?, &cross_entropy(&others)?, self.kept)
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::train::finetune::loss::cross_entropy;

    const CUTMIX: Mixing = Mixing {
        mixup: None,
        cutmix: Some(1.),
    };
    const MIXUP: Mixing = Mixing {
        mixup: Some(0.4),
        cutmix: None,
    };

    fn drawn(mixing: Mixing, numbers: [u64; 3]) -> Mix {
        mixing.draw(numbers, 6, [8, 12]).unwrap().unwrap()
    }

    /// Three images of one channel of 2 × 2 pixels.
    fn images() -> Tensor {
        let pixels: Vec<f32> = (0..12).map(|i| i as f32).collect();
        Tensor::from_slice(&pixels).reshape([3, 1, 2, 2])
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        let flat = tensor.to_kind(Kind::Double).contiguous().view(-1);
        Vec::try_from(&flat).unwrap()
    }

    #[test]
    fn mixup_weighs_each_image_with_its_partner() {
        let mix = Mix {
            partners: vec![2, 0, 1],
            kept: 0.75,
            patch: None,
        };
        let found = values(&mix.images(&images()).unwrap());
        assert_eq!(found, [2., 3., 4., 5., 3., 4., 5., 6., 7., 8., 9., 10.]);
    }

    #[test]
    fn cutmix_pastes_the_partners_box_and_leaves_its_source_alone() {
        let mix = Mix {
            partners: vec![1, 2, 0],
            kept: 0.5,
            patch: Some(Patch {
                rows: 0..2,
                columns: 1..2,
            }),
        };
        let images = images();
        let found = values(&mix.images(&images).unwrap());
        assert_eq!(found, [0., 5., 2., 7., 4., 9., 6., 11., 8., 1., 10., 3.]);
        assert_eq!(values(&images), (0..12).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn the_part_of_the_label_is_exactly_the_area_that_was_kept() {
        for batch in 0..200 {
            let mix = drawn(CUTMIX, [0, 0, batch]);
            let marks = Tensor::arange(6, (Kind::Float, tch::Device::Cpu));
            let images = marks.reshape([6, 1, 1, 1]).expand([6, 1, 8, 12], false);
            let mixed = values(&mix.images(&images).unwrap());
            for (i, (pixels, partner)) in mixed.chunks(96).zip(&mix.partners).enumerate() {
                let own = pixels.iter().filter(|p| **p == i as f64).count();
                let expected = if *partner == i { 1. } else { mix.kept };
                assert!((own as f64 / 96. - expected).abs() < 1e-12, "{mix:?}");
            }
        }
    }

    #[test]
    fn boxes_lie_everywhere_and_are_cut_off_at_the_edges() {
        assert_eq!(stretch(8, 0, 0.75), 0..2);
        assert_eq!(stretch(8, 4, 0.75), 2..6);
        assert_eq!(stretch(8, 7, 0.75), 5..8);
        assert_eq!(stretch(8, 3, 0.), 0..7);
        assert!(stretch(8, 3, 1.).is_empty());
    }

    #[test]
    fn labels_weigh_as_the_images_do_with_smoothing_too() {
        let mix = Mix {
            partners: vec![1, 0],
            kept: 0.7,
            patch: None,
        };
        let scores = Tensor::from_slice(&[1_f32, 2., 0.5, -1., 0., 3.]).reshape([2, 3]);
        let loss = |smoothing| {
            let entropy =
                |labels: &[i64]| cross_entropy(&scores, &Tensor::from_slice(labels), smoothing);
            mix.loss(&[0, 2], entropy).unwrap().double_value(&[])
        };
        // Cross-entropy with the label distributions 0.7 e₀ + 0.3 e₂ and 0.7 e₂ + 0.3 e₀, smoothed or not.
        let oracle = |smoothing: f64| {
            let rows = [[1_f64, 2., 0.5], [-1., 0., 3.]];
            let targets = [[0.7, 0., 0.3], [0.3, 0., 0.7]];
            let row = |(scores, targets): (&[f64; 3], &[f64; 3])| -> f64 {
                let total = scores.iter().map(|s| s.exp()).sum::<f64>().ln();
                let each = scores.iter().zip(targets);
                each.map(|(s, t)| (total - s) * (t * (1. - smoothing) + smoothing / 3.))
                    .sum()
            };
            rows.iter().zip(&targets).map(row).sum::<f64>() / 2.
        };
        for smoothing in [0., 0.1] {
            let (found, expected) = (loss(smoothing), oracle(smoothing));
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn a_batch_is_mixed_alike_every_time_and_others_otherwise() {
        for mixing in [MIXUP, CUTMIX] {
            let mix = drawn(mixing, [1, 2, 3]);
            assert_eq!(mix, drawn(mixing, [1, 2, 3]));
            for other in [[0, 2, 3], [1, 0, 3], [1, 2, 0]] {
                assert_ne!(mix, drawn(mixing, other));
            }
        }
    }

    #[test]
    fn partners_are_a_permutation_and_parts_have_the_variance_of_beta() {
        let mixes: Vec<Mix> = (0..4000).map(|batch| drawn(MIXUP, [0, 0, batch])).collect();
        let mut partners = mixes[0].partners.clone();
        partners.sort_unstable();
        assert_eq!(partners, [0, 1, 2, 3, 4, 5]);
        let mean = mixes.iter().map(|m| m.kept).sum::<f64>() / 4000.;
        let variance = mixes.iter().map(|m| (m.kept - mean).powi(2)).sum::<f64>() / 4000.;
        // Beta(α, α) has mean 1/2 and variance 1 / (4 (2 α + 1)).
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!((variance - 1. / 7.2).abs() < 0.01, "{variance}");
    }

    #[test]
    fn of_two_mixtures_every_batch_has_one() {
        let both = Mixing {
            mixup: Some(1.),
            cutmix: Some(1.),
        };
        let cut = (0..1000).filter(|batch| drawn(both, [0, 0, *batch]).patch.is_some());
        let cut = cut.count();
        assert!((400..600).contains(&cut), "{cut} of 1000");
    }

    #[test]
    fn without_a_mixture_nothing_is_drawn() {
        assert_eq!(Mixing::default().draw([0; 3], 6, [8, 8]).unwrap(), None);
    }

    #[test]
    fn a_distribution_that_does_not_exist_is_an_error() {
        for alpha in [0., -1.] {
            let mixing = Mixing {
                mixup: Some(alpha),
                cutmix: None,
            };
            assert!(mixing.draw([0; 3], 6, [8, 8]).is_err());
        }
    }
}
