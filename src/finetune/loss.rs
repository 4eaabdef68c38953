//! What training makes small.

use anyhow::Result;
use tch::{Reduction, Tensor};

use crate::torch::explain;

/// Mean cross-entropy in nats. With smoothing each label is that part sure, and the rest is spread over all classes
/// (Szegedy et al., arXiv 1512.00567, section 7).
pub fn cross_entropy(scores: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let no_weights: Option<&Tensor> = None;
    scores
        .f_cross_entropy_loss(labels, no_weights, Reduction::Mean, -100, smoothing)
        .map_err(explain)
}
