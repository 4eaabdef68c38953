//! Networks that take batches of one size alone are run in such.

use anyhow::{Result, bail};
use tch::Tensor;

use super::{Module, explain};

impl Module {
    /// How many images it is run on at once, where it takes just so many.
    #[must_use]
    pub fn fixed_batch(&self) -> Option<i64> {
        self.interface.batch.as_ref().map(|batch| batch.images)
    }

    /// What [`output`](Self::output) gives, in batches of just so many images. What the last one lacks is filled up with one of its images.
    pub(super) fn output_by(&self, count: i64, images: &Tensor) -> Result<Tensor> {
        let all = images.size().first().copied().unwrap_or_default();
        let mut rows = Vec::new();
        for start in (0..all).step_by(usize::try_from(count)?.max(1)) {
            let here = count.min(all - start);
            let batch = images.f_narrow(0, start, here).map_err(explain)?;
            let last = batch.f_narrow(0, here - 1, 1).map_err(explain)?;
            let missing = (here..count).map(|_| &last);
            let whole: Vec<&Tensor> = std::iter::once(&batch).chain(missing).collect();
            let scores = self.output_of(&Tensor::f_cat(&whole, 0).map_err(explain)?)?;
            if scores.size().first() != Some(&count) {
                bail!(
                    "the network gives scores of shape {:?} for {count} images",
                    scores.size()
                );
            }
            rows.push(scores.f_narrow(0, 0, here).map_err(explain)?);
        }
        Tensor::f_cat(&rows, 0).map_err(explain)
    }
}
