//! `ckaprune remove`: the surgery alone; never executes the network.

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{Outcome, analyse, free_output, open_focused, require_blocks, save, show};
use crate::archive::{Archive, Focus};
use crate::blocks::analysis::{Analysis, Request};
use crate::blocks::lineage::Lineage;
use crate::blocks::patch::thaw;
use crate::blocks::show_shape;
use crate::cli::Remove;
use crate::report::plan::Plan;
use crate::report::{SCHEMA, percent, thousands};

#[derive(Serialize)]
struct RemoveReport {
    schema: u32,
    command: &'static str,
    model: String,
    output: String,
    /// The paths of the blocks, in the order in which they ran.
    removed: Vec<String>,
    /// The shape of an input for which MACs are counted: channels, height, width.
    input_shape: Vec<i64>,
    /// It was guessed from the network.
    input_shape_guessed: bool,
    before: Size,
    after: Size,
}

#[derive(Serialize)]
struct Size {
    params: i64,
    macs: i64,
    blocks: usize,
}

impl Size {
    fn of(analysis: &Analysis) -> Self {
        Size {
            params: analysis.params(),
            macs: analysis.macs().count,
            blocks: analysis.blocks.len(),
        }
    }
}

pub(in crate::cli) fn run(options: &Remove) -> Result<Outcome> {
    let path = &options.model.model;
    let plan = options.plan.as_deref().map(Plan::read).transpose()?;
    let planned = plan.as_ref().map(Plan::focus).unwrap_or_default();
    let asked = options.model.focus();
    let archive = open_focused(
        path,
        &Focus {
            inside: asked.inside.or(planned.inside),
            arguments: match asked.arguments.is_empty() {
                true => planned.arguments,
                false => asked.arguments,
            },
        },
    )?;
    let output = free_output(&options.output, path, &archive, "pruned")?;
    let before = match &plan {
        Some(plan) if options.input_size.is_none() => {
            let request = Request {
                output: options.model.output_key.clone(),
                search: plan.search(),
                ..Request::shape(&plan.input_shape)
            };
            Analysis::of(&archive, &request).with_context(|| path.display().to_string())?
        }
        _ => {
            let search = plan
                .as_ref()
                .map_or(options.search.into(), |plan| plan.search());
            analyse(&options.model, &archive, options.input_size, search)?
        }
    };
    let steps = plan.map_or_else(|| vec![options.blocks.clone()], Plan::into_steps);
    require_blocks(path, &before)?;
    let named = || path.display().to_string();
    let (mut pruned, _) = Lineage::replay(&archive, &before, &steps).with_context(named)?;
    if options.thaw {
        thaw_weights(&mut pruned).with_context(named)?;
    }
    let after = Analysis::of(&pruned, &before.request)?;
    save(&pruned, &output, &options.output)?;
    let removed = in_running_order(&before, &steps.concat());
    let report = RemoveReport {
        schema: SCHEMA,
        command: "remove",
        model: path.display().to_string(),
        output: output.display().to_string(),
        removed,
        input_shape: before.input_shape.clone(),
        input_shape_guessed: before.shape_guessed,
        before: Size::of(&before),
        after: Size::of(&after),
    };
    show(options.messages, &report, || report.text())?;
    Ok(Outcome::Done)
}

/// The paths in the order in which their blocks ran. Paths of blocks that exist only since others are gone come last.
fn in_running_order(network: &Analysis, paths: &[String]) -> Vec<String> {
    let ran = network.blocks.iter().map(|b| &b.path);
    let ran = ran.filter(|path| paths.contains(path));
    let later = paths.iter().filter(|path| network.block(path).is_none());
    ran.chain(later).cloned().collect()
}

fn thaw_weights(archive: &mut Archive) -> Result<()> {
    let network = archive.network()?;
    if thaw(archive, &network)? == 0 {
        bail!("--thaw: no constant of its code is a weight; is this a frozen network?");
    }
    Ok(())
}

impl RemoveReport {
    fn text(&self) -> String {
        let Size {
            params,
            macs,
            blocks,
        } = &self.after;
        let guessed = match self.input_shape_guessed {
            true => format!(", of a guessed input of {}", show_shape(&self.input_shape)),
            false => String::new(),
        };
        format!(
            "{}\n  removed     {}\n  blocks      {blocks} of {}\n  parameters  {} ({} of before)\n  MACs        {} ({} of before{guessed})\n",
            self.output,
            self.removed.join(", "),
            self.before.blocks,
            thousands(*params),
            percent(*params, self.before.params),
            thousands(*macs),
            percent(*macs, self.before.macs),
        )
    }
}
