//! What each step of repair gave back.

use crate::cli::torch_commands::prune::report::PruneReport;
use crate::prune::Iteration;
use crate::report::in_percent;
use crate::report::page::{Column, Section, Table};
use crate::train::repair::{Repair, Step};

/// Agreement with the unpruned network before and after each step, if anything was repaired.
pub(super) fn section(report: &PruneReport) -> Option<Section> {
    let steps = report.iterations.iter();
    let rows: Vec<Vec<String>> = steps
        .flat_map(|iteration| {
            iteration
                .repairs
                .iter()
                .map(|repair| row(iteration, repair))
        })
        .collect();
    let columns = vec![
        Column::numbers(""),
        Column::words("step"),
        Column::numbers("same class before"),
        Column::numbers("after"),
        Column::numbers("divergence before"),
        Column::numbers("after"),
        Column::words(""),
    ];
    let table = Table {
        columns,
        rows,
        ..Table::default()
    };
    let told = "How alike this network and the unpruned one answer calibration images that were held back, without labels: \
        the part of them to which both give the same class, and the divergence of the class probabilities in nats; of a \
        network that gives no class scores, the mean squared difference over the variance. A step \
        that brings the network no closer is undone.";
    let is_any = !table.rows.is_empty();
    is_any.then(|| Section::new("Repair").with(table).with(told))
}

fn row(iteration: &Iteration, repair: &Repair) -> Vec<String> {
    let divergence = |closeness: f64| format!("{:.4}", -closeness + 0.);
    let same = |part: Option<f64>| part.map_or_else(|| "-".to_owned(), in_percent);
    let name = match repair.step {
        Step::Refit => "linear maps fitted anew",
        Step::Channels => "channels scaled and shifted",
        Step::Bn => "statistics of batch norm",
        Step::Distillation => "learned from the unpruned network",
    };
    let (before, after) = (repair.before, repair.after);
    vec![
        iteration.iteration.to_string(),
        name.to_owned(),
        same(before.same_class),
        same(after.same_class),
        divergence(before.closeness),
        divergence(after.closeness),
        if repair.pays() { "" } else { "undone" }.to_owned(),
    ]
}
