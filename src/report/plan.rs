//! Which blocks a run removed, so that `ckaprune remove --plan` can remove them from the original archive again.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::SCHEMA;
use crate::archive::Focus;
use crate::blocks::{Candidates, Granularity, Search};
use crate::program::interface::arguments::Argument;

/// The removals of a run, and what is needed to find the blocks by their paths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub schema: u32,
    /// The shape of one input: channels, height, width.
    pub input_shape: Vec<i64>,
    /// The module of the network that was pruned; absent where it was the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// What it was given beside images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Argument>,
    pub granularity: Granularity,
    pub candidates: Candidates,
    /// The paths of the blocks, in the order of removal.
    pub blocks: Vec<String>,
    /// The same paths, step by step. A step removes its blocks at once, from the network that the steps before it left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Vec<String>>,
}

impl Plan {
    /// A plan that removes nothing yet.
    #[must_use]
    pub fn new(input_shape: &[i64], focus: &Focus, search: Search) -> Self {
        Plan {
            schema: SCHEMA,
            input_shape: input_shape.to_vec(),
            inside: focus.inside.clone(),
            arguments: focus.arguments.clone(),
            granularity: search.granularity,
            candidates: search.candidates,
            blocks: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// The plan that removes these blocks, step by step.
    #[must_use]
    pub fn with_steps(&self, steps: Vec<Vec<String>>) -> Self {
        Plan {
            blocks: steps.concat(),
            steps,
            ..self.clone()
        }
    }

    /// The blocks to remove, step by step.
    #[must_use]
    pub fn into_steps(self) -> Vec<Vec<String>> {
        if self.steps.is_empty() {
            vec![self.blocks]
        } else {
            self.steps
        }
    }

    /// Reads what a run wrote.
    ///
    /// # Errors
    /// If the file cannot be read or is no plan.
    pub fn read(file: &Path) -> Result<Self> {
        let shown = file.display();
        let text = fs::read_to_string(file)
            .with_context(|| format!("{shown}: cannot be read; --plan names a run's plan.json"))?;
        let plan: Plan = serde_json::from_str(&text)
            .map_err(|error| anyhow!("{shown}: this is not the plan of a run ({error})"))?;
        if plan.schema != SCHEMA {
            bail!(
                "{shown}: written by another version of ckaprune (schema {})",
                plan.schema
            );
        }
        if plan.blocks.is_empty() {
            bail!("{shown}: the plan removes nothing");
        }
        if !plan.steps.is_empty() && plan.steps.concat() != plan.blocks {
            bail!("{shown}: its steps are not those of its blocks");
        }
        Ok(plan)
    }

    /// What of the archive is meant.
    #[must_use]
    pub fn focus(&self) -> Focus {
        Focus {
            inside: self.inside.clone(),
            arguments: self.arguments.clone(),
        }
    }

    #[must_use]
    pub fn search(&self) -> Search {
        Search {
            granularity: self.granularity,
            candidates: self.candidates,
        }
    }
}
