//! What a sample is that networks are compared on.

use serde::Serialize;

/// What the rows of a representation are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Samples {
    /// Places where the network answers for places, images where it answers for images.
    #[default]
    Auto,
    /// Images: maps are averaged over their places.
    Pooled,
    /// A few places of each image.
    Places,
}

impl Samples {
    /// In the order in which they are listed.
    pub const ALL: [Samples; 3] = [Samples::Auto, Samples::Pooled, Samples::Places];

    /// As options and documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Samples::Auto => "auto",
            Samples::Pooled => "pooled",
            Samples::Places => "places",
        }
    }
}
