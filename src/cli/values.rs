//! Values of options that are chosen from a list of names.

use clap::ValueEnum;

use crate::blocks::samples::Samples;
use crate::blocks::value::{Name as Criterion, Per, Reference};
use crate::blocks::{Candidates, Granularity};
use crate::data::{Interpolation, PixelRange};
use crate::report::yardstick::Goal;

/// Lets options choose from types of other rooms, which know nothing of clap: each value has the name it has there.
macro_rules! choices {
    ($($choice:ty),*) => {
        $(impl clap::ValueEnum for $choice {
            fn value_variants<'a>() -> &'a [Self] {
                &<$choice>::ALL
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(clap::builder::PossibleValue::new(self.name()))
            }
        })*
    };
}

choices!(
    Candidates,
    Goal,
    Granularity,
    Interpolation,
    PixelRange,
    Criterion,
    Per,
    Reference,
    Samples
);

/// How gradients become steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    #[default]
    Sgd,
    Adamw,
}

/// The course of the learning rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    #[default]
    Constant,
    Steps,
    Cosine,
}

/// Where training multiplies in bfloat16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Amp {
    #[default]
    Auto,
    Off,
}

/// What is repaired after a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    None,
    Bn,
    Channels,
    #[default]
    Refit,
}

/// When the network is fine-tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Removals {
    #[default]
    Each,
    Once,
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;

    use super::*;

    /// Documents call a choice what the command line calls it.
    fn named_alike<T: ValueEnum + Serialize + Debug>() {
        for choice in T::value_variants() {
            let typed = choice.to_possible_value().unwrap();
            let written = serde_json::to_value(choice).unwrap();
            assert_eq!(written, typed.get_name(), "{choice:?}");
        }
    }

    #[test]
    fn a_choice_has_one_name_on_the_command_line_and_in_documents() {
        named_alike::<Candidates>();
        named_alike::<Granularity>();
        named_alike::<Interpolation>();
        named_alike::<PixelRange>();
        named_alike::<Optimizer>();
        named_alike::<Schedule>();
        named_alike::<Amp>();
        named_alike::<Repair>();
        named_alike::<Removals>();
        named_alike::<Criterion>();
        named_alike::<Per>();
        named_alike::<Reference>();
        named_alike::<Goal>();
        named_alike::<Samples>();
    }
}
