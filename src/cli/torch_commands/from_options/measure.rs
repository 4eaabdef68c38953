//! A measure of the user's own, from its options.

use anyhow::Result;

use crate::cli::OwnMeasure;
use crate::train::measure::Measure;

impl OwnMeasure {
    /// The measure that the options name, if they name one.
    ///
    /// # Errors
    /// If the command has no place for a file.
    pub fn measure(&self) -> Result<Option<Measure>> {
        let of = |command: &String| {
            let metric = self.metric.as_deref();
            Measure::of(command, metric, self.metric_goal, self.timeout)
        };
        self.measure_with.as_ref().map(of).transpose()
    }
}
